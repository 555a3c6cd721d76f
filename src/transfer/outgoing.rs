//! One transfer, record by record: a whole version, or the difference between two.
//!
//! ```text
//! IXFR of a known serial ─▶ Condensing ─▶ Counting ─▶ Writing: SOA, [old SOA, removed, SOA, added,] SOA
//!                                            └ longer than the zone ─┐
//! AXFR, or IXFR of an unknown serial ────────────────────────────────┴▶ Writing: SOA, everything, SOA
//! ```
//!
//! It does a bounded part of its work at a time, so that whoever runs it can do other things between, and it holds what it still has
//! to write, not a copy of the zone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::serial::is_newer;
use super::snapshot::{Position, Snapshot};
use super::versions::{Cut, Versions};
use crate::authority::{Authority, Place, Rrset, Zone};
use crate::dns::name::Name;
use crate::records::{ServiceKey, ServiceRecords};
use crate::table::{Change, Published};

/// Records, or changes, that are looked at between two returns: less than a millisecond.
const PORTION: usize = 4096;

/// What a secondary asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest version (RFC 5936).
    Axfr,
    /// The difference from the version with this serial to the newest (RFC 1995).
    Ixfr(u32),
    /// The serial of the newest version alone.
    Soa,
}

/// What has to happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has not come to an end, and has done enough at a time.
    Working,
    /// A record does not fit: what there is has to be sent first.
    Full,
    /// Everything is written.
    Done,
}

/// How a transfer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All records of the zone.
    Whole,
    Difference,
    /// One SOA record: there is nothing newer.
    Serial,
}

/// A transfer of one zone.
#[derive(Debug)]
pub struct Outgoing {
    apex: Name,
    serial: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Condensing(Condensing),
    Counting(Counting),
    Writing { parts: VecDeque<Part>, form: Form },
}

/// Joins the changes of several versions into one.
#[derive(Debug)]
struct Condensing {
    from: u32,
    newest: Snapshot,
    cuts: VecDeque<Arc<Cut>>,
    /// Changes of the first cut that have been taken in.
    taken: usize,
    changes: HashMap<ServiceKey, Ends, RandomState>,
}

/// A Service before the first change and after the last.
#[derive(Debug)]
struct Ends {
    before: Option<Arc<Published>>,
    after: Option<Arc<Published>>,
}

/// Counts the records of a difference.
#[derive(Debug)]
struct Counting {
    from: u32,
    newest: Snapshot,
    changes: Arc<[Change]>,
    removed: Cursor,
    added: Cursor,
    counted: usize,
}

/// A run of records.
#[derive(Debug)]
enum Part {
    /// Of the version with this serial.
    Soa(u32),
    /// Those that are no Service's, from this one on.
    Own(usize),
    All {
        snapshot: Snapshot,
        at: Position,
        record: usize,
    },
    Removed(Arc<[Change]>, Cursor),
    Added(Arc<[Change]>, Cursor),
}

/// A record of a Service that changed.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    change: usize,
    record: usize,
}

impl Outgoing {
    /// Begins a transfer of the zone with this apex.
    pub fn new(versions: &Versions, apex: Name, wanted: Wanted) -> Self {
        let (serial, newest) = (versions.serial(), || versions.newest.clone());
        let stage = match wanted {
            Wanted::Axfr => Stage::whole(serial, newest()),
            Wanted::Soa => Stage::serial_alone(serial),
            // RFC 1995 section 2: "If an IXFR query with the same or newer version number than that of the server is received, it is
            // replied to with a single SOA record of the server's current version".
            Wanted::Ixfr(from) if !is_newer(serial, from) => Stage::serial_alone(serial),
            Wanted::Ixfr(from) => match versions.since(from) {
                None => Stage::whole(serial, newest()),
                Some(cuts) => {
                    let cuts = cuts.iter().cloned().collect();
                    let changes = HashMap::default();
                    Stage::Condensing(Condensing { from, newest: newest(), cuts, taken: 0, changes })
                }
            },
        };
        Self { apex, serial, stage }
    }

