//! Which Services an address may lead back to.
//!
//! ```text
//! 0.1.10.in-addr.arpa ─▶ │ .7 service 3 │ .7 service 9 │ .20 service 1 │ …
//! ```
//!
//! Nothing but this hint is kept of an address. The names it leads back to are read from the Services' own records, so a PTR
//! record comes and goes with the A record that it reverses. A block is an immutable array that is replaced as a whole: the
//! Pods of one node have most of a block, and an entry of eight octets for each is a tenth of what a map of addresses takes.

use std::collections::HashMap as PrivateMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use papaya::{HashMap, LocalGuard};
use seize::Collector;

use super::map;
use crate::dns::reverse::Prefix;

/// A Service as hints name it.
pub(super) type ServiceId = u32;

/// The address of a block that ends in `last` belongs to `service`, by one of its names. One that has two names there has two
/// hints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hint {
    last: u8,
    pub service: ServiceId,
}

/// What readers see.
pub(super) struct Blocks {
    /// Hints by block, sorted.
    blocks: HashMap<Prefix, Box<[Hint]>, RandomState>,
    /// The names above blocks that exist.
    above: HashMap<Prefix, (), RandomState>,
}

impl Blocks {
    pub fn new(collector: &Arc<Collector>) -> Self {
        Self { blocks: map(collector), above: map(collector) }
    }

    /// The hints of one address.
    pub fn hints<'g>(&self, address: IpAddr, guard: &'g LocalGuard<'_>) -> &'g [Hint] {
        let (block, last) = Prefix::block(address);
        let hints = self.blocks.get(&block, guard).map(|hints| &**hints).unwrap_or_default();
        let begin = hints.partition_point(|hint| hint.last < last);
        let end = hints.partition_point(|hint| hint.last <= last);
        hints.get(begin..end).unwrap_or_default()
    }

    /// Whether there is an address with these leading bits.
    pub fn has_below(&self, prefix: Prefix, guard: &LocalGuard<'_>) -> bool {
        if prefix.is_above_blocks() {
            return self.above.contains_key(&prefix, guard);
        }
        let (block, _) = Prefix::block(prefix.address(0));
        let hints = self.blocks.get(&block, guard);
        hints.is_some_and(|hints| hints.iter().any(|hint| prefix.covers(block.address(hint.last))))
    }

    /// All addresses, each once, in order.
    pub fn addresses(&self, guard: &LocalGuard<'_>) -> Vec<IpAddr> {
        let blocks = self.blocks.iter(guard);
        let mut addresses: Vec<_> =
            blocks.flat_map(|(block, hints)| hints.iter().map(|hint| block.address(hint.last))).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

/// What the writer knows besides: the blocks below each name above them.
#[derive(Default)]
pub(super) struct BlockCounts(PrivateMap<Prefix, usize, RandomState>);

impl BlockCounts {
    pub fn add(&mut self, blocks: &Blocks, address: IpAddr, service: ServiceId, guard: &LocalGuard<'_>) {
        let (block, last) = Prefix::block(address);
        let hint = Hint { last, service };
        let Some(hints) = blocks.blocks.get(&block, guard) else {
            for prefix in Prefix::above(address).filter(Prefix::is_above_blocks) {
                let count = self.0.entry(prefix).or_default();
                *count += 1;
                if *count == 1 {
                    blocks.above.insert(prefix, (), guard);
                }
            }
            blocks.blocks.insert(block, [hint].into(), guard);
            return;
        };
        let place = hints.partition_point(|other| *other < hint);
        let (before, after) = hints.split_at(place);
        blocks.blocks.insert(block, [before, &[hint], after].concat().into(), guard);
    }

    pub fn remove(&mut self, blocks: &Blocks, address: IpAddr, service: ServiceId, guard: &LocalGuard<'_>) {
        let (block, last) = Prefix::block(address);
        let Some(hints) = blocks.blocks.get(&block, guard) else { return };
        let Ok(place) = hints.binary_search(&Hint { last, service }) else { return };
        let (before, from) = hints.split_at(place);
        let left = [before, &from[1..]].concat();
        if !left.is_empty() {
            blocks.blocks.insert(block, left.into(), guard);
            return;
        }
        blocks.blocks.remove(&block, guard);
        for prefix in Prefix::above(address).filter(Prefix::is_above_blocks) {
            if let Some(count) = self.0.get_mut(&prefix) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&prefix);
                    blocks.above.remove(&prefix, guard);
                }
            }
        }
    }
}
