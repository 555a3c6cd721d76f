//! The scheduler and kubelet: each Pod gets a node, becomes Running after a delay, and is removed after its deletion. No
//! containers run.
//!
//! ```text
//! created ──bind──▶ Pending, has a node ──start──▶ Running, has addresses, Ready or not ──deleted, stop──▶ removed
//! ```
//!
//! Readiness, addresses and the start delay can be set by annotations. A Pod that has addresses or conditions from another
//! source is external: its status is not changed, and only its deletion is completed.

mod annotations;
mod status;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::controllers::actions::{Action, Target};
use crate::controllers::addresses::Cursor;
use crate::controllers::options::Options;
use crate::controllers::placement;
use crate::controllers::types::Pod;
use crate::deletion::DEFAULT_GRACE_SECONDS;
use crate::kind::Kind;
use crate::time::now;

use annotations::{start_delay, wants_ready};

pub use annotations::{POD_IP_ANNOTATION, READY_ANNOTATION, START_DELAY_ANNOTATION};
#[cfg(test)]
pub use status::{PLACED, SCHEDULED};

/// How long a Pod waits that no node takes.
const SCHEDULE_AGAIN: Duration = Duration::from_secs(1);

/// What the kubelet knows about a Pod beyond the object.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    seen: Instant,
    /// When its deletion was first observed.
    deleted: Option<Instant>,
}

/// The next step for a Pod.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Decision {
    Bind,
    Start,
    SetReady(bool),
    Stop,
    WaitUntil(Instant),
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Delays {
    start: Duration,
    stop: Duration,
}

pub struct Kubelet {
    delays: Delays,
    nodes: Vec<Node>,
    next_node: usize,
    cursors: Vec<Cursor>,
    tracked: HashMap<String, Tracked>,
    /// The uid of the Pod that has each address.
    taken: HashMap<IpAddr, String>,
}

/// A node that Pods are scheduled to.
struct Node {
    name: String,
    addresses: Vec<IpAddr>,
}

impl Kubelet {
    pub fn new(options: &Options) -> Self {
        let nodes = options
            .nodes
            .iter()
            .enumerate()
            .map(|(index, name)| Node { name: name.clone(), addresses: options.addresses_of_node(index).collect() });
        Self {
            delays: Delays { start: options.pod_start_delay, stop: options.pod_stop_delay },
            nodes: nodes.collect(),
            next_node: 0,
            cursors: options.pod_cidrs().into_iter().map(Cursor::new).collect(),
            tracked: HashMap::new(),
            taken: HashMap::new(),
        }
    }

    /// Tracks the state of a Pod. Must be called for every change, in order.
    pub fn observe(&mut self, pod: &Pod, now: Instant) {
        let tracked =
            self.tracked.entry(pod.metadata.uid.clone()).or_insert_with(|| Tracked { seen: now, deleted: None });
        if pod.metadata.is_terminating() {
            tracked.deleted.get_or_insert(now);
        }
        for address in pod.addresses().filter_map(|address| address.parse().ok()) {
            self.taken.entry(address).or_insert_with(|| pod.metadata.uid.clone());
        }
    }

    /// Removes the state of a Pod that was removed.
    pub fn forget(&mut self, pod: &Pod) {
        self.tracked.remove(&pod.metadata.uid);
        for address in pod.addresses().filter_map(|address| address.parse().ok()) {
            if self.taken.get(&address) == Some(&pod.metadata.uid) {
                self.taken.remove(&address);
            }
        }
    }

