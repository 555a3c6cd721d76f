//! Which names are asked elsewhere, and for whom.

use headless_dns::authority::Options;
use headless_dns::dns::name::Label;
use headless_dns::records::{Silence, Stale};
use jiff::Timestamp;

use super::*;
use crate::support::common::extended_errors;

/// F1.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_the_world_is_answered_from_upstream_and_then_from_the_cache() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    for tcp in [false, true, false] {
        let answer = ask_over(&server, "WWW.example.", RecordType::A, tcp).await;
        assert_eq!(shown(&answer), found(&["192.0.2.1"]));
        let flags = answer.metadata;
        assert!(flags.recursion_available && !flags.authoritative && !flags.truncation, "{answer}");
        assert_eq!(answer.queries[0].name().to_ascii(), "WWW.example.", "the client's letter case");
    }
    assert_eq!(upstream.times("www.example."), 1);
    assert_eq!(shown(&ask(&server, "absent.example.").await), DENIED);
    assert_eq!(shown(&ask(&server, "absent.example.").await), DENIED);
    assert_eq!(upstream.times("absent.example."), 1, "a denial is kept too");
    let answer = ask_over(&server, "big.example.", RecordType::A, true).await;
    assert_eq!(answer.answers.len(), 200, "asked again over TCP");
    let cut = ask(&server, "big.example.").await;
    assert!(cut.metadata.truncation && (1..200).contains(&cut.answers.len()), "{}", cut.answers.len());
}

/// F1.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_may_not_have_names_forwarded_is_refused_and_sees_what_is_ours() {
    let upstream = FakeUpstream::sound().await;
    let forward = resolver::Options { clients: Vec::new(), ..forward_to(&[upstream.address]) };
    let server = serving(options(), forward);
    let answer = ask(&server, "www.example.").await;
    assert_eq!((answer.metadata.response_code, answer.metadata.recursion_available), (ResponseCode::Refused, false));
    assert_eq!(extended_errors(&answer)[0].0, 18);
    assert!(!answer.metadata.authoritative);
    assert_eq!(shown(&ask(&server, "pg-0.pg.db.svc.cluster.local.").await), found(&["10.1.0.10"]));
    assert_eq!(shown(&ask(&server, "ext.db.svc.cluster.local.").await), found(&["www.example."]), "the alias alone");
    assert_eq!(upstream.times("www.example."), 0);
}

/// F1, R6.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_asks_for_no_recursion_is_refused() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    let answer = server.ask("www.example.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    assert_eq!(upstream.times("www.example."), 0);
}

