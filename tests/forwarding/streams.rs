//! Upstreams that are asked over TCP: all that they say, and what does not fit into a datagram.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::support::common::{framed, read_framed};
use crate::support::upstream::{answer_all, is_of_test, read, response, send};

fn server_over_tcp(upstream: &FakeUpstream) -> Server {
    serving(options(), forwarding_to(&[format!("tcp://{}", upstream.address)]))
}

/// F8.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_is_asked_for_over_tcp_and_all_over_one_connection() {
    let upstream = FakeUpstream::start(|query| {
        let mut cut = response(query);
        cut.metadata.truncation = true;
        let whole = read(&answer(query));
        cut.answers.extend(whole.answers.into_iter().take(3));
        vec![cut.to_vec().expect("octets")]
    })
    .await;
    let server = server(&[upstream.address]);
    for i in 0..10 {
        let answer = ask_over(&server, &format!("big.{i}.example."), RecordType::A, true).await;
        assert_eq!((answer.answers.len(), answer.metadata.truncation), (200, false));
    }
    assert_eq!(upstream.connections(), 1);
}

/// F6. RFC 7766 section 6.2.1: a client uses one connection for all its queries.
#[tokio::test(flavor = "multi_thread")]
async fn questions_that_are_asked_at_once_share_one_connection_and_wait_for_no_other() {
    const TOGETHER: usize = 20;
    let upstream = FakeUpstream::streaming(|mut stream, _| {
        Box::pin(async move {
            let mut held = Vec::new();
            while let Some(query) = read_framed(&mut stream).await {
                if is_of_test(&query) {
                    held.push(query);
                } else {
                    send(&mut stream, &answer(&query)).await;
                }
                // The last one asked is answered first.
                while held.len() >= TOGETHER
                    && let Some(query) = held.pop()
                {
                    send(&mut stream, &answer(&query)).await;
                    if held.is_empty() {
                        break;
                    }
                }
            }
        })
    })
    .await;
    let server = Arc::new(server_over_tcp(&upstream));
    let asking: Vec<_> = (0..TOGETHER)
        .map(|i| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { shown(&ask(&server, &format!("name-{i}.example.")).await) })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.expect("an answer"), found(&["192.0.2.1"]));
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.queries(), Vec::<Vec<u8>>::new(), "nothing over UDP");
}

/// F6.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_upstream_closes_is_made_again_and_no_question_is_lost() {
    let upstream = FakeUpstream::streaming(|mut stream, _| {
        Box::pin(async move {
            // Each connection is closed at the third question, which has no answer there.
            for _ in 0..2 {
                let Some(query) = read_framed(&mut stream).await else { return };
                send(&mut stream, &answer(&query)).await;
            }
            read_framed(&mut stream).await;
        })
    })
    .await;
    let server = server_over_tcp(&upstream);
    // Probes use the same connections.
    for i in 0..20 {
        assert_eq!(shown(&ask(&server, &format!("name-{i}.example.")).await), found(&["192.0.2.1"]));
    }
    assert!((5..=30).contains(&upstream.connections()), "{}", upstream.connections());
    assert_eq!(
        metric(&server, &format!("forward_failures_total{{to=\"tcp://{}\",reason=\"network\"}}", upstream.address)),
        0.0
    );
}

/// W5, F5. A client is told that its question has no answer, and not left with the end of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_for_an_upstream_when_the_server_stops_is_answered_before_the_connection_ends() {
    let upstream = FakeUpstream::hanging().await;
    let server = server(&[upstream.address]);
    let mut waiting = TcpStream::connect(server.address).await.expect("a connection");
    let mut asked = query("www.example.", RecordType::A);
    asked.metadata.recursion_desired = true;
    waiting.write_all(&framed(&asked.to_vec().expect("a message"))).await.expect("sent");
    until("asked", async || upstream.times("www.example.") > 0).await;
    let running = server.stop();
    let ended = async {
        let answer = read_framed(&mut waiting).await.expect("an answer");
        assert_eq!(read(&answer).metadata.response_code, ResponseCode::ServFail);
        assert_eq!(read_framed(&mut waiting).await, None);
        running.await.expect("no panic").expect("no error");
    };
    timeout(PATIENCE, ended).await.expect("in time");
}

/// F6. A host that is gone closes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_fallen_silent_is_given_up_for_another() {
    let upstream = FakeUpstream::streaming(|mut stream: TcpStream, number| {
        Box::pin(async move {
            if number > 0 {
                return answer_all(&mut stream).await;
            }
            while read_framed(&mut stream).await.is_some() {}
        })
    })
    .await;
    let server = server_over_tcp(&upstream);
    until("another connection", async || shown(&ask(&server, "www.example.").await) == found(&["192.0.2.1"])).await;
}
