//! The endpoints' names of one Service with their addresses, laid out for look-ups.
//!
//! ```text
//! slots    V4 { label: 6, 10.0.0.2 } │ vacant │ V4 { label: 0, 10.0.0.1 } │ …     by the hash of the label
//! order    2, 0, …                                                            slots in the order of labels
//! labels   \x05pg-00\x05pg-01…                                                one after the other, in that order
//! ```
//!
//! A look-up hashes the label, and finds the address in the slot: two places in memory, however many endpoints there are. A
//! box for each label and each address would be twice as many places, and five times the memory.

use std::borrow::Borrow;
use std::fmt;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr};
use std::slice;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

use super::{Addresses, AddressesRef};
use crate::dns::name::{Labels, Relative};

/// Hosts of a Service by label. Equal hosts are equal values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Each host stands in the slot that its label hashes to, or in the next one that was free.
    slots: Box<[Slot]>,
    order: Box<[u32]>,
    labels: Box<[u8]>,
    /// Whatever is not one IPv4 address.
    others: Box<[Addresses]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Vacant,
    /// `label` is where the label begins, and `tag` a part of its hash: labels that differ are rarely read.
    V4 {
        tag: u16,
        label: u32,
        address: Ipv4Addr,
    },
    Other {
        tag: u16,
        label: u32,
        addresses: u32,
    },
}

impl Hosts {
    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The addresses of a host, by its label in wire form.
    pub fn get(&self, label: &[u8]) -> Option<AddressesRef<'_>> {
        let (home, tag) = place_of(label, self.slots.len());
        let (before, from) = self.slots.split_at_checked(home)?;
        for slot in from.iter().chain(before) {
            match slot {
                Slot::Vacant => return None,
                Slot::V4 { tag: other, label: at, .. } | Slot::Other { tag: other, label: at, .. } => {
                    // The length octet in front makes this a comparison of whole labels.
                    if *other == tag && self.labels.get(*at as usize..)?.starts_with(label) {
                        return self.addresses(slot);
                    }
                }
            }
        }
        None
    }

    /// The host at this place in the order of labels: its label and its addresses.
    pub fn at(&self, place: u32) -> Option<(&[u8], AddressesRef<'_>)> {
        self.host(self.slots.get(*self.order.get(place as usize)? as usize)?)
    }

    /// The labels in wire form with their addresses, in the order of labels: of the Pods of a StatefulSet that is nearly
    /// that of their ordinals.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], AddressesRef<'_>)> {
        self.order.iter().filter_map(|slot| self.host(self.slots.get(*slot as usize)?))
    }

    /// The labels in wire form, in order.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        Labels(&self.labels)
    }

    /// The labels of the hosts that have this address.
    pub fn having(&self, address: IpAddr) -> impl Iterator<Item = &[u8]> {
        let has = move |slot: &&Slot| match (slot, address) {
            (Slot::V4 { address, .. }, IpAddr::V4(wanted)) => *address == wanted,
            (Slot::Other { .. }, _) => {
                self.addresses(slot).is_some_and(|addresses| addresses.iter().any(|other| other == address))
            }
            _ => false,
        };
        self.slots.iter().filter(has).filter_map(|slot| Some(self.host(slot)?.0))
    }

    /// Where the names are the same: the addresses of each that has others now, before and after.
    pub fn moved<'a>(
        &'a self,
        now: &'a Self,
    ) -> Option<impl Iterator<Item = (AddressesRef<'a>, AddressesRef<'a>)> + use<'a>> {
        // Equal labels lie in equal slots, and are not looked at one by one.
        (self.labels == now.labels).then(|| {
            let slots = self.slots.iter().zip(&now.slots);
            let may_differ = slots.filter(|(before, after)| before != after || matches!(before, Slot::Other { .. }));
            let addresses =
                may_differ.filter_map(|(before, after)| Some((self.addresses(before)?, now.addresses(after)?)));
            addresses.filter(|(before, after)| before != after)
        })
    }

    fn host<'a>(&'a self, slot: &'a Slot) -> Option<(&'a [u8], AddressesRef<'a>)> {
        let (Slot::V4 { label, .. } | Slot::Other { label, .. }) = slot else { return None };
        Some((Labels(self.labels.get(*label as usize..)?).next()?, self.addresses(slot)?))
    }

    fn addresses<'a>(&'a self, slot: &'a Slot) -> Option<AddressesRef<'a>> {
        match slot {
            Slot::Vacant => None,
            Slot::V4 { address, .. } => Some(AddressesRef { v4: slice::from_ref(address), v6: &[] }),
            Slot::Other { addresses, .. } => self.others.get(*addresses as usize).map(Addresses::borrowed),
        }
    }
}

