//! What stands behind an alias of ours: the records of its target, of any kind, as the upstream has them.

use std::hash::{DefaultHasher, Hash, Hasher};

use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, NULL, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, Record};

use super::*;
use crate::support::upstream::response;

/// A type that nobody knows.
const UNKNOWN: u16 = 65_400;
const TYPES: [RecordType; 8] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::NS,
    RecordType::SOA,
    RecordType::Unknown(UNKNOWN),
];

/// Numbers that follow from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// An answer that follows from name and type: any code, and records of any kind in every section.
fn varied(query: &[u8]) -> Vec<u8> {
    let mut message = response(query);
    let question = message.queries[0].clone();
    let mut hasher = DefaultHasher::new();
    (question.name().to_ascii().to_lowercase(), u16::from(question.query_type())).hash(&mut hasher);
    let mut numbers = Numbers(hasher.finish() | 1);
    message.metadata.response_code = match numbers.below(10) {
        0 => ResponseCode::NXDomain,
        1 => ResponseCode::ServFail,
        2 => ResponseCode::Refused,
        _ => ResponseCode::NoError,
    };
    let record = |numbers: &mut Numbers, record_type| record(numbers, question.name(), record_type);
    if message.metadata.response_code == ResponseCode::NoError {
        for _ in 0..numbers.below(6) {
            let any = TYPES[numbers.below(8) as usize];
            let record_type =
                [question.query_type(), question.query_type(), RecordType::CNAME, any][numbers.below(4) as usize];
            message.add_answer(record(&mut numbers, record_type));
        }
        for _ in 0..numbers.below(3) {
            let address = [RecordType::A, RecordType::AAAA][numbers.below(2) as usize];
            message.additionals.push(record(&mut numbers, address));
        }
    }
    for _ in 0..numbers.below(3) {
        let authority = [RecordType::NS, RecordType::SOA][numbers.below(2) as usize];
        message.add_authority(record(&mut numbers, authority));
    }
    message.to_vec().expect("octets")
}

fn record(numbers: &mut Numbers, question: &Name, record_type: RecordType) -> Record {
    let label = |numbers: &mut Numbers| format!("label-{}", numbers.below(50));
    // Names that end like the question, are it, or have nothing of it.
    let name = |numbers: &mut Numbers| match numbers.below(3) {
        0 => question.clone(),
        1 => question.prepend_label(label(numbers).as_bytes()).expect("a name"),
        _ => Name::from_ascii(format!("{}.elsewhere.test.", label(numbers))).expect("a name"),
    };
    let number = numbers.below(50) as u8;
    let data = match record_type {
        RecordType::A => RData::A(A::new(192, 0, 2, number)),
        RecordType::AAAA => RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into())),
        RecordType::CNAME => RData::CNAME(CNAME(name(numbers))),
        RecordType::MX => RData::MX(MX::new(number.into(), name(numbers))),
        RecordType::NS => RData::NS(NS(name(numbers))),
        RecordType::PTR => RData::PTR(PTR(name(numbers))),
        RecordType::SRV => RData::SRV(SRV::new(1, 2, number.into(), name(numbers))),
        RecordType::TXT => RData::TXT(TXT::new(vec![label(numbers), "x".repeat(number.into())])),
        RecordType::SOA => RData::SOA(SOA::new(name(numbers), name(numbers), 1, 2, 3, 4, 100)),
        _ => RData::Unknown { code: UNKNOWN.into(), rdata: NULL::with(vec![number; usize::from(number) + 1]) },
    };
    Record::from_rdata(name(numbers), 100, data)
}

/// Records without their TTLs, of which a second may have passed.
fn records(records: &[Record]) -> Vec<(Name, RecordType, RData)> {
    records.iter().map(|record| (record.name.clone(), record.record_type(), record.data.clone())).collect()
}

fn query_for(name: &str, record_type: RecordType) -> Message {
    let mut query = query(name, record_type);
    query.metadata.recursion_desired = true;
    query
}

/// Probes have names that nobody can choose: whatever the numbers are, there is an answer.
#[test]
fn there_is_a_varied_answer_to_every_question() {
    for i in 0..20_000 {
        let record_type = TYPES[i % TYPES.len()];
        varied(&query(&format!("name-{i}.example."), record_type).to_vec().expect("a message"));
    }
}

/// F4.
#[tokio::test(flavor = "multi_thread")]
async fn behind_an_alias_of_ours_stand_the_records_of_its_target() {
    let upstream = FakeUpstream::start(|query| vec![varied(query)]).await;
    let mut server = server(&[upstream.address]);
    for i in 0..20 {
        server.apply(&format!(
            "kind: Service\nmetadata: {{namespace: db, name: to-{i}}}\nspec: {{type: ExternalName, externalName: name-{i}.example}}\n"
        ));
        for record_type in TYPES {
            let direct = query_for(&format!("name-{i}.example."), record_type);
            let direct = exchange(upstream.address, &direct, false).await.expect("an answer");
            let through = query_for(&format!("to-{i}.db.svc.cluster.local."), record_type);
            let through = exchange(server.address, &through, false).await.expect("an answer");
            let case = format!("{through}\nand directly:\n{direct}");
            assert_eq!(through.metadata.response_code, direct.metadata.response_code, "{case}");
            assert_eq!(through.answers[0].record_type(), RecordType::CNAME, "{case}");
            assert_eq!(records(&through.answers[1..]), records(&direct.answers), "{case}");
            assert_eq!(records(&through.authorities), records(&direct.authorities), "{case}");
        }
    }
}
