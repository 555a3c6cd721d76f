//! What is not ours: answers from a cache, and from upstreams, for the clients that may ask.
//!
//! ```text
//! server ──lookup──▶ cache/: an answer in microseconds, on the thread that received the query
//!    │ not there
//!    └──resolve──▶ flights.rs: identical questions are asked once ──▶ pool.rs: who is asked, and who next ──▶ upstream/
//!    ◀── answer.rs: with where it comes from
//!                                                                        ▲ probe.rs: failures, loops
//!                                                                        └ follow.rs: resolv.conf
//! ```
//!
//! Asking runs on threads of its own, which [`Resolver::start`] is given. Nothing here looks at the record table: whoever
//! calls has found that a question is not for this server, and what the table holds is never kept here.

mod answer;
mod cache;
mod flights;
mod follow;
mod pool;
mod probe;
mod question;
mod upstream;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

pub use self::answer::{Given, Origin, Resolved};
use self::cache::{Cache, FAILURE_TTL, Found};
pub use self::cache::{CacheLimits, Entry, Source};
use self::flights::{Awaited, Boarding, Flights, Outcome, Takeoff};
use self::follow::Follower;
pub use self::follow::read_upstreams;
pub use self::pool::Failure;
use self::pool::Pool;
pub use self::question::AskedElsewhere;
pub use self::upstream::{ForwardTo, OutgoingQuery, Protocol, UpstreamAddress, Verdict};
use crate::dns::name::Name;
use crate::dns::wire::EdeCode;
use crate::telemetry::metrics::Metrics;

/// Different questions that may be in flight. Each takes a file descriptor.
pub const MAX_IN_FLIGHT: usize = 4096;
/// Clients' queries that may wait for an answer: several may wait for one question. Each takes some 2 kB.
const MAX_WAITING: usize = 2 * MAX_IN_FLIGHT;
/// What all of them take, and the questions in flight, with a datagram and a task each.
pub const WAITING_MEMORY: usize = MAX_WAITING * 2048 + MAX_IN_FLIGHT * 4096;
/// How long a client waits for an upstream if there is an answer whose time is over (RFC 8767 section 5, the client response
/// timer).
const STALE_PATIENCE: Duration = Duration::from_millis(1800);

/// Configuration of a [`Resolver`].
#[derive(Clone, Debug)]
pub struct Options {
    pub forward: Vec<ForwardTo>,
    /// Who may ask.
    pub clients: Vec<IpNet>,
    pub cache: CacheLimits,
    /// How long a question may take.
    pub timeout: Duration,
    /// Different questions that may be in flight, usually [`MAX_IN_FLIGHT`].
    pub in_flight: usize,
    /// The parts of the name space in which upstreams are asked.
    pub trees: Vec<Name>,
}

/// Answers what is not ours. All clones are one.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
    follower: Arc<AbortOnDropHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    /// The upstreams as they are configured, and how long they may take.
    forward: Vec<ForwardTo>,
    timeout: Duration,
    clients: Vec<IpNet>,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    waiting: Arc<Semaphore>,
    pool: Arc<Pool>,
    runtime: Handle,
    metrics: Arc<Metrics>,
}

impl Resolver {
    /// Starts to look after the upstreams, on the threads of `runtime`, where they are asked too.
    ///
    /// # Errors
    /// A file that is to name the upstreams cannot be read, or TLS cannot be set up.
    pub fn start(options: Options, runtime: &Handle, metrics: Arc<Metrics>) -> io::Result<Self> {
        let follower = Follower::new(options.forward.clone(), options.trees, Arc::clone(&metrics));
        let pool = Arc::new(Pool::new(follower.first(&[])?, options.timeout));
        let follower = AbortOnDropHandle::new(follower.start(Arc::clone(&pool), runtime));
        let shared = Shared {
            forward: options.forward,
            timeout: options.timeout,
            clients: options.clients,
            cache: Arc::new(Cache::new(options.cache, metrics.cache())),
            flights: Arc::new(Flights::new(options.in_flight)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            pool,
            runtime: runtime.clone(),
            metrics,
        };
        Ok(Self { shared: Arc::new(shared), follower: Arc::new(follower) })
    }

    /// The same, with the upstreams, the clients and the time-out of these options: all else is shared, the cache above all. The
    /// upstreams that stay keep their state. What is being asked ends with those of before.
    ///
    /// # Errors
    /// As [`Resolver::start`] has them.
    pub fn reloaded(&self, options: Options) -> io::Result<Self> {
        let before = &self.shared;
        let (pool, follower) = if options.forward == before.forward && options.timeout == before.timeout {
            (Arc::clone(&before.pool), Arc::clone(&self.follower))
        } else {
            let follower = Follower::new(options.forward.clone(), options.trees, Arc::clone(&before.metrics));
            let upstreams = follower.first(&before.pool.upstreams())?;
            let pool = Arc::new(Pool::new(upstreams, options.timeout));
            let follower = AbortOnDropHandle::new(follower.start(Arc::clone(&pool), &before.runtime));
            (pool, Arc::new(follower))
        };
        let Options { forward, timeout, clients, .. } = options;
        let shared = Shared { forward, timeout, clients, pool, ..Shared::clone(before) };
        Ok(Self { shared: Arc::new(shared), follower })
    }

    /// A place among those who wait for an upstream.
    ///
    /// # Errors
    /// All are taken.
    pub fn wait(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.shared.waiting).try_acquire_owned().map_err(|_| self.too_many())
    }

