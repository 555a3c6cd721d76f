//! Upstreams that behave as a test says: small DNS servers on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::support::common::{framed, read_framed};

/// What an upstream does with a query over UDP: the datagrams that it sends back.
type Behaviour = dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync;
/// What it does with a connection, of which it is told the number.
type Serving = dyn Fn(TcpStream, usize) -> BoxFuture<'static, ()> + Send + Sync;

/// An upstream, over UDP and TCP on one port.
pub struct FakeUpstream {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What was asked over UDP, as octets, and from where.
struct Asked {
    query: Vec<u8>,
    client: SocketAddr,
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

    /// Answers a question of the test each time that it is told to, soundly. It waits as a task: what blocked a thread could hold up
    /// everything in the test, time-outs too.
    pub async fn gated() -> (Self, UnboundedSender<()>) {
        let (open, gate) = unbounded_channel();
        let behaviour = |query: &[u8]| vec![answer(query)];
        let serving =
            |mut stream, _| -> BoxFuture<'static, ()> { Box::pin(async move { answer_all(&mut stream).await }) };
        (Self::serving(Some(gate), behaviour, serving).await, open)
    }

    /// Behaves as told over UDP, and answers soundly over TCP.
    pub async fn start(behaviour: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::serving(None, behaviour, |mut stream, _| Box::pin(async move { answer_all(&mut stream).await })).await
    }

    /// Answers as told, over UDP and TCP alike.
    pub async fn alike(answer: fn(&[u8]) -> Vec<u8>) -> Self {
        let serving = move |mut stream, _| -> BoxFuture<'static, ()> {
            Box::pin(async move { answer_all_with(&mut stream, answer).await })
        };
        Self::serving(None, move |query| vec![answer(query)], serving).await
    }

    /// Does with its connections as told, and is silent over UDP.
    pub async fn streaming(
        serving: impl Fn(TcpStream, usize) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self::serving(None, |_| Vec::new(), serving).await
    }

    async fn serving(
        gate: Option<UnboundedReceiver<()>>,
        behaviour: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
        serving: impl Fn(TcpStream, usize) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            // The port may be taken for UDP.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")).await {
                break (udp, tcp);
            }
        };
        let address = tcp.local_addr().expect("an address");
        let (asked, count) = (Arc::default(), Arc::default());
        let datagrams = datagrams(udp, gate, Arc::clone(&asked), Arc::new(behaviour));
        let connections = connections(tcp, Arc::clone(&count), Arc::new(serving));
        Self { address, asked, connections: count, _tasks: [datagrams, connections].map(AbortOnDropHandle::new) }
    }

    /// How often a name was asked for over UDP, letter case apart.
    pub fn times(&self, name: &str) -> usize {
        let name = Name::from_ascii(name).expect("a name");
        self.queries().iter().filter(|query| is_for(query, &name)).count()
    }

    /// The queries as they came over UDP.
    pub fn queries(&self) -> Vec<Vec<u8>> {
        self.asked.lock().expect("no panic").iter().map(|asked| asked.query.clone()).collect()
    }

    /// The questions as they came over UDP, letter case included.
    pub fn questions(&self) -> Vec<String> {
        self.queries().iter().map(|query| read(query).queries[0].name().to_ascii()).collect()
    }

    /// The ports from which was asked over UDP.
    pub fn ports(&self) -> Vec<u16> {
        self.asked.lock().expect("no panic").iter().map(|asked| asked.client.port()).collect()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn datagrams(
    udp: UdpSocket,
    mut gate: Option<UnboundedReceiver<()>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    behaviour: Arc<Behaviour>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut octets = vec![0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut octets).await {
            let query = &octets[..length];
            asked.lock().expect("no panic").push(Asked { query: query.to_vec(), client });
            if let Some(gate) = gate.as_mut().filter(|_| is_of_test(query)) {
                gate.recv().await.expect("opened");
            }
            for datagram in behaviour(query) {
                // The client may have gone.
                let _ = udp.send_to(&datagram, client).await;
            }
        }
    })
}

fn connections(tcp: TcpListener, count: Arc<AtomicUsize>, serving: Arc<Serving>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            tokio::spawn(serving(stream, count.fetch_add(1, Ordering::SeqCst)));
        }
    })
}

/// Answers soundly until the client closes the connection.
pub async fn answer_all(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    answer_all_with(stream, answer).await;
}

async fn answer_all_with(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: fn(&[u8]) -> Vec<u8>) {
    while let Some(query) = read_framed(stream).await {
        send(stream, &answer(&query)).await;
    }
}

/// Sends an answer on a stream. The client may have gone.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), answer: &[u8]) {
    let _ = stream.write_all(&framed(answer)).await;
    let _ = stream.flush().await;
}

fn is_for(query: &[u8], name: &Name) -> bool {
    Message::from_vec(query).is_ok_and(|query| query.queries.iter().any(|question| question.name() == name))
}

/// Whether a query is for a name of the tests, and no probe.
pub fn is_of_test(query: &[u8]) -> bool {
    read(query).queries[0].name().to_ascii().to_lowercase().ends_with(".example.")
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

/// The response with this code alone.
pub fn refusal(query: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut message = response(query);
    message.metadata.response_code = code;
    message.to_vec().expect("octets")
}

/// The same message with an Extended DNS Error.
pub fn with_error(message: &[u8], code: u16, text: &str) -> Vec<u8> {
    let mut message = read(message);
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(15, [&code.to_be_bytes(), text.as_bytes()].concat()));
    message.set_edns(edns);
    message.to_vec().expect("octets")
}

/// A sound answer. The first label says of what kind: `absent` does not exist, `fleeting` for a second alone, `alias` is a CNAME,
/// `circle` one of itself, `big` has 200 addresses, `broken` is SERVFAIL, `brief` and `popular` have a TTL of one and of five
/// seconds; anything else is one address with a TTL of a minute.
pub fn answer(query: &[u8]) -> Vec<u8> {
    let mut message = response(query);
    let question = message.queries[0].clone();
    let (name, kind) = (question.name().clone(), question.name().to_ascii().to_lowercase());
    let address = |name: &Name, ttl, last| Record::from_rdata(name.clone(), ttl, RData::A(A::new(192, 0, 2, last)));
    let kind = kind.split('.').next().unwrap_or_default();
    match kind {
        "absent" | "fleeting" => {
            message.metadata.response_code = ResponseCode::NXDomain;
            let zone = Name::from_ascii("example.").expect("a name");
            let ttl = if kind == "fleeting" { 1 } else { 60 };
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, ttl);
            message.add_authority(Record::from_rdata(zone, ttl, RData::SOA(soa)));
        }
        "broken" => message.metadata.response_code = ResponseCode::ServFail,
        _ if question.query_type() != RecordType::A => {}
        "alias" => {
            let target = Name::from_ascii("target.example.").expect("a name");
            message.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(target.clone()))));
            message.add_answer(address(&target, 60, 1));
        }
        "circle" => {
            let other = Name::from_ascii("elcric.example.").expect("a name");
            message.add_answer(Record::from_rdata(name.clone(), 60, RData::CNAME(CNAME(other.clone()))));
            message.add_answer(Record::from_rdata(other, 60, RData::CNAME(CNAME(name))));
        }
        "big" => message.answers.extend((0..200).map(|last| address(&name, 60, last))),
        "brief" => message.answers.push(address(&name, 1, 1)),
        "popular" => message.answers.push(address(&name, 5, 1)),
        _ => message.answers.push(address(&name, 60, 1)),
    }
    message.to_vec().expect("octets")
}
