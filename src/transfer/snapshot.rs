//! All Services of one version, in a map that the next version shares but for what changed.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::authority::{Zone, ZoneKind};
use crate::dns::reverse::is_ipv6;
use crate::records::{ServiceKey, ServiceKind, ServiceRecords};
use crate::table::{Change, Published};

/// Buckets of the map. One is copied when a Service of it changes: ten Services where there are 10,000. The list of them is copied
/// for each version, 8 KiB.
const BUCKETS: usize = 1024;

/// A Service of a version.
pub(super) type Entry = (ServiceKey, Arc<Published>);

/// The Services of one version. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    buckets: Arc<[Arc<[Entry]>]>,
    size: Size,
}

/// The number of records in zones of each kind, those aside that are no Service's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub forward: usize,
    pub reverse_v4: usize,
    pub reverse_v6: usize,
    pub public: usize,
}

impl Default for Snapshot {
    fn default() -> Self {
        let empty: Arc<[Entry]> = Arc::default();
        Self { buckets: vec![empty; BUCKETS].into(), size: Size::default() }
    }
}

impl Snapshot {
    /// The next version, with these changes.
    pub fn with(&self, changes: &[Change]) -> Self {
        let (mut buckets, mut size) = (self.buckets.to_vec(), self.size);
        // Each bucket is copied once, however many of its Services change.
        let mut by_bucket: Vec<(usize, &Change)> = changes.iter().map(|it| (bucket_of(&it.service), it)).collect();
        by_bucket.sort_unstable_by_key(|(bucket, _)| *bucket);
        for group in by_bucket.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(bucket) = group.first().and_then(|(bucket, _)| buckets.get_mut(*bucket)) else { continue };
            let mut entries = bucket.to_vec();
            for (_, change) in group {
                let position = entries.iter().position(|(service, _)| *service == change.service);
                match (position.and_then(|position| entries.get_mut(position)), &change.after) {
                    (Some((_, records)), Some(after)) => *records = Arc::clone(after),
                    (None, Some(after)) => entries.push((change.service.clone(), Arc::clone(after))),
                    (_, None) => entries.retain(|(service, _)| *service != change.service),
                }
                size.change(change);
            }
            *bucket = entries.into();
        }
        Self { buckets: buckets.into(), size }
    }

    pub fn size(&self) -> Size {
        self.size
    }

    /// The Service at a position, and the position behind it; None at the end.
    pub fn at(&self, Position { bucket, entry }: Position) -> Option<(&Entry, Position)> {
        let (skipped, entries) = self
            .buckets
            .get(bucket..)?
            .iter()
            .enumerate()
            .find(|(skipped, entries)| entries.len() > if *skipped == 0 { entry } else { 0 })?;
        let entry = if skipped == 0 { entry } else { 0 };
        let bucket = bucket + skipped;
        Some((entries.get(entry)?, Position { bucket, entry: entry + 1 }))
    }
}

impl Size {
    fn change(&mut self, change: &Change) {
        for (published, sign) in [(&change.before, -1), (&change.after, 1)] {
            let Some(published) = published else { continue };
            let (v4, v6) = published.records.count_reverse();
            let forward = published.records.count();
            let counts = [
                (&mut self.forward, forward),
                (&mut self.public, if has_public_names(&published.records) { forward } else { 0 }),
                (&mut self.reverse_v4, v4),
                (&mut self.reverse_v6, v6),
            ];
            for (all, count) in counts {
                *all = all.wrapping_add_signed(sign * count.cast_signed());
            }
        }
    }

    /// That of one zone; of all zones of its kind where there are several.
    pub fn of(&self, zone: &Zone) -> usize {
        match zone.kind() {
            ZoneKind::Forward => self.forward,
            ZoneKind::Public => self.public,
            ZoneKind::Reverse if is_ipv6(zone.apex().as_wire()) => self.reverse_v6,
            ZoneKind::Reverse => self.reverse_v4,
        }
    }
}

/// Whether the public view has all records of a Service. It may not have an alias, which is the only record of its Service.
fn has_public_names(records: &ServiceRecords) -> bool {
    records.is_public && !matches!(records.kind, ServiceKind::ExternalName(_))
}

/// A place in a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    bucket: usize,
    entry: usize,
}

fn bucket_of(service: &ServiceKey) -> usize {
    // The seed makes no difference: names of Services are the cluster's own.
    (FixedState::with_seed(0).hash_one(service) as usize) % BUCKETS
}
