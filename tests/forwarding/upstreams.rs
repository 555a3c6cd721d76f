//! Upstreams that are dead, hang, lie, cut their answers, or send queries back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use headless_dns::telemetry::metrics::{Exporter, Format};
use hickory_proto::op::ResponseCode;
use tokio::net::UdpSocket;

use super::*;
use crate::support::common::extended_errors;
use crate::support::upstream::{FakeUpstream, answer, response};

const OURS: &str = "pg-0.pg.db.svc.cluster.local.";

/// An address where nobody is.
async fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

/// The value of a metric's line.
fn metric(server: &Server, series: &str) -> String {
    let text = Exporter::new(Arc::clone(&server.metrics)).encode(Format::Prometheus).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series}")).to_owned()
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
    let is_dead = Arc::new(AtomicBool::new(false));
    let dead = Arc::clone(&is_dead);
    let upstream =
        FakeUpstream::start(move |query| if dead.load(Ordering::Relaxed) { Vec::new() } else { vec![answer(query)] })
            .await;
    let server = server(&[upstream.address]);
    assert_eq!(shown(&ask(&server, "brief.example.").await), found(&["192.0.2.1"]));
    is_dead.store(true, Ordering::Relaxed);
    let mut stale = None;
    until("a stale answer", async || {
        let answer = ask(&server, "brief.example.").await;
        assert_eq!(shown(&answer), found(&["192.0.2.1"]), "{answer}");
        let is_stale = extended_errors(&answer).iter().any(|(code, _)| *code == 3);
        stale = is_stale.then_some(answer);
        is_stale
    })
    .await;
    assert_eq!(stale.expect("a stale answer").answers[0].ttl, 30);
    until("the failure", async || metric(&server, &healthy(upstream.address)) == "0.0").await;
    is_dead.store(false, Ordering::Relaxed);
    until("a fresh answer", async || extended_errors(&ask(&server, "brief.example.").await).is_empty()).await;
}

fn healthy(upstream: SocketAddr) -> String {
    format!("headless_dns_forward_healthy{{to=\"{upstream}\"}}")
}

/// F6.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_upstream_is_noticed_others_are_asked_and_it_is_used_again_when_it_is_back() {
    let is_dead = Arc::new(AtomicBool::new(true));
    let dead = Arc::clone(&is_dead);
    let first =
        FakeUpstream::start(move |query| if dead.load(Ordering::Relaxed) { Vec::new() } else { vec![answer(query)] })
            .await;
    let second = FakeUpstream::sound().await;
    let server = server(&[first.address, second.address]);
    assert_eq!(shown(&ask(&server, "a.example.").await), found(&["192.0.2.1"]), "the second is asked");
    until("the failure", async || metric(&server, &healthy(first.address)) == "0.0").await;
    let began = Instant::now();
    assert_eq!(shown(&ask(&server, "b.example.").await), found(&["192.0.2.1"]));
    assert!(began.elapsed() < TIMEOUT / 3, "the second is asked first: {:?}", began.elapsed());
    assert_eq!(first.times("b.example."), 0);
    is_dead.store(false, Ordering::Relaxed);
    until("the recovery", async || metric(&server, &healthy(first.address)) == "1.0").await;
    ask(&server, "c.example.").await;
    assert_eq!((first.times("c.example."), second.times("c.example.")), (1, 0));
}

/// F6.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_answer_is_passed_over() {
    let broken = FakeUpstream::start(|query| {
        let mut message = response(query);
        message.metadata.response_code = ResponseCode::ServFail;
        vec![message.to_vec().expect("octets")]
    })
    .await;
    let sound = FakeUpstream::sound().await;
    let both = server(&[broken.address, sound.address]);
    assert_eq!(shown(&ask(&both, "www.example.").await), found(&["192.0.2.1"]));
    let alone = server(&[broken.address]);
    let answer = ask(&alone, "www.example.").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let told = &extended_errors(&answer)[0].1;
    assert!(told.contains(&format!("asked {}, which answered SERVFAIL", broken.address)), "{told}");
}

