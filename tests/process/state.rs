//! The state on disk: what was known is known again, and a file that is not whole is not served, whatever happened to it.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use headless_dns::cluster::{
    Change, ClusterEvent, ObjectKey, PodSelection, Position, Resource, Scope, Selection, Timing, Uid, WatchId,
    WatchUpdate, Witness, read_json,
};
use headless_dns::dns::name::Label;
use headless_dns::index::{Index, Snapshot};
use headless_dns::state::{LoadError, State};
use headless_dns::table::{TableReader, TableWriter, table};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tempfile::TempDir;

use crate::support::fixture::objects;
use crate::support::history::{Step, Watches, addresses, steps};
use crate::support::rebuild::{compare, object_of};

/// Of no matter here.
const TIMING: Timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
const URL: &str = "https://10.96.0.1/";
const HISTORIES: u32 = 300;
const PARTS: usize = 30;
const KILLS: usize = 100;
/// Services of the smaller of two large states, whose file has several blocks for the length of its names.
const SERVICES: i64 = 100;
const LONG: &str = "a-hostname-that-is-nearly-as-long-as-a-label-may-be-";
/// Tells [`states_are_saved_until_the_process_is_killed`] where.
const SAVE_IN: &str = "HEADLESS_DNS_TEST_SAVE_IN";

/// Every kind of object, with most of what one may say.
const OBJECTS: &str = r#"
kind: Service
metadata: {namespace: db, name: pg, annotations: {headless-dns/not-ready-ordinals: "true"}}
spec:
  clusterIP: None
  selector: {app: pg}
  ipFamilies: [IPv4]
  ports: [{name: sql, port: 5432, targetPort: sql}, {port: 80}]
---
kind: Service
metadata: {namespace: db, name: web}
spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, "fd00::7"], ports: [{name: http, port: 80, protocol: UDP}]}
---
kind: Service
metadata: {namespace: db, name: ext}
spec: {type: ExternalName, externalName: Example.com}
---
kind: EndpointSlice
metadata:
  namespace: db
  name: pg-x
  labels:
    kubernetes.io/service-name: pg
    endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io
addressType: IPv6
ports: [{name: sql, port: 5432}]
endpoints:
- {addresses: ["fd00::9"], hostname: pg-9, targetRef: {kind: Pod, uid: 0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a09}}
- {addresses: ["fd00::a"], conditions: {ready: false}}
---
kind: Pod
metadata:
  namespace: db
  name: pg-0
  uid: 0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01
  labels: {app: pg, statefulset.kubernetes.io/pod-name: pg-0}
  ownerReferences: [{kind: StatefulSet, name: pg, controller: true}]
spec: {hostname: pg-0, subdomain: pg, containers: [{ports: [{name: sql, containerPort: 5433}]}]}
status:
  podIPs: [{ip: 10.1.0.10}, {ip: "fd00::10"}]
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-11-20T10:00:00Z"}]
"#;

fn selection() -> Selection {
    Selection::of(vec![Scope::All], TIMING)
}

