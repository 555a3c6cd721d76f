//! What counts as word from the cluster, and what follows without it, at the default times.

use std::time::Duration;

use kube_sandbox::Options;
use kube_sandbox::faults::{Cut, Fault, Missed, Scope, Verb};
use tokio::time::{Instant, sleep};

use crate::support::mirrored::{MirroredSandbox, TIMING};

/// *Stale Answer*, RFC 8914.
const STALE: u16 = 3;
/// A moment more or less than a time that is awaited.
const MOMENT: Duration = Duration::from_secs(1);

/// A server that sends nothing by itself, so that the last word of each watch is its list.
async fn quiet() -> MirroredSandbox {
    let options = Options { bookmark_interval: Duration::from_secs(3600), ..Options::default() };
    let mirrored = MirroredSandbox::start_with(options, |_| {}).await;
    mirrored.put("redis", &[7]);
    mirrored.converge("before the fault").await;
    mirrored
}

fn is_stale(mirrored: &MirroredSandbox) -> bool {
    mirrored.extended_errors_of("redis").iter().any(|(code, _)| *code == STALE)
}

/// What the answers say of their staleness, without the time.
fn said(mirrored: &MirroredSandbox) -> String {
    let errors = mirrored.extended_errors_of("redis");
    let (_, text) = errors.iter().find(|(code, _)| *code == STALE).unwrap_or_else(|| panic!("{errors:?}"));
    text.rsplit_once(" since ").expect("since when").0.to_owned()
}

fn refused(code: u16) -> Fault {
    Fault::Answer { on: Scope::all(), code, retry_after: None, times: None }
}

/// Ends the watches, and plays `fault` from then on, while a Service is deleted.
async fn silenced(fault: Fault) -> MirroredSandbox {
    let mirrored = quiet().await;
    mirrored.inject(fault);
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Clean });
    mirrored.remove("redis");
    mirrored
}

/// T2, T4.
#[tokio::test(start_paused = true)]
async fn a_dead_address_is_said_to_be_stale_after_a_minute_while_list_and_watch_answer_500() {
    let mirrored = silenced(refused(500)).await;
    sleep(TIMING.stale_after - MOMENT).await;
    assert!(mirrored.addresses("redis").is_some(), "the last known answers go on");
    assert!(!is_stale(&mirrored), "not yet");
    sleep(MOMENT * 2).await;
    assert!(is_stale(&mirrored), "{:#?}", mirrored.log());
    // It says so for as long as it lasts, however often the server is asked meanwhile.
    for minute in 1..5 {
        sleep(TIMING.stale_after).await;
        assert!(is_stale(&mirrored), "after {minute} more minutes");
    }
    mirrored.sandbox.faults().clear();
    mirrored.until("fresh", |mirrored| !is_stale(mirrored)).await;
    assert_eq!(mirrored.addresses("redis"), None);
}

/// T4.
#[tokio::test(start_paused = true)]
async fn nothing_that_is_no_word_from_the_cluster_keeps_answers_fresh() {
    let on = Scope::all;
    let refusals = [401, 403, 429, 503, 504].map(refused);
    let others = [
        Fault::TooManyRequests { on: on(), retry_after: 1, times: None },
        Fault::Page { on: on(), times: None },
        Fault::EndWatches { on: on() },
        Fault::ErrorEvents { on: on(), code: 403 },
        Fault::ErrorEvents { on: on(), code: 500 },
        Fault::Drop { on: on(), times: None },
        Fault::Down { milliseconds: None },
    ];
    for fault in refusals.into_iter().chain(others) {
        let what = format!("{fault:?}");
        let mirrored = silenced(fault).await;
        for _ in 0..4 {
            sleep(TIMING.stale_after + MOMENT).await;
            assert!(is_stale(&mirrored), "{what}: {:#?}", mirrored.log());
        }
    }
}

const FORBIDDEN: &str = "the API server refuses (403 Forbidden): no word from the cluster";
const NO_CONTACT: &str = "no contact with the API server";
const NO_WORD: &str = "no word from the cluster";

/// T8.
#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_not_said_to_be_out_of_contact() {
    let on = Scope::all;
    for (fault, expected, logged) in [
        (refused(403), FORBIDDEN, "the API server refuses"),
        (
            refused(500),
            "the API server refuses (500 Internal Server Error): no word from the cluster",
            "the API server refuses",
        ),
        (
            Fault::TooManyRequests { on: on(), retry_after: 1, times: None },
            "the API server refuses (429 Too Many Requests): no word from the cluster",
            "the API server refuses",
        ),
        (Fault::ErrorEvents { on: on(), code: 403 }, FORBIDDEN, "the API server refuses"),
        (Fault::Page { on: on(), times: None }, NO_WORD, NO_WORD),
        (Fault::EndWatches { on: on() }, NO_WORD, NO_WORD),
        (Fault::Drop { on: on(), times: None }, NO_CONTACT, NO_CONTACT),
        (Fault::Down { milliseconds: None }, NO_CONTACT, NO_CONTACT),
    ] {
        let what = format!("{fault:?}");
        let mirrored = silenced(fault).await;
        sleep(TIMING.stale_after + MOMENT).await;
        assert_eq!(said(&mirrored), expected, "{what}");
        let line = format!("{logged}; serving stale answers");
        let times = (mirrored.logged(&line), mirrored.logged("serving stale answers"));
        assert_eq!(times, (1, 1), "{what}: {:#?}", mirrored.log());
    }
}

