//! The names and labels that leave the process, held to the conventions of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use super::{collect::PREFIX, *};

/// An upstream.
const UPSTREAM: &str = "10.96.0.10";
const SECONDARY: &str = "192.0.2.1";
const ZONE: &str = "cluster.local.";

/// Every label there is, with every value.
fn closed_labels() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    fn add<L: Label>(labels: &mut BTreeMap<&'static str, BTreeSet<&'static str>>) {
        labels.entry(L::NAME).or_default().extend(L::ALL.iter().map(|label| label.as_str()));
    }
    let mut labels = BTreeMap::from([("version", BTreeSet::from([env!("CARGO_PKG_VERSION")]))]);
    add::<Transport>(&mut labels);
    add::<Family>(&mut labels);
    add::<QueryType>(&mut labels);
    add::<Rcode>(&mut labels);
    add::<DropReason>(&mut labels);
    add::<RejectReason>(&mut labels);
    add::<Resource>(&mut labels);
    add::<EndpointSource>(&mut labels);
    add::<WatchEvent>(&mut labels);
    add::<WatchErrorReason>(&mut labels);
    add::<CachedKind>(&mut labels);
    add::<FailureReason>(&mut labels);
    add::<TransferForm>(&mut labels);
    add::<TransferRejection>(&mut labels);
    add::<NotifyOutcome>(&mut labels);
    add::<TapDrop>(&mut labels);
    // The labels that are configured.
    labels.insert("to", BTreeSet::from([UPSTREAM]));
    labels.insert("secondary", BTreeSet::from([SECONDARY]));
    labels.insert("zone", BTreeSet::from([ZONE, "."]));
    labels
}

fn scrape(metrics: &Arc<Metrics>, format: Format) -> String {
    Exporter::new(metrics.clone()).encode(format).expect("writing to a string")
}

#[test]
fn the_metrics_are_these_and_no_others() {
    let text = scrape(&Arc::new(Metrics::new()), Format::Prometheus);
    let described: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(
        described,
        [
            "process_cpu_seconds_total counter",
            "process_resident_memory_bytes gauge",
            "process_virtual_memory_bytes gauge",
            "process_threads gauge",
            "process_open_fds gauge",
            "process_max_fds gauge",
            "process_start_time_seconds gauge",
            "headless_dns_requests_total counter",
            "headless_dns_responses_total counter",
            "headless_dns_request_duration_seconds histogram",
            "headless_dns_request_size_bytes histogram",
            "headless_dns_response_size_bytes histogram",
            "headless_dns_dropped_packets_total counter",
            "headless_dns_tcp_connections gauge",
            "headless_dns_tcp_max_connections gauge",
            "headless_dns_tcp_rejected_connections_total counter",
            "headless_dns_watch_events_total counter",
            "headless_dns_watch_errors_total counter",
            "headless_dns_watch_age_seconds gauge",
            "headless_dns_malformed_objects_total counter",
            "headless_dns_reconcile_repairs_total counter",
            "headless_dns_synchronised gauge",
            "headless_dns_stale_seconds gauge",
            "headless_dns_dns_programming_duration_seconds histogram",
            "headless_dns_publication_duration_seconds histogram",
            "headless_dns_table_services gauge",
            "headless_dns_table_endpoints gauge",
            "headless_dns_table_namespaces gauge",
            "headless_dns_cache_hits_total counter",
            "headless_dns_cache_misses_total counter",
            "headless_dns_cache_served_stale_total counter",
            "headless_dns_cache_prefetch_total counter",
            "headless_dns_cache_evictions_total counter",
            "headless_dns_cache_entries gauge",
            "headless_dns_cache_size_bytes gauge",
            "headless_dns_forward_max_concurrent_rejects_total counter",
            "headless_dns_forward_responses_total counter",
            "headless_dns_forward_failures_total counter",
            "headless_dns_forward_request_duration_seconds histogram",
            "headless_dns_forward_healthy gauge",
            "headless_dns_forward_loops gauge",
            "headless_dns_transfers_total counter",
            "headless_dns_transfers_aborted_total counter",
            "headless_dns_transfer_sent_bytes_total counter",
            "headless_dns_transfers_rejected_total counter",
            "headless_dns_notifies_total counter",
            "headless_dns_zone_versions_total counter",
            "headless_dns_zone_serial gauge",
            "headless_dns_secondary_serial gauge",
            "headless_dns_zone_history_versions gauge",
            "headless_dns_zone_history_size_bytes gauge",
            "headless_dns_query_log_dropped_total counter",
            "headless_dns_dnstap_frames_total counter",
            "headless_dns_dnstap_dropped_total counter",
            "headless_dns_build_info gauge",
        ]
    );
}

