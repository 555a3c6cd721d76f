//! The four walkthroughs that people take first, step by step, with `kubectl`, `dig` and `nslookup` against the program.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::cluster::{Answered, Cluster, Event, Observer, assert_one_by_one, fqdn, order};
use crate::support::peers::{bounded, dig, dig_short, dig_status, output_of};

/// What the API has said is in the answers after this, on a machine that has other things to do as well.
const PROPAGATION: Duration = Duration::from_secs(2);

/// The addresses that `nslookup` shows for a name, and the name that it shows for them.
fn nslookup(cluster: &Cluster, name: &str) -> BTreeSet<String> {
    let (server, port) = (cluster.program.dns.ip().to_string(), format!("-port={}", cluster.program.dns.port()));
    let printed = output_of(bounded("nslookup").args([&port, &fqdn(name), &server]));
    let (_, answer) = printed.split_once("\n\n").expect("an answer after the server");
    assert!(answer.contains(&format!("Name:\t{}\n", fqdn(name))), "{printed}");
    answer.lines().filter_map(|line| line.strip_prefix("Address: ")).map(str::to_owned).collect()
}

/// Holds that no answer names an address that the API had said to be gone: its Pod deleted, and in no slice any more.
fn assert_never_stale(answers: &[Answered], gone: &BTreeSet<String>, pods: &[Event], slices: &[Event]) {
    let is_of = |event: &Event, ip: &str| event.object["status"]["podIP"] == ip;
    let lists = |event: &Event, ip: &str| event.object["endpoints"].to_string().contains(&format!("\"{ip}\""));
    for ip in gone {
        let deleted = pods.iter().find(|event| event.is_deleted() && is_of(event, ip)).expect("a deletion").at;
        let listed = slices.iter().rposition(|event| lists(event, ip)).map_or(0, |last| last + 1);
        let unlisted = slices.get(listed).expect("a slice without it").at;
        let deadline = deleted.max(unlisted) + PROPAGATION;
        let named = |answer: &Answered| answer.addresses.values().any(|addresses| addresses.contains(ip));
        let late = answers.iter().find(|answer| answer.asked > deadline && named(answer));
        assert!(late.is_none(), "{ip} is gone, and answered: {late:?}");
        let mut answers = answers.iter().skip_while(|answer| !named(answer)).skip_while(|answer| named(answer));
        assert!(!answers.any(named), "{ip} left the answers and came back");
    }
}

/// Holds that every address that was answered is the one of a Pod that was Ready.
fn assert_only_ready(answers: &[Answered], before: &BTreeSet<String>, pods: &[Event]) {
    let ready =
        pods.iter().filter(|event| event.is_ready()).filter_map(|event| event.object["status"]["podIP"].as_str());
    let known: BTreeSet<_> = ready.chain(before.iter().map(String::as_str)).collect();
    for address in answers.iter().flat_map(|answer| answer.addresses.values().flatten()) {
        assert!(known.contains(address.as_str()), "{address} is of no Pod that was Ready");
    }
}

#[test]
fn ordered_identity_pods_come_in_order_and_their_names_follow_them_to_new_addresses() {
    let Some(cluster) = Cluster::start("redis-cluster.yaml") else { return };
    let names = ["redis-cluster-0", "redis-cluster-1", "redis-cluster-2"];
    cluster.wait_for_rollout("redis-cluster");
    assert_eq!(cluster.field("service cache-service", ".spec.clusterIP"), "None");

    // Once more from the start, so that the record has the beginning.
    cluster.delete(&names);
    cluster.until_denied(&names.map(|name| format!("{name}.cache-service")));
    let record = cluster.record_pods("component=redis");
    cluster.apply();
    cluster.wait_for_rollout("redis-cluster");
    let events = record.until_each(&names, Event::is_ready);
    assert_eq!(order(&events, Event::is_added), names);
    assert_one_by_one(&names, &events, Event::is_ready, Event::is_added);

    cluster.until_published("cache-service", &names);
    for name in names {
        assert_eq!(nslookup(&cluster, &format!("{name}.cache-service")), cluster.ips(&[name]));
    }
    let port = dig_short(cluster.program.dns, &format!("{} SRV", fqdn("_redis-port._tcp.cache-service")));
    let targets = names.map(|name| format!("{}.", fqdn(&format!("{name}.cache-service"))));
    let ends_in = |srv: &String| srv.rsplit(' ').next().unwrap_or_default().to_owned();
    assert!(port.iter().all(|srv| srv.split(' ').nth(2) == Some("6379")), "{port:?}");
    assert_eq!(port.iter().map(ends_in).collect::<BTreeSet<_>>(), BTreeSet::from(targets));

    let before = cluster.ips(&names);
    let (pods, slices) = (cluster.record_pods("component=redis"), cluster.record_slices("cache-service"));
    let asked: Vec<_> = names.iter().map(|name| fqdn(&format!("{name}.cache-service"))).collect();
    let observer = Observer::start(cluster.program.dns, &[&asked[..], &[fqdn("cache-service")]].concat());
    cluster.delete_pods("-l component=redis");
    let events = pods.until_each(&names, |event| event.is_ready() && is_new(event, &before));
    cluster.wait_for_rollout("redis-cluster");
    cluster.until_published("cache-service", &names);
    let answers = observer.stop();

    assert_eq!(order(&events, Event::is_added), names);
    assert_one_by_one(&names, &events, |event| event.is_ready() && is_new(event, &before), Event::is_added);
    let after = cluster.ips(&names);
    assert!(after.is_disjoint(&before), "{before:?} {after:?}");
    for name in names {
        assert_eq!(nslookup(&cluster, &format!("{name}.cache-service")), cluster.ips(&[name]));
    }
    assert_never_stale(&answers, &before, &pods.events(), &slices.events());
    assert_only_ready(&answers, &before, &pods.events());
}

