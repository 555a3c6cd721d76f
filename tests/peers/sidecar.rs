//! `deploy/overlays/sidecar`: what the manifest says, and the Pod's programs with the sidecar as their only name server.

use std::ffi::OsString;
use std::net::IpAddr;

use headless_dns::app::Budget;
use headless_dns::config::Config;
use serde_yaml_ng::Value;

use super::deploy::{WATCHED, asks_for, kinds, rendered, the};
use crate::support::container::{Container, resolv_conf};
use crate::support::peers::{Running, missing, until};
use crate::support::pods::{Pods, Side, until_said};
use crate::support::program::ANSWERING;

const FOLDER: &str = "deploy/overlays/sidecar-example";

fn pod(objects: &[Value]) -> &Value {
    &the(objects, "StatefulSet")["spec"]["template"]["spec"]
}

fn sidecar(objects: &[Value]) -> Container<'_> {
    Container { objects, pod: pod(objects), name: "headless-dns" }
}

#[test]
fn the_sidecar_comes_first_with_a_role_in_its_namespace_and_the_application_is_as_it_was() {
    let Some(objects) = rendered(FOLDER) else { return };
    assert_eq!(kinds(&objects), ["ConfigMap", "Role", "RoleBinding", "Service", "StatefulSet"]);
    let watched: Value = serde_yaml_ng::from_str(WATCHED).expect("YAML");
    assert_eq!(the(&objects, "Role")["rules"], watched);
    let subjects = "[{kind: ServiceAccount, name: default, namespace: default}]";
    assert_eq!(the(&objects, "RoleBinding")["subjects"], serde_yaml_ng::from_str::<Value>(subjects).expect("YAML"));
    for object in &objects {
        assert_eq!(object["metadata"]["namespace"], "default", "{object:?}");
    }

    let pod = pod(&objects);
    assert_eq!(pod["initContainers"][0]["name"], "headless-dns");
    assert_eq!(pod["initContainers"][0]["restartPolicy"], "Always");
    assert_eq!(pod["initContainers"][0]["startupProbe"]["httpGet"]["path"], "/readyz");
    assert!(pod["initContainers"][0]["readinessProbe"].is_null(), "the Pod's readiness is the application's");
    let application = include_str!("../../deploy/overlays/sidecar-example/redis.yaml");
    let mut documents = serde_yaml_ng::Deserializer::from_str(application);
    let set: Value = serde::Deserialize::deserialize(documents.nth(1).expect("a StatefulSet")).expect("YAML");
    assert_eq!(pod["containers"], set["spec"]["template"]["spec"]["containers"]);
    assert_eq!(pod["initContainers"][1], set["spec"]["template"]["spec"]["initContainers"][0]);
}

#[test]
fn the_sidecar_needs_no_privilege_is_reached_from_its_pod_alone_and_fits_its_limit() {
    let Some(objects) = rendered(FOLDER) else { return };
    let (pod, sidecar) = (pod(&objects), sidecar(&objects));
    let context = &sidecar.specification()["securityContext"];
    for (key, expected) in
        [("runAsNonRoot", true), ("readOnlyRootFilesystem", true), ("allowPrivilegeEscalation", false)]
    {
        assert_eq!(context[key], expected, "{key}");
    }
    assert_eq!(context["capabilities"], serde_yaml_ng::from_str::<Value>("{drop: [ALL]}").expect("YAML"));
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["dnsPolicy"], "None");
    assert_eq!(
        resolv_conf(&pod["dnsConfig"]),
        "nameserver 127.0.0.1\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    );

    let variables = sidecar.environment(Side::Node.address()).into_iter();
    let variables: Vec<(OsString, OsString)> = variables.map(|(name, value)| (name.into(), value.into())).collect();
    let config = Config::load(None, variables, &[]).expect("valid").config;
    let nameserver: IpAddr = pod["dnsConfig"]["nameservers"][0].as_str().expect("text").parse().expect("an address");
    assert_eq!(config.listen, [(nameserver, 53).into()]);
    assert!(config.admin.is_some_and(|admin| admin.ip().is_loopback()));
    assert_eq!(config.namespaces.len(), 1);
    assert!(config.drain_timeout.is_zero(), "nobody is left to ask when a sidecar is told to stop");
    assert_eq!(Budget::of(&config).refusal(), None);
    let resources = &sidecar.specification()["resources"];
    assert_eq!(resources["limits"]["memory"], format!("{}Mi", config.memory_limit));
    assert_eq!(resources["requests"]["memory"], "16Mi");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_is_granted_what_is_asked_for_and_nothing_cluster_wide_is() {
    let Some(objects) = rendered(FOLDER) else { return };
    asks_for(the(&objects, "Role"), &["--namespace", "default"], "default").await;
}

/// What looks a name up as an application does, and prints its addresses, or why there is none.
const RESOLVERS: [&str; 5] = ["getent", "nslookup", "dig", "python3", "node"];

fn script(resolver: &str) -> &'static str {
    match resolver {
        "getent" => r#"getent ahosts "$0" | cut -d ' ' -f 1 | sort -u || echo $?"#,
        "nslookup" => {
            r#"nslookup "$0" | awk '/^Name:/ { found = 1 } found && /^Address: / { print $2 } /NXDOMAIN/ { print "NXDOMAIN" }'"#
        }
        "dig" => r#"dig +search "$0" | awk '/status: NXDOMAIN/ { print "NXDOMAIN" } !/^;/ && $4 == "A" { print $5 }'"#,
        "python3" => {
            r#"exec python3 -c 'import socket, sys
try: print(*{found[4][0] for found in socket.getaddrinfo(sys.argv[1], None)}, sep="\n")
except socket.gaierror as error: print(next(name for name in dir(socket) if name[:4] == "EAI_" and getattr(socket, name) == error.errno))' "$0""#
        }
        _ => {
            r#"exec node -e 'require("dns").lookup(process.argv[1], { all: true }, (error, found) =>
console.log(error ? error.code : found.map(one => one.address).join("\n")))' "$0""#
        }
    }
}

