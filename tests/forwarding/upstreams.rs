//! Upstreams that are dead, hang, come back, cannot answer, or cannot read EDNS.

use std::time::Instant;

use tokio::net::UdpSocket;

use super::*;
use crate::support::common::extended_errors;
use crate::support::upstream::{read, refusal};

/// An address where nobody is.
async fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

/// F5.
#[tokio::test(flavor = "multi_thread")]
async fn with_all_upstreams_dead_or_hanging_the_failure_is_told_in_time_and_ours_is_answered() {
    let hanging = FakeUpstream::hanging().await;
    for (upstream, code) in [(nobody().await, 23), (hanging.address, 22)] {
        let server = server(&[upstream]);
        let began = Instant::now();
        let (failed, ours) = tokio::join!(ask(&server, "www.example."), async {
            let ours = ask(&server, OURS).await;
            (shown(&ours), began.elapsed())
        });
        assert!(began.elapsed() < PATIENCE);
        assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
        let errors = extended_errors(&failed);
        assert_eq!(errors[0].0, code, "{errors:?}");
        assert!(errors[0].1.contains(&upstream.to_string()), "{errors:?}");
        assert_eq!(ours.0, found(&["10.1.0.10"]));
        assert!(ours.1 < TIMEOUT, "ours did not wait: {:?}", ours.1);
    }
}

/// F5.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_time_is_over_goes_on_while_no_upstream_answers() {
    let (upstream, is_dead) = mortal().await;
    let server = server(&[upstream.address]);
    assert_eq!(shown(&ask(&server, "brief.example.").await), found(&["192.0.2.1"]));
    assert_eq!(shown(&ask(&server, "fleeting.example.").await), DENIED);
    assert_eq!(shown(&ask(&server, "brief.later.example.").await), found(&["192.0.2.1"]));
    is_dead.store(true, Ordering::SeqCst);
    for (name, code, ttl) in [("brief.example.", 3, Some(30)), ("fleeting.example.", 19, None)] {
        until("a stale answer", async || {
            let answer = ask(&server, name).await;
            assert_ne!(answer.metadata.response_code, ResponseCode::ServFail, "{answer}");
            let is_stale = extended_errors(&answer).iter().any(|(given, _)| *given == code);
            assert!(!is_stale || answer.answers.first().map(|record| record.ttl) == ttl, "{answer}");
            is_stale
        })
        .await;
    }
    until("the failure", async || !is_healthy(&server, upstream.address)).await;
    until("a stale answer", async || !extended_errors(&ask(&server, "brief.later.example.").await).is_empty()).await;
    assert_eq!(upstream.times("brief.later.example."), 1, "nobody waits for an upstream that is known to be dead");
    is_dead.store(false, Ordering::SeqCst);
    until("a fresh answer", async || extended_errors(&ask(&server, "brief.example.").await).is_empty()).await;
}

/// F5. RFC 8767 section 4: a failure of the upstream is no answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_time_is_over_goes_on_while_the_upstream_fails_and_says_what_it_said() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&is_broken);
    let upstream = FakeUpstream::start(move |query| {
        vec![if broken.load(Ordering::SeqCst) { refusal(query, ResponseCode::Refused) } else { answer(query) }]
    })
    .await;
    let server = server(&[upstream.address]);
    assert_eq!(shown(&ask(&server, "brief.example.").await), found(&["192.0.2.1"]));
    is_broken.store(true, Ordering::SeqCst);
    until("a stale answer", async || {
        let answer = ask(&server, "brief.example.").await;
        assert_eq!(shown(&answer), found(&["192.0.2.1"]), "{answer}");
        let said = format!("the TTL of this answer is over; asked {}, which answered REFUSED in ", upstream.address);
        extended_errors(&answer).first().is_some_and(|(code, text)| *code == 3 && text.starts_with(&said))
    })
    .await;
}

