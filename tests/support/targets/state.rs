//! Any octets as a state file: refused, or an index, which saved and loaded again is the same.
//!
//! Each input is read twice: as it is, and with the lengths and checksums of its blocks made right, because nobody guesses those.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use headless_dns::cluster::{
    Change, ClusterEvent, ObjectKey, Position, Resource, Scope, Selection, Timing, Uid, WatchId, WatchUpdate, Witness,
    read_json,
};
use headless_dns::index::{Index, Snapshot};
use headless_dns::state::State;
use headless_dns::table::{TableReader, table};
use jiff::Timestamp;

use crate::support::fixture::objects;
use crate::support::rebuild::compare;

/// The seeds are files of this API server.
const URL: &str = "https://10.96.0.1/";
/// Octets of the format's name and version.
const FILE_HEAD: usize = 16;

static STATE: LazyLock<State> = LazyLock::new(|| {
    // Nothing is written there.
    let folder = tempfile::tempdir().expect("a folder");
    let timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
    State::open(folder.path(), URL, &Selection::of(vec![Scope::All], timing)).expect("a folder that can be written")
});

pub fn run(file: &[u8]) {
    check(file);
    if let Some(file) = with_sound_blocks(file) {
        check(&file);
    }
}

fn check(file: &[u8]) {
    let (mut index, as_of) = match STATE.read(file, Index::default()) {
        Ok(loaded) => loaded,
        Err(refusal) => return assert!(!refusal.to_string().is_empty()),
    };
    let snapshot = index.snapshot();
    let saved = written(&snapshot, as_of);
    let (mut again, again_as_of) = STATE.read(&saved[..], Index::default()).expect("what was saved is loaded");
    assert_eq!(again_as_of, as_of);
    assert_eq!(contents(&again.snapshot()), contents(&snapshot));
    if let Err(difference) = compare(&table_of(&mut index), &table_of(&mut again), &BTreeSet::new()) {
        panic!("{difference}");
    }
}

/// The state file of a cluster of these manifests, all of whose Pods are known, and of which some are gone.
pub fn file_of(manifests: &str, gone: &[ObjectKey]) -> Vec<u8> {
    let mut index = Index::default();
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistStarted));
    for (resource, json) in objects(manifests) {
        index.apply(read_json(resource, Scope::All, &json).expect("JSON").0);
    }
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistDone));
    for pod in gone {
        index.apply(ClusterEvent::Pod(Scope::All, Change::Delete(pod.clone())));
    }
    let key = ObjectKey::new("db", "pg-0");
    let uid = Uid::parse("0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01").expect("a UUID");
    for (version, resource) in (2712..).zip([Resource::Services, Resource::EndpointSlices, Resource::Pods]) {
        let witness = Witness { key: key.clone(), uid, version: 7 };
        let position = Position { version, witnesses: [witness].into() };
        let reached = ClusterEvent::WatchReached(WatchId::new(resource, Scope::All));
        index.apply(WatchUpdate { position: Some(position), ..reached.into() });
    }
    written(&index.snapshot(), Timestamp::UNIX_EPOCH)
}

/// Whether a file is loaded, and not refused.
pub fn is_loaded(file: &[u8]) -> bool {
    STATE.read(file, Index::default()).is_ok()
}

fn written(snapshot: &Snapshot, as_of: Timestamp) -> Vec<u8> {
    let mut file = Vec::new();
    STATE.write(&mut file, snapshot.clone(), as_of).expect("a vector takes all");
    file
}

/// What a snapshot holds, without its order.
fn contents(snapshot: &Snapshot) -> BTreeSet<String> {
    let Snapshot { services, slices, pods, tombstones, listed_pods, positions } = snapshot;
    let objects = services.iter().map(|it| format!("{it:?}")).chain(slices.iter().map(|it| format!("{it:?}")));
    let pods = pods.iter().map(|it| format!("{it:?}")).chain(tombstones.iter().map(|it| format!("{it:?}")));
    let listed = listed_pods.iter().map(|it| format!("{it:?}"));
    objects.chain(pods).chain(listed).chain(positions.iter().map(|it| format!("{it:?}"))).collect()
}

fn table_of(index: &mut Index) -> TableReader {
    let (mut writer, reader) = table();
    writer.publish(index.take_publications());
    reader
}

/// The file with each block's checksum, and the length of one that is longer than what follows, made right. None if it has no block.
fn with_sound_blocks(file: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = file.split_at_checked(FILE_HEAD)?;
    let mut sound = head.to_vec();
    let mut number = 0_u32;
    while let Some((&[a, b, c, d, ..], behind)) = rest.split_first_chunk::<8>() {
        let length = (u32::from_le_bytes([a, b, c, d]) as usize).min(behind.len());
        let (records, after) = behind.split_at(length);
        sound.extend((length as u32).to_le_bytes());
        sound.extend(crc32fast::hash(&[&number.to_le_bytes(), records].concat()).to_le_bytes());
        sound.extend(records);
        (rest, number) = (after, number + 1);
    }
    (number > 0).then_some(sound)
}
