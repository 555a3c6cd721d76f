//! Restarts with a saved state: each watch goes on where it was, if the server is the same and remembers what happened since. Until that
//! is shown, answers are stale.

use std::fs;
use std::time::Duration;

use headless_dns::cluster::{PodSelection, Scope as Mirrored, Selection, Timing};
use kube_sandbox::Sandbox;
use kube_sandbox::faults::{Fault, Missed, Scope, Verb};
use kube_sandbox::kind::Kind;
use proptest::test_runner::{RngAlgorithm, TestRng};
use rand::RngExt;
use tokio::time::{Instant, sleep};

use crate::support::mirrored::{End, Ended, MirroredSandbox, TIMING, on};
use crate::watch::misbehaving::change;
use crate::watch::pods::{self, address, answers, pod};

const RESOURCES: [&str; 3] = ["services", "endpointslices", "pods"];
/// How soon the answers are those of the server that is there now, from the start of the process.
const SOON: Duration = Duration::from_secs(1);
/// *Stale Answer*, RFC 8914.
const STALE: u16 = 3;

fn selection() -> Selection {
    Selection::of(vec![Mirrored::All], TIMING)
}

/// The Pod `pg-0` of generation `generation`, with its slice.
fn put_pod(sandbox: &Sandbox, generation: u8) {
    pods::put(sandbox, Kind::Pod, pod(0, generation, true));
    pods::put(sandbox, Kind::EndpointSlice, pods::slice(sandbox));
}

fn is_stale(mirrored: &MirroredSandbox) -> bool {
    mirrored.extended_errors_of("steady").iter().any(|(code, _)| *code == STALE)
}

fn is_fresh(mirrored: &MirroredSandbox) -> bool {
    mirrored.readiness.is_ready() && !is_stale(mirrored)
}

fn lists(mirrored: &MirroredSandbox) -> [u64; 3] {
    RESOURCES
        .map(|resource| mirrored.metric(&format!("watch_events_total{{resource=\"{resource}\",event=\"relist\"}}")))
}

/// A mirror with a state, of the Services `steady`, `changed`, `gone` and `pg`, which has a Pod. It has heard of all.
async fn mirrored() -> MirroredSandbox {
    let mirrored = MirroredSandbox::with_state(selection(), |sandbox| {
        pods::put(sandbox, Kind::Service, pods::service());
        put_pod(sandbox, 1);
    })
    .await;
    mirrored.put("changed", &[4]);
    mirrored.put("gone", &[6]);
    mirrored.converge("before the restart").await;
    mirrored.until("all are listed", |mirrored| lists(mirrored) == [1; 3]).await;
    mirrored.converge("with the Pods").await;
    mirrored
}

/// The same, ended, after which the cluster has changed.
async fn ended(end: End) -> Ended {
    let mirrored = mirrored().await;
    // A save a second, at most.
    sleep(SOON * 3).await;
    mirrored.end(end).await.changed()
}

trait Changed {
    fn changed(self) -> Self;
}

impl Changed for Ended {
    fn changed(self) -> Self {
        let store = self.sandbox.store();
        for kind in [Kind::Service, Kind::EndpointSlice] {
            store.delete(kind, "db", "gone", None).expect("it is there");
        }
        put_pod(&self.sandbox, 2);
        self
    }
}

async fn until_fresh(mirrored: &MirroredSandbox) {
    mirrored.until("fresh", is_fresh).await;
    mirrored.converge("once it is fresh").await;
}

/// T5. Of each watch: the request that resumes it, and the question by which it knows its server.
#[tokio::test(start_paused = true)]
async fn a_restart_lists_nothing_and_is_told_what_was_deleted_and_changed_meanwhile() {
    for end in [End::Stopped, End::Killed] {
        let mirrored = ended(end).await.start().await;
        mirrored.until("the saved state", |mirrored| mirrored.logged("serving the saved state") == 1).await;
        assert!(is_stale(&mirrored) && mirrored.addresses("gone").is_some(), "{end:?}");
        until_fresh(&mirrored).await;
        assert_eq!(mirrored.addresses("gone"), None, "{end:?}");
        answers(&mirrored, "pg-0.pg", &[address(0, 2)]).await;
        sleep(SOON * 2).await;
        let requested = mirrored.requested();
        assert_eq!(requested.len(), RESOURCES.len() * 2, "{end:?}: {requested:#?}");
        for resource in RESOURCES {
            let of = |what: &str| {
                let is_it = |uri: &&String| uri.contains(&format!("/{resource}?")) && uri.contains(what);
                requested.iter().filter(is_it).count()
            };
            assert_eq!((of("&resourceVersion="), of("limit=1")), (1, 1), "{end:?} {resource}: {requested:#?}");
        }
        assert_eq!((lists(&mirrored), mirrored.warnings().len()), ([0; 3], 0), "{:#?}", mirrored.log());
        // And from there on as ever.
        change_more(&mirrored);
        mirrored.converge("afterwards").await;
    }
}

