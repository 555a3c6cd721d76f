//! The bits of DNSSEC: what is passed on is what a validating upstream says to who asks it directly.

use hickory_proto::op::Edns;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::NULL;

use super::*;
use crate::support::passed_on::{all_bits, differences, query_with};
use crate::support::upstream::{FakeUpstream, answer, read};

/// The type of a signature (RFC 4034 section 3), here with octets that are none.
const RRSIG: RecordType = RecordType::RRSIG;

/// A sound answer with the bits of a validating resolver (RFC 4035 section 3.2, RFC 6840 section 5): signatures for who sets DO,
/// AD for who sets DO or AD, and what is bogus for who sets CD alone.
fn validated(query: &[u8]) -> Vec<u8> {
    let (asked, mut message) = (read(query), read(&answer(query)));
    let dnssec_ok = asked.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    let is_unchecked = asked.metadata.checking_disabled;
    let name = asked.queries[0].name().clone();
    message.metadata.authentic_data = !is_unchecked && (dnssec_ok || asked.metadata.authentic_data);
    if dnssec_ok {
        let data = RData::Unknown { code: RRSIG, rdata: NULL::with(vec![0; 40]) };
        message.answers.push(Record::from_rdata(name.clone(), 60, data));
    }
    if name.to_ascii().to_lowercase().starts_with("bogus.") && !is_unchecked {
        message.answers.clear();
        message.metadata.response_code = ResponseCode::ServFail;
        message.metadata.authentic_data = false;
    }
    message.edns = asked.edns.map(|asked| {
        let mut edns = Edns::new();
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        edns
    });
    message.to_vec().expect("octets")
}

/// F1, F8.
#[tokio::test(flavor = "multi_thread")]
async fn the_bits_of_dnssec_are_passed_on_as_a_validating_upstream_sets_them() {
    let upstream = FakeUpstream::alike(validated).await;
    let server = server(&[upstream.address]);
    for name in ["www", "alias", "absent", "bogus", "broken"] {
        for bits in all_bits() {
            let query = query_with(&format!("{name}.example."), RecordType::A, bits);
            assert_eq!(differences(upstream.address, server.address, &query).await, Vec::<String>::new(), "{bits:?}");
        }
    }
}

/// F4. RFC 4035 section 3.2.3: AD is for answers whose records are all authentic, and an alias of ours is not signed.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_begins_with_an_alias_of_ours_is_not_said_to_be_authentic() {
    let upstream = FakeUpstream::alike(validated).await;
    let server = server(&[upstream.address]);
    let mut authentic = 0;
    for bits in all_bits() {
        let ask = async |name| {
            let query = query_with(name, RecordType::A, bits);
            exchange(server.address, &query, false).await.expect("an answer")
        };
        authentic += usize::from(ask("www.example.").await.metadata.authentic_data);
        let answer = ask("ext.db.svc.cluster.local.").await;
        assert_eq!(shown(&answer), found(&["www.example.", "192.0.2.1"]), "{bits:?}");
        assert!(!answer.metadata.authentic_data, "{bits:?}");
    }
    assert!(authentic > 0, "the target by itself is, for who asks");
}
