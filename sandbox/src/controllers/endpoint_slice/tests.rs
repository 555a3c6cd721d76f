//! Endpoints of Pods, and their distribution to slices.

use crate::controllers::testing::{PodBuilder, edited, object, stateful_pod};
use crate::controllers::types::Id;

use super::*;

const MAX_ENDPOINTS: usize = 3;

/// The headless Service `db`; `edit` changes its spec.
fn service(edit: Value) -> Service {
    let spec = json!({"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"name": "pg", "port": 5432}]});
    object(&json!({"metadata": {"namespace": "default", "name": "db", "uid": "svc"}, "spec": edited(spec, edit)}))
}

fn pods(builders: impl IntoIterator<Item = PodBuilder>) -> Vec<Arc<Pod>> {
    builders.into_iter().map(|pod| Arc::new(pod.build())).collect()
}

/// Ready Pods with these ordinals, each with an address that ends in the ordinal.
fn ready(ordinals: impl IntoIterator<Item = i64>) -> Vec<Arc<Pod>> {
    pods(ordinals.into_iter().map(|ordinal| stateful_pod("db", ordinal).ready().ip(&format!("10.0.0.{ordinal}"))))
}

fn planned(service: &Service, pods: &[Arc<Pod>], slices: &[Object]) -> Vec<Action> {
    plan(&Observed { service, pods, slices, trigger_time: None, max_endpoints: MAX_ENDPOINTS })
}

/// The slices after the actions were performed; new ones are named by their position.
fn performed(actions: Vec<Action>, slices: &[Object]) -> BTreeMap<String, Object> {
    let mut slices: BTreeMap<String, Object> =
        slices.iter().map(|slice| (Id::of(slice).name, Arc::clone(slice))).collect();
    for action in actions {
        match action {
            Action::Create(_, mut slice) => {
                let name = format!("new-{}", slices.len());
                slice["metadata"]["name"] = json!(name);
                slice["metadata"]["uid"] = json!(name);
                slices.insert(name, Arc::new(slice));
            }
            Action::Replace(target, wanted) => {
                let mut slice = Value::clone(&slices[&target.id.name]);
                slice["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
                slice["endpoints"] = wanted["endpoints"].clone();
                slice["ports"] = wanted["ports"].clone();
                slices.insert(target.id.name, Arc::new(slice));
            }
            Action::Delete(target) => drop(slices.remove(&target.id.name)),
            other => panic!("unexpected {other:?}"),
        }
    }
    slices
}

fn settled(service: &Service, pods: &[Arc<Pod>], slices: &[Object]) -> Vec<Object> {
    let slices: Vec<Object> = performed(planned(service, pods, slices), slices).into_values().collect();
    assert_eq!(planned(service, pods, &slices), [], "a second plan has no actions");
    slices
}

/// The last part of each endpoint's address, by slice.
fn layout(slices: &[Object]) -> Vec<Vec<String>> {
    let last_part = |endpoint: &Value| {
        endpoint["addresses"][0].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned()
    };
    let ordinals = |slice: &Object| fields::list(&slice["endpoints"]).iter().map(last_part).collect();
    slices.iter().map(ordinals).collect()
}

fn endpoints_of(service: &Service, pod: PodBuilder) -> Vec<Value> {
    desired(service, &pods([pod])).into_values().flatten().flat_map(|group| group.endpoints).collect()
}

#[test]
fn conditions_follow_the_pod_and_publish_not_ready_addresses() {
    let conditions = |publish: bool, pod: PodBuilder| {
        let service = service(json!({"publishNotReadyAddresses": publish}));
        let conditions = endpoints_of(&service, pod.ip("10.0.0.1")).remove(0)["conditions"].take();
        ["ready", "serving", "terminating"].map(|condition| conditions[condition] == true)
    };
    let pod = || stateful_pod("db", 0);
    // ready, serving, terminating
    assert_eq!(conditions(false, pod().ready()), [true, true, false]);
    assert_eq!(conditions(false, pod().running()), [false, false, false]);
    assert_eq!(conditions(false, pod().ready().terminating()), [false, true, true]);
    assert_eq!(conditions(false, pod().running().terminating()), [false, false, true]);
    assert_eq!(conditions(true, pod().running()), [true, false, false]);
    assert_eq!(conditions(true, pod().running().terminating()), [true, false, true]);
}

#[test]
fn pods_without_an_address_and_finished_pods_are_not_endpoints() {
    let service = service(json!({}));
    assert!(endpoints_of(&service, stateful_pod("db", 0).ready()).is_empty());
    assert!(endpoints_of(&service, stateful_pod("db", 0).ip("10.0.0.1").phase("Failed")).is_empty());
    assert!(endpoints_of(&service, stateful_pod("db", 0).ip("10.0.0.1").phase("Succeeded")).is_empty());
    assert_eq!(endpoints_of(&service, stateful_pod("db", 0).ip("10.0.0.1")).len(), 1);
}

#[test]
fn the_hostname_is_set_only_if_the_subdomain_is_the_service() {
    let hostname = |service_name: &str| {
        let mut service = service(json!({}));
        service.metadata.name = service_name.to_owned();
        endpoints_of(&service, stateful_pod("db", 0).ready().ip("10.0.0.1")).remove(0)["hostname"].take()
    };
    assert_eq!(hostname("db"), "db-0");
    assert_eq!(hostname("db-read"), Value::Null);
}

#[test]
fn each_family_of_the_service_has_slices_with_the_pods_address_of_that_family() {
    let dual = service(json!({"ipFamilies": ["IPv4", "IPv6"]}));
    let pods = pods([
        stateful_pod("db", 0).ready().ips(["10.0.0.1", "fd00::1"]),
        stateful_pod("db", 1).ready().ip("10.0.0.2"),
    ]);
    let desired = desired(&dual, &pods);
    let addresses = |family| -> Vec<&Value> {
        desired[family].iter().flat_map(|group| &group.endpoints).map(|endpoint| &endpoint["addresses"][0]).collect()
    };
    assert_eq!(addresses("IPv4"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(addresses("IPv6"), ["fd00::1"]);
}

#[test]
fn pods_with_different_numbers_for_a_named_port_are_in_different_slices() {
    let named = service(json!({"ports": [{"name": "pg", "port": 1, "targetPort": "sql"}]}));
    let pod =
        |ordinal: i64, number| stateful_pod("db", ordinal).ready().ip(&format!("10.0.0.{ordinal}")).port("sql", number);
    let slices = settled(&named, &pods([pod(0, 5432), pod(1, 5433), pod(2, 5432)]), &[]);
    let ports: Vec<&Value> = slices.iter().map(|slice| &slice["ports"][0]["port"]).collect();
    assert_eq!(ports, [5432, 5433]);
    assert_eq!(layout(&slices), [vec!["0", "2"], vec!["1"]]);
}

#[test]
fn a_service_without_endpoints_has_one_empty_slice_which_gets_the_first_endpoint() {
    let service = service(json!({}));
    let empty = settled(&service, &[], &[]);
    assert_eq!(layout(&empty), [Vec::<&str>::new()]);
    let filled = settled(&service, &ready([0]), &empty);
    assert_eq!(layout(&filled), [["0"]]);
    assert_eq!(Id::of(&filled[0]), Id::of(&empty[0]));
    let emptied = settled(&service, &[], &filled);
    assert_eq!(layout(&emptied), [Vec::<&str>::new()]);
    assert_eq!(emptied[0]["ports"], Value::Null);
}

#[test]
fn only_slices_with_changes_are_written() {
    let service = service(json!({}));
    let slices = settled(&service, &ready(0..5), &[]);
    assert_eq!(layout(&slices), [vec!["0", "1", "2"], vec!["3", "4"]]);
    // One more fits into the second slice.
    assert_eq!(layout(&settled(&service, &ready(0..6), &slices)), [vec!["0", "1", "2"], vec!["3", "4", "5"]]);
    // Two more do not fit into one slice.
    assert_eq!(
        layout(&settled(&service, &ready(0..7), &slices)),
        [vec!["0", "1", "2"], vec!["3", "4"], vec!["5", "6"]]
    );
    // A slice that is written anyway gets the new endpoint.
    assert_eq!(layout(&settled(&service, &ready([0, 2, 3, 4, 5]), &slices)), [vec!["0", "2", "5"], vec!["3", "4"]]);
    // A slice that loses all its endpoints is deleted.
    assert_eq!(layout(&settled(&service, &ready(0..3), &slices)), [["0", "1", "2"]]);
}

#[test]
fn a_change_of_one_pod_costs_one_write() {
    let service = service(json!({}));
    let slices = settled(&service, &ready(0..5), &[]);
    let mut changed = ready(0..5);
    changed[4] = Arc::new(stateful_pod("db", 4).running().ip("10.0.0.4").build());
    assert_eq!(planned(&service, &changed, &slices).len(), 1);
}

#[test]
fn unmanaged_slices_and_services_without_a_selector_are_ignored() {
    let by_hand = Arc::new(json!({
        "metadata": {"namespace": "default", "name": "by-hand", "labels": {SERVICE_NAME_LABEL: "db"}},
        "addressType": "IPv4", "endpoints": [],
    }));
    let actions = planned(&service(json!({})), &ready(0..1), &[Arc::clone(&by_hand)]);
    assert!(matches!(&actions[..], [Action::Create(..)]), "{actions:?}");
    assert!(planned(&service(json!({"selector": null})), &ready(0..1), &[by_hand]).is_empty());
    assert!(planned(&service(json!({"type": "ExternalName"})), &ready(0..1), &[]).is_empty());
}

#[test]
fn slices_of_a_deleted_service_with_the_same_name_are_replaced() {
    let old = settled(&service(json!({})), &ready(0..1), &[]);
    let mut successor = service(json!({}));
    successor.metadata.uid = "successor".to_owned();
    let actions = planned(&successor, &ready(0..1), &old);
    assert!(matches!(&actions[..], [Action::Delete(_), Action::Create(..)]), "{actions:?}");
}

#[test]
fn the_trigger_time_is_the_earliest_change_that_was_not_seen_before() {
    let mut times = TriggerTimes::default();
    let mut service = service(json!({}));
    service.metadata.creation_timestamp = Some("2026-01-01T00:00:05Z".to_owned());
    let at = |seconds: [u32; 2]| {
        let pods = seconds.iter().zip(0..);
        self::pods(pods.map(|(second, ordinal)| {
            stateful_pod("db", ordinal).ready_since(&format!("2026-01-01T00:00:{second:02}Z"))
        }))
    };
    let mut compute = |seconds| times.compute(&service, &at(seconds)).map(|time| time[17..19].to_owned());
    assert_eq!(compute([10, 20]), Some("05".to_owned()));
    assert_eq!(compute([10, 20]), None);
    assert_eq!(compute([30, 25]), Some("25".to_owned()));
}
