//! The work queue: which controller has to look at which object again, each at most once, in order of arrival.
//!
//! A key may also be queued for later. Of several wake-ups for one key the earliest counts, as in the work queues of the real
//! controllers; whoever is woken decides anew whether there is a reason to wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use indexmap::IndexSet;
use tokio::time::Instant;

use super::types::Id;
use crate::kind::Kind;

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    Namespace,
    Claim,
    Service,
    Kubelet,
    StatefulSet,
    ReplicaSet,
    Deployment,
    EndpointSlice,
    Garbage(Kind),
}

/// A controller and the object that it has to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub controller: Controller,
    pub id: Id,
}

#[derive(Default)]
pub struct Queue {
    ready: IndexSet<Key>,
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
    /// When each waiting key wakes. A timer that disagrees was superseded by an earlier one.
    wake_at: BTreeMap<Key, Instant>,
    /// Keys taken from the front of `ready` since it was last empty: an [`IndexSet`] is cheap to drain, not to shift.
    batch: VecDeque<Key>,
}

impl Queue {
    pub fn push(&mut self, key: Key) {
        self.ready.insert(key);
    }

    pub fn push_at(&mut self, key: Key, instant: Instant) {
        if self.wake_at.get(&key).is_none_or(|earlier| instant < *earlier) {
            self.wake_at.insert(key.clone(), instant);
            self.timers.push(Reverse((instant, key)));
        }
    }

    /// Makes every key ready whose time has come.
    pub fn wake(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|Reverse((instant, _))| *instant <= now) {
            let Some(Reverse((instant, key))) = self.timers.pop() else { return };
            if self.wake_at.get(&key) == Some(&instant) {
                self.wake_at.remove(&key);
                self.ready.insert(key);
            }
        }
    }

    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((instant, _))| *instant)
    }

    pub fn pop(&mut self) -> Option<Key> {
        if self.batch.is_empty() {
            self.batch.extend(self.ready.drain(..));
        }
        self.batch.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key { controller: Controller::Kubelet, id: Id::new("default", name) }
    }

    #[test]
    fn a_key_that_is_pushed_twice_comes_out_once_and_in_order_of_arrival() {
        let mut queue = Queue::default();
        for name in ["b", "a", "b"] {
            queue.push(key(name));
        }
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(key("b")), Some(key("a")), None]);
    }

    #[test]
    fn the_earliest_of_several_wake_ups_counts_and_the_later_ones_are_forgotten() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let seconds = |n| now + Duration::from_secs(n);
        queue.push_at(key("a"), seconds(2));
        queue.push_at(key("a"), seconds(1));
        queue.push_at(key("a"), seconds(3));
        assert_eq!(queue.next_wake(), Some(seconds(1)));
        queue.wake(seconds(1));
        assert_eq!(queue.pop(), Some(key("a")));
        queue.wake(seconds(4));
        assert_eq!(queue.pop(), None);
    }
}
