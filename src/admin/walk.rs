//! Walks over the names of all Services in order, a part at a time.
//!
//! Between two parts only a position is kept, so that the table is not pinned while a client is slow. What is published meanwhile
//! behind the position is seen, what is published before it is not.

use std::collections::VecDeque;

use super::views::RecordsQuery;
use crate::records::{ServiceKey, ServiceRecords};
use crate::table::Table;

/// Services that are looked for at a time: each time costs a pass over the table.
const AHEAD: usize = 1024;

/// The names below a Service, in the order of the walk: its own, those of its endpoints, those of its ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Bare,
    Host,
    Port,
}

/// One of these names: the label or labels in front of the Service's name in wire form, none for its own.
pub(super) type Below<'a> = (Kind, &'a [u8]);

/// A position in the walk over the Services that a query asks for.
pub(super) struct ServiceWalk {
    query: RecordsQuery,
    /// The Service before the first of `ahead`.
    passed: Option<ServiceKey>,
    /// The Service that the walk is at, and the next ones.
    ahead: VecDeque<ServiceKey>,
    /// The last name of that Service that has been visited.
    visited: Option<(Kind, Box<[u8]>)>,
}

impl ServiceWalk {
    pub fn new(query: RecordsQuery) -> Self {
        Self { query, passed: None, ahead: VecDeque::new(), visited: None }
    }

    /// The Service that the walk is at; none at the end.
    pub fn service<'t>(&mut self, table: &'t Table<'_>) -> Option<(ServiceKey, &'t ServiceRecords)> {
        loop {
            let Some(key) = self.ahead.front() else {
                let passed = self.passed.as_ref().map(ServiceKey::in_text_order);
                let is_behind = |key: &ServiceKey| passed.is_none_or(|passed| key.in_text_order() > passed);
                let ahead = table.first_services(AHEAD, |key| is_behind(key) && self.query.matches(key));
                if ahead.is_empty() {
                    return None;
                }
                self.ahead = ahead.into();
                continue;
            };
            match table.service(key.as_wire()) {
                Some(service) => return Some((key.clone(), service)),
                // It is gone since it was found.
                None => self.pass(),
            }
        }
    }

    /// The names of that Service that have not been visited.
    pub fn names<'s>(&self, service: &'s ServiceRecords) -> impl Iterator<Item = Below<'s>> + use<'s> {
        let visited = self.visited.clone();
        let names = std::iter::once((Kind::Bare, [].as_slice()));
        let names = names.chain(service.hosts.labels().map(|label| (Kind::Host, label)));
        let names = names.chain(service.srv.owners().map(|owner| (Kind::Port, owner)));
        names.skip_while(move |below| visited.as_ref().is_some_and(|(kind, label)| *below <= (*kind, &**label)))
    }

    /// Stops behind a name of that Service.
    pub fn stop_at(&mut self, (kind, label): Below<'_>) {
        self.visited = Some((kind, label.into()));
    }

    /// Goes on to the next Service.
    pub fn pass(&mut self) {
        self.passed = self.ahead.pop_front();
        self.visited = None;
    }
}