/// F7.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_sends_queries_back_is_found_and_asked_no_more() {
    const ASKED: &[u8] = b"\x03www\x07example\x00";
    // Its address is needed before the server's: queries go on to whoever is named here.
    let back: Arc<std::sync::OnceLock<SocketAddr>> = Arc::default();
    let relay = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = relay.local_addr().expect("an address");
    let to = Arc::clone(&back);
    let relayed = Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = Arc::clone(&relayed);
    let task = tokio::spawn(async move {
        let relay = Arc::new(relay);
        let mut octets = [0; 2048];
        while let Ok((length, client)) = relay.recv_from(&mut octets).await {
            // Probes go on. They ask for other names.
            let is_asked = octets[..length].windows(ASKED.len()).any(|part| part.eq_ignore_ascii_case(ASKED));
            count.fetch_add(usize::from(is_asked), Ordering::Relaxed);
            let (relay, query, to) = (Arc::clone(&relay), octets[..length].to_vec(), Arc::clone(&to));
            tokio::spawn(async move {
                let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                let Some(server) = to.get() else { return };
                socket.send_to(&query, server).await.expect("sent");
                let mut answer = [0; 2048];
                if let Ok((length, _)) = socket.recv_from(&mut answer).await {
                    let _ = relay.send_to(&answer[..length], client).await;
                }
            });
        }
    });
    let server = server(&[address]);
    back.set(server.address).expect("once");
    until("the loop is found", async || metric(&server, &healthy(address)) == "0.0").await;
    let before = relayed.load(Ordering::Relaxed);
    for _ in 0..20 {
        let answer = ask(&server, "www.example.").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        let told = &extended_errors(&answer)[0].1;
        assert!(told.contains(&format!("{address} sends queries back")), "{told}");
    }
    assert_eq!(relayed.load(Ordering::Relaxed), before);
    task.abort();
}

/// F8.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identical_questions_in_flight_are_asked_once() {
    const CLIENTS: usize = 50;
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let upstream = FakeUpstream::start(move |query| {
        // The question of the test stays in flight until all have asked.
        if response(query).queries[0].name().to_ascii().eq_ignore_ascii_case("www.example.") {
            gate.lock().expect("no panic").recv().expect("opened");
        }
        vec![answer(query)]
    })
    .await;
    let forward = resolver::Options { timeout: PATIENCE, ..forward_to(&[upstream.address]) };
    let server = Arc::new(serving(options(), forward));
    let asking: Vec<_> = (0..CLIENTS)
        .map(|i| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { shown(&ask_over(&server, "www.example.", RecordType::A, i % 2 == 0).await) })
        })
        .collect();
    until("all ask", async || metric(&server, "headless_dns_cache_misses_total") == CLIENTS.to_string()).await;
    open.send(()).expect("an upstream");
    for asked in asking {
        assert_eq!(asked.await.expect("an answer"), found(&["192.0.2.1"]));
    }
    assert_eq!(upstream.times("www.example."), 1);
}

/// F1. Off-path answers: the same question with other IDs, another question with the same ID, a query, garbage.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_repeat_id_and_question_are_not_believed() {
    let forged = |query: &[u8], change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = response(query);
        let name = message.queries[0].name().clone();
        let address = RData::A("203.0.113.66".parse().expect("an address"));
        message.add_answer(hickory_proto::rr::Record::from_rdata(name, 3600, address));
        let mut octets = message.to_vec().expect("octets");
        change(&mut octets);
        octets
    };
    let upstream = FakeUpstream::start(move |query| {
        vec![
            forged(query, &|octets| octets[0] ^= 1),
            forged(query, &|octets| octets[1] ^= 0x80),
            forged(query, &|octets| octets[13] ^= 0x01),
            forged(query, &|octets| octets[2] &= 0x7f),
            vec![0xff; 100],
            answer(query),
        ]
    })
    .await;
    let server = server(&[upstream.address]);
    for i in 0..20 {
        let answer = ask(&server, &format!("name-{i}.example.")).await;
        assert_eq!(shown(&answer), found(&["192.0.2.1"]), "{answer}");
    }
    let questions = upstream.questions();
    let mixed = questions.iter().filter(|name| name.to_lowercase() != **name).count();
    assert!(mixed * 10 > questions.len() * 9, "{mixed} of {} questions have a mixed case", questions.len());
}

/// F6, F8. Somebody floods the port with guesses: the question is asked over TCP.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_sends_garbage_alone_is_asked_over_tcp() {
    let upstream = FakeUpstream::start(|_| vec![vec![0x5a; 64]; 16]).await;
    let server = server(&[upstream.address]);
    assert_eq!(shown(&ask(&server, "www.example.").await), found(&["192.0.2.1"]));
}
