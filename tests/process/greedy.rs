//! Secondaries that mean no good, or are broken: they take no more than X7 gives them, and nobody else notices.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use headless_dns::transfer::{MAX_TRANSFERS, MAX_TRANSFERS_OF_CLIENT};
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};
use kube_sandbox::{Options, Sandbox};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::common::{framed, query};
use crate::support::memory::{may_open, resident};
use crate::support::peers::{PATIENCE, until};
use crate::support::program::Program;
use crate::support::services::put;

const ZONE: &str = "cluster.local.";
/// Services, and the endpoints of each: the zone is larger than what the kernel keeps for a connection.
const SERVICES: usize = 20;
const ENDPOINTS: u8 = 250;
/// Addresses of clients that do not read: together they want twice the transfers that there are.
const CLIENTS: u8 = 16;
const CONNECTIONS: usize = 1_000;
/// Zones that are asked for one after the other.
const REPEATED: usize = 100;
/// Octets of a client's receive buffer: the kernel makes the least of it.
const SMALLEST: usize = 1;
/// kB that a transfer may take beside the version: a message of 64 KiB, in a buffer that may have grown to twice that, and what TCP
/// messages of one query take.
const EACH: usize = 192;
/// kB that a connection without a transfer may take.
const IDLE: usize = 8;
/// A write to a client that reads nothing ends after so many seconds.
const TIMEOUT: &str = "5";

/// The program, its cluster, and what has changed in that.
struct Served {
    sandbox: Sandbox,
    program: Program,
    changes: u8,
}

impl Served {
    async fn start() -> Self {
        let sandbox = Sandbox::start(Options { controllers: None, ..Options::default() }).await.expect("a free port");
        let endpoints: Vec<_> = (1..=ENDPOINTS).collect();
        (0..SERVICES).for_each(|service| put(&sandbox, &format!("s{service}"), &endpoints));
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        sandbox.write_kubeconfig(&kubeconfig).expect("a file");
        let kubeconfig = kubeconfig.to_str().expect("UTF-8");
        let options = ["--kubeconfig", kubeconfig, "--transfer-clients", "127.0.0.0/8", "--tcp-idle-timeout", TIMEOUT];
        let program = Program::serve(&options);
        tokio::task::block_in_place(|| program.until_synchronised());
        Self { sandbox, program, changes: 0 }
    }

    /// A connection from an address of loopback that has asked for the zone, and has no room for it unless it `reads`.
    fn asked(&self, from: u8, reads: bool) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if !reads {
            socket.set_recv_buffer_size(SMALLEST)?;
        }
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 3, from), 0)).into())?;
        socket.connect(&self.program.dns.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&framed(&query(ZONE, RecordType::AXFR).to_vec().expect("a message")))?;
        Ok(stream)
    }

    /// Transfers that run.
    fn running(&self) -> usize {
        let page: Value = serde_json::from_str(&self.program.page("/transfers").1).expect("JSON");
        page["running"].as_u64().expect("a number") as usize
    }

    fn metric(&self, series: &str) -> f64 {
        let text = self.program.page("/metrics").1;
        let line = text.lines().find_map(|line| line.strip_prefix("headless_dns_")?.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {series} in\n{text}"))
    }

    fn resident(&self) -> usize {
        resident(self.program.id())
    }

    /// What changes is published, and questions are answered.
    fn check_unharmed(&mut self) {
        self.changes += 1;
        put(&self.sandbox, "changing", &[self.changes]);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
        let question = query("changing.db.svc.cluster.local.", RecordType::A).to_vec().expect("a message");
        until("the change", || {
            socket.send_to(&question, self.program.dns).expect("sent");
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).ok()?;
            let answer = Message::from_vec(&answer[..length]).expect("a message");
            let address = Ipv4Addr::new(10, 0, 0, self.changes);
            let has = |data: &RData| matches!(data, RData::A(a) if a.0 == address);
            answer.answers.iter().any(|record| has(&record.data)).then_some(())
        });
    }
}

/// Reads messages until one has an SOA record as its last record, and another record before it; gives the octets.
fn read_zone(stream: &mut TcpStream) -> usize {
    let mut octets = 0;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("a length");
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).expect("a message");
        octets += message.len();
        let message = Message::from_vec(&message).expect("a message");
        if message.answers.len() > 1 && message.answers.last().is_some_and(|last| last.record_type() == RecordType::SOA)
        {
            return octets;
        }
    }
}

/// X7, W7.
#[tokio::test(flavor = "multi_thread")]
async fn secondaries_that_read_nothing_connect_a_thousand_times_or_ask_without_end_take_their_share_and_harm_nobody() {
    if !may_open(CONNECTIONS) {
        return;
    }
    let mut served = Served::start().await;
    tokio::task::block_in_place(|| {
        let mut reader = served.asked(1, true).expect("a connection");
        assert!(read_zone(&mut reader) > 1 << 18, "more than what the kernel keeps");
        served.check_unharmed();
        let before = served.resident();
        let busy = || served.metric("transfers_rejected_total{reason=\"busy\"}") as usize;

        // Twice as many as there are places, which nobody reads.
        let wanted = 2 * MAX_TRANSFERS;
        let asked = (0..wanted).map(|number| served.asked(1 + number as u8 % CLIENTS, false).expect("a connection"));
        let stalled: Vec<_> = asked.collect();
        until("a refusal for whoever is too many", || (busy() >= wanted - MAX_TRANSFERS).then_some(()));
        assert!(served.running() <= MAX_TRANSFERS);
        served.check_unharmed();
        let most = before + MAX_TRANSFERS * EACH + wanted * IDLE;
        let taken = served.resident();
        assert!(taken <= most, "{before} kB before, {taken} kB with {MAX_TRANSFERS} transfers that nobody reads");
        println!("{before} kB before, {taken} kB with {MAX_TRANSFERS} transfers that nobody reads");
        // The places are free again when the time is over, though nobody has closed a connection.
        until("free places", || (served.running() == 0).then_some(()));
        drop(stalled);
        until("their connections are closed", || (served.metric("tcp_connections") <= 1.0).then_some(()));

        // One client, a thousand connections.
        let open: Vec<_> = (0..CONNECTIONS).filter_map(|_| served.asked(1, false).ok()).collect();
        assert!(served.running() <= MAX_TRANSFERS_OF_CLIENT);
        assert!(served.metric("tcp_connections") <= 256.0, "no more than one client may have");
        served.check_unharmed();
        assert!(read_zone(&mut served.asked(2, true).expect("a connection")) > 1 << 18, "another one is served");
        let taken = served.resident();
        assert!(taken <= most, "{before} kB before, {taken} kB with a thousand connections");
        println!("{before} kB before, {taken} kB with a thousand connections");
        drop(open);

        // One connection that never stops to ask, and reads.
        let request = framed(&query(ZONE, RecordType::AXFR).to_vec().expect("a message"));
        let mut reader =
            until("a place", || (served.running() == 0).then(|| served.asked(1, true).expect("a connection")));
        for _ in 0..REPEATED {
            reader.write_all(&request).expect("sent");
            read_zone(&mut reader);
        }
        served.check_unharmed();
        let taken = served.resident();
        assert!(taken <= most, "{before} kB before, {taken} kB after {REPEATED} zones");
        println!("{before} kB before, {taken} kB after {REPEATED} zones");
    });
}
