//! Notifications, with a socket of the test's as the secondary.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headless_dns::authority::Authority;
use headless_dns::telemetry::metrics::Metrics;
use headless_dns::transfer::{
    Access, HistoryLimits, KeyFiles, Keys, Notifier, NotifyStatus, NotifyTo, Policy, Primary, Secondary, VersionWriter,
    versions,
};
use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{RData, RecordType};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::common::{PATIENCE, with_public_view};

/// A primary that tells one secondary.
struct Told {
    versions: VersionWriter,
    status: Arc<NotifyStatus>,
    socket: UdpSocket,
    _stop: DropGuard,
}

impl Told {
    async fn start(follows: Access) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let (writer, reader) = versions(HistoryLimits { versions: 8, octets: 1 << 20 });
        let keys = Keys::read(KeyFiles::default()).expect("no keys");
        let policy = Policy { clients: Vec::new(), public_clients: Vec::new(), keys: Arc::clone(&keys) };
        let authority = Arc::new(Authority::new(with_public_view()).expect("names that fit"));
        let primary = Arc::new(Primary::new(authority, reader, policy, Arc::new(Metrics::new())));
        let (status, stop) = (Arc::<NotifyStatus>::default(), CancellationToken::new());
        let to = NotifyTo { address: socket.local_addr().expect("an address"), key: None };
        let sources = vec!["127.0.0.1".parse().expect("an address")];
        let notifier =
            Notifier { primary, keys, targets: vec![Secondary { to, follows }], sources, status: Arc::clone(&status) };
        tokio::spawn(notifier.run(stop.clone()));
        Self { versions: writer, status, socket, _stop: stop.drop_guard() }
    }

    fn cut(&mut self, serial: u32) {
        self.versions.cut(serial, Vec::new());
        self.versions.announce();
    }

    /// The next messages, one for each of so many zones: where they come from, and the messages.
    async fn heard(&self, zones: usize) -> Vec<(SocketAddr, Message)> {
        let mut heard: Vec<(SocketAddr, Message)> = Vec::new();
        while heard.len() < zones {
            let mut octets = vec![0; 512];
            let received = timeout(PATIENCE, self.socket.recv_from(&mut octets)).await;
            let (length, from) = received.expect("in time").expect("a datagram");
            heard.push((from, Message::from_vec(&octets[..length]).expect("a message")));
            let zones: BTreeSet<_> = heard.iter().map(|(_, message)| message.queries[0].name().clone()).collect();
            assert!(zones.len() == heard.len(), "each zone once: {heard:?}");
        }
        heard
    }

    async fn answer(&self, heard: &[(SocketAddr, Message)]) {
        for (from, message) in heard {
            let mut answer = message.clone();
            answer.metadata.message_type = MessageType::Response;
            self.socket.send_to(&answer.to_vec().expect("a message"), from).await.expect("sent");
        }
    }

    /// Waits until this version has been answered.
    async fn until_answered(&self, serial: u32) {
        timeout(PATIENCE, async {
            while self.status.all()[0].1.answered != Some(serial) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("answered in time");
        assert_eq!(self.status.all()[0].1.unanswered, 0);
    }
}

fn serials(heard: &[(SocketAddr, Message)]) -> Vec<u32> {
    let serial = |message: &Message| match &message.answers[0].data {
        RData::SOA(soa) => soa.serial,
        other => panic!("{other}"),
    };
    heard.iter().map(|(_, message)| serial(message)).collect()
}

/// X4.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_is_told_of_each_version_until_it_answers_and_of_a_newer_one_instead() {
    let mut told = Told::start(Access::All).await;
    told.cut(16);
    let heard = told.heard(3).await;
    let began = Instant::now();
    assert_eq!(serials(&heard), [16, 16, 16]);
    for (_, message) in &heard {
        assert_eq!((message.metadata.op_code, message.metadata.authoritative), (OpCode::Notify, true));
        assert_eq!(message.queries[0].query_type(), RecordType::SOA);
    }
    // It was lost.
    let again = told.heard(3).await;
    assert_eq!(serials(&again), [16, 16, 16]);
    assert!(began.elapsed() >= Duration::from_millis(900), "after a pause: {:?}", began.elapsed());
    told.cut(32);
    let newer = told.heard(3).await;
    assert_eq!(serials(&newer), [32, 32, 32], "nothing more of the older one");
    told.answer(&newer).await;
    told.until_answered(32).await;
    told.cut(48);
    let last = told.heard(3).await;
    assert_eq!(serials(&last), [48, 48, 48], "and no repetition of what was answered");
    // Not by an answer to something else.
    told.answer(&newer).await;
    assert_eq!(told.status.all()[0].1.answered, Some(32));
    told.answer(&last).await;
    told.until_answered(48).await;
}

/// X4, X8.
#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_public_view_is_told_of_it_alone_and_of_every_version() {
    let mut told = Told::start(Access::Public).await;
    for serial in [16, 32] {
        told.cut(serial);
        let heard = told.heard(1).await;
        assert_eq!(serials(&heard), [serial]);
        assert_eq!(heard[0].1.queries[0].name().to_string(), "peers.example.com.");
        told.answer(&heard).await;
        told.until_answered(serial).await;
    }
}
