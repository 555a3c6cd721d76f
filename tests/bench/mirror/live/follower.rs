//! A secondary as small as one can be: it answers notifications, asks for the difference over TCP, and applies it.
//!
//! Of a zone it keeps how many records it has and the sum of their hashes, from which the hash of one that is removed can be taken
//! away again. Two that have the same version of a zone have the same sum.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use headless_dns::dns::name::Name;
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record};
use hickory_proto::serialize::binary::BinEncodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::dns;

/// TYPE values of transfers (RFC 1995, RFC 5936).
const IXFR: u16 = 251;
const AXFR: u16 = 252;
/// QR, the highest bit of the third octet (RFC 1035 section 4.1.1).
const RESPONSE: u8 = 0x80;
/// A secondary that was refused tries again after so long, if no notification has come.
const RETRY: Duration = Duration::from_secs(1);
/// Octets of the longest notification that is read.
const LONGEST: usize = 4096;

/// What a secondary has of a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneCopy {
    /// None before the first transfer.
    pub serial: Option<u32>,
    pub records: u64,
    sum: u64,
}

/// What all secondaries of a run have done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Transfers in which something came.
    pub transfers: AtomicU64,
    /// Requests that were answered with an error, or not to the end.
    pub refused: AtomicU64,
    /// Octets of requests, transfers, notifications and their answers, without those of TCP, UDP and IP.
    pub octets: AtomicU64,
}

/// A secondary with an address of its own.
pub struct Follower {
    server: SocketAddr,
    socket: UdpSocket,
    /// The zones, and what it has of each.
    zones: Vec<(Name, ZoneCopy)>,
    told: watch::Sender<Vec<ZoneCopy>>,
}

impl Follower {
    /// A secondary of these zones of a server. `number` makes its address.
    pub async fn new(number: u8, server: SocketAddr, zones: &[Name]) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, number), 0)).await?;
        let zones = zones.iter().map(|zone| (zone.clone(), ZoneCopy::default())).collect();
        Ok(Self { server, socket, zones, told: watch::Sender::default() })
    }

    /// Where it expects notifications.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// What it has of each zone, always.
    pub fn has(&self) -> watch::Receiver<Vec<ZoneCopy>> {
        self.told.subscribe()
    }

    /// Begins with what another one has.
    pub fn copy(&mut self, copies: &[ZoneCopy]) {
        self.zones.iter_mut().zip(copies).for_each(|((_, copy), of_other)| *copy = *of_other);
    }

    /// Transfers the zones whole.
    pub async fn transfer(&mut self, counts: &Counts) -> io::Result<Vec<ZoneCopy>> {
        for (zone, copy) in &mut self.zones {
            *copy = transfer(self.server, self.socket.local_addr()?, zone, &ZoneCopy::default(), counts).await?;
        }
        Ok(self.zones.iter().map(|(_, copy)| *copy).collect())
    }

    /// Follows the server for ever.
    pub async fn follow(mut self, counts: &Counts) -> io::Result<()> {
        let from = self.socket.local_addr()?;
        let mut message = [0; LONGEST];
        let mut behind = vec![true; self.zones.len()];
        let mut wait = Duration::ZERO;
        loop {
            // All notifications that are there, before the zones are asked for.
            while let Ok(received) = timeout(wait, self.socket.recv_from(&mut message)).await {
                let (length, server) = received?;
                wait = Duration::ZERO;
                let notified = Message::from_vec(&message[..length]).map_err(io::Error::other)?;
                let newest = notified.answers.first().and_then(serial);
                for ((zone, copy), is_behind) in self.zones.iter().zip(&mut behind) {
                    *is_behind |= notified.queries[0].name().to_bytes().is_ok_and(|name| name == zone.as_wire())
                        && copy.serial != newest;
                }
                message[2] |= RESPONSE;
                self.socket.send_to(&message[..length], server).await?;
                counts.octets.fetch_add(2 * length as u64, Relaxed);
            }
            wait = RETRY;
            for ((zone, copy), is_behind) in self.zones.iter_mut().zip(&mut behind).filter(|(_, is_behind)| **is_behind)
            {
                match transfer(self.server, from, zone, copy, counts).await {
                    Ok(newer) => (*copy, *is_behind) = (newer, false),
                    Err(_) => drop(counts.refused.fetch_add(1, Relaxed)),
                }
            }
            self.told.send_replace(self.zones.iter().map(|(_, copy)| *copy).collect());
        }
    }
}

