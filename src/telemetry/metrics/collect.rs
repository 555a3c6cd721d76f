//! From counters to text: every metric with its name, its help and its labels.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::{Registry, Unit};

use super::output::{Labels, Output, pair, product};
use super::process::Process;
use super::sizes::{Sizes, TransportSizes};
use super::{
    CachedKind, DropReason, EndpointSource, FailureReason, Family, Label, Metrics, NotifyOutcome, QueryType, Rcode,
    RejectReason, Resource, TapDrop, TransferForm, TransferRejection, Transport, UpstreamMetrics, WatchErrorReason,
    WatchEvent, zones,
};

/// The prefix of the names of all metrics but those that every process has.
pub const PREFIX: &str = "headless_dns";

/// The text formats of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// The older text format of Prometheus, the default.
    Prometheus,
}

impl Format {
    /// The best format that a client with this `Accept` header reads.
    pub fn accepted_by(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus }
    }

    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes the metrics as text.
#[derive(Debug)]
pub struct Exporter {
    registry: Registry,
}

impl Exporter {
    /// An exporter of `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let mut registry = Registry::default();
        let process = Process { start_time: metrics.start_time };
        registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(Snapshot(metrics)));
        registry.register_collector(Box::new(process));
        Self { registry }
    }

    /// All metrics as they are now.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Prometheus => prometheus(&text),
        })
    }
}

