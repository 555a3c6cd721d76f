//! The last ten minutes, second by second, for the charts of the page for people: what was answered, how soon changes were
//! published, and how the server was. Kept whether somebody looks or not: a page that is opened because something is wrong has to
//! show what was before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::interval;

use super::probes::ProbeSources;
use crate::dns::wire::Rcode;
use crate::telemetry::metrics::{Happened, Label, Metrics, Reading, Spread};

/// Length of a point in time.
const STEP: Duration = Duration::from_secs(1);
/// Points that are kept: ten minutes, some 100 KB.
const KEPT: usize = 600;

/// How the server is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Health {
    /// A thread or task that nobody can do without does not come round.
    Stalled,
    /// It is starting or stopping.
    NotReady,
    /// There is no word from the cluster.
    Stale,
    Healthy,
}

/// Keeps the history. One for the process.
pub(super) struct History {
    metrics: Arc<Metrics>,
    probes: Arc<ProbeSources>,
    kept: Mutex<Kept>,
}

struct Kept {
    points: VecDeque<Point>,
    /// Points so far, those that are not kept any more included.
    taken: u64,
    last: Reading,
    /// How the server was last, and since when.
    health: Health,
    since: Timestamp,
}

/// One second.
struct Point {
    happened: Happened,
    health: Health,
}

/// Points from one on, by what they tell: the columns of a chart.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Columns {
    /// The number of the first of them.
    first: u64,
    /// The number of the one that comes next.
    next: u64,
    health: Vec<Health>,
    responses: Vec<Responses>,
    programming: Durations,
    publication: Durations,
}

/// Responses with one code, second by second. A code without any is left out.
#[derive(Debug, PartialEq, Serialize)]
struct Responses {
    rcode: &'static str,
    counts: Vec<u64>,
}

/// Durations in seconds; none of a number that is beyond what is measured.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Durations {
    counts: Vec<u64>,
    /// Half of them, and all of them, took no longer than this.
    half: Vec<f64>,
    all: Vec<f64>,
}

impl Health {
    pub fn of(probes: &ProbeSources) -> Self {
        if !probes.heartbeats.stalled(Instant::now()).is_empty() {
            Self::Stalled
        } else if !probes.readiness.is_ready() {
            Self::NotReady
        } else if probes.table.pin().stale().is_some() {
            Self::Stale
        } else {
            Self::Healthy
        }
    }
}

impl History {
    pub fn new(metrics: Arc<Metrics>, probes: Arc<ProbeSources>) -> Self {
        let (last, health, since) = (metrics.reading(), Health::of(&probes), Timestamp::now());
        let kept = Kept { points: VecDeque::with_capacity(KEPT), taken: 0, last, health, since };
        Self { metrics, probes, kept: Mutex::new(kept) }
    }

    /// Adds a point each second, for ever.
    pub async fn keep(&self) {
        let mut seconds = interval(STEP);
        // The first tick comes at once.
        seconds.tick().await;
        loop {
            seconds.tick().await;
            self.add_point();
        }
    }

    fn add_point(&self) {
        let (reading, health) = (self.metrics.reading(), self.health_since().0);
        let mut kept = self.kept();
        let happened = reading.since(&kept.last);
        kept.last = reading;
        if kept.points.len() == KEPT {
            kept.points.pop_front();
        }
        kept.points.push_back(Point { happened, health });
        kept.taken += 1;
    }

    /// How the server is, and since when, as far as somebody has looked each second.
    pub fn health_since(&self) -> (Health, Timestamp) {
        let health = Health::of(&self.probes);
        let mut kept = self.kept();
        if kept.health != health {
            (kept.health, kept.since) = (health, Timestamp::now());
        }
        (health, kept.since)
    }

    /// The number of the point that comes next.
    pub fn next(&self) -> u64 {
        self.kept().taken
    }

