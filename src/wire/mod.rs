//! What every path of a packet shares: codes, the question, and the checks that come before anything is parsed.

pub mod codes;
pub mod screen;

pub use codes::{Class, OptionCode, Rcode, RrType};

/// Octets of a message header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;
/// The most a UDP answer may have for a client without EDNS (RFC 1035 section 4.2.1).
pub const MIN_UDP: u16 = 512;
/// Our EDNS payload size unless configured: what fits any path without fragments (DNS flag day 2020).
pub const DEFAULT_EDNS_UDP: u16 = 1232;
/// The most octets of any message, and of any answer over a stream.
pub const MAX_MESSAGE: u16 = u16::MAX;

/// One question, as the authority looks it up. The name is absolute and lower-cased ([`crate::name`]).
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    pub name: &'q [u8],
    pub qtype: RrType,
    pub class: Class,
}