/// Converts to the older format: descriptions name a counter with its suffix too, and there are no units and no end mark.
fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF").peekable();
    while let Some(line) = lines.next() {
        let counter = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
        let described = line.starts_with("# HELP ") && lines.peek().is_some_and(|next| counter(next)) || counter(line);
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            [hash, keyword, name, rest] if described => text += &format!("{hash} {keyword} {name}_total {rest}\n"),
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

#[derive(Debug)]
struct Snapshot(Arc<Metrics>);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &*self.0;
        let mut out = Output(encoder);

        let requests = product(Transport::ALL, Family::ALL).flat_map(|(transport, family)| {
            QueryType::ALL.iter().map(move |query_type| {
                let count = &metrics.requests[transport.index()][family.index()][query_type.index()];
                (Labels([pair(transport), pair(family), pair(*query_type)]), count)
            })
        });
        out.counters("requests", "DNS queries received, by transport, address family and query type", requests)?;
        let responses = metrics.responses.all().flat_map(|zone| {
            let labels =
                |rcode: Rcode| vec![(zones::LABEL, zone.apex.clone()), (Rcode::NAME, rcode.as_str().to_owned())];
            Rcode::ALL.iter().map(move |rcode| (labels(*rcode), &zone.by_rcode[rcode.index()]))
        });
        out.counters("responses", "DNS responses sent, by zone (. is none of ours) and response code", responses)?;
        let durations = Transport::ALL.iter().map(|transport| (*transport, &metrics.durations[transport.index()]));
        out.histograms(
            "request_duration",
            "Time to answer a query; over UDP including the sending of its batch",
            durations,
        )?;
        let sizes = |of: fn(&TransportSizes) -> &Sizes| {
            Transport::ALL.iter().map(move |transport| (*transport, of(&metrics.sizes[transport.index()])))
        };
        out.histograms(
            "request_size",
            "Size of DNS queries, without what the transport adds",
            sizes(|sizes| &sizes.requests),
        )?;
        out.histograms(
            "response_size",
            "Size of DNS responses, without what the transport adds, and without zone transfers",
            sizes(|sizes| &sizes.responses),
        )?;
        let dropped = DropReason::ALL.iter().map(|reason| (Labels([pair(*reason)]), &metrics.dropped[reason.index()]));
        out.counters("dropped_packets", "Packets dropped without a response, by reason", dropped)?;

        out.gauge(
            "tcp_connections",
            "Open connections over TCP, TLS, HTTPS and QUIC",
            None,
            metrics.tcp_open.load(Relaxed) as f64,
        )?;
        out.gauge(
            "tcp_max_connections",
            "Connections over TCP, TLS, HTTPS and QUIC that may be open",
            None,
            metrics.tcp_limit.load(Relaxed) as f64,
        )?;
        let rejected =
            RejectReason::ALL.iter().map(|reason| (Labels([pair(*reason)]), &metrics.tcp_rejected[reason.index()]));
        out.counters(
            "tcp_rejected_connections",
            "Connections over TCP, TLS, HTTPS and QUIC that were refused, or gave way to new ones, because a limit was reached",
            rejected,
        )?;

        let events = product(Resource::ALL, WatchEvent::ALL).map(|(resource, event)| {
            (Labels([pair(resource), pair(event)]), &metrics.watch_events[resource.index()][event.index()])
        });
        out.counters("watch_events", "Events received on watches of the Kubernetes API", events)?;
        let errors = product(Resource::ALL, WatchErrorReason::ALL).map(|(resource, reason)| {
            (Labels([pair(resource), pair(reason)]), &metrics.watch_errors[resource.index()][reason.index()])
        });
        out.counters("watch_errors", "Failed watches of the Kubernetes API, by reason; each is retried", errors)?;
        // A resource that is not watched has no age.
        let ages = metrics.watch_ages().into_iter().map(|(resource, age)| (resource, age.as_secs_f64()));
        out.gauges(
            "watch_age",
            "Time since the last word from the API server, on the watch that has been quiet the longest",
            Some(Unit::Seconds),
            ages,
        )?;
        let malformed =
            Resource::ALL.iter().map(|resource| (Labels([pair(*resource)]), &metrics.malformed[resource.index()]));
        out.counters("malformed_objects", "Kubernetes objects that could not be used, or only in part", malformed)?;

        let repairs = Resource::ALL
            .iter()
            .map(|resource| (Labels([pair(*resource)]), &metrics.reconcile_repairs[resource.index()]));
        out.counters(
            "reconcile_repairs",
            "Objects that a reconcile repaired because the watch had missed their change",
            repairs,
        )?;
        out.gauge(
            "synchronised",
            "1 once the Services and EndpointSlices of the cluster are known and answered, 0 before",
            None,
            f64::from(u8::from(metrics.is_synchronised.load(Relaxed))),
        )?;
        out.gauge(
            "stale",
            "Time since the last word from the API server, while answers are stale; 0 while they are fresh",
            Some(Unit::Seconds),
            metrics.stale_age().as_secs_f64(),
        )?;
        let programming = EndpointSource::ALL.iter().map(|kind| (*kind, &metrics.programming[kind.index()]));
        out.histograms(
            "dns_programming_duration",
            "Time from a change of a Service or its Pods, by their timestamps, to the publication of the records",
            programming,
        )?;
        out.histogram(
            "publication_duration",
            "Time from the arrival of a watch event to the publication of the records",
            &metrics.publication,
        )?;

        let table = &metrics.table;
        out.gauge("table_services", "Services in the record table", None, table.services.load(Relaxed) as f64)?;
        out.gauge(
            "table_endpoints",
            "Ready endpoints in the record table",
            None,
            table.endpoints.load(Relaxed) as f64,
        )?;
        out.gauge(
            "table_namespaces",
            "Namespaces with a Service in the record table",
            None,
            table.namespaces.load(Relaxed) as f64,
        )?;

        forwarding(metrics, &mut out)?;
        transfers(metrics, &mut out)?;
        taps(metrics, &mut out)?;

        let version = Labels([("version", env!("CARGO_PKG_VERSION"))]);
        out.gauges("build_info", "Version of the running program; the value is always 1", None, [(version, 1.0)])
    }
}

