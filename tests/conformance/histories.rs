//! Any history of objects ends in the records of its final objects (K6), whatever happened before, in whatever order, over
//! however many watches.

use std::sync::Arc;

use headless_dns::admin::Records;
use headless_dns::authority::Authority;
use headless_dns::cluster::{Change, ClusterEvent, ObjectKey, Resource, Scope, read_json};
use headless_dns::index::{Index, Options};
use headless_dns::table::{TableReader, table};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::common::options;
use crate::support::history::{EndpointState, Event, Kind, Slot, Step, Watches, address, addresses, step};
use crate::support::rebuild::{Model, compare};

const HISTORIES: u32 = 2000;
/// Steps in the longest history.
const STEPS: usize = 40;

/// Everything that the server exports, without the SOA records, whose serial is each table's own.
fn zone_files(reader: &TableReader) -> String {
    let records = Records::new(Arc::new(Authority::new(options()).unwrap()), reader.clone());
    let files = records.zones().into_iter().filter_map(|zone| records.zone_file(&zone));
    files
        .flat_map(|file| file.lines().filter(|line| !line.contains("\tSOA\t")).map(str::to_owned).collect::<Vec<_>>())
        .collect::<Vec<_>>()
        .join("\n")
}

fn play(options: Options, watches: Watches, steps: &[Step], reversed: bool) -> Result<(), TestCaseError> {
    let (mut writer, reader) = table();
    writer.set_synchronised();
    let (mut index, mut model) = (Index::new(options), Model::new(options));
    for step in steps.iter().chain([&Step::Publish]) {
        for update in watches.updates(step) {
            model.apply(&update);
            index.apply(update);
        }
        if matches!(step, Step::Publish) {
            let serial = reader.pin().serial();
            let changed = writer.publish(index.take_publications());
            let increments = reader.pin().serial().wrapping_sub(serial);
            prop_assert_eq!(increments, u32::from(changed > 0), "the serial changes if a record does");
            prop_assert!(index.take_publications().next().is_none(), "publications are taken once");
            compare(&reader, &model.rebuild(), &addresses()).map_err(TestCaseError::fail)?;
            model.check(&reader).map_err(TestCaseError::fail)?;
        }
    }

    // The same objects once more change nothing.
    let mut updates = model.updates();
    let serial = reader.pin().serial();
    updates.iter().cloned().for_each(|update| index.apply(update));
    prop_assert_eq!(writer.publish(index.take_publications()), 0);
    prop_assert_eq!(reader.pin().serial(), serial);

    // K6: the order in which the final objects arrive does not matter, nor whether they are published together or singly.
    if reversed {
        updates.reverse();
    }
    let (mut one_by_one, other) = table();
    one_by_one.set_synchronised();
    let mut index = Index::new(options);
    for update in model.memory().into_iter().chain(updates) {
        index.apply(update);
        one_by_one.publish(index.take_publications());
    }
    compare(&reader, &other, &addresses()).map_err(TestCaseError::fail)?;
    prop_assert_eq!(zone_files(&reader), zone_files(&other));
    Ok(())
}

/// K6.
#[test]
fn any_history_ends_in_the_table_of_its_final_objects() {
    // The same histories each time: a failure here is a failure for everyone.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let options = (any::<bool>(), any::<bool>());
    let histories = (options, any::<bool>(), vec(step(), 1..STEPS), any::<bool>());
    TestRunner::new_with_rng(config, rng)
        .run(&histories, |((not_ready_ordinals, headless_only), cluster_wide, steps, reversed)| {
            let options = Options { not_ready_ordinals, headless_only, ..Options::default() };
            play(options, Watches { cluster_wide }, &steps, reversed)
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn an_interrupted_relist_removes_nothing_and_the_next_complete_one_does() {
    let watches = Watches { cluster_wide: true };
    let pg = Event::Service {
        slot: Slot { namespace: 0, name: 0 },
        spec: 2,
        publish_not_ready: false,
        ports: 0,
        selects: None,
    };
    let mix = Event::Service {
        slot: Slot { namespace: 0, name: 1 },
        spec: 2,
        publish_not_ready: false,
        ports: 0,
        selects: None,
    };
    let slices = [0, 1].map(|name| Event::Slice {
        slot: Slot { namespace: 0, name },
        service: Some(name),
        endpoints: vec![EndpointState { address: name as u8, ordinal: Some(0), is_ready: true, pod: None }],
        ports: 1,
    });
    let (mut writer, reader) = table();
    let mut index = Index::default();
    let mut apply = |steps: &[Step]| {
        steps.iter().flat_map(|step| watches.updates(step)).for_each(|update| index.apply(update));
        writer.publish(index.take_publications());
        let table = reader.pin();
        table.services().iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
    };
    let events = [&pg, &mix, &slices[0], &slices[1]].map(|event| Step::Event(event.clone()));
    assert_eq!(apply(&events), ["db/mix", "db/pg"]);
    let relist =
        |is_finished| Step::Relist { kind: Kind::Services, namespace: 0, listed: vec![pg.clone()], is_finished };
    assert_eq!(apply(&[relist(false)]), ["db/mix", "db/pg"]);
    assert_eq!(apply(&[relist(true)]), ["db/pg"]);
    assert!(reader.pin().reverse(address(1)).is_none(), "its reverse names go with it");
}

/// DNS names ignore case. The API has no names in upper case; if it had, two objects must not become one Service.
#[test]
fn a_service_with_upper_case_letters_in_its_name_is_rejected() {
    let json = |name: &str| {
        format!(r#"{{"metadata": {{"namespace": "db", "name": "{name}"}}, "spec": {{"clusterIP": "10.96.0.1"}}}}"#)
    };
    let read = |name| read_json(Resource::Services, Scope::All, json(name).as_bytes()).unwrap();
    let (mut writer, reader) = table();
    let mut index = Index::default();
    let (upper, problems) = read("PG");
    assert_eq!(problems, ["metadata.name: \"PG\" has upper-case letters"]);
    for update in [read("pg").0, upper, ClusterEvent::Service(Scope::All, Change::Delete(ObjectKey::new("db", "PG")))] {
        index.apply(update);
        writer.publish(index.take_publications());
        assert_eq!(reader.pin().size().services, 1);
    }
}
