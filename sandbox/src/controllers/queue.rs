//! The work queue: pairs of controller and object to reconcile, each at most once, in order of arrival.
//!
//! A key may also be queued for later. If it is queued for several times, the earliest counts, as in the work queues of
//! client-go; the controller then decides again whether to wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet, VecDeque};

use tokio::time::Instant;

use crate::kind::Kind;

use super::types::Id;

/// A controller. The garbage collector is one per kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    Namespace,
    Claim,
    Service,
    Kubelet,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    Deployment,
    EndpointSlice,
    Endpoints,
    Garbage(Kind),
}

/// A controller and the object to reconcile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub controller: Controller,
    pub id: Id,
}

#[derive(Default)]
pub struct Queue {
    ready: VecDeque<Key>,
    /// The keys in `ready`.
    queued: HashSet<Key>,
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
    /// The time of each delayed key. A timer with another time is outdated.
    wake_at: BTreeMap<Key, Instant>,
}

impl Queue {
    pub fn push(&mut self, key: Key) {
        if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    pub fn push_at(&mut self, key: Key, instant: Instant) {
        if self.wake_at.get(&key).is_none_or(|earlier| instant < *earlier) {
            self.wake_at.insert(key.clone(), instant);
            self.timers.push(Reverse((instant, key)));
        }
    }

    /// Moves the keys that are due to the queue.
    pub fn wake(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|Reverse((instant, _))| *instant <= now) {
            let Some(Reverse((instant, key))) = self.timers.pop() else { return };
            if self.wake_at.get(&key) == Some(&instant) {
                self.wake_at.remove(&key);
                self.push(key);
            }
        }
    }

    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((instant, _))| *instant)
    }

    pub fn pop(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        Some(key)
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
    fn a_key_that_is_pushed_twice_is_popped_once_in_order_of_arrival() {
        let mut queue = Queue::default();
        for name in ["b", "a", "b"] {
            queue.push(key(name));
        }
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(key("b")), Some(key("a")), None]);
    }

    #[test]
    fn the_earliest_of_several_delays_counts_and_the_others_are_dropped() {
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
