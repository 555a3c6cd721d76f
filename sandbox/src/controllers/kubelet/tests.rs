//! Which Pods start, become Ready and stop, and when.

use crate::controllers::testing::{PodBuilder, stateful_pod};

use super::*;

const DELAYS: Delays = Delays { start: Duration::from_secs(2), stop: Duration::from_secs(5) };

fn decided(pod: PodBuilder, age: u64, deleted_for: Option<u64>) -> Decision {
    let now = Instant::now() + Duration::from_secs(60);
    let ago = |seconds| now - Duration::from_secs(seconds);
    let tracked = Tracked { seen: ago(age), deleted: deleted_for.map(ago) };
    decide(&pod.build(), &tracked, DELAYS, now)
}

fn waits(decision: Decision) -> bool {
    matches!(decision, Decision::WaitUntil(_))
}

#[test]
fn a_pod_is_bound_then_waits_for_its_start_delay_then_starts() {
    assert_eq!(decided(stateful_pod("db", 0), 0, None), Decision::Bind);
    assert!(waits(decided(stateful_pod("db", 0).scheduled(), 1, None)));
    assert_eq!(decided(stateful_pod("db", 0).scheduled(), 2, None), Decision::Start);
}

#[test]
fn annotations_change_the_start_delay_and_readiness() {
    let slow = stateful_pod("db", 0).scheduled().annotation(START_DELAY_ANNOTATION, "1m");
    assert!(waits(decided(slow, 59, None)));
    let ready = || stateful_pod("db", 0).ready();
    assert_eq!(decided(ready(), 9, None), Decision::Nothing);
    assert_eq!(decided(ready().annotation(READY_ANNOTATION, "false"), 9, None), Decision::SetReady(false));
    assert_eq!(decided(stateful_pod("db", 0).running(), 9, None), Decision::SetReady(true));
}

#[test]
fn a_deleted_pod_is_unchanged_until_the_shorter_of_grace_period_and_stop_delay_is_over() {
    let deleted = |grace| stateful_pod("db", 0).ready().terminating().grace(grace);
    assert!(waits(decided(deleted(30), 9, Some(4))));
    assert_eq!(decided(deleted(30), 9, Some(5)), Decision::Stop);
    assert_eq!(decided(deleted(1), 9, Some(1)), Decision::Stop);
    assert_eq!(decided(deleted(0), 9, Some(0)), Decision::Stop);
    assert_eq!(decided(deleted(1).finalizer("example.com/hold"), 9, Some(1)), Decision::SetReady(false));
}

#[test]
fn a_finished_pod_is_not_changed() {
    assert_eq!(decided(stateful_pod("db", 0).scheduled().phase("Failed"), 9, None), Decision::Nothing);
}

#[test]
fn an_external_pod_keeps_its_status_and_only_its_deletion_is_completed() {
    let mut kubelet = Kubelet::new(&Options::default());
    let now = Instant::now();
    let pod = stateful_pod("db", 0).ip("192.0.2.7").build();
    kubelet.observe(&pod, now);
    assert_eq!(kubelet.sync(&pod, now, |_| true), (Vec::new(), None));
    let pod = stateful_pod("db", 0).ip("192.0.2.7").terminating().grace(0).build();
    kubelet.observe(&pod, now);
    assert_eq!(kubelet.sync(&pod, now, |_| true).0, [Action::Remove(Target::new(Kind::Pod, &pod.metadata))]);
}

#[test]
fn a_node_that_is_cordoned_gets_no_pods_and_a_pod_that_none_takes_waits() {
    let mut kubelet = Kubelet::new(&Options::default());
    let now = Instant::now();
    let mut bound = |takes_pods: fn(&str) -> bool| {
        let pod = stateful_pod("db", 0).build();
        kubelet.observe(&pod, now);
        let (actions, again) = kubelet.sync(&pod, now, takes_pods);
        let node = actions.first().map(|action| match action {
            Action::Merge(_, patch) => patch["spec"]["nodeName"].as_str().expect("a node").to_owned(),
            other => panic!("{other:?}"),
        });
        (node, again.is_some())
    };
    let to = |name: &str| (Some(name.to_owned()), false);
    assert_eq!([bound(|_| true), bound(|_| true)], [to("node-a"), to("node-b")]);
    assert_eq!(bound(|name| name != "node-c"), to("node-a"));
    assert_eq!(bound(|_| false), (None, true));
    assert_eq!(bound(|_| true), to("node-b"));
}
