//! The authority's answers as hickory-proto's records: what a response has to hold, without any of the server's own encoder.

use headless_dns::authority::{Additional, Answer, Data, Rrset, SRV_PRIORITY, SRV_WEIGHT, SrvSet};
use headless_dns::dns::name::NameParts;
use headless_dns::dns::wire::Owner;
use headless_dns::records::AddressesRef;
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// Everything that a response without a limit holds, each section in the order of the data.
pub struct Sections {
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
}

impl Sections {
    /// `question` is the name as it was asked.
    pub fn of(answer: &Answer<'_>, question: &Name) -> Self {
        Self {
            answers: answer.answer().flat_map(|rrset| records(&rrset, question)).collect(),
            authorities: answer.authority.iter().flat_map(|rrset| records(rrset, question)).collect(),
            additionals: additionals(&answer.additional),
        }
    }
}

fn records(rrset: &Rrset<'_>, question: &Name) -> Vec<Record> {
    let owner = match &rrset.owner {
        Owner::Question => question.clone(),
        Owner::Name(parts) => name(parts),
    };
    let data: Vec<RData> = match rrset.data {
        Data::A(addresses) => addresses.iter().map(|a| RData::A(A(*a))).collect(),
        Data::Aaaa(addresses) => addresses.iter().map(|a| RData::AAAA(AAAA(*a))).collect(),
        Data::Srv(set) => set
            .records
            .iter()
            .filter_map(|srv| {
                let (target, _) = set.target(srv)?;
                Some(RData::SRV(SRV::new(SRV_PRIORITY, SRV_WEIGHT, srv.port, name(&target))))
            })
            .collect(),
        Data::Ptr(set) => set.targets().map(|target| RData::PTR(PTR(name(&target)))).collect(),
        Data::Cname(target) => vec![RData::CNAME(CNAME(name(&NameParts::whole(target))))],
        Data::Ns(servers) => servers.iter().map(|server| RData::NS(NS(name(&NameParts::whole(server))))).collect(),
        Data::Soa(soa) => {
            let [refresh, retry, expire] = [soa.refresh, soa.retry, soa.expire].map(u32::cast_signed);
            let [mname, rname] = [soa.mname, soa.rname].map(|it| name(&NameParts::whole(it)));
            vec![RData::SOA(SOA::new(mname, rname, soa.serial, refresh, retry, expire, soa.minimum))]
        }
        Data::Txt(text) => vec![RData::TXT(TXT::from_bytes(vec![text]))],
        Data::OnePtr(target) => vec![RData::PTR(PTR(name(&target)))],
        Data::Hinfo(cpu, os) => vec![RData::HINFO(HINFO::from_bytes(cpu.into(), os.into()))],
    };
    let record = |data| {
        let mut record = Record::from_rdata(owner.clone(), rrset.ttl, data);
        record.dns_class = DNSClass::from(rrset.class.0);
        record
    };
    data.into_iter().map(record).collect()
}

fn additionals(additional: &Additional<'_>) -> Vec<Record> {
    match additional {
        Additional::None => Vec::new(),
        Additional::NameServer { owner, ttl, addresses } => {
            addresses_of(&NameParts::whole(owner), *ttl, addresses.borrowed())
        }
        Additional::Targets(set) => glue(set),
    }
}

fn glue(set: &SrvSet<'_>) -> Vec<Record> {
    let mut seen = std::collections::HashSet::new();
    set.records
        .iter()
        .filter(|srv| seen.insert(srv.target))
        .filter_map(|srv| set.target(srv))
        .flat_map(|(target, addresses)| addresses_of(&target, set.ttl, addresses))
        .collect()
}

fn addresses_of(owner: &NameParts<'_>, ttl: u32, addresses: AddressesRef<'_>) -> Vec<Record> {
    let owner = name(owner);
    let v4 = addresses.v4.iter().map(|a| RData::A(A(*a)));
    let v6 = addresses.v6.iter().map(|a| RData::AAAA(AAAA(*a)));
    v4.chain(v6).map(|data| Record::from_rdata(owner.clone(), ttl, data)).collect()
}

fn name(parts: &NameParts<'_>) -> Name {
    Name::read(&mut BinDecoder::new(&parts.0.concat())).expect("a name")
}

/// The Extended DNS Errors of an answer, in their order: code and text.
pub fn extended_errors(answer: &Message) -> Vec<(u16, String)> {
    let options = answer.edns.as_ref().map(|edns| edns.options().get_all(EdnsCode::Unknown(15))).unwrap_or_default();
    let error = |option: &EdnsOption| {
        let EdnsOption::Unknown(_, data) = option else { panic!("{option:?}") };
        let (code, text) = data.split_first_chunk().expect("a code");
        (u16::from_be_bytes(*code), String::from_utf8(text.to_vec()).expect("UTF-8"))
    };
    options.into_iter().map(error).collect()
}
