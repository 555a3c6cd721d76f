//! A server that is not the one of before: restored from a backup, emptied, or another cluster's. It accepts a watch from a
//! version that it has not reached, and is silent.

use std::time::Duration;

use headless_dns::cluster::{PodSelection, Scope as Mirrored, Selection};
use kube_sandbox::Options;
use kube_sandbox::faults::{Cut, Fault, Missed, Scope, Verb};
use kube_sandbox::kind::Kind;
use tokio::time::{Instant, sleep};

use crate::support::mirrored::{Link, MirroredSandbox, TIMING, on};
use crate::watch::misbehaving::{change, with_something_to_change};
use crate::watch::pods::{self, put};

const RESOURCES: [&str; 3] = ["services", "endpointslices", "pods"];
/// How soon the answers are those of the server that is there now, once a watch is made again.
const SOON: Duration = Duration::from_secs(1);
/// The same after the server is back: a watch that was refused the connection again and again is made again at most 0.8 s later.
const SOON_BACK: Duration = Duration::from_millis(1_800);

/// Waits until the answers are those of the server as it is now.
async fn believed(mirrored: &MirroredSandbox, within: Duration, what: &str) {
    let began = Instant::now();
    mirrored.until(what, |mirrored| mirrored.difference().is_none()).await;
    assert!(began.elapsed() <= within, "{what}: {:?} {:#?}", began.elapsed(), mirrored.log());
}

/// Takes the server away until the pauses of a watch are the longest. Returns the fault.
async fn out_of_reach(mirrored: &MirroredSandbox, resource: &str) -> u64 {
    let down = mirrored.inject(Fault::Down { milliseconds: None });
    mirrored.until("noticed", |mirrored| mirrored.errors(resource, "unreachable") > 5).await;
    down
}

fn relists(mirrored: &MirroredSandbox) -> Vec<u64> {
    let relists =
        |resource| mirrored.metric(&format!("watch_events_total{{resource=\"{resource}\",event=\"relist\"}}"));
    RESOURCES.map(relists).to_vec()
}

fn questions(mirrored: &MirroredSandbox) -> Vec<u64> {
    RESOURCES.map(|resource| mirrored.requests(Verb::List, resource)).to_vec()
}

/// T5.
#[tokio::test(start_paused = true)]
async fn names_that_were_gone_are_answered_within_a_second_after_etcd_was_put_back() {
    let mirrored = with_something_to_change().await;
    mirrored.inject(Fault::Snapshot);
    change(&mirrored);
    mirrored.converge("before the restore").await;
    mirrored.inject(Fault::Restore);
    believed(&mirrored, SOON, "after the restore").await;
    assert!(mirrored.addresses("gone").is_some() && mirrored.addresses("new").is_none());
    // The watch of Pods had stopped at a version from before the snapshot.
    assert_eq!(mirrored.logged("restored from a backup, or replaced"), 2, "{:#?}", mirrored.log());
    assert_eq!(mirrored.extended_errors_of("steady"), []);
}

/// T5.
#[tokio::test(start_paused = true)]
async fn old_names_are_denied_within_a_second_after_etcd_was_emptied() {
    let mirrored = with_something_to_change().await;
    let down = out_of_reach(&mirrored, "services").await;
    mirrored.inject(Fault::Empty);
    mirrored.put("fresh", &[8]);
    mirrored.sandbox.faults().remove(down);
    believed(&mirrored, SOON_BACK, "after the server is back").await;
    assert!(mirrored.addresses("steady").is_none() && mirrored.addresses("fresh").is_some());
}

/// T5. Its resourceVersion may be behind, or ahead, where no version tells.
#[tokio::test(start_paused = true)]
async fn another_cluster_in_the_place_of_this_one_is_noticed_within_a_second() {
    let scopes = [vec![Mirrored::All], vec![Mirrored::Namespace("db".into()), Mirrored::Namespace("other".into())]];
    for (scopes, headless_only) in scopes.into_iter().zip([false, true]) {
        for revision in [None, Some(1), Some(1_000_000)] {
            let selection =
                Selection { headless_only, pods: PodSelection::All, ..Selection::of(scopes.clone(), TIMING) };
            let mirrored = MirroredSandbox::over(Link::InProcess, selection, Options::default(), |_| {}).await;
            mirrored.put("gone", &[6]);
            mirrored.put("changed", &[4]);
            mirrored.converge("before").await;
            // The other cluster has had this state all along: its watches have nothing to tell.
            change(&mirrored);
            mirrored.inject(Fault::Replace { revision });
            believed(&mirrored, SOON, &format!("{scopes:?} at {revision:?}")).await;
            assert!(mirrored.addresses("gone").is_none() && mirrored.addresses("new").is_some());
        }
    }
}

