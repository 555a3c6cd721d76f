//! The names of a Service's endpoints with their addresses, laid out for look-ups.
//!
//! ```text
//! slots    V4 { label: 6, 10.0.0.2 } │ vacant │ V4 { label: 0, 10.0.0.1 } │ …     by the hash of the label
//! order    2, 0, …                                                            slots in the order of labels
//! labels   \x05pg-00\x05pg-01…                                                concatenated, in that order
//! ```
//!
//! A look-up hashes the label and finds the address in the slot: two memory accesses, however many endpoints there are. A box
//! for each label and each address would take twice as many accesses, and five times the memory. A reverse look-up begins at the
//! same slot, which the first bits of the hash are enough for ([`LabelHash`]).

mod hash;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::slice;

pub use hash::LabelHash;
use hash::home_slot;

use super::{Addresses, AddressesRef};
use crate::dns::name::{Labels, Relative};

/// The hosts of a Service by label. Equal sets of hosts are equal values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Each host is in the slot that its label hashes to, or in the next one that was vacant.
    slots: Box<[Slot]>,
    order: Box<[u32]>,
    labels: Box<[u8]>,
    /// The addresses of hosts that do not have exactly one IPv4 address.
    others: Box<[Addresses]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Vacant,
    /// `label` is the offset of the label, and `tag` a part of its hash, so that other labels are rarely read.
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

/// A host that has other addresses than before.
pub struct ChangedHost<'a> {
    pub label: &'a [u8],
    pub before: AddressesRef<'a>,
    pub after: AddressesRef<'a>,
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
        let (home, tag) = home_slot(label, self.slots.len());
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

    /// The label and the addresses of the host at a position in the order of labels.
    pub fn at(&self, position: u32) -> Option<(&[u8], AddressesRef<'_>)> {
        self.host(self.slots.get(*self.order.get(position as usize)? as usize)?)
    }

    /// The position of a host in the order of labels.
    pub fn position(&self, label: &[u8]) -> Option<u32> {
        let (mut low, mut high) = (0, self.order.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.at(middle as u32)?.0.cmp(label) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(middle as u32),
            }
        }
        None
    }

    /// The memory that they take, octets, without what the allocator adds.
    pub fn octets(&self) -> usize {
        let others = size_of_val(&*self.others) + self.others.iter().map(Addresses::octets).sum::<usize>();
        size_of_val(&*self.slots) + size_of_val(&*self.order) + self.labels.len() + others
    }

    /// The labels in wire form with their addresses, in the order of labels, which for a StatefulSet is nearly that of the
    /// ordinals.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], AddressesRef<'_>)> {
        self.order.iter().filter_map(|slot| self.host(self.slots.get(*slot as usize)?))
    }

    /// The labels in wire form, in order.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        Labels(&self.labels)
    }

    /// The labels with this hash of the hosts that have this address: one, unless two have equal hashes.
    pub fn labels_of(&self, address: IpAddr, hash: LabelHash) -> impl Iterator<Item = &[u8]> {
        let has = move |slot: &&Slot| match (slot, address) {
            (Slot::V4 { address, .. }, IpAddr::V4(wanted)) => *address == wanted,
            (Slot::Other { .. }, _) => {
                self.addresses(slot).is_some_and(|addresses| addresses.iter().any(|other| other == address))
            }
            _ => false,
        };
        let labels = self.slots_of(hash).filter(has).filter_map(|slot| Some(self.host(slot)?.0));
        labels.filter(move |label| LabelHash::of(label) == hash)
    }

    /// The slots where a host whose label has this hash may be: from its home on until one is vacant.
    fn slots_of(&self, hash: LabelHash) -> impl Iterator<Item = &Slot> {
        let (home, other_homes) = hash.homes(self.slots.len());
        let (before, from) = self.slots.split_at_checked(home).unwrap_or_default();
        let slots = from.iter().chain(before).enumerate();
        // A vacant slot in front of the home shows nothing.
        slots.take_while(move |(place, slot)| *place < other_homes || **slot != Slot::Vacant).map(|(_, slot)| slot)
    }

    /// The hosts whose addresses in `new` are others; none if the labels differ.
    pub fn changed_hosts<'a>(&'a self, new: &'a Self) -> Option<impl Iterator<Item = ChangedHost<'a>> + use<'a>> {
        // Equal sets of labels are in equal slots, so the slots can be compared one by one.
        (self.labels == new.labels).then(|| {
            let slots = self.slots.iter().zip(&new.slots);
            let may_differ = slots.filter(|(before, after)| before != after || matches!(before, Slot::Other { .. }));
            let hosts = may_differ.filter_map(|(before, after)| {
                let (label, before) = self.host(before)?;
                Some(ChangedHost { label, before, after: new.addresses(after)? })
            });
            hosts.filter(|host| host.before != host.after)
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
    /// From labels in wire form with their addresses, in any order. Of equal labels the first counts.
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
            let (home, tag) = home_slot(wire.borrow(), slots.len());
            let mut candidates = (home..slots.len()).chain(0..home);
            let vacant = candidates.find(|slot| matches!(slots[*slot], Slot::Vacant));
            // Neither fails: there are more slots than hosts, and an offset out of range would take gigabytes of labels.
            let (Some(vacant), Ok(label)) = (vacant, u32::try_from(labels.len())) else { break };
            labels.extend_from_slice(wire.borrow());
            order.push(vacant as u32);
            slots[vacant] = match one_or_all(addresses) {
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

/// The address, if it is exactly one and IPv4, as it is for most hosts; otherwise all addresses.
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

/// There is one vacant slot for this many hosts.
const VACANT_SHARE: usize = 2;

#[cfg(test)]
mod tests;
