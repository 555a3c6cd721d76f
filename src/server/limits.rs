//! Limits on open connections, in all and for each client, and on open files, which connections need.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::{Metrics, OpenConnection, RejectReason};

/// Limits for clients that connect, over TCP, TLS, HTTPS and QUIC together.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Open connections, over all clients.
    pub connections: usize,
    /// Open connections of one client: an IPv4 address, or an IPv6 network of 64 bits.
    pub connections_per_client: usize,
    /// How long a connection may go without a whole query, and how long a write may take.
    pub idle: Duration,
}

/// Files that the process may have open besides connections: its sockets, those to the API server, the admin pages', the log.
const OTHER_FILES: u64 = 256;

/// Raises the limit on open files to what `connections` need, if the system permits: it is often 1,024 at first, and
/// connections that take them all would leave none for the watch on the cluster.
pub fn allow_files(connections: usize) {
    let needed = OTHER_FILES.saturating_add(connections as u64);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    if raised.is_err() || current < needed {
        tracing::warn!(
            connections,
            files = if raised.is_err() { limit.current } else { Some(current) },
            "the system allows fewer open files than TCP connections may need: raise the limit (ulimit -n, LimitNOFILE) \
             or lower tcp_max_connections"
        );
    }
}

/// Bits of an IPv6 address that its host chooses: a network of one link has the others (RFC 4291 section 2.5.4).
const INTERFACE_BITS: u32 = 64;

/// The address that a client is counted under: an IPv4 address itself, or the /64 of an IPv6 address, as a single host has
/// all addresses of its /64.
fn counted_as(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> INTERFACE_BITS << INTERFACE_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// A connection that has had no progress for so long gives way to a new one: RFC 7766 section 6.2.3 lets a server under load close
/// idle connections at any time. Most exchanges take a few milliseconds.
const QUIET: Duration = Duration::from_secs(1);
/// Shortest time between two lines in the log about connections that gave way.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Counts open connections, and decides which of them gives way to a new one. Shared by all listeners.
///
/// Where a limit is reached, the connection goes that has had no progress for the longest time: its client asks nothing, or does not
/// read. A client with its share takes a place of its own. A client that has fewer connections than another takes one of that other,
/// however busy: whoever holds many places cannot keep others out by using them slowly.
#[derive(Debug)]
pub(super) struct Connections {
    limits: StreamLimits,
    metrics: Arc<Metrics>,
    began: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<u64, Occupied>,
    of_client: HashMap<IpAddr, usize>,
    last_id: u64,
    reported: Option<Instant>,
}

/// What is known of an open connection.
#[derive(Debug)]
struct Occupied {
    client: IpAddr,
    /// Nanoseconds since [`Connections::began`].
    last_progress: Arc<AtomicU64>,
    displaced: CancellationToken,
}

/// A place for one connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    connections: Arc<Connections>,
    id: u64,
    last_progress: Arc<AtomicU64>,
    displaced: CancellationToken,
    _metric: OpenConnection,
}

impl Connections {
    pub fn new(limits: StreamLimits, metrics: Arc<Metrics>) -> Self {
        metrics.tcp_limit(limits.connections);
        Self { limits, metrics, began: Instant::now(), open: Mutex::default() }
    }

    pub fn limits(&self) -> StreamLimits {
        self.limits
    }

    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Takes a place for a connection of `client`, that of another if none is free; None if a limit is reached and no connection has
    /// to give way.
    pub fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let client = counted_as(client);
        let mut open = self.open();
        let now = self.now();
        if let Some(limit) = open.reached(client, self.limits) {
            let Some(id) = open.who_gives_way(client, limit, now) else {
                self.metrics.tcp_rejected(limit);
                return None;
            };
            open.displace(id);
            self.metrics.tcp_rejected(RejectReason::Displaced);
        }
        open.last_id += 1;
        let (id, last_progress, displaced) = (open.last_id, Arc::new(AtomicU64::new(now)), CancellationToken::new());
        *open.of_client.entry(client).or_default() += 1;
        let occupied = Occupied { client, last_progress: Arc::clone(&last_progress), displaced: displaced.clone() };
        open.by_id.insert(id, occupied);
        let metric = self.metrics.tcp_opened();
        Some(Permit { connections: Arc::clone(self), id, last_progress, displaced, _metric: metric })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since the start.
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

impl Open {
    /// Which limit another connection of `client` would exceed.
    fn reached(&self, client: IpAddr, limits: StreamLimits) -> Option<RejectReason> {
        if self.connections_of(client) >= limits.connections_per_client {
            Some(RejectReason::Client)
        } else if self.by_id.len() >= limits.connections {
            Some(RejectReason::Total)
        } else {
            None
        }
    }

    fn connections_of(&self, client: IpAddr) -> usize {
        self.of_client.get(&client).copied().unwrap_or_default()
    }

    /// The connection that a new one of `client` takes the place of.
    fn who_gives_way(&self, client: IpAddr, limit: RejectReason, now: u64) -> Option<u64> {
        let after = self.connections_of(client) + 1;
        let gives_way = |of: IpAddr, last_progress: u64| {
            let is_quiet = Duration::from_nanos(now.saturating_sub(last_progress)) >= QUIET;
            match limit {
                RejectReason::Client => of == client && is_quiet,
                _ => is_quiet || self.connections_of(of) > after,
            }
        };
        let candidates = self.by_id.iter().filter_map(|(id, occupied)| {
            let last_progress = occupied.last_progress.load(Ordering::Relaxed);
            let connections = self.connections_of(occupied.client);
            gives_way(occupied.client, last_progress).then_some((Reverse(connections), last_progress, *id))
        });
        candidates.min().map(|(.., id)| id)
    }