fn state(folder: &Path) -> State {
    State::open(folder, URL, &selection()).expect("a folder that can be written")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// An index of [`OBJECTS`], and of a Pod that is gone.
fn index() -> Index {
    let mut index = Index::default();
    for (watched, json) in objects(OBJECTS) {
        let (update, problems) = read_json(watched, Scope::All, &json).expect("JSON");
        assert!(problems.is_empty(), "{problems:?}");
        index.apply(update);
    }
    let gone = br#"{"metadata": {"namespace": "db", "name": "pg-9", "uid": "0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a09"}, "spec": {}}"#;
    let (update, _) = read_json(Resource::Pods, Scope::All, gone).expect("JSON");
    let ClusterEvent::Pod(_, Change::Apply(pod)) = &update else { panic!("{update:?}") };
    let delete = ClusterEvent::Pod(Scope::All, Change::Delete(object_of(pod)));
    for update in [update, delete, ClusterEvent::Pod(Scope::All, Change::RelistDone)] {
        index.apply(update);
    }
    let key = ObjectKey::new("db", "pg-0");
    let uid = Uid::parse("0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01").expect("a UUID");
    let position = Position { version: 2712, witnesses: [Witness { key, uid, version: 7 }].into() };
    let reached = ClusterEvent::WatchReached(WatchId::new(Resource::Pods, Scope::All));
    index.apply(WatchUpdate { position: Some(position), ..reached.into() });
    index
}

/// A folder with the state of [`index`], and the octets of its file.
fn saved() -> (TempDir, State, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = state(folder.path());
    state.save(index().snapshot(), at(1_795_226_645)).expect("saved");
    let octets = fs::read(state.path()).expect("a file");
    (folder, state, octets)
}

/// The table of an index of which nothing has been taken yet.
fn table_of(index: &mut Index) -> (TableWriter, TableReader) {
    let (mut writer, reader) = table();
    writer.publish(index.take_publications());
    (writer, reader)
}

fn load(state: &State) -> Result<Option<(Index, Timestamp)>, LoadError> {
    state.load(Index::default())
}

#[test]
fn where_nothing_was_saved_nothing_is_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(load(&state(&folder.path().join("new/folder"))).expect("no refusal").is_none());
}

#[test]
fn what_was_saved_last_is_loaded_with_its_time_and_is_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, state, _) = saved();
    let (mut loaded, as_of) = load(&state).expect("no refusal").expect("a file");
    assert_eq!(as_of, at(1_795_226_645));
    compare(&table_of(&mut loaded).1, &table_of(&mut index()).1, &addresses()).expect("the same table");
    assert_eq!(loaded.positions(), index().positions());
    assert_eq!(loaded.positions().len(), 1);
    state.save(Index::default().snapshot(), at(7)).expect("saved");
    let (mut loaded, as_of) = load(&state).expect("no refusal").expect("a file");
    assert_eq!((as_of, table_of(&mut loaded).1.pin().size().services), (at(7), 0));
    let mode = fs::metadata(state.path()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn play(watches: Watches, before: &[Step], is_stale: bool, after: &[Step]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(folder.path(), URL, &Selection::of(watches.scopes(), TIMING)).expect("a folder");
    let (mut writer, reader) = table();
    let mut index = Index::default();
    before.iter().flat_map(|step| watches.updates(step)).for_each(|update| index.apply(update));
    // Silence is believed when it is told of twice.
    let stale_scope = watches.scopes().swap_remove(0);
    for _ in 0..if is_stale { 2 } else { 0 } {
        index
            .apply(ClusterEvent::WatchStale { watch: WatchId::new(Resource::Pods, stale_scope.clone()), since: at(0) });
    }
    writer.publish(index.take_publications());
    state.save(index.snapshot(), at(1)).expect("saved");

    let (mut loaded, _) = load(&state).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?.expect("a file");
    let (mut other_writer, other) = table_of(&mut loaded);
    compare(&reader, &other, &addresses()).map_err(TestCaseError::fail)?;
    if is_stale {
        return Ok(());
    }
    for scope in watches.scopes() {
        for index in [&mut index, &mut loaded] {
            // What follows a start is a list; these name nothing and come to no end.
            index.apply(ClusterEvent::Pod(scope.clone(), Change::RelistStarted));
            index.apply(ClusterEvent::Service(scope.clone(), Change::RelistStarted));
            index.apply(ClusterEvent::Slice(scope.clone(), Change::RelistStarted));
        }
    }
    for update in after.iter().flat_map(|step| watches.updates(step)) {
        index.apply(update.clone());
        loaded.apply(update);
    }
    writer.publish(index.take_publications());
    other_writer.publish(loaded.take_publications());
    compare(&reader, &other, &addresses()).map_err(TestCaseError::fail)
}

#[test]
fn whatever_was_known_is_known_again_and_followed_by_what_would_have_followed() {
    // The same histories each time: a failure here is a failure for everyone.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    // How long a watch was silent is not saved: it is made anew.
    let is_saved = |step: &Step| !matches!(step, Step::Silence { .. } | Step::Word { .. });
    let saved = steps(PARTS).prop_map(move |steps| steps.into_iter().filter(is_saved).collect::<Vec<_>>());
    let histories = (any::<bool>(), saved, any::<bool>(), steps(PARTS));
    TestRunner::new_with_rng(config, rng)
        .run(&histories, |(cluster_wide, before, is_stale, after)| {
            play(Watches { cluster_wide }, &before, is_stale, &after)
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Holds that a file of these octets is refused, and gives the reason.
fn refused(state: &State, octets: &[u8]) -> String {
    fs::write(state.path(), octets).expect("written");
    match load(state) {
        Err(refusal) => refusal.to_string(),
        Ok(_) => panic!("served: {} octets", octets.len()),
    }
}

/// A position that is newer than the objects would lose what came between for ever.
#[test]
fn while_a_list_streams_in_the_watch_has_no_position() {
    let mut index = index();
    assert_eq!(index.positions().len(), 1);
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistStarted));
    assert_eq!(index.positions().len(), 0);
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistDone));
    assert_eq!(index.positions().len(), 0, "the server gave it no version");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let (_folder, state, octets) = saved();
    for length in 0..octets.len() {
        let said = refused(&state, &octets[..length]);
        assert!(said.starts_with("it is truncated after "), "{length}: {said}");
    }
}

