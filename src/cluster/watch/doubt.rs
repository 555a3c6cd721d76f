//! Whether the server that a watch is resumed on is the one that it was on before. One that was restored from a backup, or
//! another cluster's, accepts a watch from a version that it has not reached, and is silent until it gets there: only lists with
//! such a version are refused. So a watch that failed asks one cheap question as soon as it is accepted again: a list, limited to
//! one object, of what the watch selects. Without a resourceVersion it is a consistent read, answered at once and, where one of
//! several API servers lags behind, not by what that one has heard of.
//!
//! - A list whose resourceVersion is lower than that of the watch: the server went back.
//! - The list asks for one object that the watch knows, a witness, by name. If it is not there under its UID, it was deleted
//!   meanwhile, or the server is another one: the next witness is asked for. A server without any of them is another one.
//! - A watch that knows of no object asks for a page of objects: those that it was not told of are newer than its position, or the server
//!   is another one.
//! - A watch that knows of objects, and whose witnesses were all deleted, has nothing to ask for: everything is listed.
//!
//! What is known is what was when the watch was last current. It may tell events before the question is answered, and those of another
//! server would make it known by its own objects.
//!
//! If the question is refused, the server cannot be told from another: everything is listed. If it fails otherwise, it is asked
//! again, less and less often, and the watch goes on meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::events::Event;
use super::retry::RetryPolicy;
use super::trust::{Opening, TrustRecord};
use crate::cluster::api::{Api, ApiError, ListQuery, Selectors};
use crate::cluster::decoding::{Incoming, Kind, Page};
use crate::cluster::objects::ObjectKey;
use crate::cluster::position::Witness;

/// How long the question may take. kube-apiserver waits up to three seconds for its cache to catch up
/// (`blockTimeout` in `storage/cacher/watch_cache.go`).
const PATIENCE: Duration = Duration::from_secs(5);
/// So many objects are remembered as witnesses. If all are deleted before others take their place, the watch lists anew.
const WITNESSES: usize = 3;

/// Why a watch cannot be resumed on a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    #[error("the API server is at resourceVersion {server}, before {ours}, which it had reached")]
    WentBack { server: u64, ours: u64 },
    #[error("the API server does not have {0} as it was")]
    WithoutWitness(ObjectKey),
    #[error("the API server has objects that it did not have at that resourceVersion")]
    UnknownObject,
    #[error("the objects by which the API server was known were deleted")]
    NoWitness,
    #[error("the API server does not say at which resourceVersion it is: {0}")]
    Refused(u16),
}

/// The witnesses of a watch: of what it listed, what has not changed for the longest time, and is likely to stay.
#[derive(Debug, Default)]
pub(super) struct Witnesses(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    latest: Known,
    /// While the watch is in doubt and has told something: what was known before. What a server that is in doubt tells does not speak
    /// for it.
    before: Option<Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    witnesses: Arc<[Witness]>,
    /// The watch knows of no other object.
    is_all: bool,
}

impl Witnesses {
    pub fn of_saved_state(witnesses: Arc<[Witness]>) -> Self {
        let latest = Known { witnesses, is_all: false };
        Self(Mutex::new(Seen { latest, before: None }))
    }

    /// Follows the events of a list, and of a watch, which may be in doubt.
    pub fn observe<K: Kind>(&self, event: &Event<K>, is_doubted: bool) {
        let mut seen = self.lock();
        let Seen { latest, before } = &mut *seen;
        if is_doubted {
            before.get_or_insert_with(|| latest.clone());
        } else {
            *before = None;
        }
        latest.observe(event);
    }

    /// The watch is not in doubt any more.
    pub fn confirm(&self) {
        self.lock().before = None;
    }

    pub fn get(&self) -> Arc<[Witness]> {
        self.known().witnesses
    }

