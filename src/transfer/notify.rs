//! Tells secondaries of new versions (NOTIFY, RFC 1996).
//!
//! ```text
//! version ─▶ one message for each zone ─▶ secondary ─▶ answered: wait for the next version
//!                     ▲                       │ not answered
//!                     └── twice the pause ◀───┘          a newer version begins anew
//! ```

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::primary::Primary;
use super::signing::{Access, Keys, Question};
use crate::authority::{Data, Zone, ZoneKind};
use crate::dns::wire::codes::{AA, OPCODE, QR};
use crate::dns::wire::{Class, HEADER, RrType};
use crate::telemetry::metrics::NotifyOutcome;

/// The first pause before a message is repeated, and the longest: each is twice the one before it. RFC 1996 section 3.6 suggests a
/// minute; a secondary of Pods should not wait so long for a message that was lost.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The port of a secondary that is configured without one.
const PORT: u16 = 53;
/// NOTIFY in a header's third octet (RFC 1996 section 3.3).
const NOTIFY: u8 = 4 << 3;
/// Octets of the most that is read of an answer.
const MOST_ANSWER: usize = 4096;

/// A secondary to be told: `ADDRESS`, `ADDRESS:PORT`, each with `#KEY` behind it where messages are to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyTo {
    pub address: SocketAddr,
    /// The name of one of the transfer keys.
    pub key: Option<String>,
}

impl NotifyTo {
    /// Reads a secondary as it is configured.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, key) = text.split_once('#').map_or((text, None), |(address, key)| (address, Some(key)));
        let alone = |address: &str| address.parse().ok().map(|address| SocketAddr::new(address, PORT));
        let address = address.parse().ok().or_else(|| alone(address))?;
        let key = key.map(|key| key.trim_end_matches('.').to_owned());
        (key.as_deref() != Some("")).then_some(Self { address, key })
    }
}

impl fmt::Display for NotifyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, key } = self;
        match key {
            Some(key) => write!(f, "{address}#{key}"),
            None => write!(f, "{address}"),
        }
    }
}

/// A secondary, and what it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secondary {
    pub to: NotifyTo,
    /// All zones but the public view, or that alone.
    pub follows: Access,
}

/// Tells secondaries.
#[derive(Debug)]
pub struct Notifier {
    pub primary: Arc<Primary>,
    pub keys: Arc<Keys>,
    pub targets: Vec<Secondary>,
    /// Addresses of this server, from which secondaries expect messages.
    pub sources: Vec<IpAddr>,
    pub status: Arc<NotifyStatus>,
}

/// What has become of the messages, by secondary.
#[derive(Debug, Default)]
pub struct NotifyStatus(Mutex<Vec<(Secondary, Told)>>);

/// What one secondary was told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// The newest version that it was told of.
    pub serial: u32,
    /// The newest that it has answered for every zone.
    pub answered: Option<u32>,
    /// Messages about the newest that it has not answered.
    pub unanswered: usize,
}

impl NotifyStatus {
    /// All secondaries, as they are configured.
    pub fn all(&self) -> Vec<(NotifyTo, Told)> {
        self.told().iter().map(|(secondary, told)| (secondary.to.clone(), *told)).collect()
    }

    fn told(&self) -> MutexGuard<'_, Vec<(Secondary, Told)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notifier {
    /// Tells every secondary of every version until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        *self.status.told() = self.targets.iter().map(|target| (target.clone(), Told::default())).collect();
        let (notifier, tasks) = (Arc::new(self), TaskTracker::new());
        for target in 0..notifier.targets.len() {
            let (notifier, stop) = (Arc::clone(&notifier), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(notifier.follow(target)).await });
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Tells one secondary of every version, until there are no more.
    async fn follow(&self, target: usize) {
        let mut serials = self.primary.versions().serials();
        let mut told = None;
        loop {
            told = match serials.wait_for(|newest| *newest != told).await {
                Ok(newest) => *newest,
                Err(_) => return,
            };
            if let Some(serial) = told {
                self.tell(target, serial, &mut serials).await;
            }
        }
    }

