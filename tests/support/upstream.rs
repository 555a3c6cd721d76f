//! Upstreams that behave as a test says: small DNS servers on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::support::common::{framed, read_framed};

/// What an upstream does with a query over UDP: the datagrams that it sends back.
type Behaviour = dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync;

/// An upstream, over UDP and TCP on one port.
pub struct FakeUpstream {
    pub address: SocketAddr,
    /// What was asked over UDP, as octets.
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl FakeUpstream {
    /// Answers as [`answer`] does.
    pub async fn sound() -> Self {
        Self::start(|query| vec![answer(query)]).await
    }

    /// Never answers over UDP.
    pub async fn hanging() -> Self {
        Self::start(|_| Vec::new()).await
    }

    /// Behaves as told over UDP, and answers soundly over TCP.
    pub async fn start(behaviour: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::with(behaviour, answer).await
    }

    /// Answers as told, over UDP and TCP alike.
    pub async fn alike(answer: fn(&[u8]) -> Vec<u8>) -> Self {
        Self::with(move |query| vec![answer(query)], answer).await
    }

    async fn with(
        behaviour: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
        over_tcp: fn(&[u8]) -> Vec<u8>,
    ) -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            // The port may be taken for UDP.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")).await {
                break (udp, tcp);
            }
        };
        let address = tcp.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let datagrams = datagrams(udp, Arc::clone(&asked), Arc::new(behaviour));
        Self { address, asked, _tasks: [datagrams, connections(tcp, over_tcp)].map(AbortOnDropHandle::new) }
    }

    /// How often a name was asked for, letter case apart.
    pub fn times(&self, name: &str) -> usize {
        let name = Name::from_ascii(name).expect("a name");
        let asked = self.asked.lock().expect("no panic");
        asked.iter().filter(|query| is_for(query, &name)).count()
    }

    /// The questions as they came, letter case included.
    pub fn questions(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().map(|query| read(query).queries[0].name().to_ascii()).collect()
    }
}

fn datagrams(udp: UdpSocket, asked: Arc<Mutex<Vec<Vec<u8>>>>, behaviour: Arc<Behaviour>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut octets = vec![0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut octets).await {
            let query = &octets[..length];
            asked.lock().expect("no panic").push(query.to_vec());
            for datagram in behaviour(query) {
                // The client may have gone.
                let _ = udp.send_to(&datagram, client).await;
            }
        }
    })
}

fn connections(tcp: TcpListener, answer: fn(&[u8]) -> Vec<u8>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            tokio::spawn(async move {
                while let Some(query) = read_framed(&mut stream).await {
                    let _ = stream.write_all(&framed(&answer(&query))).await;
                }
            });
        }
    })
}

fn is_for(query: &[u8], name: &Name) -> bool {
    Message::from_vec(query).is_ok_and(|query| query.queries.iter().any(|question| question.name() == name))
}

pub fn read(octets: &[u8]) -> Message {
    Message::from_vec(octets).expect("a message")
}

/// The response to a query, without records. Its question has the letter case of the query.
pub fn response(query: &[u8]) -> Message {
    let mut message = read(query);
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message
}

/// A sound answer. The first label says of what kind: `absent` does not exist, `alias` is a CNAME, `big` has 200 addresses,
/// `broken` is SERVFAIL, `brief` has a TTL of one second; anything else is one address with a TTL of a minute.
pub fn answer(query: &[u8]) -> Vec<u8> {
    let mut message = response(query);
    let question = message.queries[0].clone();
    let (name, kind) = (question.name().clone(), question.name().to_ascii().to_lowercase());
    let address = |name: &Name, ttl, last| Record::from_rdata(name.clone(), ttl, RData::A(A::new(192, 0, 2, last)));
    match kind.split('.').next().unwrap_or_default() {
        "absent" => {
            message.metadata.response_code = ResponseCode::NXDomain;
            let zone = Name::from_ascii("example.").expect("a name");
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, 60);
            message.add_authority(Record::from_rdata(zone, 60, RData::SOA(soa)));
        }
        "broken" => message.metadata.response_code = ResponseCode::ServFail,
        _ if question.query_type() != RecordType::A => {}
        "alias" => {
            let target = Name::from_ascii("target.example.").expect("a name");
            message.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(target.clone()))));
            message.add_answer(address(&target, 60, 1));
        }
        "big" => message.answers.extend((0..200).map(|last| address(&name, 60, last))),
        "brief" => message.answers.push(address(&name, 1, 1)),
        _ => message.answers.push(address(&name, 60, 1)),
    }
    message.to_vec().expect("octets")
}
