//! The difference that a change of records makes to reverse names.

use std::cmp::Ordering::{Greater, Less};

use super::reverse_index::ReverseEntry;
use crate::records::{AddressesRef, LabelHash, ServiceKind, ServiceRecords};

/// The addresses that stop and start to lead back to names of a Service. An address that moves from one name to another is in
/// both lists.
#[derive(Default)]
pub(super) struct AddressDiff {
    pub removed: Vec<ReverseEntry>,
    pub added: Vec<ReverseEntry>,
}

impl AddressDiff {
    pub fn between(old: Option<&ServiceRecords>, new: Option<&ServiceRecords>) -> Self {
        if let (Some(old), Some(new)) = (old, new)
            && (&old.kind, &new.kind) == (&ServiceKind::Headless, &ServiceKind::Headless)
            && let Some(changed) = old.hosts.changed_hosts(&new.hosts)
        {
            let mut diff = Self::default();
            for host in changed {
                diff.removed.extend(entries(host.label, host.before));
                diff.added.extend(entries(host.label, host.after));
            }
            return diff;
        }
        Self::by_names(old, new)
    }

    /// Merges the names of both, which are sorted.
    fn by_names(old: Option<&ServiceRecords>, new: Option<&ServiceRecords>) -> Self {
        let mut old = old.into_iter().flat_map(ServiceRecords::reverse_names).peekable();
        let mut new = new.into_iter().flat_map(ServiceRecords::reverse_names).peekable();
        let mut diff = Self::default();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return diff,
                (Some(_), None) => Less,
                (None, Some(_)) => Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let before = old.next_if(|_| order.is_le());
            let after = new.next_if(|_| order.is_ge());
            if before != after {
                diff.removed.extend(before.into_iter().flat_map(|(label, addresses)| entries(label, addresses)));
                diff.added.extend(after.into_iter().flat_map(|(label, addresses)| entries(label, addresses)));
            }
        }
    }
}

/// The addresses of one name.
fn entries(label: &[u8], addresses: AddressesRef<'_>) -> impl Iterator<Item = ReverseEntry> {
    let label = LabelHash::of(label);
    addresses.iter().map(move |address| ReverseEntry { address, label })
}
