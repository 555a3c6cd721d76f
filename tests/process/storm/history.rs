//! The API's own history: kept by the one who writes the objects and plays the faults, of nothing that the program says.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

/// How old an answer may be while nothing is wrong with the API: many times what a change takes, on a busy machine too.
pub const CALM: Duration = Duration::from_secs(3);
/// How long the API may be silent before answers say that they are stale (T2), as the program is told: the least that it takes.
pub const STALE_AFTER: Duration = Duration::from_secs(5);
/// Headless Services `s0` …, each with so many ordinals. Of the last, the bare name goes when its only Pod does.
pub const SERVICES: [usize; 4] = [4, 4, 2, 1];

/// What a source says of an ordinal. The number of its Pod is that of its addresses, which no other Pod ever has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    #[default]
    Absent,
    /// There is a Pod, not ready yet.
    Coming(u32),
    Ready(u32),
}

impl Peer {
    pub fn number(self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::Coming(number) | Self::Ready(number) => Some(number),
        }
    }

    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

/// An ordinal by its Pod, and by the slices of its Service, IPv4 and IPv6: an answer follows from either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Views {
    pub pod: Peer,
    pub slices: [Peer; 2],
}

/// An ordinal of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ordinal {
    pub service: usize,
    pub ordinal: usize,
}

impl Ordinal {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SERVICES.len()).flat_map(Self::of)
    }

    pub fn of(service: usize) -> impl Iterator<Item = Self> {
        (0..SERVICES[service]).map(move |ordinal| Self { service, ordinal })
    }

    pub fn pod(self) -> String {
        format!("s{}-{}", self.service, self.ordinal)
    }

    pub fn place(self) -> usize {
        SERVICES[..self.service].iter().sum::<usize>() + self.ordinal
    }
}

/// What may be the matter, from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// The API has had a fault that the program has not recovered from.
    Disturbed,
    /// Watches are behind, and don't know it: the server accepts them, and has nothing to tell.
    Lagging,
    /// No word comes on a watch that answers depend on: of Services, of EndpointSlices, or of everything.
    Silent,
    /// No word comes on the watch of Pods, and on the others it does.
    PodsSilent,
    /// The process has not heard the whole of the cluster.
    Starting,
    /// The process is gone, or flooded, so that queries may be lost.
    Excused,
    /// No upstream answers.
    NoUpstream,
}

#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub matter: Matter,
    pub from: Instant,
    pub until: Option<Instant>,
}

impl Period {
    pub fn overlaps(&self, from: Instant, until: Instant) -> bool {
        self.from <= until && self.until.is_none_or(|end| end >= from)
    }
}

pub struct Inner {
    pub began: Instant,
    /// For each ordinal, its views and since when, the oldest first.
    pub views: Vec<Vec<(Instant, Views)>>,
    pub periods: Vec<Period>,
    /// Those that the files had, and since when.
    pub certificates: Vec<(Instant, CertificateDer<'static>)>,
}

pub struct History(Mutex<Inner>);

impl History {
    pub fn new() -> Self {
        let began = Instant::now();
        let views = vec![vec![(began, Views::default())]; SERVICES.iter().sum()];
        Self::of(Inner { began, views, periods: Vec::new(), certificates: Vec::new() })
    }

    pub fn of(inner: Inner) -> Self {
        Self(Mutex::new(inner))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The views of an ordinal from now on. To be called before the write, whose effect may be seen before it returns.
    pub fn set(&self, ordinal: Ordinal, views: Views) {
        self.lock().views[ordinal.place()].push((Instant::now(), views));
    }

    /// The views of an ordinal now.
    pub fn now(&self, ordinal: Ordinal) -> Views {
        self.lock().views[ordinal.place()].last().map(|(_, views)| *views).unwrap_or_default()
    }

    /// The number of an ordinal's last Pod, or of the last but so many.
    pub fn number_of(&self, ordinal: Ordinal, but: usize) -> Option<u32> {
        let inner = self.lock();
        let mut numbers: Vec<_> = inner.views[ordinal.place()].iter().filter_map(|(_, it)| it.pod.number()).collect();
        numbers.dedup();
        numbers.into_iter().nth_back(but)
    }

    /// Something is the matter from now on.
    pub fn begin(&self, matter: Matter) {
        let mut inner = self.lock();
        if inner.of(matter).all(|period| period.until.is_some()) {
            inner.periods.push(Period { matter, from: Instant::now(), until: None });
        }
    }

    /// It is no more.
    pub fn end(&self, matter: Matter) {
        let mut inner = self.lock();
        let open = inner.periods.iter_mut().filter(|period| period.matter == matter && period.until.is_none());
        open.for_each(|period| period.until = Some(Instant::now()));
    }

    pub fn certificate(&self, certificate: CertificateDer<'static>) {
        self.lock().certificates.push((Instant::now(), certificate));
    }

    /// The certificates that there may be at a moment: the files are read again every two seconds.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        const RELOAD: Duration = Duration::from_secs(2);
        let (inner, oldest) = (self.lock(), Instant::now() - RELOAD - CALM);
        let first = inner.certificates.partition_point(|(since, _)| *since <= oldest).saturating_sub(1);
        inner.certificates[first..].iter().map(|(_, certificate)| certificate.clone()).collect()
    }
}

impl Inner {
    pub fn of(&self, matter: Matter) -> impl Iterator<Item = &Period> {
        self.periods.iter().filter(move |period| period.matter == matter)
    }
}