    /// Where upstreams are asked.
    pub fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    /// Whether a client may ask for what is not ours.
    pub fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.shared.clients.iter().any(|network| network.contains(&client))
    }

    /// Whether a query is a probe of this server that an upstream has sent back. If so, it is known from now on that it does.
    pub fn is_own_probe(&self, name: &[u8]) -> bool {
        self.shared.pool.is_own_probe(name)
    }

    /// The answer, if it is there without asking. Takes no lock and allocates nothing, unless an answer that is asked for
    /// often is asked for anew.
    pub fn lookup(&self, asked: &AskedElsewhere) -> Option<Resolved> {
        let now = Instant::now();
        let metrics = self.shared.metrics.forwarding();
        let fresh = |entry: Arc<Entry>| {
            metrics.cache_hit(entry.response.rcode());
            let origin = Origin::Cache { age: entry.age(now) };
            Some(Resolved::Answer(Given { entry, origin }))
        };
        match self.shared.cache.get(asked, now) {
            Found::Fresh(entry) => fresh(entry),
            Found::Expiring(entry) => {
                metrics.prefetched();
                // Nobody waits for it.
                drop(self.fly(asked));
                fresh(entry)
            }
            // Nobody can be asked; the probes find out when that changes.
            Found::Stale(entry) if !self.shared.pool.has_working(asked) => Some(self.stale(entry, None)),
            Found::Stale(_) | Found::Nothing => {
                metrics.cache_missed();
                None
            }
        }
    }

    /// The answer from an upstream. If there is none for some time, but an answer whose time is over, that.
    pub async fn resolve(&self, asked: &AskedElsewhere) -> Resolved {
        let flying = self.fly(asked);
        let stale = match self.shared.cache.get(asked, Instant::now()) {
            Found::Stale(entry) => Some(entry),
            _ => None,
        };
        let outcome = match flying {
            Ok(mut awaited) if stale.is_some() => {
                timeout(self.shared.stale_patience(), landed(&mut awaited)).await.ok()
            }
            Ok(mut awaited) => Some(landed(&mut awaited).await),
            Err(failure) => Some(Err(failure)),
        };
        match (outcome, stale) {
            (Some(Ok(entry)), Some(stale)) if entry.response.is_failure() => {
                let failed = Given { entry, origin: Origin::Upstream };
                self.stale(stale, Some(failed.to_string().into()))
            }
            (Some(Ok(entry)), _) => Resolved::Answer(Given { entry, origin: Origin::Upstream }),
            (Some(Err(failure)), Some(stale)) => self.stale(stale, Some(failure.text)),
            (Some(Err(failure)), None) => Resolved::Failed(failure),
            (None, Some(stale)) => self.stale(stale, None),
            (None, None) => Resolved::Failed(Failure::new(EdeCode::NoReachableAuthority, "no answer in time")),
        }
    }

    /// What a client gets, counted as if one had asked.
    pub async fn answer(&self, asked: &AskedElsewhere) -> Resolved {
        match self.lookup(asked) {
            Some(resolved) => resolved,
            None => self.resolve(asked).await,
        }
    }

    fn stale(&self, entry: Arc<Entry>, why: Option<Arc<str>>) -> Resolved {
        self.shared.metrics.forwarding().served_stale();
        Resolved::Answer(Given { entry, origin: Origin::Stale { why } })
    }

    /// Asks, unless somebody is asking the same.
    fn fly(&self, asked: &AskedElsewhere) -> Result<Awaited, Failure> {
        match self.shared.flights.board(asked) {
            Boarding::Joined(awaited) => Ok(awaited),
            Boarding::First(takeoff, awaited) => {
                let shared = Arc::clone(&self.shared);
                self.shared.runtime.spawn(shared.flight(asked.clone(), takeoff));
                Ok(awaited)
            }
            Boarding::Full => Err(self.too_many()),
        }
    }

    fn too_many(&self) -> Failure {
        self.shared.metrics.forwarding().rejected();
        Failure::new(EdeCode::OtherError, "too many queries wait for upstreams")
    }
}

impl Shared {
    /// How long a client waits if there is an answer whose time is over.
    fn stale_patience(&self) -> Duration {
        STALE_PATIENCE.min(self.timeout / 2)
    }

    async fn flight(self: Arc<Self>, asked: AskedElsewhere, takeoff: Takeoff) {
        let outcome = self.fetch(&asked).await;
        let is_failure = outcome.is_err();
        takeoff.tell(outcome);
        if is_failure {
            // Who asks meanwhile is told the same.
            sleep(FAILURE_TTL).await;
        }
        self.flights.land(&asked, takeoff);
    }

    async fn fetch(&self, asked: &AskedElsewhere) -> Outcome {
        let (response, source) = self.pool.ask(asked).await?;
        Ok(self.cache.insert(asked, response, source, Instant::now()))
    }
}

/// Waits for an outcome. The one who asks always gives one, unless its threads end.
async fn landed(awaited: &mut Awaited) -> Outcome {
    let gone = || Failure::new(EdeCode::OtherError, "the server is stopping");
    let outcome = awaited.wait_for(Option::is_some).await.map_err(|_| gone())?;
    outcome.clone().unwrap_or_else(|| Err(gone()))
}