    /// The serial of the version that the secondary gets.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How it is made, once that is known.
    pub fn form(&self) -> Option<Form> {
        match &self.stage {
            Stage::Writing { form, .. } => Some(*form),
            _ => None,
        }
    }

    /// Goes on with it. `put` writes a set of one record, and returns false where it does not fit: then it is called again with that
    /// record next time.
    pub fn step(&mut self, authority: &Authority, mut put: impl FnMut(&Rrset<'_>) -> bool) -> Step {
        let Some(zone) = authority.zone_at(self.apex.as_wire()) else { return Step::Done };
        let mut work = Work { authority, zone, left: PORTION };
        let next = match &mut self.stage {
            Stage::Condensing(condensing) => condensing.step().map(Stage::Counting),
            Stage::Counting(counting) => counting.step(&mut work, self.serial),
            Stage::Writing { parts, .. } => {
                while let Some(part) = parts.front_mut() {
                    match part.write(&mut work, &mut put) {
                        Walked::All => parts.pop_front(),
                        Walked::Full => return Step::Full,
                        Walked::Enough => return Step::Working,
                    };
                }
                return Step::Done;
            }
        };
        if let Some(next) = next {
            self.stage = next;
        }
        Step::Working
    }
}

impl Stage {
    fn whole(serial: u32, snapshot: Snapshot) -> Self {
        let all = Part::All { snapshot, at: Position::default(), record: 0 };
        let parts = [Part::Soa(serial), Part::Own(0), all, Part::Soa(serial)];
        Self::Writing { parts: parts.into(), form: Form::Whole }
    }

    /// RFC 1995 section 4: the newer SOA, then the older one with what is removed, the newer one with what is added, and the newer
    /// one once more.
    fn difference(from: u32, to: u32, changes: Arc<[Change]>) -> Self {
        let removed = Part::Removed(Arc::clone(&changes), Cursor::default());
        let added = Part::Added(changes, Cursor::default());
        let parts = [Part::Soa(to), Part::Soa(from), removed, Part::Soa(to), added, Part::Soa(to)];
        Self::Writing { parts: parts.into(), form: Form::Difference }
    }

    fn serial_alone(serial: u32) -> Self {
        Self::Writing { parts: [Part::Soa(serial)].into(), form: Form::Serial }
    }
}

impl Condensing {
    fn step(&mut self) -> Option<Counting> {
        let mut left = PORTION;
        while let Some(cut) = self.cuts.front() {
            let portion = cut.changes.iter().skip(self.taken).take(left);
            let before = self.taken;
            for Change { service, before, after } in portion {
                self.taken += 1;
                let ends = self.changes.entry(service.clone());
                ends.and_modify(|ends| ends.after.clone_from(after))
                    .or_insert_with(|| Ends { before: before.clone(), after: after.clone() });
            }
            left -= self.taken - before;
            if self.taken < cut.changes.len() {
                return None;
            }
            self.cuts.pop_front();
            self.taken = 0;
        }
        let changes = std::mem::take(&mut self.changes);
        let change = |(service, Ends { before, after })| Change { service, before, after };
        let changes = changes.into_iter().map(change).collect();
        let (removed, added) = (Cursor::default(), Cursor::default());
        Some(Counting { from: self.from, newest: self.newest.clone(), changes, removed, added, counted: 0 })
    }
}

impl Counting {
    /// Returns how the transfer is made, once that is known.
    fn step(&mut self, work: &mut Work<'_>, serial: u32) -> Option<Stage> {
        let whole = self.newest.size().of(work.zone);
        let counted = &mut self.counted;
        let mut count = |_: &Rrset<'_>| {
            *counted += 1;
            true
        };
        let is_counted = work.each_removed(&self.changes, &mut self.removed, &mut count) == Walked::All
            && work.each_added(&self.changes, &mut self.added, &mut count) == Walked::All;
        if self.counted > whole {
            Some(Stage::whole(serial, self.newest.clone()))
        } else if is_counted {
            Some(Stage::difference(self.from, serial, Arc::clone(&self.changes)))
        } else {
            None
        }
    }
}

