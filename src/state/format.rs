//! The file: what it is, then blocks of records, each block with its checksum.
//!
//! ```text
//! file   = "headless-dns" version block...          numbers have four octets, the least significant first
//! block  = length checksum record...                of so many octets; no record lies in two blocks
//! record = postcard of a Record                     Head, objects in any order, End
//! ```
//!
//! A checksum is the CRC-32 of the block's number and its records, so that a block is in its place too. Nothing is read of a
//! block before its checksum is right, and no more than one block is in memory.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::cluster::{Change, ClusterEvent, Pod, Scope, Service, Slice, Template, Uid};
use crate::index::{Index, Snapshot};

const MAGIC: &[u8; 12] = b"headless-dns";
/// To be raised when the meaning of the octets changes, be it by a field more in an object. A test notices.
const VERSION: u32 = 2;

/// A block is full from so many octets on.
const BLOCK: usize = 64 * 1024;
/// No block is longer: the API server stores no object of more than 1.5 MiB.
const MAX_BLOCK: usize = 4 * 1024 * 1024;
/// Octets of a block's length and of its checksum.
const WORD: usize = size_of::<u32>();

#[derive(Debug, Serialize, Deserialize)]
enum Record<'a> {
    /// The first: what of which cluster this is, and until which second since 1970 it was true.
    Head {
        source: String,
        as_of: i64,
    },
    Service(Arc<Service>),
    Slice(Arc<Slice>),
    GonePod {
        uid: Uid,
        was_terminating: bool,
    },
    /// What the Pods from here on have in common.
    Template(Arc<Template>),
    Pod(Cow<'a, Pod>),
    /// All Pods of the scope are among those here.
    HeardPods(Scope),
    /// The last, with the number of those before it.
    End(u64),
}

/// Writes a whole file.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(out: &mut impl Write, source: &str, as_of: Timestamp, snapshot: Snapshot) -> io::Result<()> {
    let Snapshot { services, slices, pods, gone, heard_pods } = snapshot;
    out.write_all(&[&MAGIC[..], &VERSION.to_le_bytes()].concat())?;
    let mut blocks = Blocks { out, block: vec![0; 2 * WORD], number: 0, records: 0 };
    blocks.put(&Record::Head { source: source.to_owned(), as_of: as_of.as_second() })?;
    for service in services.iter() {
        blocks.put(&Record::Service(Arc::clone(service)))?;
    }
    for slice in slices.iter() {
        blocks.put(&Record::Slice(Arc::clone(slice)))?;
    }
    for (uid, was_terminating) in gone {
        blocks.put(&Record::GonePod { uid, was_terminating })?;
    }
    // Pods with a template in common stand together.
    let mut pods: Vec<_> = pods.iter().collect();
    pods.sort_unstable_by_key(|pod| Arc::as_ptr(&pod.template));
    let mut template = None;
    for pod in pods {
        if template.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &pod.template)) {
            blocks.put(&Record::Template(Arc::clone(&pod.template)))?;
            template = Some(Arc::clone(&pod.template));
        }
        blocks.put(&Record::Pod(Cow::Borrowed(pod)))?;
    }
    for scope in heard_pods {
        blocks.put(&Record::HeardPods(scope))?;
    }
    blocks.put(&Record::End(blocks.records))?;
    blocks.flush()
}

/// What is written, a block at a time.
struct Blocks<W> {
    out: W,
    /// Room for length and checksum, and the records so far.
    block: Vec<u8>,
    number: u32,
    records: u64,
}

impl<W: Write> Blocks<W> {
    fn put(&mut self, record: &Record<'_>) -> io::Result<()> {
        postcard::to_io(record, &mut self.block).map_err(io::Error::other)?;
        self.records += 1;
        if self.block.len() < BLOCK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        let (head, records) = self.block.split_at_mut(2 * WORD);
        if records.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(records.len()).ok().filter(|_| records.len() <= MAX_BLOCK);
        let length = length.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "an object is too large"))?;
        head[..WORD].copy_from_slice(&length.to_le_bytes());
        head[WORD..].copy_from_slice(&checksum(self.number, records).to_le_bytes());
        self.out.write_all(&self.block)?;
        self.block.truncate(2 * WORD);
        self.number = self.number.wrapping_add(1);
        Ok(())
    }
}

