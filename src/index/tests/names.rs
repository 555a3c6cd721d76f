//! One name of a Pod has one Pod (T6), whichever source lags behind the other.

use super::*;

fn pg() -> Service {
    service("db/pg").headless().selects("pg")
}

/// The Pods that have the name `pg-0` one after the other. Of each, the last octet of its addresses is its number.
fn pod_0(number: u64) -> Pod {
    Pod {
        v6: format!("fd00::{number}").parse().ok().map(Box::new),
        ..pod("db/pg-0", number, &format!("10.0.0.{number}"))
    }
}

/// The slice of one family, 4 or 6, that the controller writes for a Pod.
fn slice_of(pod: &Pod, family: u8) -> Slice {
    let address = match family {
        4 => pod.v4.unwrap().to_string(),
        _ => pod.v6.as_ref().unwrap().to_string(),
    };
    slice(&format!("db/pg-v{family}")).of("db/pg").host(&pod.name, &address).is(pod)
}

fn cluster(pods: &[Pod]) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.service(Change::Apply(pg()));
    cluster.pods_listed();
    for pod in pods {
        cluster.pod(Change::Apply(pod.clone()));
    }
    cluster
}

/// T6.
#[test]
fn a_replaced_pod_is_not_answered_with_its_successor_while_the_watch_of_pods_lags() {
    let (old, new) = (pod_0(1).version(10), pod_0(2).version(20));
    let mut cluster = cluster(std::slice::from_ref(&old));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1,fd00::1"]);
    cluster.slice(Change::Apply(slice_of(&old, 4).version(15)));
    assert_eq!(cluster.slice(Change::Apply(slice_of(&new, 4).version(25))), 1);
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2"], "the IPv6 address is that of the Pod that is gone");
    cluster.slice(Change::Apply(slice_of(&new, 6).version(26)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2,fd00::2"]);
    for change in [Change::Apply(old.terminating().version(18)), Change::Delete(object("db/pg-0")), Change::Apply(new)]
    {
        cluster.pod(change);
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2,fd00::2"], "the watch catches up");
    }
}

/// T6.
#[test]
fn a_pod_that_was_gone_before_its_successor_was_mirrored_does_not_come_back_with_an_old_slice() {
    let (old, new) = (pod_0(1), pod_0(2).version(20));
    let mut cluster = cluster(std::slice::from_ref(&new));
    cluster.slice(Change::Apply(slice_of(&old, 4).version(15)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2,fd00::2"]);
    // The controller writes it once more and has still not seen the new Pod, whose next change proves that it has not.
    cluster.slice(Change::Apply(slice_of(&old, 4).version(21)));
    cluster.pod(Change::Apply(new.version(22)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2,fd00::2"]);
}

/// T6.
#[test]
fn two_slices_of_different_age_do_not_answer_the_ipv4_address_of_one_pod_and_the_ipv6_address_of_another() {
    let (old, new) = (pod_0(1), pod_0(2));
    for pods_are_watched in [false, true] {
        let mut cluster = Cluster::new();
        cluster.service(Change::Apply(pg()));
        if pods_are_watched {
            cluster.pods_listed();
        }
        cluster.slice(Change::Apply(slice_of(&old, 4).version(10)));
        cluster.slice(Change::Apply(slice_of(&old, 6).version(11)));
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1,fd00::1"]);
        cluster.slice(Change::Apply(slice_of(&new, 6).version(20)));
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=fd00::2"]);
        cluster.slice(Change::Apply(slice_of(&new, 4).version(21)));
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2,fd00::2"]);
    }
}

/// T6. In a Service other than that of its subdomain, a Pod has no hostname.
#[test]
fn a_name_is_that_of_the_pod_and_not_of_the_endpoint() {
    let (old, new) = (pod_0(1).labelled("pg", "other").version(10), pod_0(2));
    let mut cluster = cluster(&[old]);
    let unnamed = |slice: Slice| slice.last(|endpoint| endpoint.hostname = None);
    cluster.slice(Change::Apply(unnamed(slice_of(&new, 4)).version(20)));
    assert_eq!(cluster.hosts("db/pg"), ["10-0-0-2=10.0.0.2"]);
}

/// S6, K2. What is of no Pod, or of Pods of other names, is no successor of anything.
#[test]
fn endpoints_that_share_a_hostname_and_not_a_pods_name_are_all_answered() {
    let mut cluster = cluster(&[pod_0(1).version(10)]);
    let by_hand = slice("db/pg-hand").of("db/pg").host("pg-0", "10.0.0.8").version(20);
    let other_pod = pod("db/another", 9, "10.0.0.9");
    cluster.slice(Change::Apply(by_hand.host("pg-0", "10.0.0.9").is(&other_pod)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1,10.0.0.8,10.0.0.9,fd00::1"]);
}

/// T6, when no version can be read.
#[test]
fn a_slice_without_a_version_proves_a_mirrored_pod_gone() {
    let mut cluster = cluster(&[pod_0(1)]);
    cluster.slice(Change::Apply(slice_of(&pod_0(2), 4)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2"]);
}

/// An update of a Pod that changes nothing that is served.
#[test]
fn a_newer_version_alone_derives_nothing_unless_it_decides_about_a_name() {
    let new = pod_0(2).version(20);
    let mut cluster = cluster(std::slice::from_ref(&new));
    let is_derived = |cluster: &mut Cluster, pod: Pod| {
        cluster.index.apply(ClusterEvent::Pod(Scope::All, Change::Apply(pod)));
        let is_dirty = cluster.index.is_dirty();
        cluster.writer.publish(cluster.index.take_publications());
        is_dirty
    };
    assert!(!is_derived(&mut cluster, new.clone().version(21)));
    cluster.slice(Change::Apply(slice_of(&pod_0(1), 4).version(22)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    assert!(is_derived(&mut cluster, new.version(23)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2,fd00::2"]);
}

/// T6. A slice may list a Pod that its Service does not select, and the watch of Pods may tell of it first or last.
#[test]
fn a_service_follows_a_pod_that_its_slice_lists_and_it_does_not_select() {
    let stray = pod_0(1).labelled("other", "pg").version(10);
    let mut cluster = cluster(&[]);
    cluster.slice(Change::Apply(slice_of(&stray, 4).version(15)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    cluster.pod(Change::Apply(stray));
    assert!(cluster.hosts("db/pg").is_empty(), "the Pod itself shows that it is no endpoint of this Service");
}