impl Part {
    fn write(&mut self, work: &mut Work<'_>, put: &mut impl FnMut(&Rrset<'_>) -> bool) -> Walked {
        match self {
            Part::Soa(serial) => Walked::after(put(&work.authority.soa(work.zone, *serial))),
            Part::Own(next) => {
                for rrset in work.authority.own_records(work.zone).skip(*next) {
                    if !put(&rrset) {
                        return Walked::Full;
                    }
                    *next += 1;
                }
                Walked::All
            }
            Part::All { snapshot, at, record } => {
                while let Some(((service, published), next)) = snapshot.at(*at) {
                    let walked = work.each((service, &published.records), None, record, put);
                    if walked != Walked::All {
                        return walked;
                    }
                    *at = next;
                }
                Walked::All
            }
            Part::Removed(changes, cursor) => work.each_removed(changes, cursor, put),
            Part::Added(changes, cursor) => work.each_added(changes, cursor, put),
        }
    }
}

/// How far a walk over records has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walked {
    All,
    /// A record does not fit.
    Full,
    /// Enough at a time.
    Enough,
}

impl Walked {
    fn after(is_put: bool) -> Self {
        if is_put { Self::All } else { Self::Full }
    }
}

/// One portion of work on a zone.
struct Work<'a> {
    authority: &'a Authority,
    zone: &'a Zone,
    /// Records that may still be looked at.
    left: usize,
}

impl Work<'_> {
    /// The records that Services do not have any more.
    fn each_removed(
        &mut self,
        changes: &[Change],
        cursor: &mut Cursor,
        put: &mut impl FnMut(&Rrset<'_>) -> bool,
    ) -> Walked {
        self.each_changed(changes, cursor, |change| (change.before.as_deref(), change.after.as_deref()), put)
    }

    /// The records that Services did not have before.
    fn each_added(
        &mut self,
        changes: &[Change],
        cursor: &mut Cursor,
        put: &mut impl FnMut(&Rrset<'_>) -> bool,
    ) -> Walked {
        self.each_changed(changes, cursor, |change| (change.after.as_deref(), change.before.as_deref()), put)
    }

    fn each_changed<'c>(
        &mut self,
        changes: &'c [Change],
        cursor: &mut Cursor,
        sides: impl Fn(&'c Change) -> (Option<&'c Published>, Option<&'c Published>),
        put: &mut impl FnMut(&Rrset<'_>) -> bool,
    ) -> Walked {
        while let Some(change) = changes.get(cursor.change) {
            // A Service that the zone has on one side only comes, or goes, whole.
            let zone = self.zone;
            let (these, others) = sides(change);
            let [these, others] = [these, others].map(|side| side.map(|it| &it.records).filter(|it| zone.has(it)));
            if let Some(these) = these {
                let walked = self.each((&change.service, these), others, &mut cursor.record, put);
                if walked != Walked::All {
                    return walked;
                }
            }
            cursor.change += 1;
        }
        Walked::All
    }

    /// The records of a Service from the one at `next` on, but for those that `others` has.
    fn each(
        &mut self,
        (service, records): (&ServiceKey, &ServiceRecords),
        others: Option<&ServiceRecords>,
        next: &mut usize,
        put: &mut impl FnMut(&Rrset<'_>) -> bool,
    ) -> Walked {
        let place = Place { zone: self.zone, key: service.as_wire() };
        for record in Authority::each_record(self.zone, records).skip(*next) {
            let Some(left) = self.left.checked_sub(1) else { return Walked::Enough };
            self.left = left;
            let is_shared = others.is_some_and(|others| others.has(&record));
            if !is_shared && self.authority.with_record(place, records, &record, &mut *put) == Some(false) {
                return Walked::Full;
            }
            *next += 1;
        }
        *next = 0;
        Walked::All
    }
}
