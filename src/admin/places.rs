//! Who gives way when a listener has as many connections as it may have: no client is kept out by others that hold connections.
//!
//! A new connection is always served. If a client has its share of connections, the one of its own that has been quiet the longest
//! is closed. If all places are taken, it is the quietest one of a client with the most connections. So whoever opens thousands
//! only ever closes their own, and the probes of the kubelet, one short connection each, get through.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Limits on the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlaceLimits {
    /// Of all clients.
    pub all: usize,
    /// Of one client address.
    pub of_client: usize,
}

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Places {
    limits: PlaceLimits,
    open: Mutex<HashMap<u64, Occupied>>,
    /// Counts whatever happens on any connection: a clock whose ticks all differ.
    events: AtomicU64,
}

/// What is known of an open connection.
#[derive(Debug)]
struct Occupied {
    client: IpAddr,
    /// The last event on the connection.
    last_event: Arc<AtomicU64>,
    evicted: CancellationToken,
}

/// The place of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    last_event: Arc<AtomicU64>,
    evicted: CancellationToken,
}

impl Places {
    pub fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default(), events: AtomicU64::new(0) })
    }

    /// Gives a connection of `client` a place, and takes that of another if there is no free one.
    pub fn take(self: &Arc<Self>, client: IpAddr) -> Place {
        let client = client.to_canonical();
        let id = self.events.fetch_add(1, Ordering::Relaxed);
        let (last_event, evicted) = (Arc::new(AtomicU64::new(id)), CancellationToken::new());
        let occupied = Occupied { client, last_event: Arc::clone(&last_event), evicted: evicted.clone() };
        let mut open = self.open();
        if let Some(victim) = self.limits.who_gives_way(&open, client).and_then(|id| open.remove(&id)) {
            victim.evicted.cancel();
        }
        open.insert(id, occupied);
        Place { places: Arc::clone(self), id, last_event, evicted }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Occupied>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlaceLimits {
    /// The connection that a new one of `client` takes the place of; none while there are free places.
    fn who_gives_way(self, open: &HashMap<u64, Occupied>, client: IpAddr) -> Option<u64> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        open.values().for_each(|occupied| *counts.entry(occupied.client).or_default() += 1);
        let most = if counts.get(&client).is_some_and(|count| *count >= self.of_client) {
            None
        } else if open.len() >= self.all {
            counts.values().max()
        } else {
            return None;
        };
        let gives_way = |of: &IpAddr| most.map_or(*of == client, |most| counts.get(of) == Some(most));
        let candidates = open.iter().filter(|(_, occupied)| gives_way(&occupied.client));
        let (id, _) = candidates.min_by_key(|(_, occupied)| occupied.last_event.load(Ordering::Relaxed))?;
        Some(*id)
    }
}

impl Place {
    /// Records that octets have come or gone: the connection is not quiet.
    pub fn is_active(&self) {
        self.last_event.store(self.places.events.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Waits until the place is another connection's.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PlaceLimits = PlaceLimits { all: 4, of_client: 3 };

    fn client(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn is_evicted(place: &Place) -> bool {
        place.evicted.is_cancelled()
    }

    #[test]
    fn a_client_with_its_share_gives_way_to_itself_and_the_quietest_connection_goes_first() {
        let places = Places::new(LIMITS);
        let mine: Vec<_> = (0..3).map(|_| places.take(client(1))).collect();
        let other = places.take(client(2));
        mine[0].is_active();
        let fourth = places.take(client(1));
        assert_eq!(mine.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false]);
        assert!(!is_evicted(&other) && !is_evicted(&fourth));
    }

    #[test]
    fn a_newcomer_takes_a_place_from_a_client_with_the_most_connections() {
        let places = Places::new(LIMITS);
        let first = places.take(client(1));
        let hoard: Vec<_> = (0..3).map(|_| places.take(client(2))).collect();
        let newcomer = places.take(client(3));
        assert_eq!(hoard.iter().map(is_evicted).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_evicted(&first) && !is_evicted(&newcomer), "the first is quieter, and its client has fewer");
    }

    #[test]
    fn clients_with_one_connection_each_give_way_to_the_next() {
        let places = Places::new(LIMITS);
        let taken: Vec<_> = (0..6).map(|last| places.take(client(last))).collect();
        assert_eq!(taken.iter().filter(|place| is_evicted(place)).count(), 2);
        assert!(is_evicted(&taken[0]) && is_evicted(&taken[1]));
        assert_eq!(places.open().len(), LIMITS.all);
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_has_ended() {
        let places = Places::new(LIMITS);
        let taken: Vec<_> = (0..4).map(|last| places.take(client(last))).collect();
        drop(places.take(client(9)));
        assert_eq!(taken.iter().filter(|place| is_evicted(place)).count(), 1);
        let _last = places.take(client(9));
        assert_eq!(taken.iter().filter(|place| is_evicted(place)).count(), 1, "the first of the ninth had ended");
        drop(taken);
        assert_eq!(places.open().len(), 1);
    }
}
