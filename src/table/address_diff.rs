//! The difference that a change of records makes to reverse names.

use std::cmp::Ordering::{Greater, Less};
use std::net::IpAddr;

use crate::records::{ServiceKind, ServiceRecords};

/// The addresses that stop and start to lead back to a Service. An address is listed once for each name that has it, so an
/// address that moves from one name to another is in both lists.
#[derive(Default)]
pub(super) struct AddressDiff {
    pub removed: Vec<IpAddr>,
    pub added: Vec<IpAddr>,
}

impl AddressDiff {
    pub fn between(old: Option<&ServiceRecords>, new: Option<&ServiceRecords>) -> Self {
        if let (Some(old), Some(new)) = (old, new)
            && (&old.kind, &new.kind) == (&ServiceKind::Headless, &ServiceKind::Headless)
            && let Some(changed) = old.hosts.changed_addresses(&new.hosts)
        {
            let mut diff = Self::default();
            for (before, after) in changed {
                diff.removed.extend(before.iter());
                diff.added.extend(after.iter());
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
            let before = old.next_if(|_| order.is_le()).map(|(_, addresses)| addresses);
            let after = new.next_if(|_| order.is_ge()).map(|(_, addresses)| addresses);
            if before != after {
                diff.removed.extend(before.into_iter().flat_map(|addresses| addresses.iter()));
                diff.added.extend(after.into_iter().flat_map(|addresses| addresses.iter()));
            }
        }
    }
}