    /// Ends a connection, whose place is another's from now on.
    fn displace(&mut self, id: u64) {
        let Some(Occupied { client, displaced, .. }) = self.remove(id) else { return };
        displaced.cancel();
        if self.reported.is_none_or(|reported| reported.elapsed() >= REPORT_EVERY) {
            self.reported = Some(Instant::now());
            tracing::warn!(
                %client,
                "all places for connections are taken; closing those that make no progress, the longest without any first"
            );
        }
    }

    fn remove(&mut self, id: u64) -> Option<Occupied> {
        let occupied = self.by_id.remove(&id)?;
        if let Entry::Occupied(mut of_client) = self.of_client.entry(occupied.client) {
            *of_client.get_mut() -= 1;
            // Clients without a connection take no memory.
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
        Some(occupied)
    }
}

impl Permit {
    /// How long the connection may go without a whole query.
    pub fn idle(&self) -> Duration {
        self.connections.limits.idle
    }

    /// Records that answers were sent, or that there was room for them: the client asks and reads.
    pub fn has_progress(&self) {
        self.last_progress.store(self.connections.now(), Ordering::Relaxed);
    }

    /// Whether another connection has the place.
    pub fn is_displaced(&self) -> bool {
        self.displaced.is_cancelled()
    }

    /// Waits until another connection has the place.
    pub async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connections.open().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn connections(connections: usize, connections_per_client: usize) -> Arc<Connections> {
        let limits = StreamLimits { connections, connections_per_client, idle: Duration::ZERO };
        Arc::new(Connections::new(limits, Arc::default()))
    }

    fn client(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    /// Which of these have given way.
    fn displaced(places: &[Permit]) -> Vec<usize> {
        (0..places.len()).filter(|place| places[*place].is_displaced()).collect()
    }

    /// W5.
    #[tokio::test(start_paused = true)]
    async fn a_client_with_its_share_gives_way_to_itself_and_only_what_is_quiet_does() {
        let connections = connections(8, 3);
        let mut places: Vec<_> = (0..3).map(|_| connections.admit(client(1)).expect("within the limit")).collect();
        places.push(connections.admit(client(2)).expect("within the limit"));
        advance(QUIET - Duration::from_nanos(1)).await;
        assert!(connections.admit(client(1)).is_none(), "none is quiet yet");
        places[0].has_progress();
        advance(Duration::from_nanos(1)).await;
        places[3].has_progress();
        places.push(connections.admit(client(1)).expect("in place of the one that was quiet the longest"));
        assert_eq!(displaced(&places), [1]);
        places.push(connections.admit(client(1)).expect("in place of the next"));
        assert_eq!(displaced(&places), [1, 2]);
        assert!(connections.admit(client(1)).is_none(), "the others make progress");
        drop(places);
        let Open { by_id, of_client, .. } = &*connections.open();
        assert!(by_id.is_empty() && of_client.is_empty());
    }

    /// W5, W7.
    #[tokio::test(start_paused = true)]
    async fn a_client_with_few_connections_takes_a_place_of_one_with_more_however_busy() {
        let connections = connections(4, 3);
        let admit = |last| connections.admit(client(last));
        let mut places = vec![admit(1).expect("room")];
        advance(Duration::from_millis(1)).await;
        places.extend((0..3).map(|_| admit(2).expect("room")));
        advance(Duration::from_millis(1)).await;
        places[1].has_progress();
        places.push(admit(3).expect("in place of one of those with the most"));
        assert_eq!(displaced(&places), [2], "the first is quieter, and its client has fewer");
        assert!(admit(4).is_some_and(|place| !place.is_displaced()), "two are still more than one");
        assert_eq!(displaced(&places), [2, 3]);
        places.push(admit(4).expect("the last has gone again"));
        assert!(admit(5).is_none(), "nobody has more than one, and none is quiet");
        assert!(admit(4).is_none(), "nor would it have fewer than others");
        advance(QUIET).await;
        places.push(admit(5).expect("in place of the one that was quiet the longest"));
        assert_eq!(displaced(&places), [0, 2, 3]);
    }

    /// W5. The longest quiet of all is of a client that holds one place, and stays.
    #[tokio::test(start_paused = true)]
    async fn of_quiet_connections_those_of_whoever_has_the_most_give_way_and_to_a_client_with_its_share_its_own() {
        let connections = connections(5, 2);
        let mut places = Vec::new();
        for of in [3, 1, 1, 2, 2] {
            places.push(connections.admit(client(of)).expect("room"));
            advance(Duration::from_millis(1)).await;
        }
        advance(QUIET).await;
        places.push(connections.admit(client(2)).expect("in place of its own oldest"));
        assert_eq!(displaced(&places), [3]);
        places.push(connections.admit(client(4)).expect("in place of the oldest of a client with two"));
        assert_eq!(displaced(&places), [1, 3]);
    }

    #[test]
    fn the_addresses_of_an_ipv6_network_are_one_client_and_those_of_another_are_not() {
        let connections = connections(8, 2);
        let admit = |text| connections.admit(address(text));
        let first = admit("2001:db8::1").expect("the first");
        let _second = admit("2001:db8::ffff:2").expect("the second");
        assert!(admit("2001:db8::3").is_none(), "a third of one network");
        let _other = admit("2001:db8:0:1::3").expect("the first of another network");
        drop(first);
        let _third = admit("2001:db8::3").expect("one has gone");
    }

    #[test]
    fn an_ipv4_address_is_one_client_however_it_is_written() {
        assert_eq!(counted_as(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        assert_ne!(counted_as(address("10.0.0.1")), counted_as(address("10.0.0.2")));
    }
}