/// Transfers what is newer than a copy, over a connection of its own; what the secondary has then.
async fn transfer(
    server: SocketAddr,
    from: SocketAddr,
    zone: &Name,
    copy: &ZoneCopy,
    counts: &Counts,
) -> io::Result<ZoneCopy> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from.ip(), 0).into())?;
    let mut stream = socket.connect(server).await?;
    let request = request(zone, copy.serial);
    stream.write_all(&[&(request.len() as u16).to_be_bytes(), &request[..]].concat()).await?;
    counts.octets.fetch_add(2 + request.len() as u64, Relaxed);
    let mut incoming = Incoming { copy: *copy, stage: Stage::Begin };
    while !incoming.is_done() {
        let length = usize::from(stream.read_u16().await?);
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await?;
        counts.octets.fetch_add(2 + length as u64, Relaxed);
        let message = Message::from_vec(&message).map_err(io::Error::other)?;
        if message.answers.is_empty() {
            return Err(io::Error::other(message.metadata.response_code.to_string()));
        }
        message.answers.iter().try_for_each(|record| incoming.take(record))?;
        // One SOA record alone: there is nothing newer.
        if matches!(incoming.stage, Stage::Newest(_)) && message.answers.len() == 1 {
            return Ok(*copy);
        }
    }
    counts.transfers.fetch_add(1, Relaxed);
    Ok(incoming.copy)
}

/// A request for what is newer than a version, or for the whole zone.
fn request(zone: &Name, serial: Option<u32>) -> Vec<u8> {
    let mut request = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, u8::from(serial.is_some()), 0, 0];
    request.extend_from_slice(zone.as_wire());
    request.extend_from_slice(&if serial.is_some() { IXFR } else { AXFR }.to_be_bytes());
    request.extend_from_slice(&[0, 1]);
    if let Some(serial) = serial {
        // An SOA record of the zone (a pointer to the question), with the root as both names and nothing but a serial.
        request.extend_from_slice(&[0xc0, dns::HEADER as u8, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        request.extend_from_slice(&serial.to_be_bytes());
        request.extend_from_slice(&[0; 16]);
    }
    request
}

fn serial(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    }
}

/// A transfer that comes in.
struct Incoming {
    copy: ZoneCopy,
    stage: Stage,
}

/// Where it is (RFC 1995 section 4): the newest SOA, then the whole zone, or older SOA, removed, newer SOA, added, again and again; in
/// the end the newest SOA.
#[derive(Clone, Copy)]
enum Stage {
    Begin,
    Newest(u32),
    Whole(u32),
    Removed(u32),
    Added { newest: u32, this: u32 },
    Done,
}

impl Incoming {
    fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    fn take(&mut self, record: &Record) -> io::Result<()> {
        let of_record = || -> io::Result<u64> {
            let octets = record.to_bytes().map_err(io::Error::other)?;
            Ok(BuildHasherDefault::<DefaultHasher>::default().hash_one(octets))
        };
        let ZoneCopy { serial: has, records, sum } = &mut self.copy;
        let mut add = |by: u64| {
            *records += 1;
            *sum = sum.wrapping_add(by);
        };
        self.stage = match (self.stage, serial(record)) {
            (Stage::Begin, Some(newest)) => Stage::Newest(newest),
            (Stage::Newest(newest), Some(older)) if *has == Some(older) => Stage::Removed(newest),
            (Stage::Newest(newest), None) => {
                (*records, *sum) = (0, 0);
                *records += 1;
                *sum = of_record()?;
                Stage::Whole(newest)
            }
            (Stage::Whole(newest), Some(last)) if last == newest => {
                *has = Some(newest);
                Stage::Done
            }
            (Stage::Removed(newest), Some(this)) => Stage::Added { newest, this },
            (Stage::Added { newest, this }, Some(last)) if last == newest && this == newest => {
                *has = Some(newest);
                Stage::Done
            }
            (Stage::Added { newest, this }, Some(older)) if older == this => Stage::Removed(newest),
            (stage @ (Stage::Whole(_) | Stage::Added { .. }), None) => {
                add(of_record()?);
                stage
            }
            (stage @ Stage::Removed(_), None) => {
                *records = records.checked_sub(1).ok_or_else(|| io::Error::other("more removed than there is"))?;
                *sum = sum.wrapping_sub(of_record()?);
                stage
            }
            _ => return Err(io::Error::other("no transfer")),
        };
        Ok(())
    }
}
