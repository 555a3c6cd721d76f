//! How many transfers run at a time: in all, and to each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Transfers at a time. Each holds a version and one message.
pub const MAX_TRANSFERS: usize = 64;
/// Transfers to one client at a time: a secondary asks for each of its zones, forward and reverse.
pub const MAX_TRANSFERS_OF_CLIENT: usize = 8;

/// The transfers that run, by client.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<IpAddr, usize>>);

/// The place of one transfer, free again when this is dropped.
#[derive(Debug)]
pub(super) struct TransferPlace {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    /// A place; None if there are too many transfers.
    pub fn take(self: &Arc<Self>, client: IpAddr) -> Option<TransferPlace> {
        let mut running = self.running();
        let of_client = running.get(&client).copied().unwrap_or_default();
        if of_client >= MAX_TRANSFERS_OF_CLIENT || running.values().sum::<usize>() >= MAX_TRANSFERS {
            return None;
        }
        running.insert(client, of_client + 1);
        Some(TransferPlace { places: Arc::clone(self), client })
    }

    /// How many run.
    pub fn taken(&self) -> usize {
        self.running().values().sum()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TransferPlace {
    fn drop(&mut self) {
        let mut running = self.places.running();
        if let Some(of_client) = running.get_mut(&self.client) {
            *of_client -= 1;
            // Clients without a transfer take no memory.
            if *of_client == 0 {
                running.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X7.
    #[test]
    fn transfers_are_limited_in_all_and_for_each_client() {
        let places = Arc::new(Places::default());
        let client = |number: usize| IpAddr::from([10, 0, 0, number as u8]);
        let of_one: Vec<_> = (0..MAX_TRANSFERS_OF_CLIENT).map(|_| places.take(client(0)).expect("a place")).collect();
        assert!(places.take(client(0)).is_none());
        let others: Vec<_> =
            (MAX_TRANSFERS_OF_CLIENT..MAX_TRANSFERS).map(|number| places.take(client(number))).collect();
        assert!(others.iter().all(Option::is_some) && places.taken() == MAX_TRANSFERS);
        assert!(places.take(client(200)).is_none());
        drop(of_one);
        assert!(places.take(client(200)).is_some() && places.take(client(0)).is_some());
        drop(others);
        assert_eq!(places.taken(), 0);
        assert!(places.running().is_empty());
    }
}
