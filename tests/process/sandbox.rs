//! The program with its sandbox, as somebody tries it who has no cluster.

use std::fs;

use hickory_proto::rr::RecordType;

use crate::support::common::{exchange, query};
use crate::support::program::{Program, message, start_program};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sandbox/redis.yaml");

/// What somebody reads who tries the program for the first time.
#[test]
fn the_first_start_is_calm_and_says_what_to_type_next() {
    let program = Program::serve_on("127.0.0.1:5377", &["--sandbox", "config/sandbox"]);
    let next = program.until_logged("the commands to try", |entry| message(entry).starts_with("try: kubectl "));
    let log = program.log();
    let said: Vec<_> = log.iter().map(message).collect();
    assert!(message(&next).ends_with(" get pods --watch"), "{next}");
    let dig = "try: dig @127.0.0.1 -p 5377 db-0.db.default.svc.cluster.local";
    assert_eq!(said[said.len() - 2..], [dig, message(&next)], "{said:?}");
    assert!(
        said[0].starts_with("the sandbox is up: a small Kubernetes API in this process, whose Pods run no containers")
    );
    assert!(log.iter().all(|entry| entry["level"] == "INFO"), "{log:?}");
    let synchronised = log.iter().find(|entry| message(entry) == "synchronised with the cluster").expect("a line");
    assert_eq!((&synchronised["services"], &synchronised["endpoints"]), (&5.into(), &13.into()), "{synchronised}");
}

#[test]
fn a_signal_that_reloads_does_not_end_a_program_that_is_still_starting() {
    let program = start_program(&["serve", "--sandbox", MANIFEST, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    for (said, signal) in [("the sandbox is up", "HUP"), ("answering over UDP and TCP", "TERM")] {
        program.until(said, |lines| lines.iter().any(|line| line.text.contains(said)).then_some(()));
        program.signal(signal);
    }
    assert_eq!(program.end().0, Some(0));
}

/// S14, S15, S16, D3: the Service that every cluster has, whose endpoint no Pod is behind, as CoreDNS answers for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_of_the_api_is_answered_like_any_other() {
    let program = Program::serve(&["--sandbox", MANIFEST]);
    program.until_synchronised();
    for (name, record_type, expected) in [
        ("kubernetes.default.svc.cluster.local.", RecordType::A, "10.96.0.1"),
        ("172-18-0-4.kubernetes.default.svc.cluster.local.", RecordType::A, "172.18.0.4"),
        (
            "_https._tcp.kubernetes.default.svc.cluster.local.",
            RecordType::SRV,
            "0 100 443 kubernetes.default.svc.cluster.local.",
        ),
        ("1.0.96.10.in-addr.arpa.", RecordType::PTR, "kubernetes.default.svc.cluster.local."),
    ] {
        let answer = exchange(program.dns, &query(name, record_type), false).await.expect("an answer");
        let data: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(data, [expected], "{name}");
    }
}

#[test]
fn manifests_come_from_the_standard_input_and_unknown_kinds_are_left_out_with_a_warning_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: a}\n---\n".repeat(2);
    let file = folder.path().join("input.yaml");
    fs::write(&file, format!("{monitor}{}", fs::read_to_string(MANIFEST).expect("a manifest"))).expect("written");
    let program = Program::serve_with_input(&file, &["--sandbox", "-"]);
    program.until_synchronised();
    let log = program.log();
    let warnings: Vec<_> = log.iter().filter(|entry| entry["level"] != "INFO").map(message).collect();
    assert_eq!(
        warnings,
        ["standard input: document 1 (line 1): the sandbox has no PodMonitor of monitoring.coreos.com/v1; objects of \
             this kind are left out"]
    );
    assert!(program.page("/zone?name=cluster.local").1.contains("\tSRV\t"), "the rest is applied");
}