    /// The points from the number `from` on that are kept.
    pub fn columns(&self, from: u64) -> Columns {
        let kept = self.kept();
        let oldest = kept.taken - kept.points.len() as u64;
        // A number of another process may be greater than any of this one.
        let first = if from > kept.taken { oldest } else { from.max(oldest) };
        let points = || kept.points.iter().skip((first - oldest) as usize);
        let responses = Rcode::ALL.iter().map(|rcode| {
            let counts = points().map(|point| point.happened.responses[rcode.index()]).collect();
            Responses { rcode: rcode.as_str(), counts }
        });
        Columns {
            first,
            next: kept.taken,
            health: points().map(|point| point.health).collect(),
            responses: responses.filter(|responses| responses.counts.iter().any(|count| *count > 0)).collect(),
            programming: Durations::of(points().map(|point| point.happened.programming)),
            publication: Durations::of(points().map(|point| point.happened.publication)),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Durations {
    fn of(spreads: impl Iterator<Item = Spread>) -> Self {
        let mut durations = Self::default();
        for Spread { count, half, all } in spreads {
            durations.counts.push(count);
            durations.half.push(half);
            durations.all.push(all);
        }
        durations
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::table::table;
    use crate::telemetry::heartbeat::Heartbeats;
    use crate::telemetry::metrics::{EndpointSource, Exporter, Tally, Transport};
    use crate::telemetry::readiness::Readiness;

    fn history(readiness: &Readiness) -> History {
        let metrics = Arc::new(Metrics::new());
        let probes = ProbeSources {
            heartbeats: Heartbeats::default(),
            readiness: readiness.clone(),
            exporter: Exporter::new(Arc::clone(&metrics)),
            table: table().1,
        };
        History::new(metrics, Arc::new(probes))
    }

    fn answer(history: &History, rcode: Rcode) {
        let mut tally = Tally::new(Transport::Udp);
        history.metrics.response(&mut tally, None, rcode, 64);
        history.metrics.add(&mut tally, Duration::ZERO);
    }

    #[test]
    fn each_point_has_what_happened_in_its_second() {
        let history = history(&Readiness::new());
        answer(&history, Rcode::NoError);
        history.add_point();
        answer(&history, Rcode::NxDomain);
        answer(&history, Rcode::NxDomain);
        history.add_point();
        history.add_point();
        let columns = history.columns(0);
        assert_eq!((columns.first, columns.next), (0, 3));
        let of = |rcode, counts: &[u64]| Responses { rcode, counts: counts.to_vec() };
        assert_eq!(columns.responses, [of("NOERROR", &[1, 0, 0]), of("NXDOMAIN", &[0, 2, 0])]);
        assert_eq!(history.columns(1).responses, [of("NXDOMAIN", &[2, 0])]);
        assert_eq!(history.columns(3), Columns { first: 3, next: 3, ..Columns::default() });
    }

    #[test]
    fn the_last_ten_minutes_are_kept_and_whoever_comes_from_another_process_gets_all_of_them() {
        let history = history(&Readiness::new());
        for second in 0..600 + 7 {
            if second >= 600 {
                answer(&history, Rcode::NoError);
            }
            history.add_point();
        }
        for from in [0, 3, 10_000] {
            let columns = history.columns(from);
            assert_eq!((columns.first, columns.next, columns.health.len()), (7, 607, 600), "from {from}");
            let counts = [vec![0; 593], vec![1; 7]].concat();
            assert_eq!(columns.responses, [Responses { rcode: "NOERROR", counts }], "from {from}");
        }
    }

    #[test]
    fn a_point_tells_how_late_changes_were_and_what_of_that_was_the_server() {
        let history = history(&Readiness::new());
        for late in [0, 0, 20] {
            let changed_at = SystemTime::now() - Duration::from_secs(late);
            history.metrics.published(Some(EndpointSource::ClusterIp), Instant::now(), Some(changed_at));
        }
        history.add_point();
        let Columns { programming, publication, .. } = history.columns(0);
        assert_eq!((&programming.counts[..], &publication.counts[..]), (&[3][..], &[3][..]));
        assert!(programming.half[0] < 20.0 && programming.all[0] > 20.0, "{programming:?}");
        assert!(publication.all[0] < 20.0, "{publication:?}");
    }

    #[test]
    fn health_is_what_the_probes_say_and_its_time_is_that_of_the_change() {
        let readiness = Readiness::new();
        let history = history(&readiness);
        let (health, began) = history.health_since();
        assert_eq!((health, history.health_since()), (Health::Healthy, (health, began)));
        let latch = readiness.block("services");
        history.add_point();
        let (health, since) = history.health_since();
        assert!(health == Health::NotReady && since > began);
        drop(latch);
        assert_eq!(history.health_since().0, Health::Healthy);
        assert_eq!(history.columns(0).health, [Health::NotReady]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_point_is_added_each_second() {
        let history = Arc::new(history(&Readiness::new()));
        let keeping = tokio::spawn({
            let history = Arc::clone(&history);
            async move { history.keep().await }
        });
        tokio::time::sleep(Duration::from_millis(5500)).await;
        assert_eq!(history.next(), 5);
        keeping.abort();
    }
}