    fn known(&self) -> Known {
        let seen = self.lock();
        seen.before.as_ref().unwrap_or(&seen.latest).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn observe<K: Kind>(&mut self, event: &Event<K>) {
        let Self { witnesses, is_all } = self;
        let has_room = witnesses.len() < WITNESSES;
        let is_known = |object: &Incoming<K>| witnesses.iter().any(|known| known.key == object.key);
        *is_all = match event {
            Event::ListStarted => true,
            Event::Listed(object) => *is_all && has_room && object.uid.is_some(),
            Event::Applied(object) => *is_all && (has_room || is_known(object)) && object.uid.is_some(),
            Event::Deleted(_) | Event::ListCompleted(_) | Event::Bookmark(_) => *is_all,
        };
        let changed: Vec<_> = match event {
            Event::ListStarted => Vec::new(),
            Event::Listed(object) if has_room || witnesses.iter().any(|known| version(object) < known.version) => {
                let mut known: Vec<_> = witnesses.iter().cloned().chain(read(object)).collect();
                known.sort_by_key(|known| known.version);
                known.truncate(WITNESSES);
                known
            }
            Event::Applied(object) if has_room || is_known(object) => {
                others(witnesses, object).chain(read(object)).collect()
            }
            Event::Deleted(object) if is_known(object) => others(witnesses, object).collect(),
            _ => return,
        };
        *witnesses = changed.into();
    }
}

/// The witnesses that are not this object.
fn others<K: Kind>(known: &[Witness], object: &Incoming<K>) -> impl Iterator<Item = Witness> {
    known.iter().filter(|known| known.key != object.key).cloned()
}

fn read<K: Kind>(object: &Incoming<K>) -> Option<Witness> {
    Some(Witness { key: object.key.clone(), uid: object.uid?, version: version(object) })
}

fn version<K: Kind>(object: &Incoming<K>) -> u64 {
    object.version().unwrap_or(u64::MAX)
}

/// What a question is about.
pub(super) struct Doubts<'a, K: Kind> {
    pub api: &'a Api<K>,
    pub selectors: &'a Selectors,
    pub trust: &'a TrustRecord,
    pub witnesses: &'a Witnesses,
}

impl<K: Kind> Doubts<'_, K> {
    /// Asks whenever the watch is in doubt, and takes the doubt away, until the watch cannot go on.
    pub async fn lost(&self) -> Lost {
        let mut retry = RetryPolicy::new();
        loop {
            let opening = self.trust.doubted().await;
            match self.ask(opening).await {
                Ok(None) => {
                    retry.reset();
                    self.trust.confirm(opening).await;
                }
                Ok(Some(lost)) => return lost,
                Err(problem) => {
                    tracing::debug!(%problem, "cannot ask whether the API server is the one of before; asking again");
                    sleep(retry.pause_after_refusal()).await;
                }
            }
        }
    }

    /// Why the watch cannot go on from here, if it cannot.
    async fn ask(&self, opening: Opening) -> Result<Option<Lost>, String> {
        let Some(position) = opening.position else { return Ok(None) };
        let Known { witnesses, is_all } = self.witnesses.known();
        if witnesses.is_empty() {
            return if is_all { self.ask_for(None, position).await } else { Ok(Some(Lost::NoWitness)) };
        }
        let mut lost = None;
        for witness in witnesses.iter() {
            lost = self.ask_for(Some(witness), position).await?;
            if !matches!(lost, Some(Lost::WithoutWitness(_))) {
                break;
            }
        }
        Ok(lost)
    }

    async fn ask_for(&self, witness: Option<&Witness>, position: u64) -> Result<Option<Lost>, String> {
        let selectors = question(self.selectors, witness);
        let page = ListQuery::page(&selectors, "");
        let query = if witness.is_some() { ListQuery { limit: 1, ..page } } else { page };
        match timeout(PATIENCE, self.api.list(&query)).await {
            Ok(Ok(list)) => Ok(judge(position, witness, &list)),
            // It is not going to be answered: asking is forbidden, or this server does not know how.
            Ok(Err(ApiError::Refused { status, .. }))
                if matches!(status.code, 400..=499) && !is_temporary(status.code) =>
            {
                Ok(Some(Lost::Refused(status.code)))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(elapsed) => Err(elapsed.to_string()),
        }
    }
}

