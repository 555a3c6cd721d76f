//! Bounded queues to one task, as many as workers run at a time: they do not get into each other's way, and none waits.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use tokio::sync::mpsc;

/// What may wait in a lane, and the octets of that: some hundredths of a second of all that a core can answer.
const CAPACITY: usize = 8192;
const OCTETS: usize = 4 * 1024 * 1024;
/// What is taken from a lane at a time.
const TAKEN: usize = 512;

/// What a lane may take, and what is taken from it at a time, in octets.
pub const LANE_MEMORY: usize = 2 * OCTETS;

/// What can wait.
pub(super) trait Weighed {
    /// The memory that it takes.
    fn octets(&self) -> usize;
}

/// Where workers put things.
#[derive(Debug)]
pub(super) struct Senders<T>(Box<[Sender<T>]>);

#[derive(Debug)]
struct Sender<T> {
    items: mpsc::Sender<T>,
    /// What waits.
    octets: Arc<AtomicUsize>,
}

/// Where they are taken from.
#[derive(Debug)]
pub(super) struct Receivers<T>(Box<[Receiver<T>]>);

#[derive(Debug)]
struct Receiver<T> {
    items: mpsc::Receiver<T>,
    octets: Arc<AtomicUsize>,
}

/// So many lanes.
pub(super) fn lanes<T>(count: usize) -> (Senders<T>, Receivers<T>) {
    let lane = |_| {
        let ((sender, receiver), octets) = (mpsc::channel(CAPACITY), Arc::<AtomicUsize>::default());
        (Sender { items: sender, octets: Arc::clone(&octets) }, Receiver { items: receiver, octets })
    };
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(lane).unzip();
    (Senders(senders.into()), Receivers(receivers.into()))
}

impl<T: Weighed> Senders<T> {
    /// Puts something into a lane. False if the lane is full, and it is left out; then it is mostly not made either.
    pub fn put(&self, lane: usize, make: impl FnOnce() -> T) -> bool {
        // There is at least one.
        let Some(Sender { items, octets }) = self.0.get(lane % self.0.len().max(1)) else { return false };
        let Ok(place) = items.try_reserve() else { return false };
        if octets.load(Relaxed) >= OCTETS {
            return false;
        }
        let item = make();
        let size = item.octets();
        if octets.fetch_add(size, Relaxed) + size > OCTETS {
            octets.fetch_sub(size, Relaxed);
            return false;
        }
        place.send(item);
        true
    }
}

impl<T: Weighed> Receivers<T> {
    /// Waits for more. False if there will be none.
    pub async fn take(&mut self, taken: &mut Vec<T>) -> bool {
        poll_fn(|context| {
            let before = taken.len();
            let mut is_open = false;
            for Receiver { items, octets } in &mut self.0 {
                let of_lane = taken.len();
                is_open |= items.poll_recv_many(context, taken, TAKEN) != Poll::Ready(0);
                let size = taken.iter().skip(of_lane).map(T::octets).sum();
                octets.fetch_sub(size, Relaxed);
            }
            match (taken.len() > before, is_open) {
                (true, _) => Poll::Ready(true),
                (false, true) => Poll::Pending,
                (false, false) => Poll::Ready(false),
            }
        })
        .await
    }

    /// Takes no more into the lanes. What is in them can still be taken.
    pub fn close(&mut self) {
        self.0.iter_mut().for_each(|lane| lane.items.close());
    }

    /// Whether nothing can be put into them any more.
    pub fn are_closed(&self) -> bool {
        self.0.iter().all(|lane| lane.items.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighed for usize {
        fn octets(&self) -> usize {
            *self
        }
    }

    #[tokio::test]
    async fn what_is_put_is_taken_once_and_a_full_lane_takes_no_more() {
        let (senders, mut receivers) = lanes::<usize>(1);
        let put = (0..2 * CAPACITY).filter(|_| senders.put(0, || 1)).count();
        assert_eq!(put, CAPACITY);
        assert!(!senders.put(0, || panic!("nothing is made for a full lane")));
        let mut taken = Vec::new();
        while taken.len() < CAPACITY {
            assert!(receivers.take(&mut taken).await);
        }
        let put = |octets| senders.put(0, || octets);
        assert!(put(OCTETS - 1) && !put(2) && put(1), "octets are bounded too");
        assert!(!senders.put(0, || panic!("nothing is made for a lane without room")));
        receivers.close();
        assert!(!put(0) && receivers.are_closed());
        taken.clear();
        while receivers.take(&mut taken).await {}
        assert_eq!(taken, [OCTETS - 1, 1]);
    }
}