#[test]
fn a_file_with_any_octet_wrong_is_refused() {
    let (_folder, state, octets) = saved();
    for at in 0..octets.len() {
        for wrong in [octets[at] ^ 1, octets[at] ^ 0x80, !octets[at]] {
            let mut octets = octets.clone();
            octets[at] = wrong;
            refused(&state, &octets);
        }
    }
}

#[test]
fn a_file_with_more_or_other_octets_is_refused() {
    let (_folder, state, octets) = saved();
    let head = octets.len() - 4;
    for (octets, reason) in [
        ([&octets[..], &[0]].concat(), "it is corrupt at or after byte "),
        ([&octets[..], &octets].concat(), "it is corrupt at or after byte "),
        ([&octets[..16], &vec![0; head]].concat(), "it is corrupt at or after byte 16"),
        ([&octets[..16], &[255; 4], &octets[20..]].concat(), "it is corrupt at or after byte 16"),
        (b"; a zone file\n$ORIGIN cluster.local.\n".to_vec(), "it is not a state file of headless-dns"),
        (
            [&octets[..12], &[9, 0, 0, 0], &octets[16..]].concat(),
            "its format is version 9, but this program reads version 5",
        ),
    ] {
        let said = refused(&state, &octets);
        assert!(said.starts_with(reason), "{said}");
    }
}

#[test]
fn a_file_of_another_cluster_or_of_other_objects_is_refused() {
    let (folder, _, _) = saved();
    let foreign = |url: &str, selection: &Selection| {
        let state = State::open(folder.path(), url, selection).expect("a folder");
        load(&state).expect_err("it is foreign").to_string()
    };
    assert_eq!(
        foreign("https://10.0.0.1/", &selection()),
        "it has Services and Pods of StatefulSets of all namespaces at https://10.96.0.1/, but this server serves Services and \
         Pods of StatefulSets of all namespaces at https://10.0.0.1/"
    );
    let namespaces =
        Selection::of(Scope::of(&["web", "db"].map(|namespace| Label::parse(namespace).expect("a label"))), TIMING);
    let said = foreign(URL, &namespaces);
    assert!(said.ends_with("of namespace db, namespace web at https://10.96.0.1/"), "{said}");
    let said = foreign(URL, &Selection { headless_only: true, ..selection() });
    assert!(said.contains("serves headless Services"), "{said}");
    let said = foreign(URL, &Selection { pods: PodSelection::Off, ..selection() });
    assert!(said.contains("serves Services and no Pods"), "{said}");
}

