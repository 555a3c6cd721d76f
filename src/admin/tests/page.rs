//! The page for people, and the data that it shows.

use crate::admin::page;
use crate::admin::status_page::UpstreamsPage;
use crate::dns::wire::Rcode;
use crate::records::Hosts;
use crate::records::reasons::{HostReason, KnownServices, Problem, Reasons, ServiceReason, WantedBy};
use crate::telemetry::metrics::{FailureReason, Resource};

use super::*;

const AS_A_BROWSER: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

/// The headless Service `db/pg`, with `pg-0` at an address and `pg-1` not ready, and `db/lost`, which does not exist.
fn with_endpoints(admin: &mut Running) {
    let records = ServiceRecords {
        addresses: Addresses::from_iter([[10, 1, 0, 10].into()]),
        hosts: Hosts::from_iter([(label("pg-0").as_wire().to_vec(), [[10, 1, 0, 10].into()])]),
        ..ServiceRecords::empty(ServiceKind::Headless)
    };
    let key = |name: &str| ServiceKey::new(&label("db"), &label(name));
    admin.writer.publish([(key("pg"), Some(records))]);
    let absent = Reasons {
        key: key("pg"),
        service: None,
        hosts: [(label("pg-1"), HostReason::of_pod("pg-1", Problem::NotReady(None)))].into_iter().collect(),
    };
    let wanted_by = WantedBy { pod: "lost-0".into(), controller: None };
    let missing = ServiceReason::Missing { wanted_by, kinds: KnownServices::All };
    let missing = Reasons { key: key("lost"), service: Some(missing), hosts: Default::default() };
    admin.writer.publish_reasons([(key("pg"), Some(absent)), (key("lost"), Some(missing))]);
}

