//! What is asked elsewhere: names outside the zones, and in a server that forwards, names of the zones that it does not mirror.
//! What it mirrors is answered here, denials too.

use super::owner::OwnerName;
use super::{Authority, Node};
use crate::dns::name::{Labels, Name};
use crate::dns::wire::RrType;
use crate::table::Table;

/// `pod`, below which Pods have names by their addresses (specification section 2.6): never mirrored.
const POD: &[u8] = b"\x03pod";
/// Types that are no data but requests to the server that gets them, TKEY to MAILA (RFC 6895 section 3.1).
const FIRST_META: u16 = 249;
const LAST_META: u16 = 254;

/// What others have to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere<'t> {
    /// The question itself.
    Question,
    /// The name that the last alias of the answer leads to.
    Target(&'t Name),
}

impl Authority {
    /// The same, for a server that asks others for what it does not mirror: then such names are [`Elsewhere`], and not denied.
    #[must_use]
    pub fn forwarding(mut self) -> Self {
        self.is_forwarding = true;
        self
    }

    /// `elsewhere`, unless the type cannot be asked for there.
    pub(super) fn if_askable<'t>(qtype: RrType, elsewhere: Elsewhere<'t>) -> Option<Elsewhere<'t>> {
        let is_askable = !(FIRST_META..=LAST_META).contains(&qtype.0) && qtype != RrType::OPT;
        is_askable.then_some(elsewhere)
    }

    /// Whether others have to be asked for a name of a zone of Services: [`Node::Foreign`] or [`Node::NotHeld`] if so.
    pub(super) fn foreign_node<'t>(
        &self,
        table: &Table<'_>,
        relative: &[u8],
        owner: OwnerName<'_>,
    ) -> Option<Node<'t>> {
        if !self.is_forwarding {
            return None;
        }
        let (namespace, service) = match owner {
            OwnerName::Namespace(namespace) => (namespace, None),
            OwnerName::Service(service)
            | OwnerName::Host { service, .. }
            | OwnerName::Protocol { service, .. }
            | OwnerName::Port { service, .. } => (Labels(service).nth(1)?, Some(service)),
            OwnerName::Other => return (Labels(relative).last() == Some(POD)).then_some(Node::Foreign),
            _ => return None,
        };
        if !self.watches(namespace) {
            return Some(Node::Foreign);
        }
        let is_held = match service {
            _ if !self.headless_only => true,
            Some(service) => table.service(service).is_some(),
            None => table.has_namespace(namespace),
        };
        (!is_held).then_some(Node::NotHeld)
    }

    /// What stands at a reverse name that the table does not hold.
    pub(super) fn absent_reverse<'t>(&self) -> Node<'t> {
        if self.is_forwarding { Node::NotHeld } else { Node::Absent }
    }

    /// Whether the Services of a namespace are mirrored.
    pub(super) fn watches(&self, namespace: &[u8]) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|it| it.as_wire() == namespace)
    }

    /// The parts of the name space for which others are asked.
    pub fn elsewhere_trees(&self) -> Vec<Name> {
        let mirrors_all = self.namespaces.is_empty() && !self.headless_only;
        let parts: &[&str] = if mirrors_all { &["pod"] } else { &["pod", "svc"] };
        let below = |apex: &Name| parts.iter().filter_map(|part| apex.below(part).ok()).collect::<Vec<_>>();
        let zones = self.zones.iter().flat_map(|zone| below(&zone.apex));
        let reverse = self.reverse_zones.iter().map(|zone| zone.apex.clone());
        Name::parse(".").into_iter().chain(zones).chain(reverse).collect()
    }
}
