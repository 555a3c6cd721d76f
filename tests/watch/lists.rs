//! Lists, as streams and in pages, and failures in the middle of one.

use std::time::Duration;

use headless_dns::cluster::{Scope as Mirrored, Selection};
use kube_sandbox::Sandbox;
use kube_sandbox::faults::{Cut, Fault, Missed, Scope, Verb};
use kube_sandbox::kind::Kind;
use tokio::time::{Instant, sleep};

use crate::support::mirrored::{Link, MirroredSandbox, TIMING, on, service, slice};
use crate::watch::misbehaving::{change, cut, with_something_to_change};

/// Objects on a page of a list, as kube asks for.
const PAGE: usize = 500;

/// So many Services that they take three pages; some have a slice.
fn many(sandbox: &Sandbox) {
    for i in 0..PAGE * 2 + 50 {
        let name = format!("s{i}");
        sandbox.store().create(Kind::Service, service(&name)).expect("a valid object");
        if i % 100 == 0 {
            sandbox.store().create(Kind::EndpointSlice, slice(&name, &[2])).expect("a valid object");
        }
    }
}

fn without_streaming() -> kube_sandbox::Options {
    kube_sandbox::Options { streaming_lists: false, ..kube_sandbox::Options::default() }
}

#[tokio::test(start_paused = true)]
async fn where_streaming_lists_are_refused_objects_are_listed_in_pages() {
    let mirrored = MirroredSandbox::start_with(without_streaming(), many).await;
    mirrored.converge("after the pages").await;
    assert!(mirrored.requests(Verb::List, "services") >= 3, "three pages");
    mirrored.put("new", &[9]);
    mirrored.remove("s700");
    mirrored.converge("after changes").await;
    mirrored.inject(Fault::Stall { on: Scope::all(), missed: Missed::Skip });
    mirrored.remove("s300");
    mirrored.sandbox.faults().clear();
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Expired });
    mirrored.converge("after relisting in pages").await;
    assert!(mirrored.warnings().is_empty(), "{:?}", mirrored.warnings());
}

