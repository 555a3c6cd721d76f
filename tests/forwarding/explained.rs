//! What is said of answers from elsewhere: as Extended DNS Errors, and by `explain`.

use headless_dns::admin::ExplanationText;
use headless_dns::authority::Authority;
use headless_dns::diagnose::Explainer;
use headless_dns::resolver::Resolver;
use headless_dns::table::table;
use headless_dns::telemetry::metrics::Metrics;

use super::*;
use crate::support::common::extended_errors;
use crate::support::upstream::{refusal, with_error};

/// An explainer of an empty table, with this upstream.
fn explainer(upstream: SocketAddr) -> Explainer {
    let authority = Authority::new(options()).expect("names that fit").forwarding();
    let (mut writer, reader) = table();
    writer.set_synchronised();
    let runtime = tokio::runtime::Handle::current();
    let forward = resolver::Options { trees: authority.elsewhere_trees(), ..forward_to(&[upstream]) };
    let resolver = Resolver::start(forward, &runtime, Arc::new(Metrics::new())).expect("upstreams");
    Explainer::new(Arc::new(authority), reader, tokio::sync::mpsc::channel(1).0).forwarding(resolver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_the_world_is_explained_with_who_was_asked_and_what_the_cache_holds() {
    let (upstream, is_dead) = mortal().await;
    let explainer = explainer(upstream.address);
    let explain = async |name: &str| {
        let explanation = explainer.explain(name).await.expect("a name");
        ExplanationText { resolves: explanation.resolves, text: explanation.to_string() }
    };
    let asked = format!("asked {}, which answered", upstream.address);

    let first = explain("www.example.").await;
    assert!(first.resolves && first.text.starts_with("www.example. resolves\n  A 192.0.2.1\n"), "{}", first.text);
    assert!(first.text.contains(&format!("\n  {asked} NOERROR in ")), "{}", first.text);
    let second = explain("www.example.").await.text;
    assert!(
        second.contains("\n  from the cache, ") && second.contains(&format!(" s left: {asked} NOERROR")),
        "{second}"
    );
    let absent = explain("absent.example.").await;
    assert!(
        !absent.resolves && absent.text.contains(&format!("does not resolve\n  {asked} NXDOMAIN")),
        "{}",
        absent.text
    );

    explain("brief.example.").await;
    is_dead.store(true, Ordering::SeqCst);
    until("a stale answer", async || {
        let stale = explain("brief.example.").await;
        assert!(stale.resolves, "it resolves for clients too: {}", stale.text);
        stale.text.contains(&format!("\n  stale, from the cache: {asked} NOERROR in "))
    })
    .await;
    let cached = explain("www.example.").await;
    assert!(cached.resolves && cached.text.contains("from the cache"), "{}", cached.text);
    let dead = explain("other.example.").await;
    assert!(!dead.resolves, "{}", dead.text);
    assert!(
        dead.text.contains(&format!("no answer from elsewhere: {}: no answer within", upstream.address)),
        "{}",
        dead.text
    );
}

/// F1. RFC 8914 section 3: a forwarder that passes an error on says from whom it has it.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_upstream_are_passed_on_with_its_address() {
    let upstream = FakeUpstream::start(|query| {
        let name = crate::support::upstream::read(query).queries[0].name().to_ascii().to_lowercase();
        vec![match name.split('.').next().unwrap_or_default() {
            "bogus" => with_error(&refusal(query, ResponseCode::ServFail), 6, "signature expired"),
            "censored" => with_error(&answer(query), 4, ""),
            _ => answer(query),
        }]
    })
    .await;
    let server = server(&[upstream.address]);
    let told = async |name: &str| extended_errors(&ask(&server, name).await);
    let asked = format!("asked {}, which answered", upstream.address);

    let bogus = told("bogus.example.").await;
    assert_eq!((bogus.len(), bogus[0].0), (1, 6), "{bogus:?}");
    assert!(bogus[0].1.starts_with(&format!("{asked} SERVFAIL in ")), "{bogus:?}");
    assert!(bogus[0].1.ends_with(" ms: signature expired"), "{bogus:?}");
    let censored = told("censored.example.").await;
    assert_eq!(censored[0].0, 4, "{censored:?}");
    let cached = told("censored.example.").await;
    assert!(cached[0].0 == 4 && cached[0].1.starts_with("from the cache, "), "{cached:?}");

    let absent = told("absent.example.").await;
    assert_eq!(absent[0].0, 0, "{absent:?}");
    assert!(absent[0].1.starts_with(&format!("{asked} NXDOMAIN in ")), "{absent:?}");
    let cached = told("absent.example.").await;
    assert!(cached[0].1.contains(&format!(" s left: {asked} NXDOMAIN in ")), "{cached:?}");
    assert_eq!(told("www.example.").await, [], "there is nothing to say of an answer");

    // Kept for a second, in which one of many asks comes.
    until("a failure from the cache", async || told("broken.example.").await[0].0 == 13).await;
}