/// What a resolver says of a name that does not exist: not that it should be asked again later, which is EAI_AGAIN.
fn absent(resolver: &str) -> &'static str {
    match resolver {
        "getent" => "",
        "nslookup" | "dig" => "NXDOMAIN",
        "python3" => "EAI_NONAME",
        _ => "ENOTFOUND",
    }
}

/// The Pod `redis-0` of the example, with its sidecar and no other name server.
fn pod_with_sidecar(objects: &[Value]) -> Option<(Pods, Running)> {
    if missing(&RESOLVERS) {
        return None;
    }
    let mut pods = Pods::new(&resolv_conf(&pod(objects)["dnsConfig"]))?;
    pods.start_api(Side::Pod, objects);
    pods.kubectl(Side::Pod, &["rollout", "status", "statefulset/redis", "--timeout=60s"]);
    pods.set_sysctls(pod(objects));
    let container = sidecar(objects);
    let running = pods.start(Side::Pod, &container, &[]);
    until_said(&running, ANSWERING);
    until("a Pod that may start", || {
        pods.probe(Side::Pod, &container.specification()["startupProbe"]).code.filter(|code| *code == 0)
    });
    Some((pods, running))
}

/// F1, F2. The Pod's resolv.conf has the search list and `ndots:5`.
#[test]
fn with_the_sidecar_alone_every_resolver_finds_peers_other_namespaces_and_the_world() {
    let Some(objects) = rendered(FOLDER) else { return };
    let Some((pods, _sidecar)) = pod_with_sidecar(&objects) else { return };
    let address = pods.kubectl(Side::Pod, &["get", "pod", "redis-0", "--output", "jsonpath={.status.podIP}"]);
    let names = [
        ("redis-0.redis", address.as_str()),
        ("redis-0.redis.default", &address),
        ("redis-0.redis.default.svc.cluster.local", &address),
        ("redis-0.redis.default.svc.cluster.local.", &address),
        ("web.other", "10.96.7.7"),
        ("web.other.svc.cluster.local", "10.96.7.7"),
        ("www.example.com", "192.0.2.80"),
        ("www.example.com.", "192.0.2.80"),
    ];
    for resolver in RESOLVERS {
        for (name, address) in names {
            let ran = pods.run_in_pod("sh", &["-c", script(resolver), name]);
            assert_eq!(ran.stdout.trim_end(), address, "{resolver} {name}: {ran:?}");
        }
    }
}

/// F2, R3. Each name of the search list is denied at once, so none is asked again, and the program is told that there is none.
#[test]
fn with_the_sidecar_alone_every_resolver_is_told_of_names_that_do_not_exist() {
    let Some(objects) = rendered(FOLDER) else { return };
    let Some((pods, _sidecar)) = pod_with_sidecar(&objects) else { return };
    for resolver in RESOLVERS {
        for name in ["nope", "nope.redis", "nope.other", "redis-0.nope.default.svc.cluster.local", "absent.example.com"]
        {
            let ran = pods.run_in_pod("sh", &["-c", script(resolver), name]);
            assert_eq!(ran.stdout.trim_end(), absent(resolver), "{resolver} {name}: {ran:?}");
        }
    }
}