/// F5. RFC 8767 section 5, the client response timer.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_a_slow_upstream_no_longer_than_it_takes_to_give_a_stale_answer() {
    let (upstream, is_dead) = mortal().await;
    let forward = resolver::Options { timeout: 3 * PATIENCE, ..forward_to(&[upstream.address]) };
    let server = serving(options(), forward);
    assert_eq!(shown(&ask(&server, "brief.example.").await), found(&["192.0.2.1"]));
    is_dead.store(true, Ordering::SeqCst);
    // One attempt takes ten seconds, and no answer of these tests may.
    until("a stale answer", async || extended_errors(&ask(&server, "brief.example.").await).iter().any(|it| it.0 == 3))
        .await;
    assert!(is_healthy(&server, upstream.address), "the upstream is still being waited for");
}

/// F5.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_ends_in_time_however_many_upstreams_hang() {
    let mut hanging = Vec::new();
    for _ in 0..6 {
        hanging.push(FakeUpstream::hanging().await);
    }
    let server = server(&hanging.iter().map(|upstream| upstream.address).collect::<Vec<_>>());
    assert_eq!(ask(&server, "www.example.").await.metadata.response_code, ResponseCode::ServFail);
    let asked: Vec<_> = hanging.iter().map(|upstream| upstream.times("www.example.")).collect();
    assert_eq!((asked[0], asked[5]), (1, 0), "there is time for three attempts: {asked:?}");
}

/// F5, F8. RFC 9520 section 3.2.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_to_all_who_ask_within_a_second_and_costs_no_storm() {
    const ASKED: usize = 30;
    let hanging = FakeUpstream::hanging().await;
    let forward = resolver::Options { timeout: TIMEOUT / 30, ..forward_to(&[hanging.address]) };
    let server = serving(options(), forward);
    let began = Instant::now();
    for _ in 0..ASKED {
        let answer = ask(&server, "www.example.").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(extended_errors(&answer)[0].0, 22);
    }
    let most = 3 * (1 + began.elapsed().as_secs() as usize);
    assert!(hanging.times("www.example.") <= most, "{} of {most}", hanging.times("www.example."));
}

/// F5.
#[tokio::test(flavor = "multi_thread")]
async fn with_too_many_questions_in_flight_the_next_fails_at_once_and_ours_are_answered() {
    const IN_FLIGHT: usize = 4;
    let (upstream, open) = FakeUpstream::gated().await;
    let forward = resolver::Options { timeout: 3 * PATIENCE, in_flight: IN_FLIGHT, ..forward_to(&[upstream.address]) };
    let server = Arc::new(serving(options(), forward));
    let waiting: Vec<_> = (0..IN_FLIGHT)
        .map(|i| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { shown(&ask(&server, &format!("name-{i}.example.")).await) })
        })
        .collect();
    until("all ask", async || metric(&server, "cache_misses_total") == IN_FLIGHT as f64).await;
    for _ in 0..3 {
        let answer = ask(&server, "one-more.example.").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(extended_errors(&answer)[0], (0, "too many queries wait for upstreams".to_owned()));
        assert_eq!(shown(&ask(&server, OURS).await), found(&["10.1.0.10"]));
    }
    assert_eq!(metric(&server, "forward_max_concurrent_rejects_total"), 3.0);
    assert!(waiting.iter().all(|asked| !asked.is_finished()), "the others wait all this time");
    (0..IN_FLIGHT).for_each(|_| open.send(()).expect("an upstream"));
    for asked in waiting {
        assert_eq!(asked.await.expect("an answer"), found(&["192.0.2.1"]));
    }
    (0..IN_FLIGHT).for_each(|_| open.send(()).expect("an upstream"));
    until("there is room again", async || shown(&ask(&server, "one-more.example.").await) == found(&["192.0.2.1"]))
        .await;
}

