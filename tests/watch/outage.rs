//! Outages: the API server is gone, restarted, restored from a backup, behind a dead link, or its watch skips events.
//! Queries are sent all the time; none fails, and no answer goes back in time further than the server itself does.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headless_dns::cluster::Timing;
use jiff::Timestamp;
use kube_sandbox::faults::{Cut, Fault, Missed, Scope};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::support::common::PATIENCE;
use crate::support::mirrored::{LOOK, MirroredSandbox, TIMING, addresses};

/// When a watch is stale in these tests.
const STALE_AFTER: Duration = Duration::from_secs(3);
/// How soon the return of a server is noticed.
const SOON: Duration = Duration::from_secs(1);
/// *Stale Answer* and *Other Error*, RFC 8914.
const STALE: u16 = 3;
const OTHER: u16 = 0;

/// A client that queries all the time: for the Service `steady`, which never changes, and for the Service `clock`, whose only
/// address counts up.
struct Witness {
    /// The answers for `clock`, without repetitions.
    history: Arc<Mutex<Vec<Option<Vec<Ipv4Addr>>>>>,
    asking: AbortOnDropHandle<()>,
}

impl Witness {
    fn of(mirrored: &MirroredSandbox) -> Self {
        let (responder, history) = (Arc::clone(&mirrored.responder), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&history);
        let asking = async move {
            loop {
                assert_eq!(addresses(&responder, "steady"), Some(vec![Ipv4Addr::new(10, 0, 0, 1)]));
                let clock = addresses(&responder, "clock");
                {
                    let mut seen = seen.lock().expect("no panic");
                    if seen.last() != Some(&clock) {
                        seen.push(clock);
                    }
                }
                sleep(LOOK).await;
            }
        };
        Self { history, asking: AbortOnDropHandle::new(tokio::spawn(asking)) }
    }

    /// Waits for the last of these states of `clock`, and checks that the answers followed them in order. Some may have been
    /// missed.
    async fn saw(self, states: &[u8]) {
        let states: Vec<_> = states.iter().map(|last| Some(vec![Ipv4Addr::new(10, 0, 0, *last)])).collect();
        let history = || self.history.lock().expect("no panic").clone();
        let last = async {
            while history().last() != states.last() {
                sleep(LOOK).await;
            }
        };
        assert!(timeout(PATIENCE, last).await.is_ok(), "never {:?}: {:?}", states.last(), history());
        assert!(!self.asking.is_finished(), "a question without its answer");
        let mut expected = states.iter();
        assert!(history().iter().all(|seen| expected.any(|state| state == seen)), "{:?}", history());
    }
}

/// A mirror of the Services `steady`, `clock` at 1, `changed` and `gone`.
async fn mirrored(timing: Timing) -> MirroredSandbox {
    let mirrored = MirroredSandbox::timed(timing, kube_sandbox::Options::default(), |_| {}).await;
    mirrored.put("clock", &[1]);
    mirrored.put("changed", &[4]);
    mirrored.put("gone", &[6]);
    mirrored.converge("before the outage").await;
    mirrored
}

/// Every kind of change, and `clock` at `last`.
fn change(mirrored: &MirroredSandbox, last: u8) {
    mirrored.put("new", &[9]);
    mirrored.put("changed", &[4, 5]);
    mirrored.remove("gone");
    mirrored.put("clock", &[last]);
}

/// Takes the server down, and waits until all watches have noticed.
async fn take_down(mirrored: &MirroredSandbox) -> u64 {
    const WATCHES: [&str; 2] = ["services", "endpointslices"];
    let failures = WATCHES.map(|resource| mirrored.errors(resource, "unreachable"));
    let down = mirrored.inject(Fault::Down { milliseconds: None });
    for (resource, before) in WATCHES.into_iter().zip(failures) {
        mirrored.until("noticed", |mirrored| mirrored.errors(resource, "unreachable") > before).await;
    }
    down
}

fn stale_soon() -> Timing {
    Timing { stale_after: STALE_AFTER, ..TIMING }
}

async fn until_stale(mirrored: &MirroredSandbox) {
    mirrored
        .until("stale", |mirrored| mirrored.extended_errors_of("clock").iter().any(|(code, _)| *code == STALE))
        .await;
}