/// Whether it shows a Pod under an address that was not there before.
fn is_new(event: &Event, before: &BTreeSet<String>) -> bool {
    event.object["status"]["podIP"].as_str().is_some_and(|ip| !before.contains(ip))
}

#[test]
fn all_members_the_bare_name_is_every_ready_pod_and_scaling_goes_one_by_one() {
    let Some(cluster) = Cluster::start("redis.yaml") else { return };
    let names = ["redis-0", "redis-1", "redis-2", "redis-3", "redis-4"];
    cluster.wait_for_rollout("redis");
    cluster.until_published("redis", &names[..3]);
    let claims = names.map(|name| format!("redis-data-{name}"));
    let claims_of = |cluster: &Cluster| -> Vec<_> {
        cluster.names("persistentvolumeclaims").into_iter().filter(|claim| claim.starts_with("redis-data-")).collect()
    };
    assert_eq!(claims_of(&cluster), claims[..3]);

    // Kept when the Pod goes: the next Pod of the name has the same claim.
    let claim = || cluster.field("persistentvolumeclaim redis-data-redis-1", ".metadata.uid");
    let (kept, before) = (claim(), cluster.ips(&["redis-1"]));
    let record = cluster.record_pods("app=redis");
    cluster.delete_pods("redis-1");
    assert_eq!(claim(), kept);
    record.until_each(&["redis-1"], |event| event.is_ready() && is_new(event, &before));
    assert_eq!(claim(), kept);
    assert_eq!(claim_name(&cluster, "redis-1"), "redis-data-redis-1");
    cluster.until_published("redis", &names[..3]);

    let before = cluster.ips(&names[..3]);
    let record = cluster.record_pods("app=redis");
    let observer = Observer::start(cluster.program.dns, &[fqdn("redis")]);
    cluster.kubectl("scale statefulset redis --replicas=5");
    let events = record.until_each(&names[3..], Event::is_ready);
    cluster.wait_for_rollout("redis");
    assert_eq!(order(&events, Event::is_added), names[3..]);
    assert_one_by_one(&names[3..], &events, Event::is_ready, Event::is_added);
    cluster.until_published("redis", &names);
    assert_only_ready(&observer.stop(), &before, &record.events());
    assert_eq!(claims_of(&cluster), claims);

    let record = cluster.record_pods("app=redis");
    cluster.kubectl("scale statefulset redis --replicas=2");
    let events = record.until_each(&names[2..], Event::is_deleted);
    let removed = ["redis-4", "redis-3", "redis-2"];
    assert_eq!(order(&events, Event::is_deleted), removed);
    assert_one_by_one(&removed, &events, Event::is_deleted, Event::is_leaving);
    cluster.wait("jsonpath={.status.replicas}=2", "statefulset/redis");
    cluster.until_published("redis", &names[..2]);
    cluster.until_denied(&removed.map(|name| format!("{name}.redis")));
    assert_eq!(claims_of(&cluster), claims);
}

/// The claim that a Pod mounts.
fn claim_name(cluster: &Cluster, pod: &str) -> String {
    cluster.field(&format!("pod {pod}"), ".spec.volumes[*].persistentVolumeClaim.claimName")
}

