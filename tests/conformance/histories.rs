//! Any history of objects ends in the records of its final objects (K6), whatever happened before, in whatever order, over
//! however many watches.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use headless_dns::admin::Records;
use headless_dns::authority::Authority;
use headless_dns::cluster::{Change, ClusterEvent, ObjectKey, Resource, Scope, Selection, Timing, read_json};
use headless_dns::index::{Index, Options};
use headless_dns::state::State;
use headless_dns::table::{TableReader, table};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::common::options;
use crate::support::history::{
    Slot, Step, Watches, addresses, bare_service, bare_slice, index_options, service_keys, steps,
};
use crate::support::reasons;
use crate::support::rebuild::{Model, compare};

/// Histories of each seed.
const HISTORIES: u32 = 64;
/// Parts of the longest history: a step, or a few that belong together.
const PARTS: usize = 60;
/// Seeds that are always played: a few, and each that has ever failed. What a seed plays changes with the generators, so whatever
/// a history finds gets a test of its own besides.
const SEEDS: [u64; 3] = [0, 1, 2];
/// The variable with the seed to play alone, as a failure prints it.
const SEED: &str = "HEADLESS_DNS_HISTORY_SEED";
/// The variable with the number of seeds to play that no run had before.
const NEW_SEEDS: &str = "HEADLESS_DNS_HISTORY_SEEDS";
/// As many as take a second.
const DEFAULT_NEW_SEEDS: u64 = 2;

/// Everything that the server exports, without the SOA records, whose serial is each table's own.
fn zone_files(reader: &TableReader) -> String {
    let records = Records::new(Arc::new(Authority::new(options()).unwrap()), reader.clone());
    let files = records.zones().into_iter().filter_map(|zone| records.zone_file(&zone));
    files
        .flat_map(|file| file.lines().filter(|line| !line.contains("\tSOA\t")).map(str::to_owned).collect::<Vec<_>>())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What the next process goes on with.
fn restarted(index: &Index, options: Options, watches: Watches) -> Index {
    let folder = tempfile::tempdir().expect("a folder");
    let timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
    let selection = Selection::of(watches.scopes(), timing);
    let state = State::open(folder.path(), "https://10.96.0.1/", &selection).expect("a folder that can be written");
    let mut file = Vec::new();
    state.write(&mut file, index.snapshot(), Timestamp::UNIX_EPOCH).expect("a vector takes all");
    let (mut index, _) = state.read(&file[..], Index::new(options)).expect("what was saved is loaded");
    index.distrust_restored_pods();
    index
}

fn play(options: Options, watches: Watches, steps: &[Step], reversed: bool) -> Result<(), TestCaseError> {
    let (mut writer, mut reader) = table();
    writer.set_synchronised();
    let (mut index, mut model) = (Index::new(options.clone()), Model::new(options.clone()));
    let keys = service_keys();
    for step in steps.iter().chain([&Step::Publish]) {
        for update in watches.updates(step) {
            model.apply(&update);
            index.apply(update);
        }
        if matches!(step, Step::Restart) {
            index = restarted(&index, options.clone(), watches);
            (writer, reader) = table();
            writer.set_synchronised();
            model.restart();
        }
        if matches!(step, Step::Expiry) {
            model.expire_tombstones();
            index.expire_tombstones();
        }
        if matches!(step, Step::Publish) {
            let serial = reader.pin().serial();
            let changed = writer.publish(index.take_publications());
            let increments = reader.pin().serial().wrapping_sub(serial);
            prop_assert_eq!(increments, u32::from(changed > 0), "the serial changes if a record does");
            prop_assert!(index.take_publications().next().is_none(), "publications are taken once");
            writer.publish_reasons(index.take_reasons());
            model.check(&reader).map_err(TestCaseError::fail)?;
            model.check_reasons(&reader, &keys).map_err(TestCaseError::fail)?;
            let rebuilt = model.rebuild();
            compare(&reader, &rebuilt, &addresses()).map_err(TestCaseError::fail)?;
            reasons::compare(&reader.pin(), &rebuilt.pin(), &keys).map_err(TestCaseError::fail)?;
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
    let mut index = model.index();
    for update in updates {
        index.apply(update);
        one_by_one.publish(index.take_publications());
        one_by_one.publish_reasons(index.take_reasons());
    }
    compare(&reader, &other, &addresses()).map_err(TestCaseError::fail)?;
    reasons::compare(&reader.pin(), &other.pin(), &keys).map_err(TestCaseError::fail)?;
    prop_assert_eq!(zone_files(&reader), zone_files(&other));
    Ok(())
}

/// The histories of one seed.
fn play_seed(seed: u64) {
    let octets: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(32).collect();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &octets);
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let histories = (index_options(), any::<bool>(), steps(PARTS), any::<bool>());
    TestRunner::new_with_rng(config, rng)
        .run(&histories, |(options, cluster_wide, steps, reversed)| {
            play(options, Watches { cluster_wide }, &steps, reversed)
        })
        .unwrap_or_else(|failure| {
            panic!("{failure}\nto play it again: {SEED}={seed} cargo test --test suite conformance::histories")
        });
}

/// A number in the environment.
fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// K6, T6, T7, T8, D7.
#[test]
fn any_history_ends_in_the_table_of_its_final_objects() {
    if let Some(seed) = number(SEED) {
        return play_seed(seed);
    }
    SEEDS.into_iter().for_each(play_seed);
    for _ in 0..number(NEW_SEEDS).unwrap_or(DEFAULT_NEW_SEEDS) {
        play_seed(rand::random());
    }
}

#[test]
fn an_interrupted_relist_removes_nothing_and_the_next_complete_one_does() {
    let watches = Watches { cluster_wide: true };
    let slots = [0, 2].map(|name| Slot { namespace: 0, name });
    let (mut writer, reader) = table();
    let mut index = Index::default();
    let mut apply = |steps: &[Step]| {
        steps.iter().flat_map(|step| watches.updates(step)).for_each(|update| index.apply(update));
        writer.publish(index.take_publications());
        let table = reader.pin();
        table.services().iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
    };
    let events = slots.into_iter().flat_map(|slot| [bare_service(slot), bare_slice(slot)]).map(Step::Event);
    assert_eq!(apply(&events.collect::<Vec<_>>()), ["db/one", "db/pg"]);
    let addresses = reader.pin().reverse_addresses();
    assert_eq!(addresses.len(), 2);
    let relist = |is_finished| Step::Relist {
        resource: Resource::Services,
        namespace: 0,
        listed: vec![bare_service(slots[0])],
        is_finished,
    };
    assert_eq!(apply(&[relist(false)]), ["db/one", "db/pg"]);
    assert_eq!(apply(&[relist(true)]), ["db/pg"]);
    assert_eq!(reader.pin().reverse_addresses(), addresses[..1], "its reverse names go with it");
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