/// Namespaces, whether headless Services alone, names that are asked elsewhere, and names that are denied.
type Mirroring<'n> = (&'n [&'n str], bool, &'n [&'n str], &'n [&'n str]);

/// F2.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_cluster_that_are_not_mirrored_are_asked_upstream_and_ours_never() {
    let upstream = FakeUpstream::sound().await;
    let ours = ["pg-0.pg.db", "nope.pg.db", "pg-2.pg.db"];
    let cases: [Mirroring; 3] = [
        (&[], false, &["10-1-0-10.db.pod"], &["web.db.svc", "a.web.svc", "x.y.z.svc"]),
        (
            &["db"],
            false,
            &["web.other.svc", "other.svc", "_http._tcp.web.other.svc", "10-1-0-10.other.pod"],
            &["web.db.svc"],
        ),
        (
            &[],
            true,
            &["web.db.svc", "www.web.db.svc", "web.other.svc", "other.svc"],
            &["x.pg.db.svc", "_x._tcp.pg.db.svc"],
        ),
    ];
    for (namespaces, headless_only, elsewhere, here) in cases {
        let namespaces = namespaces.iter().map(|name| Label::parse(name).expect("a label")).collect();
        let server = serving(Options { namespaces, headless_only, ..options() }, forward_to(&[upstream.address]));
        for relative in elsewhere {
            let answer = ask(&server, &format!("{relative}.cluster.local.")).await;
            assert_eq!(shown(&answer), found(&["192.0.2.1"]), "{relative}");
            assert!(!answer.metadata.authoritative, "{relative}");
        }
        for relative in here {
            assert_eq!(shown(&ask(&server, &format!("{relative}.cluster.local.")).await), DENIED, "{relative}");
        }
        for relative in ours {
            let answer = ask(&server, &format!("{relative}.svc.cluster.local.")).await;
            assert!(answer.metadata.authoritative && answer.metadata.recursion_available, "{answer}");
            assert_eq!(upstream.times(&format!("{relative}.svc.cluster.local.")), 0);
        }
    }
}

/// F3.
#[tokio::test(flavor = "multi_thread")]
async fn reverse_names_that_the_table_does_not_hold_are_asked_upstream() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    let ours = ask_over(&server, "10.0.1.10.in-addr.arpa.", RecordType::PTR, false).await;
    assert!(ours.metadata.authoritative && ours.answers.len() == 1, "{ours}");
    let prefix = ask_over(&server, "1.10.in-addr.arpa.", RecordType::PTR, false).await;
    assert!(prefix.metadata.authoritative, "what is above an address of ours is ours: {prefix}");
    for name in ["8.8.8.8.in-addr.arpa.", "8.in-addr.arpa.", "b._dns-sd._udp.0.0.0.10.in-addr.arpa."] {
        ask_over(&server, name, RecordType::PTR, false).await;
        assert_eq!(upstream.times(name), 1, "{name}");
    }
    assert_eq!(upstream.times("10.0.1.10.in-addr.arpa."), 0);
}

/// F3, T2. A Pod may have got the address since the last word from the cluster. That a name of the world is not ours is no matter of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_reverse_name_that_a_stale_table_does_not_hold_is_asked_upstream_and_the_answer_says_that_it_may_be_ours() {
    let upstream = FakeUpstream::sound().await;
    let mut server = server(&[upstream.address]);
    let since = Timestamp::from_second(1_795_226_645).expect("a time");
    server.writer.set_stale(Some(Stale { since, silence: Silence::Unreachable }));
    let stale = (3, "no contact with the API server since 2026-11-21T02:04:05Z".to_owned());
    // From the upstream, and then from the cache.
    for _ in 0..2 {
        let answer = ask_over(&server, "8.8.8.8.in-addr.arpa.", RecordType::PTR, false).await;
        assert!(!answer.metadata.authoritative, "{answer}");
        assert_eq!(extended_errors(&answer).first(), Some(&stale), "{answer}");
        assert_eq!(extended_errors(&ask(&server, "www.example.").await), []);
    }
    server.writer.set_stale(None);
    let answer = ask_over(&server, "8.8.8.8.in-addr.arpa.", RecordType::PTR, false).await;
    assert!(!extended_errors(&answer).contains(&stale), "{answer}");
}

/// F4.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_leads_out_of_the_zone_is_completed() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    for tcp in [false, true] {
        let answer = ask_over(&server, "ext.db.svc.cluster.local.", RecordType::A, tcp).await;
        assert_eq!(shown(&answer), found(&["www.example.", "192.0.2.1"]));
        assert!(answer.metadata.authoritative, "the alias is ours");
    }
    let answer = ask(&server, "chain.db.svc.cluster.local.").await;
    assert_eq!(shown(&answer), found(&["alias.example.", "target.example.", "192.0.2.1"]));
    let answer = ask(&server, "gone.db.svc.cluster.local.").await;
    assert_eq!(shown(&answer), (ResponseCode::NXDomain, vec!["absent.example.".to_owned()]));
    assert_eq!(answer.authorities.len(), 1, "the denial's SOA");
    assert_eq!(upstream.times("www.example."), 1, "from the cache");
}

/// F1, T1.
#[tokio::test(flavor = "multi_thread")]
async fn before_synchronisation_the_world_is_answered_and_the_cluster_is_not_guessed() {
    let upstream = FakeUpstream::sound().await;
    let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port");
    let server =
        Server::forwarding(bound, Options { headless_only: true, ..options() }, forward_to(&[upstream.address]));
    assert_eq!(shown(&ask(&server, "www.example.").await), found(&["192.0.2.1"]));
    for name in ["pg.db.svc.cluster.local.", "10.0.1.10.in-addr.arpa."] {
        assert_eq!(ask(&server, name).await.metadata.response_code, ResponseCode::ServFail, "{name}");
        assert_eq!(upstream.times(name), 0, "{name}");
    }
}