async fn until_fresh(mirrored: &MirroredSandbox) {
    mirrored.until("fresh", |mirrored| mirrored.extended_errors_of("clock").is_empty()).await;
    assert_eq!(mirrored.metric("stale_seconds"), 0);
}

/// T2.
#[tokio::test(start_paused = true)]
async fn while_the_server_is_down_the_last_known_answers_are_served_with_the_time_since_which_they_are_stale() {
    let mirrored = mirrored(stale_soon()).await;
    let witness = Witness::of(&mirrored);
    assert_eq!(mirrored.extended_errors_of("clock"), []);
    let began = Instant::now();
    let down = take_down(&mirrored).await;
    change(&mirrored, 2);
    until_stale(&mirrored).await;

    let errors = mirrored.extended_errors_of("clock");
    let [(STALE, text)] = &errors[..] else { panic!("{errors:?}") };
    let since = text.strip_prefix("no contact with the API server since ").expect("since when");
    let since: Timestamp = since.parse().expect("a time");
    // The time of the last word, in whole seconds.
    let silent = Duration::try_from(Timestamp::now().duration_since(since)).expect("in the past");
    assert!(silent >= STALE_AFTER, "{silent:?}");
    assert!(silent <= began.elapsed() + LOOK + Duration::from_secs(1), "{silent:?} after {:?}", began.elapsed());
    let absent = mirrored.extended_errors_of("new");
    let expected = [(STALE, text.clone()), (OTHER, "there is no Service new in namespace db".to_owned())];
    assert_eq!(absent, expected, "denials are stale too");
    assert!(mirrored.metric("stale_seconds") >= STALE_AFTER.as_secs() - 1);
    assert!(mirrored.readiness.is_ready(), "old answers are better than none");

    mirrored.sandbox.faults().remove(down);
    mirrored.converge("after the server is back").await;
    until_fresh(&mirrored).await;
    witness.saw(&[1, 2]).await;
    assert_eq!(mirrored.logged("serving stale answers"), 1, "{:#?}", mirrored.log());
    assert_eq!(mirrored.logged("there is word from the cluster again"), 1, "{:#?}", mirrored.log());
    assert_eq!(mirrored.warnings().len(), 2, "unreachable, and stale: {:#?}", mirrored.warnings());
}

/// T2.
#[tokio::test(start_paused = true)]
async fn a_watch_on_which_nothing_changes_is_never_stale() {
    // The server sends nothing by itself.
    let options =
        kube_sandbox::Options { bookmark_interval: Duration::from_secs(3600), ..kube_sandbox::Options::default() };
    let mirrored = MirroredSandbox::timed(stale_soon(), options, |_| {}).await;
    mirrored.converge("at the start").await;
    let began = Instant::now();
    mirrored.until("much later", |_| began.elapsed() > STALE_AFTER * 2).await;
    assert_eq!(
        (mirrored.logged("as stale"), mirrored.extended_errors_of("steady")),
        (0, vec![]),
        "{:#?}",
        mirrored.log()
    );
}

#[tokio::test(start_paused = true)]
async fn the_return_of_a_server_is_noticed_within_a_second_however_long_it_was_down() {
    let mirrored = mirrored(TIMING).await;
    let witness = Witness::of(&mirrored);
    let down = take_down(&mirrored).await;
    // So many attempts that a backoff without a limit would have reached half a minute.
    for resource in ["services", "endpointslices"] {
        mirrored.until("tried", |mirrored| mirrored.errors(resource, "unreachable") >= 8).await;
    }
    change(&mirrored, 2);
    mirrored.sandbox.faults().remove(down);
    let back = Instant::now();
    mirrored.converge("after the server is back").await;
    assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    witness.saw(&[1, 2]).await;
    assert_eq!(mirrored.warnings().len(), 1, "one for all watches: {:#?}", mirrored.warnings());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_restarts_without_its_event_log_is_relisted() {
    let mirrored = mirrored(TIMING).await;
    let witness = Witness::of(&mirrored);
    for round in 2..4 {
        let down = take_down(&mirrored).await;
        mirrored.put(&format!("new-{round}"), &[9]);
        mirrored.put("clock", &[round]);
        mirrored.inject(Fault::Compact);
        mirrored.sandbox.faults().remove(down);
        mirrored.converge("after the restart").await;
    }
    witness.saw(&[1, 2, 3]).await;
}

/// T5.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_restored_from_a_backup_is_believed() {
    let mirrored = mirrored(TIMING).await;
    let witness = Witness::of(&mirrored);
    mirrored.inject(Fault::Snapshot);
    change(&mirrored, 2);
    mirrored.converge("before the restore").await;
    mirrored.inject(Fault::Restore);
    mirrored.converge("after the restore").await;
    assert!(mirrored.addresses("gone").is_some() && mirrored.addresses("new").is_none());
    change(&mirrored, 3);
    mirrored.converge("with resourceVersions that are used a second time").await;
    witness.saw(&[1, 2, 1, 3]).await;
}

