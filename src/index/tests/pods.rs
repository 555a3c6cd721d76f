//! Pods as the source of endpoints, while the controller's slices lag behind them.

use super::*;

fn pg() -> Service {
    service("db/pg").headless().selects("pg").port("sql", 80).to("sql")
}

fn pod_0() -> Pod {
    pod("db/pg-0", 1, "10.0.0.1")
}

/// The slice that the controller writes for a Pod.
fn slice_of(pod: &Pod) -> Slice {
    let slice = slice("db/pg-x").of("db/pg").port("sql", 5432);
    let slice = slice.host(&pod.name, &pod.v4.unwrap().to_string()).is(pod);
    if pod.is_ready && !pod.is_terminating { slice } else { slice.not_ready() }
}

fn stale(resource: Resource) -> ClusterEvent {
    ClusterEvent::WatchStale { watch: WatchId::new(resource, Scope::All), since: Timestamp::UNIX_EPOCH }
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.service(Change::Apply(pg()));
    cluster.pods_listed();
    cluster
}

#[test]
fn a_pod_is_served_before_any_slice_lists_it() {
    let mut cluster = cluster();
    assert_eq!(cluster.pod(Change::Apply(pod_0())), 1);
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    let records = cluster.records("db/pg").unwrap();
    assert_eq!(records.all_srv.iter().map(|srv| srv.port).collect::<Vec<_>>(), [5432], "its own port of that name");
    assert_eq!(cluster.slice(Change::Apply(slice_of(&pod_0()))), 0, "the slice has nothing new");
    assert_eq!(cluster.pod(Change::Apply(pod_0().not_ready())), 1);
    assert_eq!(cluster.hosts("db/pg"), [""; 0]);
}

/// Applies a slice, and returns whether its Service is derived anew.
fn is_derived(cluster: &mut Cluster, slice: &Slice) -> bool {
    cluster.index.apply(ClusterEvent::Slice(Scope::All, Change::Apply(slice.clone())));
    let is_dirty = cluster.index.is_dirty();
    cluster.index.take_publications().for_each(drop);
    is_dirty
}

#[test]
fn a_slice_that_only_catches_up_with_its_pods_does_not_make_its_service_dirty() {
    let mut cluster = cluster();
    let moved = pod("db/pg-0", 1, "10.0.0.9");
    cluster.pod(Change::Apply(moved.clone()));
    cluster.slice(Change::Apply(slice_of(&pod_0())));
    assert!(!is_derived(&mut cluster, &slice_of(&moved)));
    assert!(!is_derived(&mut cluster, &slice_of(&moved.clone().not_ready())));
    let unknown = slice_of(&pod("db/pg-0", 2, "10.0.0.2"));
    for other in [slice_of(&moved).port("metrics", 9090), unknown, slice_of(&pod("db/pg-1", 3, "10.0.0.3"))] {
        assert!(is_derived(&mut cluster, &other), "{other:?}");
        assert!(is_derived(&mut cluster, &slice_of(&moved)), "and back from {other:?}");
    }
    for _ in 0..2 {
        cluster.index.apply(stale(Resource::Pods));
    }
    cluster.index.take_publications().for_each(drop);
    assert!(is_derived(&mut cluster, &slice_of(&pod_0())), "the watch of Pods is stale, so the slice is the source");
}

/// The published records may include an endpoint from a slice that arrived before its Pod.
#[test]
fn a_slice_that_loses_a_pod_removes_it_though_the_pod_no_longer_matches_the_selector() {
    let mut cluster = cluster();
    cluster.slice(Change::Apply(slice_of(&pod_0())));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    cluster.pod(Change::Apply(pod_0().labelled("other", "pg")));
    let emptied = Slice { endpoints: Endpoints::default(), ..slice_of(&pod_0()) };
    cluster.slice(Change::Apply(emptied));
    assert_eq!(cluster.hosts("db/pg"), [""; 0]);
}