impl<L: Borrow<[u8]>, A: IntoIterator<Item = IpAddr>> FromIterator<(L, A)> for Hosts {
    /// From labels in wire form with their addresses, in any order. Of a label that comes again the first counts.
    fn from_iter<I: IntoIterator<Item = (L, A)>>(hosts: I) -> Self {
        let mut hosts: Vec<(L, A)> = hosts.into_iter().collect();
        if !hosts.is_sorted_by(|(one, _), (other, _)| one.borrow() < other.borrow()) {
            hosts.sort_by(|(one, _), (other, _)| one.borrow().cmp(other.borrow()));
            hosts.dedup_by(|(again, _), (first, _)| (*again).borrow() == (*first).borrow());
        }
        let octets = hosts.iter().map(|(label, _)| label.borrow().len()).sum();
        let mut slots = vec![Slot::Vacant; hosts.len() + hosts.len() / VACANT_SHARE];
        let (mut order, mut labels) = (Vec::with_capacity(hosts.len()), Vec::with_capacity(octets));
        let mut others = Vec::new();
        for (wire, addresses) in hosts {
            let (home, tag) = place_of(wire.borrow(), slots.len());
            let mut places = (home..slots.len()).chain(0..home);
            let free = places.find(|place| matches!(slots[*place], Slot::Vacant));
            // None of these is ever out of range: that would take gigabytes of labels.
            let (Some(free), Ok(label)) = (free, u32::try_from(labels.len())) else { break };
            labels.extend_from_slice(wire.borrow());
            order.push(free as u32);
            slots[free] = match one_or_all(addresses) {
                Ok(address) => Slot::V4 { tag, label, address },
                Err(addresses) => {
                    others.push(addresses);
                    Slot::Other { tag, label, addresses: (others.len() - 1) as u32 }
                }
            };
        }
        Self { slots: slots.into(), order: order.into(), labels: labels.into(), others: others.into() }
    }
}

/// The one IPv4 address that these are, as they are for most hosts; else all of them.
fn one_or_all(addresses: impl IntoIterator<Item = IpAddr>) -> Result<Ipv4Addr, Addresses> {
    let mut addresses = addresses.into_iter();
    let (first, second) = (addresses.next(), addresses.next());
    if let (Some(IpAddr::V4(address)), None) = (first, second) {
        return Ok(address);
    }
    let all: Addresses = first.into_iter().chain(second).chain(addresses).collect();
    match *all.v4 {
        [address] if all.v6.is_empty() => Ok(address),
        _ => Err(all),
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(label, addresses)| (Relative(label), addresses))).finish()
    }
}

/// To this many hosts there is one vacant slot.
const VACANT_SHARE: usize = 2;

/// The slot, of so many, that a label hashes to, and the tag that goes with it. The hash is random from process to process
/// and the same for all Services of one, so that equal hosts lie in equal slots.
fn place_of(label: &[u8], slots: usize) -> (usize, u16) {
    const SEED: u64 = 0;
    let hash = SeedableRandomState::with_seed(SEED, SharedSeed::global_random()).hash_one(label);
    // The high half of the product: evenly spread, and always below the number of slots. The tag is of the low bits.
    (((u128::from(hash) * slots as u128) >> u64::BITS) as usize, hash as u16)
}

#[cfg(test)]
mod tests;
