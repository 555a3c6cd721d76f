//! What is known of the secondaries: the version that each has of each zone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::dns::name::Name;

/// Secondaries and zones that are remembered. Of more, those that asked longest ago are forgotten.
const MOST: usize = 256;

/// The secondaries. Only transfers, and whoever looks at the page, wait for each other here.
#[derive(Debug, Default)]
pub struct Followers(Mutex<HashMap<(IpAddr, Name), Seen>>);

/// When a secondary asked last, and what it had then or got.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub serial: u32,
    pub at: Timestamp,
}

impl Followers {
    /// Remembers that a client has a version.
    pub(super) fn has(&self, client: IpAddr, zone: &Name, serial: u32) {
        let mut known = self.known();
        let follower = (client, zone.clone());
        if known.len() >= MOST && !known.contains_key(&follower) {
            let oldest = known.iter().min_by_key(|(_, seen)| seen.at).map(|(follower, _)| follower.clone());
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(follower, Seen { serial, at: Timestamp::now() });
    }

    /// All of them, by address and zone.
    pub fn all(&self) -> Vec<(IpAddr, Name, Seen)> {
        let mut all: Vec<_> =
            self.known().iter().map(|((client, zone), seen)| (*client, zone.clone(), *seen)).collect();
        all.sort_unstable_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        all
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(IpAddr, Name), Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_is_known_of_each_secondary_is_kept_and_memory_is_bounded() {
        let followers = Followers::default();
        let zone = Name::parse("cluster.local").unwrap();
        let client = |number: usize| IpAddr::from((number as u32).to_be_bytes());
        for number in 0..MOST + 10 {
            followers.has(client(number), &zone, number as u32);
        }
        followers.has(client(MOST), &zone, 7);
        let all = followers.all();
        assert_eq!(all.len(), MOST);
        assert_eq!(all.iter().find(|(address, ..)| *address == client(MOST)).map(|(.., seen)| seen.serial), Some(7));
    }
}