    /// Tells one secondary of a version, until it has answered or there is a newer one.
    async fn tell(&self, target: usize, serial: u32, serials: &mut watch::Receiver<Option<u32>>) {
        let Some(Secondary { to, follows }) = self.targets.get(target) else { return };
        let is_followed = |zone: &&Zone| (zone.kind() == ZoneKind::Public) == (*follows == Access::Public);
        let mut waiting: Vec<&Zone> = self.primary.authority().all_zones().filter(is_followed).collect();
        let mut pause = FIRST_PAUSE;
        self.note(target, |told| *told = Told { serial, unanswered: waiting.len(), ..*told });
        loop {
            let deadline = Instant::now() + pause;
            tokio::select! {
                biased;
                () = is_outdated(serials, serial) => return,
                // Nobody may be there yet.
                _ = timeout_at(deadline, self.round(target, to, serial, &mut waiting)) => {}
            }
            if waiting.is_empty() {
                return self.note(target, |told| told.answered = Some(serial));
            }
            waiting.iter().for_each(|_| self.count(NotifyOutcome::Unanswered));
            tokio::select! {
                biased;
                () = is_outdated(serials, serial) => return,
                () = tokio::time::sleep_until(deadline) => {}
            }
            tracing::debug!(secondary = %to, serial, "a secondary does not answer notifications");
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Sends a message for each of these zones, and reads answers until every one is answered.
    async fn round(&self, target: usize, to: &NotifyTo, serial: u32, waiting: &mut Vec<&Zone>) -> io::Result<()> {
        let socket = UdpSocket::bind(self.source(to.address)).await?;
        socket.connect(to.address).await?;
        let mut sent = Vec::new();
        for zone in &*waiting {
            let id: u16 = rand::random();
            let mut message = self.message(zone, serial, id);
            let question = match &to.key {
                None => None,
                Some(name) => {
                    // A key that is no longer in its file may come back.
                    let missing = || io::Error::other("the key is not there");
                    let key = self.keys.named(name).ok_or_else(missing)?;
                    Some(Question::sign(key, &mut message, SystemTime::now()).ok_or_else(missing)?)
                }
            };
            socket.send(&message).await?;
            sent.push((id, *zone, question));
        }
        let mut answer = vec![0; MOST_ANSWER];
        while !waiting.is_empty() {
            let length = socket.recv(&mut answer).await?;
            let answer = answer.get(..length).unwrap_or_default();
            let Some(header) = answer.first_chunk::<HEADER>() else { continue };
            let id = u16::from_be_bytes([header[0], header[1]]);
            let is_answered = |question: &Option<Question>| {
                question.as_ref().is_none_or(|question| question.is_answered_by(answer, SystemTime::now()))
            };
            let Some((_, zone, question)) = sent.iter().find(|(of, ..)| *of == id) else { continue };
            if header[2] & (QR | OPCODE) != QR | NOTIFY || !is_answered(question) {
                continue;
            }
            let is_new = waiting.iter().any(|other| other.apex() == zone.apex());
            waiting.retain(|other| other.apex() != zone.apex());
            if is_new {
                let rcode = header[3] & 0x0f;
                self.count(if rcode == 0 { NotifyOutcome::Answered } else { NotifyOutcome::Refused });
                if rcode != 0 {
                    let zone = zone.apex();
                    tracing::debug!(secondary = %to, %zone, rcode, "a secondary refuses a notification");
                }
                self.note(target, |told| told.unanswered = waiting.len());
            }
        }
        Ok(())
    }

    /// The address from which a secondary expects messages.
    fn source(&self, to: SocketAddr) -> SocketAddr {
        let is_usable = |address: &&IpAddr| {
            address.is_ipv4() == to.is_ipv4()
                && !address.is_unspecified()
                && address.is_loopback() == to.ip().is_loopback()
        };
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        SocketAddr::new(self.sources.iter().find(is_usable).copied().unwrap_or(any), 0)
    }

    /// A message, with the new SOA record as a hint (RFC 1996 section 3.7).
    fn message(&self, zone: &Zone, serial: u32, id: u16) -> Vec<u8> {
        let soa = self.primary.authority().soa(zone, serial);
        let [id_high, id_low] = id.to_be_bytes();
        let mut message = vec![id_high, id_low, NOTIFY | AA, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        let mut put = |octets: &[u8]| message.extend_from_slice(octets);
        let apex = zone.apex().as_wire();
        let (rr_type, class) = (RrType::SOA.0.to_be_bytes(), Class::IN.0.to_be_bytes());
        let kind = [rr_type, class].concat();
        put(&[apex, &kind, apex, &kind, &soa.ttl.to_be_bytes()].concat());
        if let Data::Soa(soa) = soa.data {
            let numbers = [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum].map(u32::to_be_bytes).concat();
            let data = [soa.mname.as_wire(), soa.rname.as_wire(), &numbers].concat();
            // Two names and five numbers.
            put(&(data.len() as u16).to_be_bytes());
            put(&data);
        }
        message
    }

    fn count(&self, outcome: NotifyOutcome) {
        self.primary.metrics().transfers().notified(outcome);
    }

    fn note(&self, target: usize, change: impl FnOnce(&mut Told)) {
        // A notifier that was told to stop may still be here when another one has begun.
        let Some(to) = self.targets.get(target) else { return };
        if let Some((_, told)) = self.status.told().iter_mut().find(|(known, _)| known == to) {
            change(told);
        }
    }
}

/// Waits until there is a newer version than this.
async fn is_outdated(serials: &mut watch::Receiver<Option<u32>>, serial: u32) {
    // An error says that there will be none.
    let _ = serials.wait_for(|newest| *newest != Some(serial)).await;
}