fn change_more(mirrored: &MirroredSandbox) {
    mirrored.put("new", &[9]);
    mirrored.put("changed", &[4, 5]);
    put_pod(&mirrored.sandbox, 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_position_was_compacted_away_lists_once_and_the_others_do_not() {
    let ended = ended(End::Killed).await;
    let on = Scope::kind(Kind::EndpointSlice).verb(Verb::Watch);
    ended.sandbox.faults().inject(Fault::Answer { on, code: 410, retry_after: None, times: Some(1) }).expect("a fault");
    let mirrored = ended.start().await;
    until_fresh(&mirrored).await;
    sleep(TIMING.stale_after).await;
    assert_eq!(lists(&mirrored), [0, 1, 0], "{:#?}", mirrored.log());

    let ended = mirrored.end(End::Killed).await;
    put_pod(&ended.sandbox, 3);
    ended.sandbox.faults().inject(Fault::Compact).expect("a fault");
    let mirrored = ended.start().await;
    until_fresh(&mirrored).await;
    sleep(TIMING.stale_after).await;
    assert_eq!(lists(&mirrored), [1; 3], "{:#?}", mirrored.log());
    answers(&mirrored, "pg-0.pg", &[address(0, 3)]).await;
}

/// T5. It may be behind the saved positions, where it is silent, or ahead of them.
#[tokio::test(start_paused = true)]
async fn another_cluster_in_the_place_of_that_of_the_last_run_is_noticed_within_a_second() {
    for revision in [None, Some(1), Some(1_000_000)] {
        let ended = ended(End::Killed).await;
        // The other cluster has had this state all along: its watches have nothing to tell.
        ended.sandbox.faults().inject(Fault::Replace { revision }).expect("a fault");
        let (mirrored, began) = (ended.start().await, Instant::now());
        mirrored.until("right", |mirrored| is_fresh(mirrored) && mirrored.difference().is_none()).await;
        assert!(began.elapsed() <= SOON, "{revision:?}: {:?} {:#?}", began.elapsed(), mirrored.log());
        assert!(mirrored.addresses("gone").is_none());
        answers(&mirrored, "pg-0.pg", &[address(0, 2)]).await;
    }
}

/// T5. The position that was saved is one of the future.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_restored_from_a_backup_while_this_program_was_away_is_noticed_within_a_second() {
    for emptied in [false, true] {
        let mirrored = mirrored().await;
        mirrored.inject(Fault::Snapshot);
        change(&mirrored);
        put_pod(&mirrored.sandbox, 2);
        mirrored.converge("before the restore").await;
        sleep(SOON * 3).await;
        let ended = mirrored.end(End::Killed).await;
        ended.sandbox.faults().inject(if emptied { Fault::Empty } else { Fault::Restore }).expect("a fault");
        let (mirrored, began) = (ended.start().await, Instant::now());
        mirrored.until("right", |mirrored| is_fresh(mirrored) && mirrored.difference().is_none()).await;
        assert!(began.elapsed() <= SOON, "{emptied}: {:?} {:#?}", began.elapsed(), mirrored.log());
        assert_eq!(mirrored.addresses("gone").is_none(), emptied);
    }
}

/// T4, T5: a 2xx response shows nothing of whose it is.
#[tokio::test(start_paused = true)]
async fn answers_are_stale_while_the_server_accepts_the_watches_and_does_not_say_which_one_it_is() {
    let ended = ended(End::Stopped).await;
    let silent = Fault::Answer { on: Scope::all().verb(Verb::List), code: 503, retry_after: None, times: None };
    let silent = ended.sandbox.faults().inject(silent).expect("a fault");
    let mirrored = ended.start().await;
    assert!(!mirrored.readiness.is_ready());
    mirrored.until("ready", |mirrored| mirrored.readiness.is_ready()).await;
    for _ in 0..30 {
        assert!(is_stale(&mirrored), "{:#?}", mirrored.log());
        sleep(SOON).await;
    }
    mirrored.sandbox.faults().remove(silent);
    until_fresh(&mirrored).await;
    assert_eq!(lists(&mirrored), [0; 3], "{:#?}", mirrored.log());
}

/// T7. Slices are the source of endpoints until the watch of Pods has told something.
#[tokio::test(start_paused = true)]
async fn pods_of_the_last_run_do_not_count_before_their_watch_has_told_something() {
    let ended = ended(End::Stopped).await;
    let late = ended.sandbox.faults().inject(Fault::Stall { on: on(Kind::Pod), missed: Missed::Deliver });
    let mirrored = ended.start().await;
    mirrored.until("fresh", is_fresh).await;
    for _ in 0..20 {
        assert_eq!(mirrored.addresses("pg-0.pg"), Some(vec![address(0, 2)]), "slices alone");
        sleep(SOON).await;
    }
    mirrored.sandbox.faults().remove(late.expect("a fault"));
    // Which slices do not know.
    pods::put(&mirrored.sandbox, Kind::Pod, pod(0, 3, true));
    answers(&mirrored, "pg-0.pg", &[address(0, 3)]).await;
    assert_eq!(lists(&mirrored), [0; 3], "{:#?}", mirrored.log());
}

/// A restart of a restart, before the watch of Pods has told something.
#[tokio::test(start_paused = true)]
async fn pods_that_did_not_count_when_the_state_was_saved_count_once_their_watch_has_told_something() {
    let ended = ended(End::Stopped).await;
    let late = Fault::Stall { on: on(Kind::Pod), missed: Missed::Deliver };
    let late = ended.sandbox.faults().inject(late).expect("a fault");
    let mirrored = ended.start().await;
    mirrored.until("fresh", is_fresh).await;
    let ended = mirrored.end(End::Stopped).await;
    ended.sandbox.faults().remove(late);
    let mirrored = ended.start().await;
    mirrored.until("fresh", is_fresh).await;
    pods::put(&mirrored.sandbox, Kind::Pod, pod(0, 3, true));
    answers(&mirrored, "pg-0.pg", &[address(0, 3)]).await;
    assert_eq!(lists(&mirrored), [0; 3], "{:#?}", mirrored.log());
}

/// Nothing changes that is mirrored, and everything else does: the server remembers little of it.
#[tokio::test(start_paused = true)]
async fn a_cluster_in_which_nothing_changes_is_resumed_from_where_the_bookmarks_were() {
    let mirrored = mirrored().await;
    sleep(TIMING.stale_after * 60).await;
    // Not a Pod of a StatefulSet.
    let mut other = pod(7, 7, true);
    other["metadata"]["labels"] = serde_json::json!({});
    pods::put(&mirrored.sandbox, Kind::Pod, other);
    mirrored.inject(Fault::Compact);
    sleep(TIMING.stale_after * 4).await;
    let mirrored = mirrored.end(End::Killed).await.start().await;
    until_fresh(&mirrored).await;
    assert_eq!(lists(&mirrored), [0; 3], "{:#?}", mirrored.log());
}

/// Whatever is watched otherwise than in the last run is listed.
#[tokio::test(start_paused = true)]
async fn another_selection_than_that_of_the_last_run_lists_everything() {
    let one = vec![Mirrored::Namespace("db".into())];
    for other in [
        Selection { headless_only: true, ..selection() },
        Selection { pods: PodSelection::All, ..selection() },
        Selection { scopes: one, ..selection() },
    ] {
        let mirrored = ended(End::Stopped).await.select(other).start().await;
        mirrored.converge("from nothing").await;
        mirrored.until("listed", |mirrored| lists(mirrored) == [1; 3]).await;
        assert_eq!(mirrored.logged("is ignored: it has Services"), 1, "{:#?}", mirrored.log());
    }
}

/// Other times are no other selection.
#[tokio::test(start_paused = true)]
async fn a_file_of_another_format_is_ignored_with_one_line_and_everything_is_listed() {
    let ended = ended(End::Stopped).await;
    let mut octets = fs::read(ended.file()).expect("a file");
    octets[12] = 3;
    fs::write(ended.file(), octets).expect("written");
    let timing = Timing { reconcile_every: Duration::from_secs(1000), ..TIMING };
    let mirrored = ended.select(Selection { timing, ..selection() }).start().await;
    mirrored.converge("from nothing").await;
    mirrored.until("listed", |mirrored| lists(mirrored) == [1; 3]).await;
    let [warning] = &mirrored.warnings()[..] else { panic!("{:#?}", mirrored.log()) };
    assert!(warning.contains("is ignored: its format is version 3, but this program reads version 5"), "{warning}");
}

const KILLS: usize = 40;

/// Objects and positions of a state are of one moment: whatever is lost by a kill is told again, and nothing else.
#[tokio::test(start_paused = true)]
async fn however_often_it_is_killed_while_the_cluster_changes_it_ends_with_the_truth() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut mirrored = mirrored().await;
    let mut listed = 0;
    for round in 0..KILLS {
        for _ in 0..random.random_range(0..60) {
            let name = format!("s{}", random.random_range(0..8));
            match random.random_range(0..3) {
                0 if mirrored.sandbox.store().get(Kind::Service, "db", &name).is_some() => mirrored.remove(&name),
                1 => put_pod(&mirrored.sandbox, random.random_range(1..200)),
                _ => mirrored.put(&name, &[random.random_range(1..200)]),
            }
            sleep(Duration::from_millis(random.random_range(0..200))).await;
        }
        if random.random_range(0..8) == 0 {
            mirrored.inject(Fault::Compact);
        }
        let end = if random.random_range(0..4) == 0 { End::Stopped } else { End::Killed };
        mirrored = mirrored.end(end).await.start().await;
        mirrored.until("synchronised", is_fresh).await;
        mirrored.converge(&format!("after restart {round}")).await;
        listed += usize::from(lists(&mirrored) != [0; 3]);
    }
    assert!(listed < KILLS / 2, "{listed} restarts of {KILLS} listed");
}