#[test]
fn every_series_has_the_prefix_a_description_and_only_labels_from_the_closed_sets() {
    let labels = closed_labels();
    let metrics = Arc::new(Metrics::new());
    metrics.register_upstream(UPSTREAM);
    metrics.expect_zones([ZONE.to_owned()]);
    let [secondary, stranger] = [SECONDARY, "192.0.2.2"].map(|address| address.parse().expect("an address"));
    metrics.transfers().expect_secondaries(vec![secondary]);
    metrics.transfers().secondary_has(secondary, &ZONE, 16);
    // Whoever asks is not expected to follow.
    metrics.transfers().secondary_has(stranger, &ZONE, 16);
    let text = scrape(&metrics, Format::Prometheus);
    assert!(text.contains("secondary_serial{secondary=\"192.0.2.1\",zone=\"cluster.local.\"} 16"), "{text}");
    let described: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a value after the series");
        let (name, pairs) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.starts_with(PREFIX) || name.starts_with("process_"), "{name}");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(described.contains(family), "no HELP for {name}");
        for pair in pairs.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once('=').expect("label=value");
            let value = value.trim_matches('"');
            let numeric_bound = label == "le" && (value == "+Inf" || value.parse::<f64>().is_ok());
            assert!(numeric_bound || labels.get(label).is_some_and(|values| values.contains(value)), "{line}");
        }
    }
}

