//! Signs the messages of an answer.

use std::convert::Infallible;
use std::time::SystemTime;

use domain::base::MessageBuilder;
use domain::base::message_builder::AdditionalBuilder;
use domain::base::wire::Composer;
use domain::dep::octseq::builder::{OctetsBuilder, Truncate};
use domain::tsig::ServerSequence;

use super::key::{Access, Key};
use super::time;

/// Signs the messages of one answer, in their order.
#[derive(Debug)]
pub struct Signer {
    sequence: ServerSequence<Key>,
    access: Access,
}

impl Signer {
    pub(super) fn new(sequence: ServerSequence<Key>, access: Access) -> Self {
        Self { sequence, access }
    }

    /// Octets that a signature takes.
    pub fn reserved(&self) -> u16 {
        self.sequence.key().compose_len()
    }

    /// The name of the key.
    pub fn key(&self) -> String {
        self.sequence.key().name().to_string()
    }

    /// What the key opens.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Signs the message that begins at `start` of `out` and ends with it.
    pub fn sign(&mut self, out: &mut Vec<u8>, start: usize, now: SystemTime) {
        // It cannot fail: a vector has no limit, and a message of ours has few additional records.
        let _ = self.sequence.answer(&mut additional(out, start), time(now));
    }
}

/// The message that begins at `start` of `out`, as what a signature is added to.
pub(super) fn additional(out: &mut Vec<u8>, start: usize) -> AdditionalBuilder<Written<'_>> {
    let Ok(builder) = MessageBuilder::from_target(Written { out, start, is_begun: false });
    builder.additional()
}

/// A message that is written already, as what `domain` appends to. The empty header with which that begins is left out.
pub(super) struct Written<'m> {
    out: &'m mut Vec<u8>,
    start: usize,
    is_begun: bool,
}

impl OctetsBuilder for Written<'_> {
    type AppendError = Infallible;

    fn append_slice(&mut self, octets: &[u8]) -> Result<(), Infallible> {
        if std::mem::replace(&mut self.is_begun, true) {
            self.out.extend_from_slice(octets);
        }
        Ok(())
    }
}

impl Truncate for Written<'_> {
    fn truncate(&mut self, length: usize) {
        if self.is_begun {
            self.out.truncate(self.start + length);
        }
    }
}

impl AsRef<[u8]> for Written<'_> {
    fn as_ref(&self) -> &[u8] {
        self.out.get(self.start..).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Written<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.out.get_mut(self.start..).unwrap_or_default()
    }
}

impl Composer for Written<'_> {}