#[test]
fn one_or_all_an_update_goes_from_the_highest_ordinal_down_and_no_further_than_the_partition() {
    let Some(cluster) = Cluster::start("db.yaml") else { return };
    let names = ["db-0", "db-1", "db-2"];
    cluster.wait_for_rollout("db");
    cluster.until_published("db", &names);
    let printed = |name: &str| dig(cluster.program.dns, &format!("+short {}", fqdn(name)));
    assert_eq!(printed("db-0.db").lines().collect::<Vec<_>>(), [cluster.ip("db-0")]);
    assert_eq!(printed("db").lines().count(), 3);
    let srv = dig_short(cluster.program.dns, &format!("{} SRV", fqdn("_pg._tcp.db")));
    assert!(srv.iter().any(|srv| srv.ends_with(&format!(" 5432 {}.", fqdn("db-0.db")))), "{srv:?}");

    let claim = || cluster.field("persistentvolumeclaim data-db-1", ".metadata.uid");
    let (kept, before) = (claim(), cluster.ips(&["db-1"]));
    let record = cluster.record_pods("app=db");
    cluster.delete_pods("db-1");
    record.until_each(&["db-1"], |event| event.is_ready() && is_new(event, &before));
    assert_eq!((claim_name(&cluster, "db-1").as_str(), claim()), ("data-db-1", kept));
    cluster.until_published("db", &names);

    // From the highest ordinal down, the next when the one before is Ready again.
    let images = || cluster.pod_fields(&names, ".spec.containers[0].image");
    let before = cluster.ips(&names);
    let record = cluster.record_pods("app=db");
    let observer = Observer::start(cluster.program.dns, &[fqdn("db")]);
    cluster.kubectl("set image statefulset db postgres=postgres:16.10");
    let is_replaced = |event: &Event| event.is_ready() && is_new(event, &before);
    let events = record.until_each(&names, is_replaced);
    cluster.wait_for_rollout("db");
    let downwards = ["db-2", "db-1", "db-0"];
    assert_eq!(order(&events, Event::is_deleted), downwards);
    assert_one_by_one(&downwards, &events, is_replaced, Event::is_leaving);
    assert_eq!(images(), ["postgres:16.10"; 3]);
    cluster.until_published("db", &names);
    assert_only_ready(&observer.stop(), &before, &record.events());

    let uids = || cluster.pod_fields(&names, ".metadata.uid");
    let uids_before = uids();
    let before = cluster.ips(&names);
    let record = cluster.record_pods("app=db");
    cluster.kubectl(r#"patch statefulset db -p {"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}"#);
    cluster.kubectl("set image statefulset db postgres=postgres:16.11");
    record.until_each(&["db-2"], |event| event.is_ready() && is_new(event, &before));
    cluster.wait_for_rollout("db");
    assert_eq!(images(), ["postgres:16.10", "postgres:16.10", "postgres:16.11"]);
    let uids_after = uids();
    assert_eq!(uids_after[..2], uids_before[..2]);
    assert_ne!(uids_after[2], uids_before[2]);
    cluster.until_published("db", &names);
    assert_eq!(order(&record.events(), Event::is_deleted), ["db-2"]);
}

#[test]
fn quorum_names_hold_for_life_and_those_of_a_service_that_is_not_there_do_not_exist() {
    let Some(cluster) = Cluster::start("zookeeper.yaml") else { return };
    let names = ["zookeeper-0", "zookeeper-1", "zookeeper-2"];
    cluster.wait_for_rollout("zookeeper");
    assert_eq!(cluster.field("service zk-hs", ".spec.ports"), "", "no ports at all");
    cluster.until_published("zk-hs", &names);

    // Good for the life of the set: one Pod goes, then all of them, and the names are the same.
    let before = cluster.ips(&["zookeeper-1"]);
    let record = cluster.record_pods("app=zookeeper");
    cluster.delete_pods("zookeeper-1");
    record.until_each(&["zookeeper-1"], |event| event.is_ready() && is_new(event, &before));
    cluster.until_published("zk-hs", &names);
    let before = cluster.ips(&names);
    let record = cluster.record_pods("app=zookeeper");
    cluster.kubectl("rollout restart statefulset zookeeper");
    record.until_each(&names, |event| event.is_ready() && is_new(event, &before));
    cluster.wait_for_rollout("zookeeper");
    cluster.until_published("zk-hs", &names);

    cluster.wait("condition=Ready", "pod/zk-lost-0");
    assert_eq!(cluster.field("pod zk-lost-0", ".status.phase"), "Running");
    assert_eq!(cluster.field("statefulset zk-lost", ".spec.serviceName"), "zk-headless");
    for name in ["zk-lost-0.zk-headless", "zk-headless", "zk-lost-0.zk-hs"] {
        assert_eq!(dig_status(cluster.program.dns, &fqdn(name)), "NXDOMAIN", "{name}");
    }
    let reverse = format!("-x {}", cluster.ip("zk-lost-0"));
    assert_eq!(dig_status(cluster.program.dns, &reverse), "NXDOMAIN");
}