/// T5. A watch that knew of nothing has nothing to ask for by name. The first object of the other cluster proves nothing: it is new.
#[tokio::test(start_paused = true)]
async fn another_cluster_that_has_pods_where_this_one_had_none_is_noticed_whichever_of_them_is_the_first() {
    let mirrored = with_something_to_change().await;
    put(&mirrored.sandbox, Kind::Service, pods::service());
    // More changes than the other cluster has objects, so that one of those has a version which the watch has passed.
    (1..10).for_each(|last| mirrored.put("changed", &[last]));
    mirrored.converge("before").await;
    // The watch of Pods gets there with its bookmarks.
    sleep(TIMING.stale_after).await;
    let down = out_of_reach(&mirrored, "pods").await;
    put(&mirrored.sandbox, Kind::Pod, pods::pod(1, 1, true));
    mirrored.inject(Fault::Replace { revision: Some(1_000_000) });
    put(&mirrored.sandbox, Kind::Pod, pods::pod(0, 1, true));
    mirrored.sandbox.faults().remove(down);
    believed(&mirrored, SOON_BACK, "after the server is back").await;
    assert_eq!(mirrored.addresses("pg"), Some(vec![pods::address(0, 1), pods::address(1, 1)]));
}

/// T5. The watches ended at their time, and were refused when they were to go on.
#[tokio::test(start_paused = true)]
async fn another_cluster_that_takes_over_while_watches_are_refused_is_noticed_when_they_go_on() {
    let mirrored = with_something_to_change().await;
    let on = Scope::all().verb(Verb::Watch);
    let refusing = mirrored.inject(Fault::Answer { on, code: 503, retry_after: None, times: None });
    let is_refused = |mirrored: &MirroredSandbox| RESOURCES.iter().all(|of| mirrored.errors(of, "server") > 0);
    mirrored.until("refused", is_refused).await;
    // The other cluster has had this state all along: its watches have nothing to tell.
    change(&mirrored);
    mirrored.inject(Fault::Replace { revision: Some(1_000_000) });
    mirrored.sandbox.faults().remove(refusing);
    believed(&mirrored, TIMING.stale_after, "after the refusals").await;
}

/// T5. It is known by what it tells no sooner than it is known to be the same.
#[tokio::test(start_paused = true)]
async fn another_cluster_is_noticed_though_its_watches_tell_at_once_of_objects_of_the_same_names() {
    let mirrored = with_something_to_change().await;
    let down = out_of_reach(&mirrored, "services").await;
    mirrored.inject(Fault::Empty);
    // What the other cluster has beside this is as old as it may be.
    mirrored.put("old", &[9]);
    mirrored.inject(Fault::Replace { revision: Some(1_000_000) });
    mirrored.put("steady", &[1]);
    mirrored.put("changed", &[4, 5]);
    mirrored.sandbox.faults().remove(down);
    believed(&mirrored, SOON_BACK, "after the server is back").await;
    assert!(mirrored.addresses("gone").is_none() && mirrored.addresses("old").is_some());
}

/// T5. The objects by which the server was known are gone, and one that it does not have is still answered.
#[tokio::test(start_paused = true)]
async fn another_cluster_is_noticed_though_all_that_this_one_was_known_by_was_deleted_before() {
    let mirrored = with_something_to_change().await;
    mirrored.put("last", &[7]);
    for name in ["steady", "changed", "gone"] {
        mirrored.remove(name);
    }
    mirrored.until("followed", |mirrored| mirrored.difference().is_none()).await;
    let down = out_of_reach(&mirrored, "services").await;
    mirrored.inject(Fault::Empty);
    mirrored.inject(Fault::Replace { revision: Some(1_000_000) });
    mirrored.put("fresh", &[8]);
    mirrored.sandbox.faults().remove(down);
    believed(&mirrored, SOON_BACK, "after the server is back").await;
    assert!(mirrored.addresses("last").is_none() && mirrored.addresses("fresh").is_some());
}