#[test]
fn a_time_is_in_seconds_and_says_so() {
    let text = scrape(&Arc::new(Metrics::new()), Format::OpenMetrics);
    for line in text.lines().filter(|line| line.starts_with("# HELP ") && line.to_lowercase().contains(" time ")) {
        assert!(line.split(' ').nth(2).is_some_and(|name| name.ends_with("_seconds")), "{line}");
    }
    assert!(text.contains("# UNIT headless_dns_request_duration_seconds seconds\n"));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn what_is_counted_is_what_is_shown() {
    let metrics = Arc::new(Metrics::new());
    let mut tally = Tally::new(Transport::Udp);
    tally.request(Family::Ipv6, QueryType::from(33), 32);
    tally.request(Family::Ipv6, QueryType::Srv, 33);
    metrics.response(&mut tally, None, Rcode::NxDomain, 512);
    metrics.add(&mut tally, Duration::from_micros(3));
    metrics.add(&mut tally, Duration::from_micros(3));
    metrics.watch_event(Resource::Services, WatchEvent::Relist);
    metrics.watch_error(Resource::EndpointSlices, WatchErrorReason::Forbidden);
    metrics.reconcile_repairs(Resource::Services, 4);
    metrics.stale(Timestamp::from_second(1).ok());
    metrics.table(3, 9, 2);
    metrics.synchronised();
    metrics.tcp_limit(256);
    let open = metrics.tcp_opened();
    let upstream = metrics.register_upstream(UPSTREAM);
    upstream.answered(Rcode::NxDomain, Duration::from_millis(2));
    metrics.register_upstream(UPSTREAM).failed(FailureReason::Timeout);
    upstream.set_working(false);
    metrics.forwarding().cache_hit(Rcode::NoError);
    metrics.cache().size(3, 4096);
    let text = scrape(&metrics, Format::Prometheus);
    for line in [
        r#"headless_dns_requests_total{transport="udp",family="ipv6",type="SRV"} 2"#,
        r#"headless_dns_responses_total{zone=".",rcode="NXDOMAIN"} 1"#,
        r#"headless_dns_request_duration_seconds_bucket{le="0.000002",transport="udp"} 0"#,
        r#"headless_dns_request_duration_seconds_bucket{le="0.000004",transport="udp"} 1"#,
        r#"headless_dns_request_duration_seconds_bucket{le="+Inf",transport="udp"} 1"#,
        r#"headless_dns_request_duration_seconds_sum{transport="udp"} 0.000003"#,
        r#"headless_dns_request_size_bytes_bucket{le="32.0",transport="udp"} 1"#,
        r#"headless_dns_request_size_bytes_bucket{le="64.0",transport="udp"} 2"#,
        r#"headless_dns_request_size_bytes_sum{transport="udp"} 65.0"#,
        r#"headless_dns_response_size_bytes_bucket{le="256.0",transport="udp"} 0"#,
        r#"headless_dns_response_size_bytes_bucket{le="512.0",transport="udp"} 1"#,
        r#"headless_dns_response_size_bytes_bucket{le="+Inf",transport="udp"} 1"#,
        r#"headless_dns_watch_events_total{resource="services",event="relist"} 1"#,
        r#"headless_dns_watch_errors_total{resource="endpointslices",reason="forbidden"} 1"#,
        r#"headless_dns_reconcile_repairs_total{resource="services"} 4"#,
        "headless_dns_table_endpoints 9.0",
        "headless_dns_tcp_connections 1.0",
        "headless_dns_tcp_max_connections 256.0",
        "headless_dns_synchronised 1.0",
        r#"headless_dns_forward_responses_total{to="10.96.0.10",rcode="NXDOMAIN"} 1"#,
        r#"headless_dns_forward_failures_total{to="10.96.0.10",reason="timeout"} 1"#,
        r#"headless_dns_forward_request_duration_seconds_bucket{le="0.002048",to="10.96.0.10"} 1"#,
        r#"headless_dns_forward_healthy{to="10.96.0.10"} 0.0"#,
        r#"headless_dns_cache_hits_total{type="success"} 1"#,
        "headless_dns_cache_size_bytes 4096.0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    let stale = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("headless_dns_stale_seconds "));
        line.and_then(|seconds| seconds.parse::<f64>().ok()).expect("a number")
    };
    assert!(stale(&text) > 1e9, "since 1970: {text}");
    metrics.stale(None);
    assert_eq!(stale(&scrape(&metrics, Format::Prometheus)), 0.0);
    drop(open);
    assert!(scrape(&metrics, Format::Prometheus).contains("headless_dns_tcp_connections 0.0"));
}

#[test]
fn a_duration_falls_into_the_first_bucket_that_holds_it() {
    let bucket_of = |elapsed| {
        let histogram = Histogram::<MICROSECOND>::default();
        histogram.observe(elapsed, 1);
        histogram.buckets().iter().position(|(_, count)| *count == 1)
    };
    assert_eq!(bucket_of(Duration::ZERO), Some(0));
    assert_eq!(bucket_of(Duration::from_micros(1)), Some(0));
    assert_eq!(bucket_of(Duration::from_nanos(1_001)), Some(1));
    assert_eq!(bucket_of(Duration::from_micros(1 << 20)), Some(20));
    assert_eq!(bucket_of(Duration::from_secs(3600)), Some(BOUNDED_BUCKETS));
    assert_eq!(bucket_of(Duration::MAX), Some(BOUNDED_BUCKETS));
}

#[test]
fn the_age_of_a_watch_starts_anew_with_each_contact() {
    let metrics = Arc::new(Metrics::new());
    let contact = metrics.register_watch(Resource::Services);
    let silent = metrics.watch_age(Resource::Services);
    contact.reset();
    assert!(metrics.watch_age(Resource::EndpointSlices) >= silent);
    assert!(metrics.watch_age(Resource::Services) < metrics.watch_age(Resource::EndpointSlices));
}

#[test]
fn what_is_not_watched_has_no_age_that_would_grow_without_end() {
    let metrics = Arc::new(Metrics::new());
    metrics.register_watch(Resource::Services);
    let text = scrape(&metrics, Format::Prometheus);
    let ages: Vec<&str> = text.lines().filter(|line| line.starts_with("headless_dns_watch_age_seconds")).collect();
    assert!(matches!(ages[..], [age] if age.contains("\"services\"")), "{ages:?}");
}

#[test]
fn the_watch_of_a_resource_is_as_old_as_that_of_its_most_silent_scope() {
    let metrics = Arc::new(Metrics::new());
    let [recent, silent] = [(); 2].map(|()| metrics.register_watch(Resource::Services));
    recent.reset();
    let since_the_start = metrics.watch_age(Resource::EndpointSlices);
    assert!(metrics.watch_age(Resource::Services) >= since_the_start);
    silent.reset();
    assert!(metrics.watch_age(Resource::Services) < metrics.watch_age(Resource::EndpointSlices));
}

#[test]
fn an_ipv4_client_on_an_ipv6_socket_counts_as_ipv4() {
    assert_eq!(Family::from("::ffff:10.0.0.1".parse::<std::net::IpAddr>().expect("an address")), Family::Ipv4);
    assert_eq!(Family::from("fd00::1".parse::<std::net::IpAddr>().expect("an address")), Family::Ipv6);
}

/// The kernel's numbers, by the names that dashboards of every language look for.
#[test]
fn the_process_is_measured_as_every_process_is() {
    let text = scrape(&Arc::new(Metrics::new()), Format::Prometheus);
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    assert!(value("process_cpu_seconds_total") > 0.0);
    // A test's binary has more than a megabyte, and less than a terabyte of memory.
    assert!((1e6..1e12).contains(&value("process_resident_memory_bytes")));
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_threads") >= 1.0);
    assert!((3.0..=value("process_max_fds")).contains(&value("process_open_fds")));
    assert!(value("process_start_time_seconds") > 1e9, "since 1970");
}

#[test]
fn a_message_of_any_size_falls_into_a_bucket() {
    for (octets, bucket) in [(0, 0), (32, 0), (33, 1), (512, 4), (65_535, 11), (usize::MAX / 4, 11)] {
        let (all, mut mine) = (sizes::Sizes::default(), sizes::CountedSizes::default());
        mine.count(octets);
        all.take_in(&mut mine);
        assert_eq!(all.buckets().iter().position(|(_, count)| *count == 1), Some(bucket), "{octets}");
        all.take_in(&mut mine);
        assert_eq!(all.sum(), octets as f64, "counted once");
    }
}
