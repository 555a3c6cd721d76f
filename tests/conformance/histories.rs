//! Any history of objects ends in the records that follow from the objects as they are at its end (K6), whatever came in
//! between, in whatever order, over however many watches.

use std::sync::Arc;

use headless_dns::admin::Records;
use headless_dns::authority::Authority;
use headless_dns::cluster::{Change, ClusterEvent, ObjectKey, Resource, Scope, read_json};
use headless_dns::index::Index;
use headless_dns::table::{TableReader, table};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::common::options;
use crate::support::rebuild::{Model, compare};
use crate::support::said::{Kind, Said, Step, Watches, address, addresses, step};

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

fn play(watches: Watches, steps: &[Step], reversed: bool) -> Result<(), TestCaseError> {
    let (mut writer, reader) = table();
    writer.set_synchronised();
    let (mut index, mut model) = (Index::default(), Model::default());
    for step in steps.iter().chain([&Step::Publish]) {
        for update in watches.updates(step) {
            model.apply(&update);
            index.apply(update);
        }
        if matches!(step, Step::Publish) {
            let serial = reader.pin().serial();
            let changed = writer.publish(index.take_batch());
            let moved = reader.pin().serial().wrapping_sub(serial);
            prop_assert_eq!(moved, u32::from(changed > 0), "the serial moves when something changed");
            prop_assert!(index.take_batch().next().is_none(), "a batch is taken once");
            compare(&reader, &model.rebuild(), &addresses()).map_err(TestCaseError::fail)?;
            model.judge(&reader).map_err(TestCaseError::fail)?;
        }
    }

    // The same objects told of once more change nothing.
    let mut updates = model.updates();
    let serial = reader.pin().serial();
    updates.iter().cloned().for_each(|update| index.apply(update));
    prop_assert_eq!(writer.publish(index.take_batch()), 0);
    prop_assert_eq!(reader.pin().serial(), serial);

    // K6: in whatever order the final objects arrive, slices before Services too, published together or one by one.
    if reversed {
        updates.reverse();
    }
    let (mut one_by_one, other) = table();
    one_by_one.set_synchronised();
    let mut index = Index::default();
    for update in model.memory().into_iter().chain(updates) {
        index.apply(update);
        one_by_one.publish(index.take_batch());
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
    let histories = (any::<bool>(), vec(step(), 1..STEPS), any::<bool>());
    TestRunner::new_with_rng(config, rng)
        .run(&histories, |(cluster_wide, steps, reversed)| play(Watches { cluster_wide }, &steps, reversed))
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// A relist that is cut off takes nothing away; the next one, whole, does.
#[test]
fn an_interrupted_relist_loses_nothing_and_the_next_one_removes_what_is_gone() {
    let watches = Watches { cluster_wide: true };
    let pg = Said::Service { place: (0, 0), spec: 2, publish_not_ready: false, ports: 0, selects: None };
    let mix = Said::Service { place: (0, 1), spec: 2, publish_not_ready: false, ports: 0, selects: None };
    let slices = [0, 1].map(|name| Said::Slice {
        place: (0, name),
        service: Some(name),
        endpoints: vec![(name as u8, Some(0), true, None)],
        ports: 1,
    });
    let (mut writer, reader) = table();
    let mut index = Index::default();
    let mut tell = |steps: &[Step]| {
        steps.iter().flat_map(|step| watches.updates(step)).for_each(|update| index.apply(update));
        writer.publish(index.take_batch());
        let table = reader.pin();
        table.services().iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
    };
    let said = [&pg, &mix, &slices[0], &slices[1]].map(|said| Step::Said(said.clone()));
    assert_eq!(tell(&said), ["db/mix", "db/pg"]);
    let relist =
        |is_finished| Step::Relist { kind: Kind::Services, namespace: 0, named: vec![pg.clone()], is_finished };
    assert_eq!(tell(&[relist(false)]), ["db/mix", "db/pg"]);
    assert_eq!(tell(&[relist(true)]), ["db/pg"]);
    assert!(reader.pin().reverse(address(1)).is_none(), "its reverse names go with it");
}

/// The DNS does not tell letters apart by case; no server of the API gives two such names, and one that did would not
/// make one Service of them.
#[test]
fn a_service_whose_name_has_upper_case_letters_is_none() {
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
        writer.publish(index.take_batch());
        assert_eq!(reader.pin().size().services, 1);
    }
}