/// Otherwise the state file would keep the old slice.
#[test]
fn a_slice_that_changes_no_record_is_still_a_changed_object() {
    let mut cluster = cluster();
    cluster.pod(Change::Apply(pod_0()));
    cluster.slice(Change::Apply(slice_of(&pod_0())));
    assert!(cluster.index.take_objects_changed() && !cluster.index.take_objects_changed());
    assert!(!is_derived(&mut cluster, &slice_of(&pod_0().not_ready())));
    assert!(cluster.index.take_objects_changed());
}

/// The conditions of the EndpointSlice controller.
#[test]
fn a_pod_is_an_endpoint_by_the_rules_of_the_slice_controller() {
    let finished = Pod { is_finished: true, ..pod_0() };
    let elsewhere = pod_0().labelled("pg", "other");
    let unnamed = Template { hostname: Hostname::None, ..Template::clone(&pod_0().template) };
    let unnamed = Pod { template: Arc::new(unnamed), ..pod_0() };
    let nowhere = Pod { v4: None, ..pod_0() };
    let dual = Pod { v6: "fd00::1".parse().ok().map(Box::new), ..pod_0() };
    for (pod, plain, with_not_ready) in [
        (pod_0(), vec!["pg-0=10.0.0.1"], vec!["pg-0=10.0.0.1"]),
        (pod_0().not_ready(), vec![], vec!["pg-0=10.0.0.1"]),
        (pod_0().terminating(), vec![], vec!["pg-0=10.0.0.1"]),
        (finished, vec![], vec![]),
        (nowhere, vec![], vec![]),
        (elsewhere, vec!["10-0-0-1=10.0.0.1"], vec!["10-0-0-1=10.0.0.1"]),
        (unnamed, vec!["10-0-0-1=10.0.0.1"], vec!["10-0-0-1=10.0.0.1"]),
        (pod_0().labelled("other", "pg"), vec![], vec![]),
        (dual, vec!["pg-0=10.0.0.1,fd00::1"], vec!["pg-0=10.0.0.1,fd00::1"]),
    ] {
        let mut cluster = cluster();
        cluster.pod(Change::Apply(pod.clone()));
        assert_eq!(cluster.hosts("db/pg"), plain, "{pod:?}");
        cluster.service(Change::Apply(pg().publish_not_ready()));
        assert_eq!(cluster.hosts("db/pg"), with_not_ready, "{pod:?}, publishNotReadyAddresses");
    }
}

#[test]
fn a_service_has_the_address_families_of_its_spec() {
    let mut cluster = cluster();
    cluster.pod(Change::Apply(Pod { v6: "fd00::1".parse().ok().map(Box::new), ..pod_0() }));
    for (v4, v6, hosts) in [(true, false, "pg-0=10.0.0.1"), (false, true, "pg-0=fd00::1")] {
        cluster.service(Change::Apply(Service { families: Families { v4, v6 }, ..pg() }));
        assert_eq!(cluster.hosts("db/pg"), [hosts]);
    }
}

#[test]
fn a_deleted_pod_stays_deleted_while_a_slice_still_lists_it() {
    let mut cluster = cluster();
    cluster.slice(Change::Apply(slice_of(&pod_0())));
    cluster.pod(Change::Apply(pod_0()));
    cluster.pod(Change::Apply(pod_0().terminating()));
    cluster.pod(Change::Delete(object("db/pg-0")));
    assert_eq!(cluster.hosts("db/pg"), [""; 0]);
    // Its replacement, which the slices do not have yet.
    cluster.pod(Change::Apply(pod("db/pg-0", 2, "10.0.0.2")));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2"]);
    for _ in 0..5 {
        cluster.index.expire_tombstones();
        cluster.writer.publish(cluster.index.take_publications());
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.2"], "it was terminating, so the slice is wrong");
    }
    assert!(!cluster.index.pods.tombstones.is_empty());
    cluster.slice(Change::Apply(slice_of(&pod("db/pg-0", 2, "10.0.0.2"))));
    cluster.index.expire_tombstones();
    assert!(cluster.index.pods.tombstones.is_empty(), "no slice lists it any more");
}

