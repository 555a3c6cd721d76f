//! What is asked elsewhere: a question with the two bits that change its answer, in the form under which answers are kept.

use std::borrow::Borrow;
use std::fmt;

use arrayvec::ArrayVec;

use crate::dns::name::{MAX_NAME, Relative};
use crate::dns::wire::{Query, RrType};

/// Octets behind the name: the type, and the two bits.
const FIXED: usize = 3;
const DNSSEC_OK: u8 = 1;
const CHECKING_DISABLED: u8 = 2;
/// The CD bit of a header's fourth octet.
const CD: u8 = crate::dns::wire::codes::CD;

/// A question of class IN for an upstream: name in lower case, type, DO and CD. What else a query says is between the client
/// and this server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AskedElsewhere(ArrayVec<u8, { MAX_NAME + FIXED }>);

impl AskedElsewhere {
    /// The question for `name`, absolute and in lower case, with the type and bits of `query`.
    pub fn new(name: &[u8], query: &Query<'_>) -> Self {
        let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
        Self::with(name, query.qtype, dnssec_ok, query.header[3] & CD != 0)
    }

    /// The same as a plain client asks it.
    pub fn plain(name: &[u8], qtype: RrType) -> Self {
        Self::with(name, qtype, false, false)
    }

    fn with(name: &[u8], qtype: RrType, dnssec_ok: bool, checking_disabled: bool) -> Self {
        let mut octets: ArrayVec<u8, { MAX_NAME + FIXED }> = name.iter().copied().take(MAX_NAME).collect();
        let bits = (u8::from(dnssec_ok) * DNSSEC_OK) | (u8::from(checking_disabled) * CHECKING_DISABLED);
        let [high, low] = qtype.0.to_be_bytes();
        octets.extend([high, low, bits]);
        Self(octets)
    }

    /// All of it, as the key of a map.
    pub(super) fn as_key(&self) -> &[u8] {
        &self.0
    }

    pub fn name(&self) -> &[u8] {
        &self.0[..self.0.len() - FIXED]
    }

    pub fn qtype(&self) -> RrType {
        let [high, low] = [self.fixed(0), self.fixed(1)];
        RrType(u16::from_be_bytes([high, low]))
    }

    pub(super) fn dnssec_ok(&self) -> bool {
        self.fixed(2) & DNSSEC_OK != 0
    }

    pub(super) fn checking_disabled(&self) -> bool {
        self.fixed(2) & CHECKING_DISABLED != 0
    }

    fn fixed(&self, index: usize) -> u8 {
        self.0[self.0.len() - FIXED + index]
    }
}

impl Borrow<[u8]> for AskedElsewhere {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for AskedElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", Relative(self.name()), self.qtype())
    }
}