/// When this fails, a file of the version before means something else now: raise the version of the format.
#[test]
fn the_format_is_what_it_was() {
    let (_folder, _, octets) = saved();
    assert_eq!((octets.len(), crc32fast::hash(&octets)), (487, 1_025_215_768));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let error = State::open(&file.join("state"), URL, &selection()).expect_err("it is no folder").to_string();
    let advice = "set --state to a writable directory, or leave it unset";
    let expected = format!("cannot keep state in {}/state: Not a directory (os error 20); {advice}", file.display());
    assert_eq!(error, expected);
}

#[test]
fn while_another_holds_the_lock_nothing_is_written() {
    let (folder, state, octets) = saved();
    let lock = fs::File::open(folder.path().join("cluster.state.lock")).expect("a file");
    lock.lock().expect("locked");
    state.save(Index::default().snapshot(), at(7)).expect_err("it waits for nobody");
    assert_eq!(fs::read(state.path()).expect("a file"), octets);
    lock.unlock().expect("unlocked");
    state.save(Index::default().snapshot(), at(7)).expect("saved");
}

/// One of two states that have nothing in common, each of many blocks.
fn large(which: i64) -> Snapshot {
    let mut index = Index::default();
    for i in 0..SERVICES * (which + 1) {
        let service = format!(
            r#"{{"metadata": {{"namespace": "db", "name": "s{which}-{i}"}}, "spec": {{"clusterIP": "None"}}}}"#
        );
        let endpoints: Vec<_> = (0..10)
            .map(|j| format!(r#"{{"addresses": ["10.{which}.{j}.{}"], "hostname": "{LONG}{j}"}}"#, i % 250))
            .collect();
        let slice = format!(
            r#"{{"metadata": {{"namespace": "db", "name": "s{which}-{i}", "labels": {{"kubernetes.io/service-name": "s{which}-{i}"}}}},
                "addressType": "IPv4", "endpoints": [{}]}}"#,
            endpoints.join(",")
        );
        for (watched, json) in [(Resource::Services, service), (Resource::EndpointSlices, slice)] {
            index.apply(read_json(watched, Scope::All, json.as_bytes()).expect("JSON").0);
        }
    }
    index.snapshot()
}

/// What the next test kills, again and again.
#[test]
#[ignore = "started, and killed, by the test of that name"]
fn states_are_saved_until_the_process_is_killed() {
    let Some(folder) = env::var_os(SAVE_IN) else { return };
    let (state, states) = (state(Path::new(&folder)), [large(0), large(1)]);
    for which in [0, 1].into_iter().cycle() {
        state.save(states[which].clone(), at(which as i64)).expect("saved");
        println!("saved");
    }
}

#[test]
fn a_process_that_is_killed_while_it_saves_leaves_the_old_or_the_new_state_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let expected = [large(0), large(1)].map(|snapshot| snapshot.services.iter().count());
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mut interrupted, mut of) = (0, [0; 2]);
    for _ in 0..KILLS {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "process::state::states_are_saved_until_the_process_is_killed",
            ])
            .env(SAVE_IN, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("saved"))), "it saves");
        // Any moment is as good as another: a save takes some milliseconds.
        thread::park_timeout(Duration::from_micros(u64::from(random.next_u32() % 20_000)));
        child.kill().expect("killed");
        child.wait().expect("its end");

        let (mut loaded, as_of) = load(&state(folder.path())).expect("no refusal").expect("a file");
        let which = usize::try_from(as_of.as_second()).expect("0 or 1");
        assert_eq!(table_of(&mut loaded).1.pin().size().services, expected[which]);
        interrupted += usize::from(folder.path().join("cluster.state.new").exists());
        of[which] += 1;
    }
    println!("{interrupted} of {KILLS} in the middle of a save; found {of:?}");
    assert!(interrupted > KILLS / 10 && of.iter().all(|count| *count > 0), "{interrupted}, {of:?}");
}