/// T5. Nothing told the watch: the link was dead, and it gives up a while after the time at which the server was to end it.
#[tokio::test(start_paused = true)]
async fn a_restore_behind_a_dead_link_is_noticed_when_the_watch_is_made_again() {
    let mirrored = with_something_to_change().await;
    mirrored.inject(Fault::Snapshot);
    change(&mirrored);
    mirrored.converge("before the restore").await;
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Silent });
    sleep(SOON).await;
    mirrored.inject(Fault::Restore);
    believed(&mirrored, TIMING.stale_after, "over another link").await;
}

/// T5. A watch that ended properly, on a server that was replaced before it was resumed.
#[tokio::test]
async fn a_watch_over_a_new_connection_asks_whether_the_server_is_the_same() {
    let timing = headless_dns::cluster::Timing { stale_after: Duration::from_secs(2), ..TIMING };
    let selection = Selection::of(vec![Mirrored::All], timing);
    let closing = Fault::CloseConnections { on: Scope::all() };
    let mirrored = MirroredSandbox::over(Link::Sockets, selection, Options::default(), |sandbox| {
        sandbox.faults().inject(closing).expect("a fault that can strike");
    })
    .await;
    mirrored.converge("at the start").await;
    let before = relists(&mirrored);
    mirrored.until("asked", |mirrored| questions(mirrored).iter().all(|count| *count > 0)).await;
    assert_eq!(relists(&mirrored)[..2], before[..2], "{:#?}", mirrored.log());
    assert!(mirrored.warnings().is_empty(), "{:#?}", mirrored.warnings());
}

/// T5. What a restored server costs must not be paid for each outage of a healthy one.
#[tokio::test(start_paused = true)]
async fn after_an_outage_a_healthy_server_is_asked_one_question_for_each_watch_and_lists_nothing() {
    let mirrored = with_something_to_change().await;
    sleep(SOON).await;
    let (relisted, mut asked) = (relists(&mirrored), 0);
    assert_eq!(questions(&mirrored), [asked; 3]);
    for cut in [Some(Cut::Clean), Some(Cut::Abrupt), None] {
        match cut {
            Some(how) => _ = mirrored.inject(Fault::CutWatches { on: Scope::all(), how }),
            None => _ = mirrored.inject(Fault::Down { milliseconds: Some(20_000) }),
        }
        mirrored.put("clock", &[1 + asked as u8]);
        mirrored.converge("after the outage").await;
        sleep(SOON * 2).await;
        asked += 1;
        assert_eq!(questions(&mirrored), [asked; 3], "{cut:?}: {:#?}", mirrored.log());
    }
    // The watch ends at its time many times.
    sleep(TIMING.stale_after * 20).await;
    assert_eq!((questions(&mirrored), relists(&mirrored)), (vec![asked; 3], relisted));
}

/// T5. What was created while nobody watched is told, however much it is.
#[tokio::test(start_paused = true)]
async fn a_watch_that_knew_of_nothing_lists_nothing_after_an_outage_in_which_objects_were_created() {
    let mirrored = with_something_to_change().await;
    put(&mirrored.sandbox, Kind::Service, pods::service());
    mirrored.converge("before").await;
    let relisted = relists(&mirrored);
    let down = out_of_reach(&mirrored, "pods").await;
    (0..3).for_each(|ordinal| put(&mirrored.sandbox, Kind::Pod, pods::pod(ordinal, 1, true)));
    mirrored.sandbox.faults().remove(down);
    pods::answers(&mirrored, "pg", &[0, 1, 2].map(|ordinal| pods::address(ordinal, 1))).await;
    sleep(SOON * 2).await;
    assert_eq!(relists(&mirrored), relisted, "{:#?}", mirrored.log());
}

/// T5. Of several API servers, one may lag: the question is not answered from what that one has heard of.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_lags_behind_another_is_not_taken_for_a_restored_one() {
    let mirrored = with_something_to_change().await;
    sleep(SOON).await;
    let relisted = relists(&mirrored);
    // The watches go on on a server that has not heard of the last changes.
    let lag = mirrored.inject(Fault::Stall { on: Scope::all().verb(Verb::Watch), missed: Missed::Deliver });
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Abrupt });
    change(&mirrored);
    sleep(SOON * 10).await;
    mirrored.sandbox.faults().remove(lag);
    mirrored.converge("once it has caught up").await;
    assert_eq!(relists(&mirrored), relisted, "{:#?}", mirrored.log());
}

