//! Answers as text: the presentation format of records (RFC 1035 section 5), for zone files and for people.
//!
//! What a name owns is asked of [`Authority::answer`], so the text cannot differ from what the server answers.

use std::fmt;

use super::{Authority, Data, Rrset, SRV_PRIORITY, SRV_WEIGHT};
use crate::dns::name::{self, NameParts};
use crate::dns::wire::{Class, Owner, Question, RrType};
use crate::table::Table;

/// The types of which a name can own records, in the order in which they are written.
const TYPES: [RrType; 8] =
    [RrType::SOA, RrType::NS, RrType::CNAME, RrType::A, RrType::AAAA, RrType::SRV, RrType::TXT, RrType::PTR];

/// One record: everything but its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordText {
    pub rr_type: RrType,
    /// Seconds.
    pub ttl: u32,
    /// The record data in presentation format.
    pub data: String,
}

impl Authority {
    /// The records that a name owns, an absolute one in lower-case wire form.
    pub fn records_at(&self, table: &Table<'_>, name: &[u8]) -> Vec<RecordText> {
        let mut records = Vec::new();
        for rr_type in TYPES {
            let question = Question { name, qtype: rr_type, class: Class::IN };
            let answer = self.answer(table, &question);
            let own = answer.answer().filter(|rrset| rrset.owner == Owner::Question && rrset.data.rr_type() == rr_type);
            own.for_each(|rrset| records.extend(rrset.texts()));
        }
        records
    }
}

impl Rrset<'_> {
    /// Its records as text.
    pub fn texts(&self) -> impl Iterator<Item = RecordText> {
        let (rr_type, ttl) = (self.data.rr_type(), self.ttl);
        texts(&self.data).into_iter().map(move |data| RecordText { rr_type, ttl, data })
    }
}

/// An absolute name in wire form, displayed with its final dot.
pub struct AbsoluteName<'a>(pub &'a [u8]);

impl fmt::Display for AbsoluteName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name::write_relative(f, self.0)?;
        f.write_str(".")
    }
}

/// The data of each record of an RRset.
fn texts(data: &Data<'_>) -> Vec<String> {
    match data {
        Data::A(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Data::Aaaa(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Data::Srv(set) => {
            let text = |(port, target): (u16, NameParts<'_>)| {
                format!("{SRV_PRIORITY} {SRV_WEIGHT} {port} {}", AbsoluteName(&target.0.concat()))
            };
            set.records.iter().filter_map(|srv| Some((srv.port, set.target(srv)?.0))).map(text).collect()
        }
        Data::Ptr(set) => {
            let mut names: Vec<_> = set.targets().map(|target| AbsoluteName(&target.0.concat()).to_string()).collect();
            names.sort_unstable();
            names
        }
        Data::OnePtr(target) => vec![AbsoluteName(&target.0.concat()).to_string()],
        Data::Cname(target) => vec![target.to_string()],
        Data::Ns(names) => names.iter().map(ToString::to_string).collect(),
        Data::Soa(soa) => vec![format!(
            "{} {} {} {} {} {} {}",
            soa.mname, soa.rname, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum
        )],
        Data::Txt(text) => vec![format!("\"{}\"", String::from_utf8_lossy(text))],
        Data::Hinfo(cpu, os) => {
            vec![format!("\"{}\" \"{}\"", String::from_utf8_lossy(cpu), String::from_utf8_lossy(os))]
        }
    }
}
