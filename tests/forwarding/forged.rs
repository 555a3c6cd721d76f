//! Answers that are not the upstream's: what somebody who sees no query can send.

use std::collections::BTreeSet;

use hickory_proto::rr::Record;

use super::*;
use crate::support::upstream::{is_of_test, read, response};

/// What a forger wants to be believed.
const FORGED: &str = "203.0.113.66";

/// A response with a forged address, changed in some way.
fn forged(query: &[u8], change: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = response(query);
    let name = message.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, 3600, RData::A(FORGED.parse().expect("an address"))));
    let mut octets = message.to_vec().expect("octets");
    change(&mut octets);
    octets
}

/// F1. The same question with other IDs, another question with the same ID, a query, garbage.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_repeat_id_and_question_are_not_believed() {
    let upstream = FakeUpstream::start(|query| {
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
}

/// F1. RFC 5452 section 9.2: each query leaves from a port and with an ID that cannot be foreseen.
#[tokio::test(flavor = "multi_thread")]
async fn ports_ids_and_letter_cases_are_drawn_anew_for_each_query() {
    const QUERIES: usize = 400;
    /// Of so many queries, ports from 28,000 and IDs from 65,536 are nearly all different: three pairs at most are expected.
    const DIFFERENT: usize = QUERIES - 20;
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    for i in 0..QUERIES {
        assert_eq!(shown(&ask(&server, &format!("name-{i}.example.")).await), found(&["192.0.2.1"]));
    }
    let queries = upstream.queries();
    let ids: Vec<_> = queries.iter().map(|query| read(query).metadata.id).collect();
    for (what, values) in [("ports", upstream.ports()), ("IDs", ids)] {
        let different = values.iter().collect::<BTreeSet<_>>().len();
        assert!(different >= DIFFERENT, "{different} {what} of {}", values.len());
        // Steps from one to the next are as often up as down, and hardly ever small.
        let up = values.windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert!((values.len() / 3..=2 * values.len() / 3).contains(&up), "{what}: {up} of {} go up", values.len());
        let small = values.windows(2).filter(|pair| pair[1].abs_diff(pair[0]) < 256).count();
        assert!(small < values.len() / 8, "{what}: {small} of {} steps are small", values.len());
    }
    // Each bit of an ID is set half of the time.
    for bit in 0..16 {
        let set = queries.iter().filter(|query| read(query).metadata.id >> bit & 1 == 1).count();
        assert!((queries.len() / 3..=2 * queries.len() / 3).contains(&set), "bit {bit}: {set} of {}", queries.len());
    }
    let mixed = upstream.questions().iter().filter(|name| name.to_lowercase() != **name).count();
    assert!(mixed * 10 > queries.len() * 9, "{mixed} of {} questions have a mixed case", queries.len());
}

/// F1. An upstream that keeps the letter case makes each letter a bit that a forger has to guess.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_upstream_keeps_letter_case_an_answer_in_another_case_is_not_believed() {
    let upstream = FakeUpstream::start(|query| {
        let in_other_case = |octets: &mut Vec<u8>| octets[13] ^= 0x20;
        let guess = is_of_test(query).then(|| forged(query, &in_other_case));
        guess.into_iter().chain([answer(query)]).collect()
    })
    .await;
    let server = server(&[upstream.address]);
    // A probe finds out first.
    until("a probe", async || upstream.queries().len() >= 4).await;
    for i in 0..20 {
        let answer = ask(&server, &format!("name-{i}.example.")).await;
        assert_eq!(shown(&answer), found(&["192.0.2.1"]), "{answer}");
    }
}

/// F1.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_changes_letter_case_is_believed_and_one_that_begins_to_is_asked_over_tcp() {
    let changes = Arc::new(AtomicBool::new(true));
    let is_changing = Arc::clone(&changes);
    let upstream = FakeUpstream::start(move |query| {
        let mut octets = answer(query);
        if is_changing.load(Ordering::SeqCst) {
            let end = octets[12..].iter().position(|octet| *octet == 0).expect("a root label") + 12;
            octets[12..end].make_ascii_lowercase();
        }
        vec![octets]
    })
    .await;
    let lower = server(&[upstream.address]);
    until("a probe", async || upstream.queries().len() >= 4).await;
    for i in 0..20 {
        assert_eq!(shown(&ask(&lower, &format!("name-{i}.example.")).await), found(&["192.0.2.1"]));
    }
    assert_eq!(upstream.connections(), 0, "no need of TCP");
    changes.store(false, Ordering::SeqCst);
    let (probed, exact) = (upstream.queries().len(), server(&[upstream.address]));
    until("a probe", async || upstream.queries().len() >= probed + 4).await;
    changes.store(true, Ordering::SeqCst);
    for i in 0..20 {
        assert_eq!(shown(&ask(&exact, &format!("name-{i}.example.")).await), found(&["192.0.2.1"]));
    }
    assert_eq!(upstream.connections(), 1);
}

/// F1, F8. Somebody floods the port with guesses: the question is asked over TCP, where guesses do not arrive.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_guesses_is_not_believed_and_the_question_is_asked_over_tcp() {
    let upstream = FakeUpstream::start(|query| {
        let guesses = (1..=64).map(|guess| forged(query, &|octets| octets[1] ^= guess));
        // The true answer comes too late.
        guesses.chain([forged(query, &|_| {})]).filter(|_| is_of_test(query)).collect()
    })
    .await;
    let server = server(&[upstream.address]);
    for i in 0..20 {
        let answer = ask(&server, &format!("name-{i}.example.")).await;
        assert_eq!(shown(&answer), found(&["192.0.2.1"]), "{answer}");
    }
    assert_eq!(upstream.connections(), 1);
}

/// F1. Who does not own the upstream's address and port reaches nobody.
#[tokio::test(flavor = "multi_thread")]
async fn answers_from_another_port_are_not_believed_even_if_all_else_is_right() {
    let elsewhere = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let ports = Arc::<std::sync::OnceLock<Box<dyn Fn() -> u16 + Send + Sync>>>::default();
    let known = Arc::clone(&ports);
    let upstream = Arc::new(
        FakeUpstream::start(move |query| {
            if let Some(port) = known.get().filter(|_| is_of_test(query)) {
                elsewhere.send_to(&forged(query, &|_| {}), ("127.0.0.1", port())).expect("sent");
            }
            vec![answer(query)]
        })
        .await,
    );
    let asked = Arc::downgrade(&upstream);
    let last = move || asked.upgrade().and_then(|upstream| upstream.ports().last().copied()).unwrap_or_default();
    assert!(ports.set(Box::new(last)).is_ok());
    let server = server(&[upstream.address]);
    for i in 0..20 {
        let answer = ask(&server, &format!("name-{i}.example.")).await;
        assert_eq!(shown(&answer), found(&["192.0.2.1"]), "{answer}");
    }
}

/// F1. On a connection only the upstream can answer, but it may answer another question first.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_connection_too_an_answer_has_to_be_one_to_the_question() {
    let upstream = FakeUpstream::streaming(|mut stream, _| {
        Box::pin(async move {
            while let Some(query) = crate::support::common::read_framed(&mut stream).await {
                crate::support::upstream::send(&mut stream, &forged(&query, &|octets| octets[13] ^= 0x01)).await;
                crate::support::upstream::send(&mut stream, &answer(&query)).await;
            }
        })
    })
    .await;
    let server = serving(options(), forwarding_to(&[format!("tcp://{}", upstream.address)]));
    for i in 0..5 {
        assert_eq!(shown(&ask(&server, &format!("name-{i}.example.")).await), found(&["192.0.2.1"]));
    }
}
