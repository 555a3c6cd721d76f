//! The API's own history, and what it allows as an answer: kept by the one who writes the objects, of nothing that the
//! program says.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How old an answer may be while nothing is wrong with the API: many times what a change takes, on a busy machine too.
pub const CALM: Duration = Duration::from_secs(2);
/// How long the API may be silent before answers say that they are stale (T2), as the program is told, in seconds.
pub const STALE_AFTER: u64 = 5;
/// Headless Services `s0` …, each with so many ordinals.
pub const SERVICES: usize = 4;
pub const ORDINALS: usize = 4;

/// The addresses of one ordinal, by its Pod and by the slice of its Service: an answer follows from either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Views {
    pub pod: Option<Ipv4Addr>,
    pub slice: Option<Ipv4Addr>,
}

/// An ordinal of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ordinal {
    pub service: usize,
    pub ordinal: usize,
}

impl Ordinal {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SERVICES).flat_map(|service| (0..ORDINALS).map(move |ordinal| Self { service, ordinal }))
    }

    pub fn pod(self) -> String {
        format!("s{}-{}", self.service, self.ordinal)
    }

    fn place(self) -> usize {
        self.service * ORDINALS + self.ordinal
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Ordinal(Ordinal),
    /// The bare name of a Service.
    Service(usize),
}

/// What came of one query.
#[derive(Debug)]
pub struct Outcome {
    pub asked: Asked,
    pub sent_at: Instant,
    pub ended_at: Instant,
    pub answer: Answer,
}

