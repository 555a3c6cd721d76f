//! Upstreams that send queries back to this server.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use headless_dns::authority::Options;
use headless_dns::dns::name::Label;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::support::common::extended_errors;
use crate::support::upstream::{is_of_test, read};

/// An upstream that asks this server for some names, and answers others soundly.
struct Relay {
    address: SocketAddr,
    /// The server. Its address is known later than the upstream's.
    back: Arc<OnceLock<SocketAddr>>,
    /// Queries that were sent back, and are no probes.
    sent_back: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    async fn start(sends_back: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let relay = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
        let address = relay.local_addr().expect("an address");
        let (back, sent_back) = (Arc::<OnceLock<SocketAddr>>::default(), Arc::<AtomicUsize>::default());
        let (to, count) = (Arc::clone(&back), Arc::clone(&sent_back));
        let task = tokio::spawn(async move {
            let mut octets = [0; 2048];
            while let Ok((length, client)) = relay.recv_from(&mut octets).await {
                let (relay, query) = (Arc::clone(&relay), octets[..length].to_vec());
                let Some(server) = to.get().copied() else { continue };
                if !sends_back(&read(&query).queries[0].name().to_ascii().to_lowercase()) {
                    let _ = relay.send_to(&answer(&query), client).await;
                    continue;
                }
                count.fetch_add(usize::from(is_of_test(&query)), Ordering::SeqCst);
                tokio::spawn(async move {
                    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                    socket.send_to(&query, server).await.expect("sent");
                    let mut answer = [0; 2048];
                    if let Ok((length, _)) = socket.recv_from(&mut answer).await {
                        let _ = relay.send_to(&answer[..length], client).await;
                    }
                });
            }
        });
        Self { address, back, sent_back, _task: AbortOnDropHandle::new(task) }
    }

    fn loops(&self, server: &Server) -> f64 {
        metric(server, &format!("forward_loops{{to=\"{}\"}}", self.address))
    }
}

/// F7.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_sends_queries_back_is_found_and_asked_no_more_until_that_ends() {
    let is_looping = Arc::new(AtomicBool::new(true));
    let sends_back = Arc::clone(&is_looping);
    let relay = Relay::start(move |_| sends_back.load(Ordering::SeqCst)).await;
    let server = server(&[relay.address]);
    relay.back.set(server.address).expect("once");
    until("the loop is found", async || relay.loops(&server) == 4.0).await;
    let before = relay.sent_back.load(Ordering::SeqCst);
    for _ in 0..40 {
        let answer = ask(&server, "www.example.").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        let (code, told) = &extended_errors(&answer)[0];
        assert!(*code == 22 && told.contains(&format!("{} sends queries back", relay.address)), "{told}");
    }
    assert_eq!(relay.sent_back.load(Ordering::SeqCst), before, "probes go on, and nothing else");
    is_looping.store(false, Ordering::SeqCst);
    until("the loop has ended", async || relay.loops(&server) == 0.0).await;
    until("it is asked", async || shown(&ask(&server, "www.example.").await) == found(&["192.0.2.1"])).await;
}

/// F7, F2. An upstream may know the world itself, and send the cluster's names to this server.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_one_part_of_the_name_space_costs_the_other_parts_nothing() {
    for (tree, in_it) in [
        ("svc.cluster.local.", "web.other.svc.cluster.local."),
        ("pod.cluster.local.", "10-1-0-10.db.pod.cluster.local."),
    ] {
        let relay = Relay::start(move |name| name.ends_with(tree)).await;
        let namespaces = vec![Label::parse("db").expect("a label")];
        let server = serving(Options { namespaces, ..options() }, forward_to(&[relay.address]));
        relay.back.set(server.address).expect("once");
        until("the loop is found", async || relay.loops(&server) == 1.0).await;
        let answer = ask(&server, in_it).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "{answer}");
        assert!(is_healthy(&server, relay.address));
        let others = ["www.example.", "10-1-0-10.db.pod.cluster.local.", "web.other.svc.cluster.local."];
        for name in others.into_iter().filter(|name| *name != in_it) {
            assert_eq!(shown(&ask(&server, name).await), found(&["192.0.2.1"]), "{name} with a loop in {tree}");
        }
    }
}

/// F7. Aliases that lead round in a circle are somebody's data.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_in_a_circle_are_passed_on_and_no_loop() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    for _ in 0..3 {
        let answer = ask(&server, "circle.example.").await;
        assert_eq!(shown(&answer), found(&["elcric.example.", "circle.example."]));
    }
    assert_eq!(metric(&server, &format!("forward_loops{{to=\"{}\"}}", upstream.address)), 0.0);
    assert_eq!(shown(&ask(&server, "www.example.").await), found(&["192.0.2.1"]));
}

/// F7. The name of a probe, asked by somebody who has seen it, turns nothing off: each is used for one round.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_an_old_probe_is_a_name_like_any_other() {
    let (upstream, is_dead) = mortal().await;
    let server = server(&[upstream.address]);
    until("probes", async || upstream.queries().len() >= 4).await;
    let probe = upstream.questions()[0].clone();
    is_dead.store(true, Ordering::SeqCst);
    until("the failure", async || {
        ask(&server, "www.example.").await;
        !is_healthy(&server, upstream.address)
    })
    .await;
    is_dead.store(false, Ordering::SeqCst);
    until("the recovery", async || is_healthy(&server, upstream.address)).await;
    assert_eq!(shown(&ask(&server, &probe).await), found(&["192.0.2.1"]));
    assert_eq!(metric(&server, &format!("forward_loops{{to=\"{}\"}}", upstream.address)), 0.0);
}