/// F6.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_upstream_is_noticed_others_are_asked_and_it_is_used_again_when_it_is_back() {
    let (first, is_dead) = mortal().await;
    is_dead.store(true, Ordering::SeqCst);
    let second = FakeUpstream::sound().await;
    let server = server(&[first.address, second.address]);
    assert_eq!(shown(&ask(&server, "a.example.").await), found(&["192.0.2.1"]), "the second is asked");
    until("the failure", async || !is_healthy(&server, first.address)).await;
    let began = Instant::now();
    assert_eq!(shown(&ask(&server, "b.example.").await), found(&["192.0.2.1"]));
    assert!(began.elapsed() < TIMEOUT / 3, "the second is asked first: {:?}", began.elapsed());
    assert_eq!(first.times("b.example."), 0);
    is_dead.store(false, Ordering::SeqCst);
    until("the recovery", async || is_healthy(&server, first.address)).await;
    ask(&server, "c.example.").await;
    assert_eq!((first.times("c.example."), second.times("c.example.")), (1, 0));
}

/// F6.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_answer_is_passed_over() {
    let broken = FakeUpstream::start(|query| vec![refusal(query, ResponseCode::ServFail)]).await;
    let sound = FakeUpstream::sound().await;
    let both = server(&[broken.address, sound.address]);
    assert_eq!(shown(&ask(&both, "www.example.").await), found(&["192.0.2.1"]));
    let alone = server(&[broken.address]);
    let answer = ask(&alone, "www.example.").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let told = &extended_errors(&answer)[0].1;
    assert!(told.contains(&format!("asked {}, which answered SERVFAIL", broken.address)), "{told}");
}

/// F6. RFC 6891 section 7.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_read_edns_is_asked_without() {
    type Refusal = fn(&[u8]) -> Vec<u8>;
    let refusals: [(&str, Refusal); 4] = [
        ("FORMERR", |query| without_edns(&refusal(query, ResponseCode::FormErr))),
        ("NOTIMP", |query| without_edns(&refusal(query, ResponseCode::NotImp))),
        ("BADVERS", |query| refusal(query, ResponseCode::BADVERS)),
        ("a bare header", |query| [&query[..2], &[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]].concat()),
    ];
    for (what, refuse) in refusals {
        let upstream = FakeUpstream::start(move |query| {
            let has_edns = read(query).edns.is_some();
            vec![if has_edns { refuse(query) } else { answer(query) }]
        })
        .await;
        let server = server(&[upstream.address]);
        assert_eq!(shown(&ask(&server, "www.example.").await), found(&["192.0.2.1"]), "{what}");
        let mut names = (0..).map(|i| format!("name-{i}.example."));
        until("it is known", async || {
            let name = names.next().expect("a name");
            assert_eq!(shown(&ask(&server, &name).await), found(&["192.0.2.1"]), "{what}");
            upstream.times(&name) == 1
        })
        .await;
    }
}

/// The same message without an OPT record.
fn without_edns(message: &[u8]) -> Vec<u8> {
    let mut message = read(message);
    message.edns = None;
    message.to_vec().expect("octets")
}

/// F8.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identical_questions_in_flight_are_asked_once() {
    const CLIENTS: usize = 50;
    // The question stays in flight until all have asked.
    let (upstream, open) = FakeUpstream::gated().await;
    let forward = resolver::Options { timeout: 3 * PATIENCE, ..forward_to(&[upstream.address]) };
    let server = Arc::new(serving(options(), forward));
    let asking: Vec<_> = (0..CLIENTS)
        .map(|i| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { shown(&ask_over(&server, "www.example.", RecordType::A, i % 2 == 0).await) })
        })
        .collect();
    until("all ask", async || metric(&server, "cache_misses_total") == CLIENTS as f64).await;
    open.send(()).expect("an upstream");
    for asked in asking {
        assert_eq!(asked.await.expect("an answer"), found(&["192.0.2.1"]));
    }
    assert_eq!(upstream.times("www.example."), 1);
}

/// F5. What a client has waited for an upstream is part of how long its answer took.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_for_which_a_client_waits_for_an_upstream_is_counted() {
    let upstream = FakeUpstream::hanging().await;
    let server = server(&[upstream.address]);
    ask(&server, "www.example.").await;
    let taken = || metric(&server, "request_duration_seconds_sum{transport=\"udp\"}");
    // The answer is counted after it has been sent.
    until("counted", async || taken() >= TIMEOUT.as_secs_f64() / 2.0).await;
}