#[test]
fn a_pod_that_lost_its_label_and_lives_on_is_served_from_its_slice_again() {
    let mut cluster = cluster();
    cluster.slice(Change::Apply(slice_of(&pod_0())));
    cluster.pod(Change::Apply(pod_0()));
    cluster.pod(Change::Deselect(object("db/pg-0")));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"], "at once");
    cluster.slice(Change::Apply(slice_of(&pod_0()).not_ready()));
    assert_eq!(cluster.hosts("db/pg"), [""; 0], "the slice counts");
}

/// A list does not say which.
#[test]
fn a_pod_that_a_list_does_not_have_counts_as_deleted_until_its_slice_has_had_time() {
    let mut cluster = cluster();
    cluster.slice(Change::Apply(slice_of(&pod_0())));
    cluster.pod(Change::Apply(pod_0()));
    cluster.pods_listed();
    let expire = |cluster: &mut Cluster| {
        cluster.index.expire_tombstones();
        cluster.writer.publish(cluster.index.take_publications());
        cluster.hosts("db/pg")
    };
    assert_eq!(expire(&mut cluster), [""; 0], "at first as if it had been deleted");
    assert_eq!(expire(&mut cluster), ["pg-0=10.0.0.1"]);
}

#[test]
fn a_pod_deleted_by_force_or_replaced_does_not_come_back_however_late_its_slice_is() {
    let gone: [Change<Pod>; 2] = [Change::Delete(object("db/pg-0")), Change::Apply(pod("db/pg-0", 2, "").version(9))];
    for change in gone {
        let mut cluster = cluster();
        cluster.slice(Change::Apply(slice_of(&pod_0())));
        cluster.pod(Change::Apply(pod_0()));
        cluster.pod(change);
        for round in 0..5 {
            cluster.index.expire_tombstones();
            cluster.slice(Change::Apply(slice_of(&pod_0()).version(10 + round)));
            cluster.writer.publish(cluster.index.take_publications());
            assert_eq!(cluster.hosts("db/pg"), [""; 0], "the controller is minutes behind");
        }
        assert!(!cluster.index.pods.tombstones.is_empty());
    }
}

#[test]
fn endpoints_that_are_not_mirrored_pods_come_from_their_slices() {
    let mut cluster = cluster();
    cluster.pod(Change::Apply(pod_0()));
    let by_hand = slice("db/pg-hand").of("db/pg").host("pg-9", "10.0.0.9");
    let of_a_deployment = slice("db/pg-y").of("db/pg").host("", "10.0.0.8").is(&pod("db/web-x", 8, "10.0.0.8"));
    cluster.slice(Change::Apply(by_hand));
    cluster.slice(Change::Apply(of_a_deployment));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1", "pg-9=10.0.0.9", "10-0-0-8=10.0.0.8"]);
}