/// T8: what a server answered once is not held against it later.
#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_silence_follows_what_the_server_does() {
    let mirrored = silenced(refused(403)).await;
    sleep(TIMING.stale_after + MOMENT).await;
    assert_eq!(said(&mirrored), FORBIDDEN);
    mirrored.sandbox.faults().clear();
    let down = mirrored.inject(Fault::Down { milliseconds: None });
    mirrored.until("said", |mirrored| said(mirrored) == NO_CONTACT).await;
    mirrored.sandbox.faults().remove(down);
    mirrored.until("fresh", |mirrored| !is_stale(mirrored)).await;
    // The log says so once, for both.
    assert_eq!(mirrored.logged("serving stale answers"), 1, "{:#?}", mirrored.log());

    // Now a link that dies after a refusal that was over in time.
    let refusal = mirrored.inject(refused(403));
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Clean });
    sleep(TIMING.stale_after / 2).await;
    mirrored.sandbox.faults().remove(refusal);
    sleep(TIMING.stale_after).await;
    assert!(!is_stale(&mirrored), "{:#?}", mirrored.log());
    mirrored.inject(Fault::Delay { on: Scope::all(), milliseconds: u32::MAX.into() });
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Silent });
    mirrored.until("stale", is_stale).await;
    assert!(said(&mirrored) != FORBIDDEN, "{:#?}", mirrored.log());
}

/// T4. The rest of a list may never come.
#[tokio::test(start_paused = true)]
async fn a_watch_that_failed_does_not_work_again_before_its_list_is_complete() {
    let watches = Scope::all().verb(Verb::Watch);
    let mirrored = MirroredSandbox::start_with(Options::default(), |sandbox| {
        let failing = Fault::Answer { on: watches.clone(), code: 500, retry_after: None, times: Some(2) };
        for fault in [failing, Fault::Stall { on: watches, missed: Missed::Deliver }] {
            sandbox.faults().inject(fault).expect("a fault that can strike");
        }
    })
    .await;
    sleep(TIMING.stale_after / 2).await;
    assert_eq!(mirrored.logged("the watch works again"), 0, "{:#?}", mirrored.log());
    mirrored.sandbox.faults().clear();
    mirrored.converge("once the lists go on").await;
    assert_eq!(mirrored.logged("the watch works again"), 2, "{:#?}", mirrored.log());
}

/// T4: an idle watch that is renewed in time.
#[tokio::test(start_paused = true)]
async fn a_2xx_response_is_word_from_the_cluster() {
    let mirrored = quiet().await;
    let began = Instant::now();
    while began.elapsed() < TIMING.stale_after * 10 {
        sleep(TIMING.stale_after / 10).await;
        assert!(!is_stale(&mirrored), "{:?}: {:#?}", began.elapsed(), mirrored.log());
    }
}

/// T4: each watch has a clock of its own.
#[tokio::test(start_paused = true)]
async fn answers_are_stale_while_one_of_the_watches_is_silent_whatever_the_others_tell() {
    for resource in ["services", "endpointslices"] {
        let on = Scope { resource: Some(resource.to_owned()), ..Scope::all() };
        let mirrored = quiet().await;
        mirrored.inject(Fault::Answer { on: on.clone(), code: 403, retry_after: None, times: None });
        mirrored.inject(Fault::CutWatches { on, how: Cut::Clean });
        for number in 0..=TIMING.stale_after.as_secs() {
            mirrored.put(&format!("other-{number}"), &[9]);
            sleep(MOMENT).await;
        }
        assert!(is_stale(&mirrored), "{resource}: {:#?}", mirrored.log());
    }
}

/// A pause after an error starts over once the watch works, whatever the error was.
#[tokio::test(start_paused = true)]
async fn a_watch_that_works_again_is_not_made_to_wait_for_its_past_errors() {
    let failed = |times| {
        [
            Fault::Answer { on: Scope::all(), code: 500, retry_after: None, times: Some(times) },
            Fault::Answer { on: Scope::all(), code: 410, retry_after: None, times: Some(times) },
        ]
    };
    for fault in 0..2 {
        let mirrored = quiet().await;
        // Six pauses of 0.8 s and so on for one of the watches at least.
        mirrored.inject(failed(18)[fault].clone());
        mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Clean });
        mirrored.until("used up", |mirrored| mirrored.sandbox.faults().active().is_empty()).await;
        sleep(TIMING.stale_after).await;
        mirrored.inject(failed(3)[fault].clone());
        mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Clean });
        mirrored.put("later", &[3]);
        let began = Instant::now();
        mirrored.until("there", |mirrored| mirrored.addresses("later").is_some()).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}: {:#?}", began.elapsed(), mirrored.log());
    }
}