/// T5. Where the server does not say at which version it is, the watch goes on, and is asked less and less often.
#[tokio::test(start_paused = true)]
async fn a_question_that_fails_is_asked_again_and_holds_nothing_up() {
    for code in [429, 500, 503] {
        let mirrored = with_something_to_change().await;
        sleep(SOON).await;
        let relisted = relists(&mirrored);
        let fault = Fault::Answer { on: Scope::all().verb(Verb::List), code, retry_after: None, times: None };
        let fault = mirrored.inject(fault);
        mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Abrupt });
        change(&mirrored);
        believed(&mirrored, SOON, "the watch goes on").await;
        sleep(TIMING.stale_after / 2).await;
        assert!(questions(&mirrored).iter().all(|asked| (3..10).contains(asked)), "{:?}", questions(&mirrored));
        mirrored.sandbox.faults().remove(fault);
        sleep(TIMING.stale_after).await;
        assert_eq!(relists(&mirrored), relisted, "{code}: {:#?}", mirrored.log());
        // The next outage has nothing to do with this one: what fails then for the first time is asked again soon.
        let before = questions(&mirrored);
        let on = Scope::all().verb(Verb::List);
        mirrored.inject(Fault::Answer { on, code, retry_after: None, times: Some(3) });
        mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Abrupt });
        sleep(SOON * 2).await;
        let twice: Vec<_> = before.iter().map(|asked| asked + 2).collect();
        assert_eq!(questions(&mirrored), twice, "{code}: {:#?}", mirrored.log());
    }
}

/// T5. An account that may watch and not list lists by a watch.
#[tokio::test(start_paused = true)]
async fn where_the_question_is_forbidden_everything_is_listed_anew() {
    let mirrored = with_something_to_change().await;
    sleep(SOON).await;
    let relisted = relists(&mirrored);
    mirrored.inject(Fault::Snapshot);
    change(&mirrored);
    mirrored.converge("before the restore").await;
    let on = Scope::all().verb(Verb::List);
    mirrored.inject(Fault::Answer { on, code: 403, retry_after: None, times: None });
    mirrored.inject(Fault::Restore);
    believed(&mirrored, SOON, "after the restore").await;
    sleep(TIMING.stale_after * 3).await;
    let once: Vec<_> = relisted.iter().map(|count| count + 1).collect();
    assert_eq!(relists(&mirrored), once, "{:#?}", mirrored.log());
}

/// T5. While the server accepts watches and does not say at which version it is, the clock runs.
#[tokio::test(start_paused = true)]
async fn a_restored_server_that_answers_no_question_is_stale_in_time() {
    let mirrored = with_something_to_change().await;
    mirrored.inject(Fault::Snapshot);
    change(&mirrored);
    mirrored.converge("before the restore").await;
    let on = Scope::all().verb(Verb::List);
    mirrored.inject(Fault::Answer { on, code: 503, retry_after: None, times: None });
    mirrored.inject(Fault::Restore);
    sleep(TIMING.stale_after + SOON).await;
    assert_eq!(mirrored.extended_errors_of("steady").len(), 1, "{:#?}", mirrored.log());
    mirrored.sandbox.faults().clear();
    believed(&mirrored, TIMING.stale_after, "once it answers").await;
}

/// The objects that a watch knows its server by may be deleted while nobody watches. If it knows no other one, that costs a
/// list, and nothing else.
#[tokio::test(start_paused = true)]
async fn objects_that_are_deleted_during_an_outage_cost_a_list_only_if_the_watch_knows_no_other() {
    for (deleted, lists) in [(&["steady"][..], 0), (&["steady", "changed", "gone"], 1)] {
        let mirrored = with_something_to_change().await;
        sleep(SOON).await;
        let before = relists(&mirrored);
        mirrored.inject(Fault::CutWatches { on: on(Kind::Service), how: Cut::Abrupt });
        for name in deleted {
            mirrored.sandbox.store().delete(Kind::Service, "db", name, None).expect("it is there");
        }
        believed(&mirrored, SOON, "after the cut").await;
        sleep(TIMING.stale_after).await;
        assert_eq!(relists(&mirrored), [before[0] + lists, before[1], before[2]], "{:#?}", mirrored.log());
        assert!(mirrored.warnings().is_empty(), "{:#?}", mirrored.warnings());
    }
}