#[tokio::test]
async fn a_browser_gets_a_page_that_may_load_nothing_else_and_a_program_the_list() {
    let admin = Running::start().await;
    let (status, head, body) = admin.get("/", AS_A_BROWSER).await;
    assert!(status == 200 && body.starts_with("<!doctype html>"), "{status} {body}");
    for header in ["content-type: text/html", "vary: accept", "cache-control: no-cache"] {
        assert!(head.contains(header), "{header}: {head}");
    }
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).expect("a policy");
    for nothing in ["default-src", "base-uri", "form-action", "frame-ancestors"] {
        assert!(policy.split("; ").any(|directive| directive == format!("{nothing} 'none'")), "{nothing}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for accept in ["", "accept: */*\r\n"] {
        let (_, head, body) = admin.get("/", accept).await;
        assert!(body.starts_with("headless-dns\n") && head.contains("content-type: text/plain"), "{head} {body}");
    }
    let (_, _, body) = admin.get_at(admin.probes, "/", AS_A_BROWSER).await;
    assert!(body.starts_with("headless-dns\n"), "{body}");
}

#[tokio::test]
async fn no_browser_guesses_what_a_page_is_or_gives_it_to_another_origin() {
    let admin = Running::start().await;
    for target in
        ["/", "/status", "/records", "/explain?name=x.a.svc.cluster.local", "/metrics", "/nothing", "/page/page.js"]
    {
        let (_, head, _) = admin.get(target, "").await;
        assert!(head.contains("referrer-policy: no-referrer"), "{target}: {head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{target}: {head}");
        assert!(head.contains("cross-origin-resource-policy: same-origin"), "{target}: {head}");
        assert_eq!(head.matches("content-security-policy: ").count(), 1, "{target}: {head}");
        assert!(head.contains("frame-ancestors 'none'"), "{target}: {head}");
        assert_eq!(head.matches("cache-control: no-store").count(), usize::from(!target.contains("page")), "{head}");
    }
}

/// A page at a name that is made to lead to this machine is not given what is here (DNS rebinding).
#[tokio::test]
async fn a_request_from_this_machine_that_asks_for_another_name_than_its_own_is_refused() {
    let admin = Running::start().await;
    let port = admin.address.port();
    for (target, host, expected) in [
        ("/status", Some("127.0.0.1".to_owned()), 200),
        ("/status", Some(format!("127.0.0.1:{port}")), 200),
        ("/status", Some(format!("localhost:{port}")), 200),
        ("/status", Some("LOCALHOST.".to_owned()), 200),
        ("/status", Some("dns.localhost:1".to_owned()), 200),
        ("/status", Some("[::1]:8053".to_owned()), 200),
        ("/status", Some("10.0.0.1".to_owned()), 200),
        ("/status", None, 200),
        ("/status", Some("evil.example".to_owned()), 421),
        ("/status", Some(format!("evil.example:{port}")), 421),
        ("/records", Some("localhost.evil.example".to_owned()), 421),
        ("/metrics", Some("127.0.0.1.evil.example".to_owned()), 421),
        ("/", Some("notlocalhost".to_owned()), 421),
        ("/page/page.js", Some("127.0.0.1@evil.example".to_owned()), 421),
        ("/nothing", Some("a b".to_owned()), 421),
        ("/status", Some(String::new()), 421),
        ("http://evil.example/status", Some("localhost".to_owned()), 421),
        ("http://localhost/status", Some("localhost".to_owned()), 200),
    ] {
        let headers = host.map(|host| format!("host: {host}\r\n")).unwrap_or_default();
        let (status, _, body) = admin.get(target, &headers).await;
        assert_eq!(status, expected, "{target} {headers:?} {body}");
        assert!(status == 200 || body.contains("Host: localhost"), "it says what to do: {body}");
    }
    // The probes show nothing of the cluster, and are asked by whatever name.
    assert_eq!(admin.get_at(admin.probes, "/readyz", "host: evil.example\r\n").await.0, 200);
}

/// A page elsewhere can load what is here as an image or an object, and would learn whether a name exists.
#[tokio::test]
async fn what_a_browser_asks_for_another_site_is_refused_but_a_link_to_the_page_is_followed() {
    let admin = Running::start().await;
    let asked = |site: &str, mode: &str, dest: &str| {
        format!("sec-fetch-site: {site}\r\nsec-fetch-mode: {mode}\r\nsec-fetch-dest: {dest}\r\n{AS_A_BROWSER}")
    };
    for (target, site, mode, dest, expected) in [
        ("/status", "same-origin", "cors", "empty", 200),
        ("/explain?name=x.a.svc.cluster.local", "none", "navigate", "document", 200),
        ("/", "none", "navigate", "document", 200),
        ("/", "cross-site", "navigate", "document", 200),
        ("/", "cross-site", "navigate", "iframe", 403),
        ("/", "cross-site", "no-cors", "empty", 403),
        ("/explain?name=x.a.svc.cluster.local", "cross-site", "navigate", "object", 403),
        ("/explain?name=x.a.svc.cluster.local", "cross-site", "navigate", "document", 403),
        ("/explain?name=y.b.svc.cluster.local", "cross-site", "no-cors", "image", 403),
        ("/records", "same-site", "no-cors", "script", 403),
        ("/nothing", "cross-site", "no-cors", "image", 403),
        ("/page/page.js", "cross-site", "no-cors", "script", 403),
    ] {
        let (status, _, body) = admin.get(target, &asked(site, mode, dest)).await;
        assert_eq!(status, expected, "{target} {site} {mode} {dest}: {body}");
    }
}

/// What comes behind each of these marks in a text, up to the next quotation mark.
fn quoted_behind<'t>(text: &'t str, marks: &[&str]) -> Vec<&'t str> {
    let of =
        |mark: &&str| text.split(*mark).skip(1).filter_map(|rest| rest.split(['"', '\'']).next()).collect::<Vec<_>>();
    marks.iter().flat_map(of).collect()
}

/// It may be behind a proxy, below any path.
#[tokio::test]
async fn whatever_the_page_loads_is_there_and_is_named_by_a_relative_address() {
    let admin = Running::start().await;
    let mut wanted: Vec<String> = quoted_behind(page::DOCUMENT, &["src=\"", "rel=\"stylesheet\" href=\""])
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(wanted.len(), 2, "{wanted:?}");
    for (_, _, text) in page::FILES {
        wanted.extend(quoted_behind(text, &["from './"]).into_iter().map(|file| format!("page/{file}")));
    }
    for path in &wanted {
        let (status, head, body) = admin.get(&format!("/{path}"), "").await;
        assert!(status == 200 && !body.is_empty(), "{path}: {status}");
        let expected = if path.ends_with(".css") { "text/css" } else { "text/javascript" };
        assert!(head.contains(&format!("content-type: {expected}")), "{path}: {head}");
    }
    for (path, _, _) in page::FILES {
        assert!(wanted.contains(&path[1..].to_owned()), "{path} is not loaded");
    }
    let links = quoted_behind(page::DOCUMENT, &["href=\"", "src=\""]);
    assert!(
        links.iter().all(|link| !link.starts_with('/') && !link.contains("//") || link.starts_with("data:")),
        "{links:?}"
    );
}

/// Text from the cluster is never markup: nothing in the scripts makes any.
#[test]
fn the_scripts_of_the_page_make_no_markup_of_text() {
    for (path, _, text) in page::FILES {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "srcdoc",
            "DOMParser",
        ] {
            assert!(!text.contains(way), "{path}: {way}");
        }
        assert!(text.lines().count() <= 400, "{path} is too long");
    }
}

#[tokio::test]
async fn services_are_found_by_whatever_a_person_knows_of_them() {
    let mut admin = Running::start().await;
    with_endpoints(&mut admin);
    for (search, expected) in [
        ("", vec!["a/x", "a/y", "b/x", "db/lost", "db/pg"]),
        ("a%2Fx", vec!["a/x"]),
        ("x.a", vec!["a/x"]),
        ("X", vec!["a/x", "b/x"]),
        ("x+b", vec!["b/x"]),
        ("db", vec!["db/lost", "db/pg"]),
        ("pg-0", vec!["db/pg"]),
        ("pg-1", vec!["db/pg"]),
        ("lost-0", vec!["db/lost"]),
        ("10.1.0.10", vec!["db/pg"]),
        ("10.0.0.1", vec!["b/x"]),
        ("pg-0.pg.db.svc.cluster.local", vec!["db/pg"]),
        ("pg-2", vec![]),
        ("10.9.9.9", vec![]),
    ] {
        let page = admin.page(&format!("/services?search={search}")).await;
        assert_eq!(keys(&page), expected, "{search}");
        assert_eq!((page["known"].as_u64(), page["fitting"].as_u64()), (Some(5), Some(expected.len() as u64)));
    }
    assert_eq!(keys(&admin.page("/services?absent=true").await), ["db/lost", "db/pg"]);
}

#[tokio::test]
async fn services_come_with_what_is_absent_and_why() {
    let mut admin = Running::start().await;
    with_endpoints(&mut admin);
    let page = admin.page("/services?search=db").await;
    let expected = serde_json::json!([
        {"namespace": "db", "service": "lost", "kind": null, "target": null, "endpoints": 0, "absent": 0, "resolves": false,
         "why": "Service db/lost does not exist, but Pod lost-0 has it as its subdomain"},
        {"namespace": "db", "service": "pg", "kind": "Headless", "target": null, "endpoints": 1, "absent": 1, "resolves": true,
         "why": "Pod db/pg-1 is not Ready"},
    ]);
    assert_eq!(page["services"], expected);
    let page = admin.page("/services?search=b%2Fx").await;
    assert_eq!(page["services"][0]["target"], "10.0.0.1");
    let alias = ServiceRecords::empty(ServiceKind::ExternalName(name("db.example.com")));
    admin.writer.publish([(ServiceKey::new(&label("a"), &label("ext")), Some(alias))]);
    let service = &admin.page("/services?search=a%2Fext").await["services"][0];
    assert_eq!((&service["target"], &service["resolves"]), (&"db.example.com.".into(), &true.into()));
}

#[tokio::test]
async fn services_come_page_by_page_and_each_page_says_how_many_fit() {
    let admin = Running::start().await;
    let first = admin.page("/services?limit=2").await;
    assert_eq!((keys(&first), first["fitting"].as_u64()), (vec!["a/x".to_owned(), "a/y".to_owned()], Some(3)));
    let token = first["continue"].as_str().expect("there is more");
    let second = admin.page(&format!("/services?limit=2&continue={token}")).await;
    assert_eq!((keys(&second), &second["continue"]), (vec!["b/x".to_owned()], &Value::Null));
    assert_eq!(second["fitting"], 3);
    assert_eq!(admin.page("/services?limit=3").await["continue"], Value::Null);
    for target in
        ["/services?limit=201", "/services?continue=a", "/services?sort=a", "/service?namespace=a", "/history?from=x"]
    {
        assert_eq!(admin.get(target, "").await.0, 400, "{target}");
    }
}

#[tokio::test]
async fn the_status_says_how_the_server_is_and_since_when() {
    let mut admin = Running::start().await;
    let status = admin.page("/status").await;
    assert_eq!(
        (&status["health"], &status["forwards"], &status["transfers"]),
        (&"healthy".into(), &false.into(), &false.into())
    );
    let size = ["services", "endpoints", "namespaces"].map(|of| status[of].as_u64());
    assert_eq!(size, [Some(3), Some(0), Some(2)]);
    let started = &status["started"];
    assert_eq!(status["zones"][0], "cluster.local.");
    let serial = status["serial"].clone();
    let latch = admin.readiness.block("services in all namespaces");
    let status = admin.page("/status").await;
    assert_eq!((&status["health"], &status["pending"][0]), (&"not-ready".into(), &"services in all namespaces".into()));
    assert_eq!(&status["started"], started);
    drop(latch);
    let since = jiff::Timestamp::from_second(1_795_226_645).expect("a time");
    admin.writer.set_stale(Some(Stale { since, silence: Silence::Unreachable }));
    admin.writer.publish([service("a", "z", [10, 0, 0, 9])]);
    let status = admin.page("/status").await;
    assert_eq!(status["health"], "stale");
    assert_eq!(status["stale"]["why"], "no contact with the API server since 2026-11-21T02:04:05Z");
    assert_ne!(status["serial"], serial, "it changes with the records");
    // The worst is what counts.
    let _latch = admin.readiness.block("services in all namespaces");
    assert_eq!(admin.page("/status").await["health"], "not-ready");
    let _stuck = admin.heartbeats.register("the index", Duration::ZERO);
    let status = admin.page("/status").await;
    assert_eq!(status["health"], "stalled");
    assert_eq!(status["stalled"], serde_json::json!([{ "what": "the index", "seconds": 0 }]));
}

#[tokio::test]
async fn the_status_says_how_long_each_watch_has_been_quiet() {
    let admin = Running::start().await;
    assert_eq!(admin.page("/status").await["watches"], serde_json::json!([]));
    let _watch = admin.metrics.register_watch(Resource::Pods);
    let watches = admin.page("/status").await["watches"].clone();
    assert_eq!((watches.as_array().map(Vec::len), &watches[0]["resource"]), (Some(1), &"pods".into()));
    assert!(watches[0]["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{watches}");
}

/// A page asks for what is new alone. With the clock paused, seconds pass while it waits.
#[tokio::test(start_paused = true)]
async fn the_status_says_where_the_history_goes_on_and_it_is_given_from_there() {
    let admin = Running::start().await;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let next = admin.page("/status").await["history"].as_u64().expect("a number");
    assert!(next >= 3, "{next}");
    let history = admin.page(&format!("/history?from={next}")).await;
    assert_eq!(history["first"], next);
    let new = history["next"].as_u64().expect("a number") - next;
    assert_eq!(history["health"].as_array().map(Vec::len), Some(new as usize));
    assert_eq!(admin.page("/history").await["first"], 0);
}

#[tokio::test]
async fn a_zone_is_not_shown_before_it_is_whole() {
    let admin = Running::start().await;
    let _latch = admin.readiness.block("services in all namespaces");
    let (status, _, body) = admin.get("/zone?name=cluster.local", "").await;
    assert_eq!((status, body.as_str()), (503, "not synchronised yet; pending: services in all namespaces\n"));
}

#[test]
fn upstreams_come_with_what_they_answered_and_the_cache_with_what_it_saved() {
    let metrics = Metrics::new();
    let (one, other) = (metrics.register_upstream("192.0.2.1:53"), metrics.register_upstream("tls://192.0.2.2"));
    (0..3).for_each(|_| one.answered(Rcode::NoError, Duration::ZERO));
    other.failed(FailureReason::Timeout);
    other.set_working(false);
    other.set_loops(2);
    let forwarding = metrics.forwarding();
    (0..4).for_each(|_| forwarding.cache_hit(Rcode::NxDomain));
    forwarding.served_stale();
    (0..5).for_each(|_| forwarding.cache_missed());
    metrics.cache().size(6, 700);
    let expected = serde_json::json!({
        "upstreams": [
            {"to": "192.0.2.1:53", "working": true, "loops": 0, "responses": 3, "failures": 0},
            {"to": "tls://192.0.2.2", "working": false, "loops": 2, "responses": 0, "failures": 1},
        ],
        "cache": {"entries": 6, "octets": 700, "hits": 4, "stale": 1, "misses": 5},
    });
    assert_eq!(serde_json::to_value(UpstreamsPage::new(&metrics)).expect("JSON"), expected);
}

#[tokio::test]
async fn an_explanation_comes_as_data_for_whoever_asks_for_json() {
    let admin = Running::start().await;
    let json = "accept: application/json, */*;q=0.1\r\n";
    let (status, head, body) = admin.get("/explain?name=z.a.svc.cluster.local", json).await;
    assert!(status == 200 && head.contains("content-type: application/json"), "{status} {head}");
    assert!(head.contains("vary: accept"), "a cache in between has to know: {head}");
    let explanation: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (&explanation["name"], &explanation["verdict"], &explanation["resolves"]),
        (&"z.a.svc.cluster.local.".into(), &"does not resolve: NXDOMAIN".into(), &false.into())
    );
    let (_, _, body) = admin.get("/explain?name=x", json).await;
    let explanation: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(explanation["meant"].as_array().map(Vec::len), Some(2), "{body}");
    let (_, _, body) = admin.get("/explain?name=www.example.com", json).await;
    let explanation: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(explanation["served"]["zones"][0], "cluster.local.");
}

#[tokio::test]
async fn what_is_not_configured_is_not_found_and_says_so() {
    let admin = Running::start().await;
    for (target, text) in [("/upstreams", "nothing is forwarded"), ("/transfers", "zones are not transferred")] {
        let (status, _, body) = admin.get(target, "").await;
        assert!(status == 404 && body.starts_with(text), "{status} {body}");
    }
    // The index of these tests is gone.
    let (status, _, body) = admin.get("/service?namespace=a&service=x", "").await;
    assert_eq!((status, body.as_str()), (503, "the cluster is not followed\n"));
}