/// T7.
#[test]
fn slices_are_the_source_before_the_pods_are_listed_and_while_their_watch_is_stale() {
    let mut cluster = Cluster::new();
    cluster.service(Change::Apply(pg()));
    cluster.slice(Change::Apply(slice_of(&pod_0())));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    cluster.pod(Change::RelistStarted);
    cluster.pod(Change::Apply(pod("db/pg-1", 2, "10.0.0.2")));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"], "the list is not complete");
    cluster.pod(Change::Apply(pod_0()));
    assert_eq!(cluster.pod(Change::RelistDone), 1);
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1", "pg-1=10.0.0.2"]);

    let report_stale = |cluster: &mut Cluster, resource| {
        cluster.index.apply(stale(resource));
        cluster.writer.publish(cluster.index.take_publications())
    };
    let recovered = |cluster: &mut Cluster, resource| {
        cluster.index.apply(ClusterEvent::WatchRecovered(WatchId::new(resource, Scope::All)));
        cluster.writer.publish(cluster.index.take_publications())
    };
    assert_eq!(report_stale(&mut cluster, Resource::Pods), 0, "the watch of slices may become stale too");
    assert_eq!(report_stale(&mut cluster, Resource::Pods), 1, "and has not");
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    assert_eq!(report_stale(&mut cluster, Resource::Pods), 0, "reported again");
    assert_eq!(report_stale(&mut cluster, Resource::EndpointSlices), 0, "now it has; the Pods are still untrusted");
    assert_eq!(recovered(&mut cluster, Resource::EndpointSlices), 0);
    assert_eq!(recovered(&mut cluster, Resource::Pods), 0, "word from the cluster, of which the Pods may be late");
    cluster.index.apply(ClusterEvent::WatchProven(WatchId::new(Resource::Pods, Scope::All)));
    assert_eq!(cluster.writer.publish(cluster.index.take_publications()), 1);
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1", "pg-1=10.0.0.2"]);

    for _ in 0..3 {
        assert_eq!(
            report_stale(&mut cluster, Resource::Pods) + report_stale(&mut cluster, Resource::EndpointSlices),
            0,
            "an outage"
        );
    }
}

/// T7.
#[test]
fn pods_do_not_overrule_the_slices_that_are_back_after_an_outage_before_their_own_watch_has_told_something() {
    let watch = |resource| WatchId::new(resource, Scope::All);
    let (slices, pods) = (watch(Resource::EndpointSlices), watch(Resource::Pods));
    let recovered = |watch: &WatchId| ClusterEvent::WatchRecovered(watch.clone());
    for recoveries in [vec![&slices], vec![&slices, &pods], vec![&pods, &slices]] {
        let mut cluster = cluster();
        cluster.pod(Change::Apply(pod_0()));
        for _ in 0..2 {
            cluster.index.apply(stale(Resource::Pods));
            cluster.index.apply(stale(Resource::EndpointSlices));
        }
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"], "an outage of everything");
        recoveries.iter().for_each(|watch| cluster.index.apply(recovered(watch)));
        assert_eq!(cluster.writer.publish(cluster.index.take_publications()), 1, "{recoveries:?}");
        assert_eq!(cluster.hosts("db/pg"), [""; 0], "the Pod that no slice lists is of before the outage");
        cluster.index.apply(stale(Resource::EndpointSlices));
        assert_eq!(cluster.writer.publish(cluster.index.take_publications()), 0, "slices are still newer");
        cluster.index.apply(ClusterEvent::WatchProven(pods.clone()));
        assert_eq!(cluster.writer.publish(cluster.index.take_publications()), 1);
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
        cluster.index.apply(recovered(&pods));
        cluster.index.apply(recovered(&slices));
        assert_eq!(cluster.writer.publish(cluster.index.take_publications()), 0, "proven is proven");
    }
}

#[test]
fn selectors_labels_and_subdomains_may_change_at_any_time() {
    let mut cluster = cluster();
    cluster.pod(Change::Apply(pod_0()));
    assert_eq!(cluster.service(Change::Apply(pg().selects("other"))), 1);
    assert_eq!(cluster.hosts("db/pg"), [""; 0]);
    assert_eq!(cluster.pod(Change::Apply(pod_0().labelled("other", "pg"))), 1);
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    assert_eq!(cluster.pod(Change::Apply(pod_0().labelled("other", "nobody"))), 1);
    assert_eq!(cluster.hosts("db/pg"), ["10-0-0-1=10.0.0.1"]);
    assert_eq!(cluster.service(Change::Apply(Service { selector: Labels::default(), ..pg() })), 1);
    assert_eq!(cluster.hosts("db/pg"), [""; 0], "a Service without a selector has no Pods");
    cluster.pod(Change::Delete(object("db/pg-0")));
    cluster.service(Change::Delete(object("db/pg")));
    assert!(cluster.index.pods.selectors.is_empty(), "nothing is left of deleted objects");
}

