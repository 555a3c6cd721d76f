//! Upstreams for the names that are not the cluster's: sound, dead, hanging, or lying, as the storm wants them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record};

use super::question::address_elsewhere;
use crate::support::malformed::Random;
use crate::support::upstream::{FakeUpstream, response};

/// What an upstream does with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Answer,
    Hang,
    /// Answers with the id of another query.
    Lie,
    Refuse,
}

impl Conduct {
    const ALL: [Self; 4] = [Self::Answer, Self::Hang, Self::Lie, Self::Refuse];
}

pub struct Upstreams {
    upstreams: [FakeUpstream; 2],
    conducts: Arc<[AtomicUsize; 2]>,
}

impl Upstreams {
    pub async fn start() -> Self {
        let conducts = Arc::<[AtomicUsize; 2]>::default();
        let [first, second] = [0, 1].map(|place| {
            let conducts = Arc::clone(&conducts);
            FakeUpstream::start(move |query| behave(Conduct::ALL[conducts[place].load(Ordering::Relaxed)], query))
        });
        Self { upstreams: [first.await, second.await], conducts }
    }

    pub fn addresses(&self) -> [SocketAddr; 2] {
        [0, 1].map(|place| self.upstreams[place].address)
    }

    /// Any conduct for each, other than that both answer.
    pub fn misbehave(&self, random: &mut Random) -> [Conduct; 2] {
        let bad = 1 + random.below(Conduct::ALL.len() - 1);
        let other = random.below(Conduct::ALL.len());
        let places = if random.below(2) == 0 { [bad, other] } else { [other, bad] };
        self.conducts.iter().zip(places).for_each(|(conduct, place)| conduct.store(place, Ordering::Relaxed));
        places.map(|place| Conduct::ALL[place])
    }

    pub fn behave(&self) {
        self.conducts.iter().for_each(|conduct| conduct.store(0, Ordering::Relaxed));
    }
}

fn behave(conduct: Conduct, query: &[u8]) -> Vec<Vec<u8>> {
    let mut message = response(query);
    let name = message.queries[0].name().clone();
    match address_elsewhere(&name) {
        Some((number, address)) => {
            let ttl = if number % 2 == 0 { 1 } else { 60 };
            message.add_answer(Record::from_rdata(name, ttl, RData::A(A(address))));
        }
        None => {
            message.metadata.response_code = ResponseCode::NXDomain;
            let zone = Name::root();
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, 1);
            message.add_authority(Record::from_rdata(zone, 1, RData::SOA(soa)));
        }
    }
    match conduct {
        Conduct::Answer => {}
        Conduct::Hang => return Vec::new(),
        Conduct::Lie => message.metadata.id = message.metadata.id.wrapping_add(1),
        Conduct::Refuse => {
            message.answers.clear();
            message.metadata.response_code = ResponseCode::Refused;
        }
    }
    vec![message.to_vec().expect("octets")]
}
