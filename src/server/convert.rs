//! From the authority's data to hickory's records.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::encode::rotated;
use crate::authority::{Additional, Data, NameParts, Owner, Rrset, SRV_PRIORITY, SRV_WEIGHT, Soa, SrvSet};
use crate::dns::wire::Rcode;
use crate::records::AddressesRef;

/// Which records of a set are wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Where on their circle the first stands, a fraction of 2^64.
    pub rotation: u64,
    /// More than there can be room for. A Service may have thousands, and each costs hickory an allocation or more.
    pub most: usize,
}

/// The wanted records of an RRset. `question` is the name as it was asked.
pub(super) fn records(rrset: &Rrset<'_>, question: &Name, wanted: Wanted) -> Vec<Record> {
    let owner = match &rrset.owner {
        Owner::Question => question.clone(),
        Owner::Name(parts) => name(parts),
    };
    let class = DNSClass::from(rrset.class.0);
    let record = |data| {
        let mut record = Record::from_rdata(owner.clone(), rrset.ttl, data);
        record.dns_class = class;
        record
    };
    let Wanted { rotation, most } = wanted;
    match rrset.data {
        Data::A(addresses) => rotated(addresses, rotation).take(most).map(|a| record(RData::A(A(*a)))).collect(),
        Data::Aaaa(addresses) => {
            rotated(addresses, rotation).take(most).map(|a| record(RData::AAAA(AAAA(*a)))).collect()
        }
        Data::Srv(set) => rotated(set.records, rotation)
            .filter_map(|srv| {
                let (target, _) = set.target(srv)?;
                Some(record(RData::SRV(SRV::new(SRV_PRIORITY, SRV_WEIGHT, srv.port, name(&target)))))
            })
            .take(most)
            .collect(),
        Data::Ptr(set) => set.targets().map(|target| record(RData::PTR(PTR(name(&target))))).take(most).collect(),
        Data::Cname(target) => vec![record(RData::CNAME(CNAME(name(&NameParts::whole(target)))))],
        Data::Ns(server) => vec![record(RData::NS(NS(name(&NameParts::whole(server)))))],
        Data::Soa(data) => vec![record(RData::SOA(soa(&data)))],
        Data::Txt(text) => vec![record(RData::TXT(TXT::from_bytes(vec![text])))],
        Data::Hinfo(cpu, os) => vec![record(RData::HINFO(HINFO::from_bytes(cpu.into(), os.into())))],
    }
}

/// The wanted records of the additional section, those of the first answer's target first.
pub(super) fn additional(additional: &Additional<'_>, wanted: Wanted) -> Vec<Record> {
    match additional {
        Additional::None => Vec::new(),
        Additional::NameServer { owner, ttl, addresses } => {
            address_records(&name(&NameParts::whole(owner)), *ttl, addresses.borrowed(), wanted.rotation).collect()
        }
        Additional::Targets(set) => glue(set, wanted),
    }
}

fn glue(set: &SrvSet<'_>, wanted: Wanted) -> Vec<Record> {
    let mut seen = std::collections::HashSet::new();
    rotated(set.records, wanted.rotation)
        .filter(|srv| seen.insert(srv.target))
        .filter_map(|srv| set.target(srv))
        .flat_map(|(target, addresses)| {
            let target = name(&target);
            address_records(&target, set.ttl, addresses, wanted.rotation).collect::<Vec<_>>()
        })
        .take(wanted.most)
        .collect()
}

fn address_records(owner: &Name, ttl: u32, addresses: AddressesRef<'_>, rotation: u64) -> impl Iterator<Item = Record> {
    let v4 = rotated(addresses.v4, rotation).map(|a| RData::A(A(*a)));
    let v6 = rotated(addresses.v6, rotation).map(|a| RData::AAAA(AAAA(*a)));
    v4.chain(v6).map(move |data| Record::from_rdata(owner.clone(), ttl, data))
}

fn soa(data: &Soa<'_>) -> SOA {
    // Configured times are far below 2^31.
    let [refresh, retry, expire] = [data.refresh, data.retry, data.expire].map(u32::cast_signed);
    let [mname, rname] = [data.mname, data.rname].map(|it| name(&NameParts::whole(it)));
    SOA::new(mname, rname, data.serial, refresh, retry, expire, data.minimum)
}

/// A name from its pieces, which make a valid one by construction; the root, if they did not.
fn name(parts: &NameParts<'_>) -> Name {
    let wire = parts.0.concat();
    Name::read(&mut BinDecoder::new(&wire)).unwrap_or_else(|_| Name::root())
}

pub(super) fn response_code(rcode: Rcode) -> ResponseCode {
    (rcode as u16).into()
}
