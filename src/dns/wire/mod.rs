//! What every path of a packet shares: codes, the question, and the checks that come before anything is parsed.

pub mod codes;
pub mod query;
pub mod screen;

pub use codes::{Class, OptionCode, Rcode, RrType};
pub use query::Query;

/// Octets of a message header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;
/// The most a UDP answer may have for a client without EDNS (RFC 1035 section 4.2.1).
pub const MIN_UDP: u16 = 512;
/// Our EDNS payload size unless configured: what fits any path without fragments (DNS flag day 2020).
pub const DEFAULT_EDNS_UDP: u16 = 1232;
/// The most octets of any message, and of any answer over a stream.
pub const MAX_MESSAGE: u16 = u16::MAX;

/// One question, as the authority looks it up. The name is absolute and lower-cased ([`crate::dns::name`]).
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    pub name: &'q [u8],
    pub qtype: RrType,
    pub class: Class,
}

/// What a query's OPT record says (RFC 6891 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP answer that the client takes, octets.
    pub payload: u16,
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The option edns-tcp-keepalive is there (RFC 7828).
    pub wants_keepalive: bool,
}

/// The only version of EDNS there is.
pub const EDNS_VERSION: u8 = 0;

/// What of the wire is configured.
#[derive(Clone, Copy, Debug)]
pub struct WireOptions {
    /// The largest UDP answer to a client with EDNS, octets.
    pub edns_udp_size: u16,
    /// The idle time-out of streams, told to clients that ask (RFC 7828), in its unit of 100 ms.
    pub tcp_keepalive: u16,
}

impl WireOptions {
    /// The largest answer to a client, octets.
    pub fn limit(&self, edns: Option<&Edns>, is_datagram: bool) -> u16 {
        match edns {
            _ if !is_datagram => MAX_MESSAGE,
            Some(edns) => edns.payload.min(self.edns_udp_size).max(MIN_UDP),
            None => MIN_UDP,
        }
    }
}
