//! The format of the state file: a header, then blocks of records, each with a checksum.
//!
//! ```text
//! file   = "headless-dns" version block...          numbers have four bytes, little-endian
//! block  = length checksum record...                the length is that of the records; no record spans two blocks
//! record = postcard of a Record                     Head, objects in any order, End
//! ```
//!
//! The checksum is the CRC-32 of the block's number and its records, so that swapped blocks are found too. A block is decoded
//! only after its checksum has matched, and memory holds one block at a time.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LoadError;
use crate::cluster::{Change, ClusterEvent, Pod, Position, Resource, Scope, Service, Slice, Template, Uid, WatchId};
use crate::index::{Index, ListedPods, Snapshot, Tombstone};

const MAGIC: &[u8; 12] = b"headless-dns";
/// To be incremented with any change of the format, a new field of an object included. A test notices.
const VERSION: u32 = 5;

/// A block is written once it has this many bytes.
const BLOCK: usize = 64 * 1024;
/// The maximum length of a block: the API server stores no object of more than 1.5 MiB.
const MAX_BLOCK: usize = 4 * 1024 * 1024;
/// The size of a block's length, and of its checksum.
const WORD: usize = size_of::<u32>();

#[derive(Debug, Serialize, Deserialize)]
enum Record<'a> {
    /// The first record.
    Head {
        /// Which part of which cluster this is.
        source: String,
        /// When it was last up to date, in seconds since the Unix epoch.
        as_of: i64,
    },
    Service(Arc<Service>),
    Slice(Arc<Slice>),
    Tombstone {
        uid: Uid,
        is_certain: bool,
    },
    /// The template of the Pods that follow.
    Template(Arc<Template>),
    Pod(Cow<'a, Pod>),
    /// The file has all Pods of this scope.
    ListedPods {
        scope: Scope,
        are_trusted: bool,
    },
    /// How far the watch of a resource had come with these objects.
    Position {
        /// The plural name.
        resource: Cow<'a, str>,
        scope: Scope,
        position: Position,
    },
    /// The last record, with the number of records before it.
    End(u64),
}

/// Writes a state file.
///
/// # Errors
/// `out` cannot be written.
pub(super) fn write(out: &mut impl Write, source: &str, as_of: Timestamp, snapshot: Snapshot) -> io::Result<()> {
    let Snapshot { services, slices, pods, tombstones, listed_pods, positions } = snapshot;
    out.write_all(&[&MAGIC[..], &VERSION.to_le_bytes()].concat())?;
    let mut writer = BlockWriter { out, block: vec![0; 2 * WORD], number: 0, records: 0 };
    writer.put(&Record::Head { source: source.to_owned(), as_of: as_of.as_second() })?;
    for service in services.iter() {
        writer.put(&Record::Service(Arc::clone(service)))?;
    }
    for slice in slices.iter() {
        writer.put(&Record::Slice(Arc::clone(slice)))?;
    }
    for Tombstone { uid, is_certain } in tombstones {
        writer.put(&Record::Tombstone { uid, is_certain })?;
    }
    // Pods are grouped by template, so that each template is written once.
    let mut pods: Vec<_> = pods.iter().collect();
    pods.sort_unstable_by_key(|pod| Arc::as_ptr(&pod.template));
    let mut template = None;
    for pod in pods {
        if template.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &pod.template)) {
            writer.put(&Record::Template(Arc::clone(&pod.template)))?;
            template = Some(Arc::clone(&pod.template));
        }
        writer.put(&Record::Pod(Cow::Borrowed(pod)))?;
    }
    for ListedPods { scope, are_trusted } in listed_pods {
        writer.put(&Record::ListedPods { scope, are_trusted })?;
    }
    for (WatchId { resource, scope }, position) in positions {
        writer.put(&Record::Position { resource: resource.plural().into(), scope, position })?;
    }
    writer.put(&Record::End(writer.records))?;
    writer.flush()
}

struct BlockWriter<W> {
    out: W,
    /// Space for length and checksum, then the records so far.
    block: Vec<u8>,
    number: u32,
    records: u64,
}