/// Whether a refusal says nothing about the next request: bad credentials, which concern the watch too, time-outs, and too
/// many requests.
fn is_temporary(code: u16) -> bool {
    matches!(code, 401 | 408 | 429)
}

/// What selects the witness, if there is one, of what the watch selects. The API server reads one key for it.
fn question(watched: &Selectors, witness: Option<&Witness>) -> Selectors {
    let name = witness.map(|Witness { key: ObjectKey { namespace, name }, .. }| {
        format!("metadata.namespace={namespace},metadata.name={name}")
    });
    let fields: Vec<_> = watched.fields.iter().cloned().chain(name).collect();
    Selectors { labels: watched.labels.clone(), fields: (!fields.is_empty()).then(|| fields.join(",")) }
}

fn judge<K: Kind>(ours: u64, witness: Option<&Witness>, list: &Page<K>) -> Option<Lost> {
    let server = list.resource_version.parse().ok();
    if let Some(server) = server.filter(|server| *server < ours) {
        return Some(Lost::WentBack { server, ours });
    }
    match witness {
        Some(Witness { key, uid, .. }) => {
            let is_there = list.items.iter().any(|object| object.uid == Some(*uid));
            (!is_there).then(|| Lost::WithoutWitness(key.clone()))
        }
        // The watch knows of no object. It is told of those that are newer. What is not on the page may be older.
        None => {
            let is_unknown = |object| version(object) <= ours;
            let has_unknown = list.items.iter().any(is_unknown) || !list.continue_token.is_empty();
            has_unknown.then_some(Lost::UnknownObject)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::objects::{POD_NAME, Service, Uid};

    const UID: &str = "00000000-0000-4000-8000-000000000007";
    const OTHER: &str = "00000000-0000-4000-8000-000000000008";

    fn object(name: &str, uid: &str, version: u64) -> Incoming<Service> {
        let metadata = json!({ "namespace": "db", "name": name, "uid": uid, "resourceVersion": version.to_string() });
        serde_json::from_str(&json!({ "metadata": metadata }).to_string()).expect("an object")
    }

    fn list(version: u64, items: &[Incoming<Service>]) -> Page<Service> {
        let resource_version = version.to_string().into();
        Page { resource_version, continue_token: String::new(), items: items.to_vec() }
    }

    /// T5.
    #[test]
    fn a_server_is_known_by_its_version_and_by_an_object() {
        let pg = read(&object("pg", UID, 5)).expect("a UUID");
        let (same, changed, other) = (object("pg", UID, 5), object("pg", UID, 25), object("pg", OTHER, 25));
        let gone = Some(Lost::WithoutWitness(pg.key.clone()));
        for (server, witness, items, expected) in [
            (20, Some(&pg), vec![same.clone()], None),
            (30, Some(&pg), vec![changed], None),
            (19, Some(&pg), vec![same.clone()], Some(Lost::WentBack { server: 19, ours: 20 })),
            (30, Some(&pg), vec![other.clone()], gone.clone()),
            (30, Some(&pg), vec![], gone),
            (20, None, vec![], None),
            (30, None, vec![other], None),
            (30, None, vec![object("pg", UID, 20)], Some(Lost::UnknownObject)),
            (30, None, vec![object("pg", UID, 21)], None),
            (30, None, vec![object("a", UID, 21), object("pg", UID, 22)], None),
            (30, None, vec![object("a", UID, 21), object("pg", UID, 20)], Some(Lost::UnknownObject)),
            (30, None, vec![same], Some(Lost::UnknownObject)),
            (19, None, vec![], Some(Lost::WentBack { server: 19, ours: 20 })),
        ] {
            assert_eq!(judge(20, witness, &list(server, &items)), expected, "{server} {items:?}");
        }
        let page = Page { continue_token: "more".to_owned(), ..list(30, &[object("a", UID, 21)]) };
        assert_eq!(judge(20, None, &page), Some(Lost::UnknownObject), "the rest may be older");
        assert_eq!(judge(20, Some(&pg), &Page { items: vec![object("pg", UID, 5)], ..page }), None);
    }

    /// T5.
    #[test]
    fn the_question_asks_for_one_object_of_what_the_watch_selects() {
        let pg = read(&object("pg", UID, 5)).expect("a UUID");
        let labelled = Selectors { labels: Some(POD_NAME.to_owned()), fields: None };
        let headless = Selectors { labels: None, fields: Some("spec.clusterIP=None".to_owned()) };
        for (watched, witness, fields) in [
            (&labelled, None, None),
            (&labelled, Some(&pg), Some("metadata.namespace=db,metadata.name=pg")),
            (&headless, None, Some("spec.clusterIP=None")),
            (&headless, Some(&pg), Some("spec.clusterIP=None,metadata.namespace=db,metadata.name=pg")),
        ] {
            let question = question(watched, witness);
            assert_eq!((question.fields.as_deref(), question.labels), (fields, watched.labels.clone()));
        }
    }

    #[test]
    fn the_witnesses_are_those_that_changed_the_longest_ago_and_still_exist() {
        let witnesses = Witnesses::default();
        let observe = |event| witnesses.observe(&event, false);
        let names = || witnesses.get().iter().map(|known| known.key.name.to_string()).collect::<Vec<_>>();
        let objects = [("e", 50), ("c", 30), ("a", 10), ("d", 40), ("b", 20)];
        for _ in 0..2 {
            observe(Event::<Service>::ListStarted);
            objects.iter().for_each(|(name, version)| observe(Event::Listed(object(name, UID, *version))));
            assert_eq!(names(), ["a", "b", "c"]);
        }
        observe(Event::Applied(object("f", UID, 60)));
        observe(Event::Applied(object("a", OTHER, 70)));
        assert_eq!(names(), ["b", "c", "a"]);
        assert_eq!(witnesses.get()[2].uid, Uid::parse(OTHER).expect("a UUID"), "under its new UID");
        observe(Event::Deleted(object("b", UID, 80)));
        assert_eq!(names(), ["c", "a"]);
        observe(Event::Applied(object("g", UID, 90)));
        assert_eq!(names(), ["c", "a", "g"]);
        // Told by a server that may be another one.
        witnesses.observe(&Event::Deleted(object("g", UID, 95)), true);
        witnesses.observe(&Event::Applied(object("h", UID, 96)), true);
        witnesses.observe(&Event::Applied(object("c", OTHER, 97)), true);
        assert_eq!(names(), ["c", "a", "g"]);
        assert_eq!(witnesses.get()[0].uid, Uid::parse(UID).expect("a UUID"), "under the UID of before");
        witnesses.confirm();
        assert_eq!(names(), ["a", "h", "c"], "it is the same one");
    }

    /// T5.
    #[test]
    fn a_watch_knows_whether_there_are_objects_beside_its_witnesses() {
        let applied = |name, version| Event::Applied(object(name, UID, version));
        let deleted = |name| Event::Deleted(object(name, UID, 100));
        let of = |listed: &[&str], events: &[Event<Service>]| {
            let mut known = Known::default();
            known.observe(&Event::<Service>::ListStarted);
            listed.iter().for_each(|name| known.observe(&Event::Listed(object(name, UID, 1))));
            known.observe(&Event::<Service>::ListCompleted("9".into()));
            events.iter().for_each(|event| known.observe(event));
            (known.witnesses.len(), known.is_all)
        };
        assert_eq!(of(&[], &[]), (0, true));
        assert_eq!(of(&["a", "b", "c"], &[applied("c", 10)]), (3, true));
        assert_eq!(of(&["a", "b", "c", "d"], &[]), (3, false));
        assert_eq!(of(&["a", "b", "c"], &[applied("d", 10)]), (3, false));
        assert_eq!(of(&["a"], &[applied("b", 10), deleted("a"), deleted("b")]), (0, true));
        assert_eq!(of(&["a", "b", "c", "d"], &["a", "b", "c"].map(deleted)), (0, false));
        assert_eq!(
            of(&["a", "b", "c", "d"], &[&["a", "b", "c"].map(deleted)[..], &[applied("e", 10)]].concat()),
            (1, false)
        );
    }
}