fn forwarding(metrics: &Metrics, out: &mut Output<'_>) -> fmt::Result {
    let forwarding = metrics.forwarding();
    let hits = CachedKind::ALL.iter().map(|kind| (Labels([pair(*kind)]), &forwarding.hits[kind.index()]));
    out.counters("cache_hits", "Answers of upstreams given from the cache", hits)?;
    out.counter("cache_misses", "Questions for upstreams whose answer was not in the cache", &forwarding.misses)?;
    out.counter(
        "cache_served_stale",
        "Answers from the cache whose TTL was over, as no upstream answered",
        &forwarding.stale,
    )?;
    out.counter("cache_prefetch", "Answers asked for anew before their TTL was over", &forwarding.prefetches)?;
    let cache = &forwarding.cache;
    out.counter("cache_evictions", "Answers removed from the cache because it was full", &cache.evictions)?;
    out.gauge("cache_entries", "Answers in the cache", None, cache.entries.load(Relaxed) as f64)?;
    out.gauge("cache_size", "Memory that the cache takes", Some(Unit::Bytes), cache.octets.load(Relaxed) as f64)?;
    out.counter(
        "forward_max_concurrent_rejects",
        "Questions not forwarded because too many were waiting for upstreams",
        &forwarding.rejected,
    )?;
    let upstreams = forwarding.upstreams();
    let to = |upstream: &UpstreamMetrics| ("to", upstream.to.clone());
    let responses = upstreams.iter().flat_map(|upstream| {
        let labels = |rcode: Rcode| vec![to(upstream), (Rcode::NAME, rcode.as_str().to_owned())];
        Rcode::ALL.iter().map(move |rcode| (labels(*rcode), &upstream.responses[rcode.index()]))
    });
    out.counters("forward_responses", "Responses of upstreams, by upstream and response code", responses)?;
    let failures = upstreams.iter().flat_map(|upstream| {
        let labels = |reason: FailureReason| vec![to(upstream), (FailureReason::NAME, reason.as_str().to_owned())];
        FailureReason::ALL.iter().map(move |reason| (labels(*reason), &upstream.failures[reason.index()]))
    });
    out.counters("forward_failures", "Queries to upstreams without a response, by upstream and reason", failures)?;
    let durations = upstreams.iter().map(|upstream| (vec![to(upstream)], &upstream.durations));
    out.histograms("forward_request_duration", "Time from a query to an upstream to its response", durations)?;
    let in_use = || upstreams.iter().filter(|upstream| upstream.is_in_use.load(Relaxed));
    let working = in_use().map(|upstream| (vec![to(upstream)], f64::from(u8::from(upstream.is_working.load(Relaxed)))));
    out.gauges("forward_healthy", "1 while an upstream answers, 0 while it is failing", None, working)?;
    let loops = in_use().map(|upstream| (vec![to(upstream)], upstream.loops.load(Relaxed) as f64));
    out.gauges("forward_loops", "Parts of the name space in which an upstream sends queries back", None, loops)
}

fn taps(metrics: &Metrics, out: &mut Output<'_>) -> fmt::Result {
    let taps = metrics.taps();
    let not_logged = TapDrop::ALL.iter().map(|reason| (Labels([pair(*reason)]), &taps.not_logged[reason.index()]));
    out.counters("query_log_dropped", "Queries left out of the log although the filters fit, by reason", not_logged)?;
    out.counter("dnstap_frames", "Frames that the collector of dnstap has taken", &taps.frames)?;
    out.counter("dnstap_dropped", "Frames that it has not taken in time", &taps.frames_dropped)
}

fn transfers(metrics: &Metrics, out: &mut Output<'_>) -> fmt::Result {
    let transfers = metrics.transfers();
    let done = TransferForm::ALL.iter().map(|form| (Labels([pair(*form)]), &transfers.done[form.index()]));
    out.counters("transfers", "Zone transfers that came to their end, by form", done)?;
    out.counter("transfers_aborted", "Zone transfers that the client or a time-out broke off", &transfers.aborted)?;
    out.counter("transfer_sent_bytes", "Bytes of zone transfers", &transfers.octets)?;
    let rejected =
        TransferRejection::ALL.iter().map(|reason| (Labels([pair(*reason)]), &transfers.rejected[reason.index()]));
    out.counters("transfers_rejected", "Requests for zone transfers that were not granted, by reason", rejected)?;
    let notifies =
        NotifyOutcome::ALL.iter().map(|outcome| (Labels([pair(*outcome)]), &transfers.notifies[outcome.index()]));
    out.counters("notifies", "Notifications of secondaries, by outcome", notifies)?;
    out.counter("zone_versions", "Versions of the zones that were cut", &transfers.versions)?;
    out.gauge("zone_serial", "Serial of the newest version", None, transfers.serial.load(Relaxed) as f64)?;
    let secondaries = transfers.secondaries();
    let serials = secondaries.iter().flat_map(|(secondary, zones)| {
        zones.iter().map(move |(zone, serial)| {
            (vec![("secondary", secondary.to_string()), ("zone", zone.clone())], f64::from(*serial))
        })
    });
    out.gauges("secondary_serial", "Serial of the version that a secondary of `notify` has of a zone", None, serials)?;
    out.gauge(
        "zone_history_versions",
        "Older versions from which a difference can be transferred",
        None,
        transfers.history.load(Relaxed) as f64,
    )?;
    let octets = transfers.history_octets.load(Relaxed) as f64;
    out.gauge("zone_history_size", "Memory that older versions take", Some(Unit::Bytes), octets)
}