/// T2.
#[tokio::test(start_paused = true)]
async fn a_dead_link_is_noticed_and_replaced() {
    let mirrored = mirrored(stale_soon()).await;
    let witness = Witness::of(&mirrored);
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Silent });
    change(&mirrored, 2);
    until_stale(&mirrored).await;
    assert!(mirrored.difference().is_some(), "the changes are not known");
    mirrored.converge("over another link").await;
    until_fresh(&mirrored).await;
    witness.saw(&[1, 2]).await;
}

fn repairs(mirrored: &MirroredSandbox) -> [u64; 2] {
    ["services", "endpointslices"]
        .map(|resource| mirrored.metric(&format!("reconcile_repairs_total{{resource=\"{resource}\"}}")))
}

/// For every kind of change: a new object, a changed one, and a deleted one.
#[tokio::test(start_paused = true)]
async fn what_a_watch_misses_is_repaired_by_the_next_reconcile_and_counted() {
    let mirrored = mirrored(Timing { reconcile_every: Duration::from_secs(2), ..TIMING }).await;
    let witness = Witness::of(&mirrored);
    let stall = mirrored.inject(Fault::Stall { on: Scope::all(), missed: Missed::Skip });
    change(&mirrored, 2);
    mirrored.sandbox.faults().remove(stall);
    mirrored.converge("after a reconcile").await;
    // `new` and `gone`; those and `changed` and `clock`.
    mirrored.until("counted", |mirrored| repairs(mirrored) == [2, 4]).await;
    assert_eq!(mirrored.logged("reconcile repaired objects that the watch missed"), 2, "{:#?}", mirrored.log());
    witness.saw(&[1, 2]).await;

    let lists =
        |mirrored: &MirroredSandbox| mirrored.metric("watch_events_total{resource=\"services\",event=\"relist\"}");
    let before = lists(&mirrored);
    mirrored.until("reconciled again", |mirrored| lists(mirrored) >= before + 2).await;
    assert_eq!(repairs(&mirrored), [2, 4], "what was put right stays right");
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_in_the_middle_of_changes_repairs_nothing() {
    let mirrored = mirrored(Timing { reconcile_every: Duration::from_millis(500), ..TIMING }).await;
    let lists = |mirrored: &MirroredSandbox| {
        mirrored.metric("watch_events_total{resource=\"endpointslices\",event=\"relist\"}")
    };
    let last = std::cell::Cell::new(1);
    let busy = |mirrored: &MirroredSandbox| {
        last.set(last.get() % 200 + 1);
        mirrored.put("clock", &[last.get()]);
        mirrored.put(&format!("new-{}", last.get()), &[last.get()]);
        lists(mirrored) >= 8
    };
    mirrored.until("reconciled", busy).await;
    mirrored.converge("after the changes").await;
    assert_eq!(repairs(&mirrored), [0, 0], "{:#?}", mirrored.log());
}

/// The relist after an error is not a reconcile.
#[tokio::test(start_paused = true)]
async fn a_list_after_a_lost_position_is_not_a_repair() {
    let mirrored = mirrored(Timing { reconcile_every: Duration::from_secs(3600), ..TIMING }).await;
    let stall = mirrored.inject(Fault::Stall { on: Scope::all(), missed: Missed::Skip });
    change(&mirrored, 2);
    mirrored.sandbox.faults().remove(stall);
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Expired });
    mirrored.converge("after the list").await;
    assert_eq!(repairs(&mirrored), [0, 0]);
}