impl<W: Write> BlockWriter<W> {
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

/// Reads a state file into an empty index. Returns the index, and when the file was last up to date.
///
/// # Errors
/// The file is not complete and intact, or not of this `source`.
pub(super) fn read(
    input: impl Read,
    source: &str,
    scopes: &[Scope],
    mut index: Index,
) -> Result<(Index, Timestamp), LoadError> {
    let mut reader = BlockReader { input, at: 0 };
    if reader.bytes::<{ MAGIC.len() }>()? != *MAGIC {
        return Err(LoadError::NotAStateFile);
    }
    let found = reader.number()?;
    if found != VERSION {
        return Err(LoadError::UnsupportedVersion { found, supported: VERSION });
    }
    let (mut block, mut number, mut records) = (Vec::new(), 0_u32, 0);
    let (mut as_of, mut template) = (None, None);
    loop {
        reader.block(number, &mut block)?;
        let at = reader.at;
        let corrupt = || LoadError::Corrupt(at);
        number = number.wrapping_add(1);
        let mut rest = &block[..];
        while !rest.is_empty() {
            let (record, after) = postcard::take_from_bytes(rest).map_err(|_| corrupt())?;
            rest = after;
            let scope_of = |namespace: &str| scopes.iter().find(|scope| scope.covers(namespace)).ok_or_else(corrupt);
            match (record, as_of) {
                (Record::Head { source: found, as_of: seconds }, None) => {
                    if found != source {
                        return Err(LoadError::OtherSource { found, served: source.to_owned() });
                    }
                    as_of = Some(Timestamp::from_second(seconds).map_err(|_| corrupt())?);
                }
                (Record::Service(service), Some(_)) => {
                    let scope = scope_of(&service.object.namespace)?.clone();
                    index.apply(ClusterEvent::Service(scope, Change::Apply(Arc::unwrap_or_clone(service))));
                }
                (Record::Slice(slice), Some(_)) => {
                    let scope = scope_of(&slice.object.namespace)?.clone();
                    index.apply(ClusterEvent::Slice(scope, Change::Apply(Arc::unwrap_or_clone(slice))));
                }
                (Record::Tombstone { uid, is_certain }, Some(_)) => {
                    index.restore_tombstone(Tombstone { uid, is_certain });
                }
                (Record::Template(next), Some(_)) => template = Some(next),
                (Record::Pod(pod), Some(_)) => {
                    let template = template.clone().ok_or_else(corrupt)?;
                    let scope = scope_of(&template.namespace)?.clone();
                    let pod = Pod { template, ..pod.into_owned() };
                    index.apply(ClusterEvent::Pod(scope, Change::Apply(pod)));
                }
                (Record::ListedPods { scope, are_trusted }, Some(_)) => {
                    index.restore_listed_pods(ListedPods { scope, are_trusted });
                }
                (Record::Position { resource, scope, position }, Some(_)) => {
                    let watch = WatchId::new(Resource::of_plural(&resource).ok_or_else(corrupt)?, scope);
                    index.restore_position(watch, position);
                }
                (Record::End(expected), Some(as_of)) if expected == records && rest.is_empty() => {
                    return if reader.is_at_end()? { Ok((index, as_of)) } else { Err(corrupt()) };
                }
                _ => return Err(corrupt()),
            }
            records += 1;
        }
    }
}

struct BlockReader<R> {
    input: R,
    /// Bytes read so far.
    at: u64,
}

impl<R: Read> BlockReader<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, LoadError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), LoadError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => LoadError::Truncated(self.at),
            _ => error.into(),
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Reads the records of the next block, which has this number.
    fn block(&mut self, number: u32, records: &mut Vec<u8>) -> Result<(), LoadError> {
        let at = self.at;
        let (length, expected) = (self.number()? as usize, self.number()?);
        // A block is never empty. Otherwise zeros would be valid empty blocks, as their checksum is zero.
        if !(1..=MAX_BLOCK).contains(&length) {
            return Err(LoadError::Corrupt(at));
        }
        records.resize(length, 0);
        self.fill(records)?;
        if checksum(number, records) == expected { Ok(()) } else { Err(LoadError::Corrupt(at)) }
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