/// Reads a whole file into an empty index. Gives it back with the time up to which the file was the truth.
///
/// # Errors
/// The file is not whole, or is not of this `source`.
pub(super) fn read(
    input: impl Read,
    source: &str,
    scopes: &[Scope],
    mut index: Index,
) -> Result<(Index, Timestamp), Refusal> {
    let mut input = Input { input, at: 0 };
    if input.octets::<{ MAGIC.len() }>()? != *MAGIC {
        return Err(Refusal::Strange);
    }
    let found = input.number()?;
    if found != VERSION {
        return Err(Refusal::OtherFormat { found, read: VERSION });
    }
    let (mut block, mut number, mut records) = (Vec::new(), 0_u32, 0);
    let (mut as_of, mut template) = (None, None);
    loop {
        input.block(number, &mut block)?;
        let at = input.at;
        let damaged = || Refusal::Damaged(at);
        number = number.wrapping_add(1);
        let mut rest = &block[..];
        while !rest.is_empty() {
            let (record, after) = postcard::take_from_bytes(rest).map_err(|_| damaged())?;
            rest = after;
            let scope_of = |namespace: &str| scopes.iter().find(|scope| scope.covers(namespace)).ok_or_else(damaged);
            match (record, as_of) {
                (Record::Head { source: found, as_of: seconds }, None) => {
                    if found != source {
                        return Err(Refusal::Foreign { found, served: source.to_owned() });
                    }
                    as_of = Some(Timestamp::from_second(seconds).map_err(|_| damaged())?);
                }
                (Record::Service(service), Some(_)) => {
                    let scope = scope_of(&service.object.namespace)?.clone();
                    index.apply(ClusterEvent::Service(scope, Change::Apply(Arc::unwrap_or_clone(service))));
                }
                (Record::Slice(slice), Some(_)) => {
                    let scope = scope_of(&slice.object.namespace)?.clone();
                    index.apply(ClusterEvent::Slice(scope, Change::Apply(Arc::unwrap_or_clone(slice))));
                }
                (Record::GonePod { uid, was_terminating }, Some(_)) => index.restore_gone_pod(uid, was_terminating),
                (Record::Template(next), Some(_)) => template = Some(next),
                (Record::Pod(pod), Some(_)) => {
                    let template = template.clone().ok_or_else(damaged)?;
                    let scope = scope_of(&template.namespace)?.clone();
                    let pod = Pod { template, ..pod.into_owned() };
                    index.apply(ClusterEvent::Pod(scope, Change::Apply(pod)));
                }
                (Record::HeardPods(scope), Some(_)) => index.restore_heard_pods(scope),
                (Record::End(expected), Some(as_of)) if expected == records && rest.is_empty() => {
                    return if input.is_at_end()? { Ok((index, as_of)) } else { Err(damaged()) };
                }
                _ => return Err(damaged()),
            }
            records += 1;
        }
    }
}

/// What is read, and how far.
struct Input<R> {
    input: R,
    at: u64,
}

impl<R: Read> Input<R> {
    fn octets<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut octets = [0; N];
        self.fill(&mut octets)?;
        Ok(octets)
    }

    fn number(&mut self) -> Result<u32, Refusal> {
        Ok(u32::from_le_bytes(self.octets()?))
    }

    fn fill(&mut self, octets: &mut [u8]) -> Result<(), Refusal> {
        self.input.read_exact(octets).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Refusal::CutOff(self.at),
            _ => error.into(),
        })?;
        self.at += octets.len() as u64;
        Ok(())
    }

    /// Reads the records of the block with this number.
    fn block(&mut self, number: u32, records: &mut Vec<u8>) -> Result<(), Refusal> {
        let at = self.at;
        let (length, expected) = (self.number()? as usize, self.number()?);
        // A block is never empty: octets that are all zero would be some, with the checksum zero.
        if !(1..=MAX_BLOCK).contains(&length) {
            return Err(Refusal::Damaged(at));
        }
        records.resize(length, 0);
        self.fill(records)?;
        if checksum(number, records) == expected { Ok(()) } else { Err(Refusal::Damaged(at)) }
    }

    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.input.read(&mut [0])? == 0)
    }
}

fn checksum(number: u32, records: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(records);
    hasher.finalize()
}