/// A server, or a proxy in front of it, that does not know the parameters of a streaming list may say so in several ways.
#[tokio::test(start_paused = true)]
async fn however_streaming_lists_are_refused_objects_are_listed_in_pages() {
    for code in [400, 404, 405, 406, 415, 422] {
        let on = Scope::all().verb(Verb::Watch);
        // Each of three watches asks twice: a refusal of Protobuf is followed by a question for JSON.
        let refusal = Fault::Answer { on, code, retry_after: None, times: Some(6) };
        let mirrored = MirroredSandbox::start_with(kube_sandbox::Options::default(), |sandbox| {
            sandbox.faults().inject(refusal).expect("a fault");
        })
        .await;
        mirrored.converge(&format!("{code}")).await;
        assert!(mirrored.requests(Verb::List, "services") > 0, "{code}: {:#?}", mirrored.log());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_json_alone_is_understood() {
    for streaming_lists in [true, false] {
        let options = kube_sandbox::Options { protobuf: false, streaming_lists, ..kube_sandbox::Options::default() };
        let mirrored = MirroredSandbox::start_with(options, many).await;
        mirrored.converge("after the lists").await;
        mirrored.put("new", &[9]);
        mirrored.remove("s700");
        mirrored.converge("after changes").await;
        assert!(mirrored.warnings().is_empty(), "{:?}", mirrored.warnings());
    }
}

/// 406 (RFC 9110 section 15.5.7) and 415 are how a proxy, or an API server of another make, may refuse an encoding.
#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_protobuf_is_asked_for_json_from_then_on() {
    for code in [406, 415] {
        let mirrored = MirroredSandbox::start_with(kube_sandbox::Options::default(), |sandbox| {
            let on = on(Kind::Service).verb(Verb::Watch);
            sandbox.faults().inject(Fault::Answer { on, code, retry_after: None, times: Some(1) }).expect("a fault");
        })
        .await;
        mirrored.converge("after the refusal").await;
        assert_eq!(mirrored.requests(Verb::List, "services"), 0, "the streaming list is not what was refused");
        assert!(mirrored.warnings().is_empty(), "{:?}", mirrored.warnings());
        let told = mirrored.log().iter().filter(|line| line.contains("does not speak Protobuf")).count();
        assert_eq!(told, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_continue_token_expires_is_restarted() {
    let mirrored = MirroredSandbox::start_with(without_streaming(), |sandbox| {
        many(sandbox);
        // Long enough to see that the second page has been asked for, and to act before it is given.
        let delay = Fault::Delay { on: on(Kind::Service).verb(Verb::List), milliseconds: 500 };
        sandbox.faults().inject(delay).expect("a fault");
    })
    .await;
    mirrored.until("asked for a second page", |mirrored| mirrored.requests(Verb::List, "services") == 2).await;
    mirrored.remove("s100");
    mirrored.remove("s900");
    mirrored.put("new", &[9]);
    mirrored.inject(Fault::Compact);
    mirrored.until("the page is gone", |mirrored| mirrored.errors("services", "gone") == 1).await;
    assert!(!mirrored.readiness.is_ready(), "an incomplete list does not count");
    mirrored.sandbox.faults().clear();
    mirrored.converge("after a whole list").await;
}

/// Part of a list that never completes is no recovery: otherwise each attempt would log one, and reset the backoff.
#[tokio::test(start_paused = true)]
async fn a_list_whose_second_page_keeps_failing_is_one_problem() {
    let mirrored = MirroredSandbox::start_with(without_streaming(), |sandbox| {
        many(sandbox);
        // Long enough to see that the second page has been asked for, and to act before it is given.
        let delay = Fault::Delay { on: on(Kind::Service).verb(Verb::List), milliseconds: 500 };
        sandbox.faults().inject(delay).expect("a fault");
    })
    .await;
    for failures in 1..=3 {
        let pages = 2 * failures;
        mirrored.until("on page two", |mirrored| mirrored.requests(Verb::List, "services") == pages).await;
        let lists = on(Kind::Service).verb(Verb::List);
        mirrored.inject(Fault::Answer { on: lists, code: 500, retry_after: None, times: Some(1) });
        mirrored.until("refused", |mirrored| mirrored.errors("services", "server") == failures).await;
    }
    assert_eq!(mirrored.warnings().len(), 1, "{:#?}", mirrored.warnings());
    assert_eq!(mirrored.logged("the watch works again"), 0, "{:#?}", mirrored.log());
    mirrored.sandbox.faults().clear();
    mirrored.until("over", |mirrored| mirrored.logged("the watch works again") == 1).await;
    mirrored.converge("after a whole list").await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lists_in_pages_and_refuses_every_watch_is_one_problem() {
    let mirrored = MirroredSandbox::start_with(without_streaming(), |_| {}).await;
    mirrored.converge("at the start").await;
    let verb = on(Kind::Service).verb(Verb::Watch);
    mirrored.inject(Fault::Answer { on: verb, code: 400, retry_after: None, times: None });
    mirrored.inject(cut(Kind::Service, Cut::Expired));
    mirrored.until("tried", |mirrored| mirrored.errors("services", "other") == 3).await;
    assert_eq!(mirrored.warnings().len(), 1, "{:#?}", mirrored.warnings());
    assert_eq!(mirrored.logged("the watch works again"), 0, "{:#?}", mirrored.log());
    mirrored.sandbox.faults().clear();
    mirrored.until("over", |mirrored| mirrored.logged("the watch works again") == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_to_resume_a_watch_does_not_disable_streaming_lists() {
    for code in [400, 422] {
        let mirrored = with_something_to_change().await;
        let verb = on(Kind::EndpointSlice).verb(Verb::Watch);
        mirrored.inject(Fault::Answer { on: verb, code, retry_after: None, times: Some(1) });
        mirrored.inject(cut(Kind::EndpointSlice, Cut::Clean));
        change(&mirrored);
        mirrored.converge("after the refusal").await;
        assert_eq!(mirrored.errors("endpointslices", "other"), 1, "{code}");
        assert_eq!(mirrored.requests(Verb::List, "endpointslices"), 0, "{code}: a list is still a stream");
    }
}

/// As the API server lists a namespace that does not exist.
#[tokio::test(start_paused = true)]
async fn a_namespace_without_a_service_is_named_once_in_the_log() {
    let scopes = ["db", "typo"].map(|namespace| Mirrored::Namespace(namespace.into())).to_vec();
    let selection = Selection::of(scopes, TIMING);
    let mirrored = MirroredSandbox::over(Link::InProcess, selection, kube_sandbox::Options::default(), |_| {}).await;
    mirrored.until("ready", |mirrored| mirrored.readiness.is_ready()).await;
    mirrored.inject(cut(Kind::Service, Cut::Expired));
    mirrored.converge("after another list").await;
    tokio::time::sleep(TIMING.stale_after).await;
    let named = "the namespace has no Service yet; does it exist? namespace=typo";
    assert_eq!((mirrored.logged(named), mirrored.logged("does it exist?")), (1, 1), "{:#?}", mirrored.log());
}

/// So many replicas that no two halves of the time that lists are spread over are without one, but once in a million.
const REPLICAS: usize = 20;

/// How long after `fault` each of many replicas has listed everything.
async fn until_listed(fault: &[Fault]) -> Vec<Duration> {
    let mut delays = Vec::new();
    for _ in 0..REPLICAS {
        let mirrored = with_something_to_change().await;
        sleep(Duration::from_secs(2)).await;
        let lists = || mirrored.metric("watch_events_total{resource=\"services\",event=\"relist\"}");
        let (listed, began) = (lists(), Instant::now());
        fault.iter().for_each(|fault| _ = mirrored.inject(fault.clone()));
        mirrored.until("listed", |_| lists() > listed).await;
        delays.push(began.elapsed());
    }
    delays.sort();
    delays
}

/// T5. Behind one API server there may be hundreds of replicas.
#[tokio::test(start_paused = true)]
async fn replicas_that_have_to_list_at_the_same_moment_spread_their_lists_and_wait_no_longer_than_they_may() {
    let compacted = [Fault::CutWatches { on: Scope::all(), how: Cut::Expired }];
    let replaced = [Fault::Replace { revision: Some(1_000_000) }];
    for fault in [&compacted, &replaced] {
        let delays = until_listed(fault).await;
        let (first, last) = (delays[0], delays[REPLICAS - 1]);
        assert!(last <= Duration::from_millis(700), "{fault:?}: {delays:?}");
        assert!(last - first > Duration::from_millis(250), "{fault:?}: {delays:?}");
    }
}
