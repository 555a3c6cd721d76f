//! Well-formed Pods, and Pods with malformed fields.

use super::*;
use crate::cluster::decoding::read_json;

fn read(json: &str) -> (Option<Pod>, Vec<String>) {
    let (update, problems) = read_json(Resource::Pods, Scope::All, json.as_bytes()).unwrap();
    match update {
        ClusterEvent::Pod(_, Change::Apply(pod)) => (Some(pod), problems),
        _ => (None, problems),
    }
}

const PG_0: &str = r#"{
    "metadata": {
        "namespace": "db", "name": "pg-0", "uid": "0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01",
        "labels": {"app": "pg", "statefulset.kubernetes.io/pod-name": "pg-0", "apps.kubernetes.io/pod-index": "0"},
        "ownerReferences": [{"kind": "StatefulSet", "name": "pg", "controller": true}]
    },
    "spec": {
        "hostname": "pg-0", "subdomain": "pg",
        "containers": [{"ports": [{"containerPort": 80}, {"name": "sql", "containerPort": 5432}]}],
        "initContainers": [
            {"ports": [{"name": "setup", "containerPort": 1}]},
            {"restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9100, "protocol": "UDP"}]}
        ]
    },
    "status": {
        "phase": "Running", "podIP": "10.1.0.10", "podIPs": [{"ip": "10.1.0.10"}, {"ip": "fd00::a"}, {"ip": "10.1.0.99"}],
        "conditions": [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-20T10:00:00Z"}
        ]
    }
}"#;

#[test]
fn a_pod_is_read_with_all_that_its_endpoint_needs() {
    let (pod, problems) = read(PG_0);
    let pod = pod.unwrap();
    assert_eq!(problems, [""; 0]);
    assert_eq!((pod.v4, pod.v6.as_deref().copied()), (Some([10, 1, 0, 10].into()), "fd00::a".parse().ok()));
    assert!(!pod.is_ready && !pod.is_terminating && !pod.is_finished);
    assert_eq!(pod.ready_changed.map(u32::from), Some(1_795_168_800));
    let ports: Vec<_> = pod.template.ports.iter().map(|port| (&*port.name, port.port)).collect();
    assert_eq!(ports, [("sql", 5432), ("metrics", 9100)]);
    assert_eq!(pod.template.owner, Some(("StatefulSet".into(), "pg".into())));
}

#[test]
fn labels_that_follow_from_the_name_are_not_stored() {
    let (pod, _) = read(PG_0);
    let pod = pod.unwrap();
    assert_eq!(pod.template.labels.iter().collect::<Vec<_>>(), [("app", "pg")]);
    assert_eq!([pod.label(POD_NAME), pod.label(POD_INDEX), pod.label("app")], [Some("pg-0"), Some("0"), Some("pg")]);
    let (pod, _) = read(&PG_0.replace(r#"pod-index": "0""#, r#"pod-index": "7""#));
    assert_eq!(pod.unwrap().label(POD_INDEX), Some("7"), "a value that does not follow from the name is stored");
}

#[test]
fn a_malformed_field_makes_the_pod_unreadable_or_is_left_out() {
    for (wrong, problem) in [
        (PG_0.replace(r#""10.1.0.10"}"#, r#""10.1.0"}"#), r#"status.podIPs: "10.1.0" is not an IP address"#),
        (PG_0.replace(r#""app": "pg""#, r#""app": 7"#), "metadata.labels[app] is a number, or not one that is allowed"),
    ] {
        assert_eq!(read(&wrong), (None, vec![problem.to_owned()]));
    }
    let (pod, problems) = read(&PG_0.replace(r#""status": "False""#, r#""status": {}"#));
    assert!(pod.is_some_and(|pod| !pod.is_ready));
    assert_eq!(problems, ["status.conditions.status is an object"]);
}

/// S8. PodCondition: "status … can be True, False, Unknown".
#[test]
fn a_pod_whose_readiness_is_unknown_is_not_ready() {
    for (status, is_ready) in [("True", true), ("False", false), ("Unknown", false)] {
        let (pod, problems) = read(&PG_0.replace(r#""status": "False""#, &format!(r#""status": "{status}""#)));
        assert_eq!((pod.map(|pod| pod.is_ready), problems), (Some(is_ready), Vec::new()), "{status}");
    }
}
