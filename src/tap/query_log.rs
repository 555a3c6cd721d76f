//! The query log: one line of the log for each query that the filters let through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Seen;
use super::filter::{Filters, QueryFilter};
use super::lanes::{Receivers, Senders, Weighed, lanes};
use super::rate::{RateLimit, Sample};
use crate::dns::name::{NameBuf, Relative};
use crate::dns::wire::codes::TYPE_AND_CLASS;
use crate::dns::wire::parse::split_question;
use crate::dns::wire::{Rcode, RrType};
use crate::telemetry::metrics::{Label, Metrics, TapDrop, Transport};

/// Which queries are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLogOptions {
    /// At least one.
    pub filters: Vec<QueryFilter>,
    /// One of so many that the filters let through.
    pub sample: u32,
    /// Lines a second at most.
    pub rate: u32,
}

/// Chooses the queries.
#[derive(Debug)]
pub(super) struct QueryLog {
    filters: Filters,
    sample: Sample,
    rate: RateLimit,
    lines: Senders<Line>,
    metrics: Arc<Metrics>,
}

/// Writes them.
pub(super) struct QueryLogWriter(Receivers<Line>);

/// A line of the log.
#[derive(Debug)]
struct Line {
    transport: Transport,
    client: SocketAddr,
    /// None if the query has none that can be read.
    question: Option<(String, RrType)>,
    rcode: Rcode,
    octets: usize,
    took: Duration,
}

impl Weighed for Line {
    fn octets(&self) -> usize {
        size_of::<Self>() + self.question.as_ref().map_or(0, |(name, _)| name.capacity())
    }
}

impl QueryLog {
    pub fn new(options: QueryLogOptions, count: usize, metrics: Arc<Metrics>) -> (Self, QueryLogWriter) {
        let (lines, receivers) = lanes(count);
        let (filters, sample) = (Filters::new(&options.filters), Sample::new(options.sample));
        let rate = RateLimit::new(options.rate);
        (Self { filters, sample, rate, lines, metrics }, QueryLogWriter(receivers))
    }

    /// Logs a query if it is one of those.
    pub fn see(&self, lane: usize, seen: &Seen<'_>) {
        let Seen { transport, client, query, response, rcode, took } = *seen;
        if !self.filters.fit(client.ip(), rcode) {
            return;
        }
        let question = question(query);
        let name = question.as_ref().map_or(&[][..], |(name, _)| name.as_wire());
        if !self.filters.fit_name(name) || !self.sample.is_in() {
            return;
        }
        if !self.rate.lets_through(Instant::now()) {
            return self.metrics.taps().not_logged(TapDrop::Rate);
        }
        let line = || {
            let question = question.map(|(name, rr_type)| (format!("{}.", Relative(name.as_wire())), rr_type));
            Line { transport, client, question, rcode, octets: response.len(), took }
        };
        if !self.lines.put(lane, line) {
            self.metrics.taps().not_logged(TapDrop::Queue);
        }
    }
}

/// The name and the type that a query asks for.
fn question(query: &[u8]) -> Option<(NameBuf, RrType)> {
    let (question, _) = split_question(query)?;
    let (name, [high, low, ..]) = question.split_last_chunk::<TYPE_AND_CLASS>()?;
    Some((NameBuf::from_wire(name).ok()?, RrType(u16::from_be_bytes([*high, *low]))))
}

impl QueryLogWriter {
    /// Writes until there will be no more, or until `stop`, and then what waits.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut lines = Vec::new();
        loop {
            let goes_on = match stop.run_until_cancelled(self.0.take(&mut lines)).await {
                Some(goes_on) => goes_on,
                None => {
                    self.0.close();
                    self.0.take(&mut lines).await
                }
            };
            lines.drain(..).for_each(Line::write);
            if !goes_on {
                return;
            }
        }
    }
}

impl Line {
    fn write(self) {
        let Self { transport, client, question, rcode, octets, took } = self;
        let (name, rr_type) = match question {
            Some((name, rr_type)) => (name, rr_type.to_string()),
            None => ("?".to_owned(), "?".to_owned()),
        };
        tracing::info!(
            client = %client,
            transport = transport.as_str(),
            name,
            r#type = rr_type,
            rcode = %rcode,
            bytes = octets,
            microseconds = took.as_micros() as u64,
            "query"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Exporter, Format};

    /// A query for the A records of a name, as far as it is read.
    fn asked(name: &str) -> Vec<u8> {
        let name = crate::dns::name::Name::parse(name).expect("a name");
        [&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], name.as_wire(), &[0, 1, 0, 1]].concat()
    }

    fn see(log: &QueryLog, query: &[u8]) {
        let (transport, client) = (Transport::Tcp, "192.0.2.7:5353".parse().expect("an address"));
        let (rcode, took) = (Rcode::NxDomain, Duration::from_micros(70));
        log.see(0, &Seen { transport, client, query, response: &[0; 300], rcode, took });
    }

    /// Queries that were left out because of the rate, and because the writer was behind.
    fn left_out(metrics: &Arc<Metrics>) -> [u64; 2] {
        let text = Exporter::new(Arc::clone(metrics)).encode(Format::Prometheus).expect("text");
        ["rate", "queue"].map(|reason| {
            let metric = format!("headless_dns_query_log_dropped_total{{reason=\"{reason}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&metric)).expect("a metric");
            value.parse().expect("a number")
        })
    }

    #[tokio::test]
    async fn of_the_queries_that_fit_one_of_so_many_is_logged_and_what_is_over_the_rate_is_counted() {
        let filters = vec![QueryFilter::parse("name=db.example").expect("a filter")];
        let metrics = Arc::new(Metrics::new());
        let options = QueryLogOptions { filters, sample: 3, rate: 2 };
        let (mut log, mut writer) = QueryLog::new(options, 1, Arc::clone(&metrics));
        // Until then it is the first second.
        log.rate.began += Duration::from_secs(3600);
        // What does not fit takes no turn of what does, and no place within the rate.
        for number in 0..12 {
            see(&log, &asked("other.example"));
            see(&log, &asked(&format!("pg-{number}.db.example")));
        }
        let mut lines = Vec::new();
        writer.0.close();
        while writer.0.take(&mut lines).await {}
        let names: Vec<_> = lines.iter().map(|line| line.question.as_ref().expect("a question").0.as_str()).collect();
        assert_eq!(names, ["pg-0.db.example.", "pg-3.db.example."]);
        assert!(lines.iter().all(|line| line.octets == 300), "those of the response");
        assert_eq!(left_out(&metrics), [2, 0]);
    }

    #[tokio::test]
    async fn what_the_writer_has_no_time_for_is_left_out_and_counted() {
        const QUERIES: u64 = 10_000;
        let metrics = Arc::new(Metrics::new());
        let options = QueryLogOptions { filters: vec![QueryFilter::All], sample: 1, rate: u32::MAX };
        let (log, mut writer) = QueryLog::new(options, 1, Arc::clone(&metrics));
        let query = asked("pg.db.example");
        (0..QUERIES).for_each(|_| see(&log, &query));
        let mut lines = Vec::new();
        writer.0.close();
        while writer.0.take(&mut lines).await {}
        let [rate, queue] = left_out(&metrics);
        assert!(rate == 0 && queue > 0 && lines.len() as u64 + queue == QUERIES, "{} and {queue}", lines.len());
    }
}