    /// The actions for a Pod, and when to reconcile it again. `takes_it` says whether a node may get it.
    pub fn sync(&mut self, pod: &Pod, now: Instant, takes_it: impl Fn(&str) -> bool) -> (Vec<Action>, Option<Instant>) {
        let Some(tracked) = self.tracked.get(&pod.metadata.uid) else { return (Vec::new(), None) };
        let target = Target::new(Kind::Pod, &pod.metadata);
        let actions = match decide(pod, tracked, self.delays, now) {
            Decision::Nothing => Vec::new(),
            Decision::WaitUntil(instant) => return (Vec::new(), Some(instant)),
            Decision::Bind => match self.bind(pod, takes_it) {
                Some(node) => vec![Action::Merge(target, node)],
                None => return (Vec::new(), Some(now + SCHEDULE_AGAIN)),
            },
            Decision::Start => match self.addresses_for(pod) {
                Some(addresses) => vec![Action::Merge(target, json!({"status": status::started(pod, &addresses)}))],
                None => {
                    tracing::warn!("Pod {} cannot start: no Pod address left in the range", pod.metadata.name);
                    Vec::new()
                }
            },
            Decision::SetReady(ready) => vec![Action::Merge(target, json!({"status": status::readiness(pod, ready)}))],
            Decision::Stop if is_external(pod) || !pod.is_ready() => vec![Action::Remove(target)],
            Decision::Stop => {
                let stopped = json!({"status": status::readiness(pod, false)});
                vec![Action::Merge(target.clone(), stopped), Action::Remove(target)]
            }
        };
        (actions, None)
    }

    /// Schedules a Pod to the node in its spec, to the only one that it may run on, or else to the next one in turn that takes it. None
    /// if there is none.
    fn bind(&mut self, pod: &Pod, takes_it: impl Fn(&str) -> bool) -> Option<serde_json::Value> {
        let assigned = pod.spec.node_name.as_deref().filter(|name| !name.is_empty());
        let only = placement::only_node(&pod.spec).filter(|_| assigned.is_none());
        if only.is_some_and(|only| !takes_it(only)) {
            return None;
        }
        let named = assigned.or(only);
        let node = match named {
            Some(name) => self.nodes.iter().find(|node| node.name == name),
            None if self.nodes.is_empty() => None,
            None => {
                let (before, after) = self.nodes.split_at(self.next_node % self.nodes.len());
                let node = after.iter().chain(before).find(|node| takes_it(&node.name))?;
                self.next_node = self.nodes.iter().position(|other| other.name == node.name).unwrap_or(0) + 1;
                Some(node)
            }
        };
        let host = node.and_then(|node| node.addresses.first());
        let name = named.or(node.map(|node| node.name.as_str()));
        Some(json!({"spec": {"nodeName": name}, "status": status::bound(host.copied(), &now())}))
    }

    /// The addresses of a Pod that starts: those of the annotation, of its node, or allocated ones.
    fn addresses_for(&mut self, pod: &Pod) -> Option<Vec<IpAddr>> {
        if let Some(addresses) = annotations::addresses(pod) {
            return Some(addresses);
        }
        if pod.spec.host_network {
            let node = self.nodes.iter().find(|node| Some(&node.name) == pod.spec.node_name.as_ref());
            if let Some(node) = node {
                return Some(node.addresses.clone());
            }
        }
        let taken = &self.taken;
        self.cursors.iter_mut().map(|cursor| cursor.next_free(|address| taken.contains_key(address))).collect()
    }
}

fn decide(pod: &Pod, tracked: &Tracked, delays: Delays, now: Instant) -> Decision {
    if let Some(deleted) = tracked.deleted {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let end = deleted + grace.min(delays.stop);
        // The removal of the last finalizer queues the Pod again.
        return match () {
            () if now < end => Decision::WaitUntil(end),
            () if pod.metadata.finalizers.is_empty() => Decision::Stop,
            () if pod.is_ready() && !is_external(pod) => Decision::SetReady(false),
            () => Decision::Nothing,
        };
    }
    if is_external(pod) || pod.is_finished() {
        return Decision::Nothing;
    }
    if pod.condition(status::SCHEDULED).is_none() {
        return Decision::Bind;
    }
    if pod.phase() == "Pending" {
        let start = tracked.seen + start_delay(pod).unwrap_or(delays.start);
        return if now < start { Decision::WaitUntil(start) } else { Decision::Start };
    }
    let wanted = wants_ready(pod);
    if pod.is_ready() == wanted { Decision::Nothing } else { Decision::SetReady(wanted) }
}

/// Whether the Pod's status is not the kubelet's. Determined from the object, so that it holds after a restore of the store.
fn is_external(pod: &Pod) -> bool {
    let is_ours =
        pod.condition(status::SCHEDULED).is_some_and(|placed| placed.reason.as_deref() == Some(status::PLACED));
    let has_status = pod.addresses().next().is_some() || !pod.status.conditions.is_empty();
    has_status && !is_ours
}

#[cfg(test)]
mod tests;
