//! Finds the names that an address may lead back to.
//!
//! ```text
//! 0.1.10.in-addr.arpa ─▶ │ .7 service 3 label #a3… │ .7 service 9 label #05… │ .20 service 1 label #a3… │ …
//! ```
//!
//! The index has only candidates. The names for a PTR record are read from the Services' own records, so that a PTR record
//! appears and disappears with the A record that it reverses. The hash of the label leads to the host there, however many the
//! Service has. A block, the addresses that share all but the last octet, is an
//! immutable array that is replaced as a whole: the Pods of one node fill most of a block, and an entry of eight octets for each
//! is a tenth of what a map of addresses takes.

use std::collections::HashMap;
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use papaya::LocalGuard;
use seize::Collector;

use super::maps::{SharedMap, new_map};
use crate::dns::reverse::Prefix;
use crate::records::LabelHash;

/// The number by which candidates refer to a Service.
pub(super) type ServiceId = u32;

/// An address of one of a Service's names.
pub(super) struct ReverseEntry {
    pub address: IpAddr,
    /// Of the label in front of the Service's name.
    pub label: LabelHash,
}

/// An address belongs to a Service, by one of the Service's names. There are equal candidates if two names with equal hashes
/// have the address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// The last octet of the address. The others are those of the block.
    last: u8,
    pub service: ServiceId,
    pub label: LabelHash,
}

impl Candidate {
    fn new(entry: &ReverseEntry, service: ServiceId) -> (Prefix, Self) {
        let (block, last) = Prefix::block(entry.address);
        (block, Self { last, service, label: entry.label })
    }
}

/// The part that readers see.
pub(super) struct ReverseIndex {
    /// Candidates by block, sorted.
    blocks: SharedMap<Prefix, Box<[Candidate]>>,
    /// The prefixes above the blocks that exist.
    above: SharedMap<Prefix, ()>,
}

impl ReverseIndex {
    pub fn new(collector: &Arc<Collector>) -> Self {
        Self { blocks: new_map(collector), above: new_map(collector) }
    }

    /// The candidates for one address.
    pub fn candidates<'g>(&self, address: IpAddr, guard: &'g LocalGuard<'_>) -> &'g [Candidate] {
        let (block, last) = Prefix::block(address);
        let candidates = self.blocks.get(&block, guard).map(|candidates| &**candidates).unwrap_or_default();
        let start = candidates.partition_point(|candidate| candidate.last < last);
        let end = candidates.partition_point(|candidate| candidate.last <= last);
        candidates.get(start..end).unwrap_or_default()
    }

    /// Whether there is an address with this prefix.
    pub fn has_below(&self, prefix: Prefix, guard: &LocalGuard<'_>) -> bool {
        if prefix.is_above_blocks() {
            return self.above.contains_key(&prefix, guard);
        }
        let (block, _) = Prefix::block(prefix.address(0));
        let candidates = self.blocks.get(&block, guard);
        let is_below = |candidate: &Candidate| prefix.covers(block.address(candidate.last));
        candidates.is_some_and(|candidates| candidates.iter().any(is_below))
    }

    /// All addresses, each once, in order.
    pub fn addresses(&self, guard: &LocalGuard<'_>) -> Vec<IpAddr> {
        let mut addresses: Vec<_> = self.candidate_addresses(guard).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The address of each candidate, in no order.
    pub fn candidate_addresses<'g>(&'g self, guard: &'g LocalGuard<'_>) -> impl Iterator<Item = IpAddr> + use<'g> {
        let blocks = self.blocks.iter(guard);
        blocks.flat_map(|(block, candidates)| candidates.iter().map(|candidate| block.address(candidate.last)))
    }
}

/// Changes a [`ReverseIndex`].
#[derive(Default)]
pub(super) struct ReverseIndexWriter {
    /// The number of blocks below each prefix above them.
    blocks_below: HashMap<Prefix, usize, RandomState>,
}

impl ReverseIndexWriter {
    /// Adds addresses by names of a Service.
    pub fn add(&mut self, index: &ReverseIndex, entries: &[ReverseEntry], service: ServiceId, guard: &LocalGuard<'_>) {
        for (block, added) in by_block(entries, service) {
            let candidates = index.blocks.get(&block, guard);
            if candidates.is_none() {
                for prefix in Prefix::above(block.address(0)).filter(Prefix::is_above_blocks) {
                    let count = self.blocks_below.entry(prefix).or_default();
                    *count += 1;
                    if *count == 1 {
                        index.above.insert(prefix, (), guard);
                    }
                }
            }
            let mut candidates = [candidates.map_or(&[][..], |candidates| candidates), &added].concat();
            candidates.sort_unstable();
            index.blocks.insert(block, candidates.into(), guard);
        }
    }

    /// Removes addresses by names of a Service.
    pub fn remove(
        &mut self,
        index: &ReverseIndex,
        entries: &[ReverseEntry],
        service: ServiceId,
        guard: &LocalGuard<'_>,
    ) {
        for (block, removed) in by_block(entries, service) {
            let Some(candidates) = index.blocks.get(&block, guard) else { continue };
            // Both are sorted.
            let mut removed = removed.into_iter().peekable();
            let is_left = |candidate: &&Candidate| {
                while removed.next_if(|other| other < *candidate).is_some() {}
                removed.next_if(|other| other == *candidate).is_none()
            };
            let left: Box<[_]> = candidates.iter().filter(is_left).copied().collect();
            if !left.is_empty() {
                index.blocks.insert(block, left, guard);
                continue;
            }
            index.blocks.remove(&block, guard);
            for prefix in Prefix::above(block.address(0)).filter(Prefix::is_above_blocks) {
                if let Some(count) = self.blocks_below.get_mut(&prefix) {
                    *count -= 1;
                    if *count == 0 {
                        self.blocks_below.remove(&prefix);
                        index.above.remove(&prefix, guard);
                    }
                }
            }
        }
    }
}

/// The candidates that entries of a Service are, by block, sorted: a block is replaced once, however many of them are in it.
fn by_block(entries: &[ReverseEntry], service: ServiceId) -> impl Iterator<Item = (Prefix, Vec<Candidate>)> {
    let mut candidates: Vec<_> = entries.iter().map(|entry| Candidate::new(entry, service)).collect();
    candidates.sort_unstable_by_key(|(block, candidate)| (block.address(0), *candidate));
    let mut candidates = candidates.into_iter().peekable();
    iter::from_fn(move || {
        let (block, first) = candidates.next()?;
        let others = iter::from_fn(|| candidates.next_if(|(other, _)| *other == block)).map(|(_, candidate)| candidate);
        Some((block, iter::once(first).chain(others).collect()))
    })
}
