//! The Pods of a StatefulSet by ordinal.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;

/// The Pods of a set by ordinal.
pub struct Replicas<'a> {
    /// The ordinals that have Pods.
    pub wanted: Range<i64>,
    pub by_ordinal: BTreeMap<i64, &'a Pod>,
}

impl<'a> Replicas<'a> {
    pub fn of(set: &StatefulSet, pods: &'a [Arc<Pod>]) -> Self {
        let by_ordinal = pods.iter().filter_map(|pod| Some((ordinal(set, &pod.metadata.name)?, &**pod)));
        Self { wanted: set.spec.ordinals(), by_ordinal: by_ordinal.collect() }
    }

    /// The wanted ordinals from the given position on, with their Pods. Lazy, as the number of replicas may be huge.
    pub fn from(&self, position: i64) -> impl DoubleEndedIterator<Item = (i64, Option<&'a Pod>)> {
        let from = self.wanted.start.saturating_add(position);
        (from..self.wanted.end).map(|ordinal| (ordinal, self.by_ordinal.get(&ordinal).copied()))
    }

    /// The Pods outside the wanted ordinals, lowest first.
    pub fn condemned(&self) -> impl DoubleEndedIterator<Item = &'a Pod> {
        self.by_ordinal.iter().filter(|(ordinal, _)| !self.wanted.contains(ordinal)).map(|(_, pod)| *pod)
    }
}

/// The ordinal in a Pod's name, if it is a name of this set.
pub fn ordinal(set: &StatefulSet, pod_name: &str) -> Option<i64> {
    let digits = pod_name.strip_prefix(&set.metadata.name)?.strip_prefix('-')?;
    let ordinal: u32 = digits.parse().ok()?;
    (ordinal.to_string() == digits).then_some(i64::from(ordinal))
}
