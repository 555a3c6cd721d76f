//! What is kept of upstreams' answers, what passes through with it, and what is counted.

use hickory_proto::op::Edns;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::NULL;

use super::*;
use crate::support::upstream::{read, response};

/// F1.
#[tokio::test(flavor = "multi_thread")]
async fn times_count_down_while_an_answer_is_in_the_cache() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    assert_eq!(ask(&server, "www.example.").await.answers[0].ttl, 60);
    let mut before = 60;
    until("two seconds less", async || {
        let ttl = ask(&server, "www.example.").await.answers[0].ttl;
        assert!(ttl <= before, "{ttl} after {before}");
        before = ttl;
        ttl <= 58
    })
    .await;
    assert_eq!(upstream.times("www.example."), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_often_is_asked_for_anew_before_its_time_is_over() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    until("an answer asked for in time", async || {
        assert_eq!(shown(&ask(&server, "popular.example.").await), found(&["192.0.2.1"]));
        metric(&server, "cache_prefetch_total") > 0.0
    })
    .await;
    until("it is there", async || ask(&server, "popular.example.").await.answers[0].ttl >= 4).await;
    let asked = metric(&server, "cache_misses_total") + metric(&server, "cache_prefetch_total");
    assert_eq!(upstream.times("popular.example.") as f64, asked);
}

/// F8.
#[tokio::test(flavor = "multi_thread")]
async fn what_dnssec_needs_passes_through_and_its_answers_are_kept_apart() {
    const RRSIG: u16 = 46;
    let upstream = FakeUpstream::start(|query| {
        let mut message = response(query);
        let name = message.queries[0].name().clone();
        message.metadata.authentic_data = true;
        message.add_answer(Record::from_rdata(name.clone(), 60, RData::A("192.0.2.1".parse().expect("an address"))));
        if read(query).edns.is_some_and(|edns| edns.flags().dnssec_ok) {
            let rdata = RData::Unknown { code: RecordType::from(RRSIG), rdata: NULL::with(vec![0; 30]) };
            message.add_answer(Record::from_rdata(name, 60, rdata));
        }
        vec![message.to_vec().expect("octets")]
    })
    .await;
    let server = server(&[upstream.address]);
    // DO, CD and AD of the query; whether the answer has AD.
    let cases = [
        (false, false, false, false),
        (false, false, true, true),
        (true, false, false, true),
        (false, true, false, false),
        (true, true, true, true),
    ];
    for _ in 0..2 {
        for (dnssec_ok, checking_disabled, wants_ad, has_ad) in cases {
            let mut query = query("www.example.", RecordType::A);
            query.metadata.recursion_desired = true;
            query.metadata.checking_disabled = checking_disabled;
            query.metadata.authentic_data = wants_ad;
            let mut edns = Edns::new();
            edns.set_max_payload(1232).set_dnssec_ok(dnssec_ok);
            query.set_edns(edns);
            let answer = exchange(server.address, &query, false).await.expect("an answer");
            let case = format!("DO {dnssec_ok}, CD {checking_disabled}, AD {wants_ad}: {answer}");
            let types: Vec<_> = answer.answers.iter().map(|record| u16::from(record.record_type())).collect();
            assert_eq!(types, if dnssec_ok { vec![1, RRSIG] } else { vec![1] }, "{case}");
            assert_eq!(answer.metadata.authentic_data, has_ad, "{case}");
            assert_eq!(answer.metadata.checking_disabled, checking_disabled, "{case}");
        }
    }
    let of_test: Vec<_> = upstream
        .queries()
        .iter()
        .map(|query| read(query))
        .filter(|query| query.queries[0].name().to_ascii().eq_ignore_ascii_case("www.example."))
        .map(|query| (query.edns.is_some_and(|edns| edns.flags().dnssec_ok), query.metadata.checking_disabled))
        .collect();
    assert_eq!(of_test, [(false, false), (true, false), (false, true), (true, true)], "each kind once");
}

/// F1, F5, F6.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_is_counted_by_upstream_code_and_reason() {
    let hanging = FakeUpstream::hanging().await;
    let (upstream, is_dead) = mortal().await;
    let cache = CacheLimits { octets: 4096, stale: Duration::from_secs(60) };
    let forward = resolver::Options { cache, ..forward_to(&[hanging.address, upstream.address]) };
    let server = serving(options(), forward);
    let to = |name: &str, of: &FakeUpstream, labels: &str| {
        metric(&server, &format!("{name}{{to=\"{}\"{labels}}}", of.address))
    };
    until("the failure", async || {
        ask(&server, "name.example.").await;
        !is_healthy(&server, hanging.address)
    })
    .await;
    assert!(is_healthy(&server, upstream.address));
    assert!(to("forward_failures_total", &hanging, ",reason=\"timeout\"") >= 3.0);
    let before = to("forward_responses_total", &upstream, ",rcode=\"NXDOMAIN\"");
    let hits = |kind: &str| metric(&server, &format!("cache_hits_total{{type=\"{kind}\"}}"));
    let (success, denial, misses) = (hits("success"), hits("denial"), metric(&server, "cache_misses_total"));
    for name in ["absent.example.", "absent.example.", "absent.example.", "www.example.", "www.example."] {
        ask(&server, name).await;
    }
    assert_eq!(to("forward_responses_total", &upstream, ",rcode=\"NXDOMAIN\"") - before, 1.0);
    assert!(to("forward_responses_total", &upstream, ",rcode=\"NOERROR\"") >= 2.0);
    assert_eq!(metric(&server, "cache_misses_total") - misses, 2.0);
    assert_eq!((hits("success") - success, hits("denial") - denial), (1.0, 2.0));
    let answered: f64 = ["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"]
        .iter()
        .map(|code| to("forward_responses_total", &upstream, &format!(",rcode=\"{code}\"")))
        .sum();
    assert_eq!(to("forward_request_duration_seconds_count", &upstream, ""), answered);
    assert!(to("forward_request_duration_seconds_sum", &upstream, "") > 0.0);

    assert!((1.0..=4096.0).contains(&metric(&server, "cache_size_bytes")));
    let entries = metric(&server, "cache_entries");
    for i in 0..30 {
        ask(&server, &format!("name-{i}.example.")).await;
    }
    assert!(metric(&server, "cache_evictions_total") >= entries + 30.0 - metric(&server, "cache_entries"));
    assert!((1.0..=4096.0).contains(&metric(&server, "cache_size_bytes")), "within its bound");

    ask(&server, "brief.example.").await;
    is_dead.store(true, Ordering::SeqCst);
    until("a stale answer", async || {
        ask(&server, "brief.example.").await;
        metric(&server, "cache_served_stale_total") > 0.0
    })
    .await;
    for name in ["forward_healthy", "forward_loops"] {
        to(name, &upstream, "");
    }
    assert_eq!(metric(&server, "forward_max_concurrent_rejects_total"), 0.0);
    assert!(series(&server, "cache_prefetch_total").is_some());
    for reason in ["network", "malformed"] {
        assert_eq!(to("forward_failures_total", &upstream, &format!(",reason=\"{reason}\"")), 0.0);
    }
}