#[test]
fn a_selector_may_select_one_pod_by_its_own_label() {
    let mut cluster = cluster();
    let selector = |pairs: &[(&str, &str)]| pairs.iter().copied().collect();
    let by_name = selector(&[("statefulset.kubernetes.io/pod-name", "pg-1")]);
    let by_index = selector(&[("app", "pg"), ("apps.kubernetes.io/pod-index", "0")]);
    cluster.service(Change::Apply(Service { selector: by_name, ..service("db/one").headless() }));
    for i in [0, 1] {
        cluster.pod(Change::Apply(pod(&format!("db/pg-{i}"), i, &format!("10.0.0.{i}"))));
    }
    cluster.service(Change::Apply(Service { selector: by_index, ..service("db/first").headless() }));
    assert_eq!(cluster.hosts("db/one"), ["10-0-0-1=10.0.0.1"]);
    assert_eq!(cluster.hosts("db/first"), ["10-0-0-0=10.0.0.0"]);
    assert_eq!(cluster.pod(Change::Apply(pod("db/pg-1", 1, "10.0.0.7"))), 2, "pg and one, not first");
}

#[test]
fn an_ordinal_resolves_before_it_is_ready_where_that_is_enabled() {
    let pods = || {
        let mut cluster = cluster();
        cluster.pod(Change::Apply(pod_0()));
        cluster.pod(Change::Apply(pod("db/pg-1", 2, "10.0.0.2").not_ready()));
        cluster
    };
    for (option, annotation, early) in
        [(false, None, false), (true, None, true), (false, Some(true), true), (true, Some(false), false)]
    {
        let mut cluster = pods();
        cluster.index.options.not_ready_ordinals = option;
        // Any change that makes the Service dirty.
        cluster.service(Change::Delete(object("db/pg")));
        cluster.service(Change::Apply(Service { not_ready_ordinals: annotation, ..pg() }));
        let expected: &[_] = if early { &["pg-0=10.0.0.1", "pg-1=10.0.0.2"] } else { &["pg-0=10.0.0.1"] };
        assert_eq!(cluster.hosts("db/pg"), expected);
        let records = cluster.records("db/pg").unwrap();
        assert_eq!(records.addresses.v4.len(), 1, "the bare name has the ready ones alone");
        assert_eq!(records.all_srv.len(), 1);
    }
}

#[test]
fn a_server_of_headless_services_serves_no_others() {
    let mut cluster = Cluster::new();
    cluster.index = Index::new(Options { headless_only: true, ..Options::default() });
    cluster.service(Change::Apply(service("db/web").at("10.96.0.1")));
    assert_eq!(cluster.records("db/web"), None);
    cluster.service(Change::Apply(service("db/web").headless()));
    assert!(cluster.records("db/web").is_some());
}

/// A saved state says which Pods were listed.
#[test]
fn pods_of_a_saved_state_count_until_they_are_distrusted_and_for_good_once_they_are_listed() {
    for is_listed in [false, true] {
        let mut cluster = Cluster::new();
        cluster.index.restore_listed_pods(ListedPods { scope: Scope::All, are_trusted: true });
        cluster.service(Change::Apply(pg()));
        cluster.pod(Change::Apply(pod_0()));
        assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
        if is_listed {
            for change in [Change::RelistStarted, Change::Apply(pod_0()), Change::RelistDone] {
                cluster.pod(change);
            }
        }
        cluster.index.distrust_restored_pods();
        cluster.writer.publish(cluster.index.take_publications());
        let expected: &[&str] = if is_listed { &["pg-0=10.0.0.1"] } else { &[] };
        assert_eq!(cluster.hosts("db/pg"), expected);
    }
}