#[derive(Debug)]
pub enum Answer {
    /// None in time.
    None,
    /// SERVFAIL, *Not Ready* (T1).
    NotReady,
    Addresses {
        addresses: Vec<Ipv4Addr>,
        is_stale: bool,
    },
    /// A response code that no rule gives to these names.
    Other(#[expect(dead_code, reason = "read by Debug")] String),
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Never so in all of the history.
    Wrong,
    /// It was so, too long ago.
    Late,
    Lost,
}

struct Inner {
    began: Instant,
    /// For each ordinal, its views and since when, the oldest first.
    views: Vec<Vec<(Instant, Views)>>,
    /// Since when the API has had faults that the program has not recovered from.
    disturbed_since: Option<Instant>,
    /// When queries could be lost for a reason: the process was gone, or was flooded.
    excused: Vec<(Instant, Option<Instant>)>,
    /// When the process had not heard the whole of the cluster.
    starting: Vec<(Instant, Option<Instant>)>,
}

pub struct History(Mutex<Inner>);

impl History {
    pub fn new() -> Self {
        let began = Instant::now();
        let views = vec![vec![(began, Views::default())]; SERVICES * ORDINALS];
        Self(Mutex::new(Inner { began, views, disturbed_since: None, excused: Vec::new(), starting: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The views of an ordinal from now on. To be called before the write, whose effect may be seen before it returns.
    pub fn set(&self, ordinal: Ordinal, views: Views) {
        self.lock().views[ordinal.place()].push((Instant::now(), views));
    }

    /// The views of all ordinals now.
    pub fn now(&self) -> Vec<Views> {
        let inner = self.lock();
        inner.views.iter().filter_map(|views| views.last()).map(|(_, views)| *views).collect()
    }

    pub fn disturbed(&self) {
        self.lock().disturbed_since.get_or_insert_with(Instant::now);
    }

    /// Every watch has shown that it is up to date.
    pub fn recovered(&self) {
        self.lock().disturbed_since = None;
    }

    pub fn excuse(&self, is_excused: bool) {
        mark(&mut self.lock().excused, is_excused);
    }

    pub fn starting(&self, is_starting: bool) {
        mark(&mut self.lock().starting, is_starting);
    }

    /// Judges what came of a query. None if it is as it has to be.
    pub fn judge(&self, outcome: &Outcome) -> Option<Fault> {
        let inner = self.lock();
        let within = |times: &[(Instant, Option<Instant>)]| {
            let overlaps = |(from, until): &(Instant, Option<Instant>)| {
                *from <= outcome.ended_at && until.is_none_or(|until| until >= outcome.sent_at)
            };
            times.iter().any(overlaps)
        };
        let (addresses, is_stale) = match &outcome.answer {
            Answer::None => return (!within(&inner.excused)).then_some(Fault::Lost),
            Answer::NotReady => return (!within(&inner.starting)).then_some(Fault::Lost),
            Answer::Other(_) => return Some(Fault::Wrong),
            Answer::Addresses { addresses, is_stale } => (addresses, *is_stale),
        };
        // Between two faults the program has shown that it is up to date, so that only what came since may be missing.
        let disturbed = inner.disturbed_since.filter(|since| *since < outcome.ended_at);
        let mut oldest = disturbed.unwrap_or(outcome.sent_at).min(outcome.sent_at) - CALM;
        if is_stale && within(&inner.starting) {
            // A warm start: what was saved, which may be older than what the process before it knew.
            oldest = inner.began;
        } else if !is_stale {
            let silent = outcome.sent_at - Duration::from_secs(STALE_AFTER) - CALM;
            oldest = oldest.max(silent.min(outcome.sent_at - CALM));
        }
        if inner.follows(outcome.asked, addresses, oldest, outcome.ended_at) {
            return None;
        }
        let is_lost = addresses.is_empty();
        let was_so = addresses.iter().all(|address| inner.was(outcome.asked, *address)) && !is_lost;
        Some(if is_lost {
            Fault::Lost
        } else if was_so {
            Fault::Late
        } else {
            Fault::Wrong
        })
    }
}

impl Inner {
    /// What an ordinal may be answered with, of all that was so from `oldest` to `latest`.
    fn allowed(&self, ordinal: Ordinal, oldest: Instant, latest: Instant) -> BTreeSet<Option<Ipv4Addr>> {
        let views = &self.views[ordinal.place()];
        let first = views.partition_point(|(since, _)| *since <= oldest).saturating_sub(1);
        let within = views[first..].iter().take_while(|(since, _)| *since <= latest);
        within.flat_map(|(_, views)| [views.pod, views.slice]).collect()
    }

    /// Whether each ordinal that was asked for is answered as it may be: one address at most (T6).
    fn follows(&self, asked: Asked, addresses: &[Ipv4Addr], oldest: Instant, latest: Instant) -> bool {
        let allowed = |ordinal| self.allowed(ordinal, oldest, latest);
        let mut rest: BTreeSet<_> = addresses.iter().copied().collect();
        if rest.len() != addresses.len() {
            return false;
        }
        let all = ordinals(asked).all(|ordinal| {
            let allowed = allowed(ordinal);
            let given: Vec<_> = allowed.iter().flatten().filter(|address| rest.remove(address)).collect();
            given.len() == 1 || given.is_empty() && allowed.contains(&None)
        });
        all && rest.is_empty()
    }

    /// Whether an address was ever one of what was asked for.
    fn was(&self, asked: Asked, address: Ipv4Addr) -> bool {
        let mut views = ordinals(asked).flat_map(|ordinal| &self.views[ordinal.place()]);
        views.any(|(_, views)| views.pod == Some(address) || views.slice == Some(address))
    }
}

fn ordinals(asked: Asked) -> impl Iterator<Item = Ordinal> {
    Ordinal::all().filter(move |ordinal| match asked {
        Asked::Ordinal(one) => *ordinal == one,
        Asked::Service(service) => ordinal.service == service,
    })
}

fn mark(times: &mut Vec<(Instant, Option<Instant>)>, begins: bool) {
    match times.last_mut() {
        Some((_, until @ None)) if !begins => *until = Some(Instant::now()),
        _ if begins => times.push((Instant::now(), None)),
        _ => {}
    }
}
