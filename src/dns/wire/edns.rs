//! EDNS(0) (RFC 6891): the OPT record of a query and the one that answers it.
//!
//! No option changes which records a response has: answer records leave space for an OPT record without options, and
//! additional records for one with them, whether the client asked for any or not. NSID (RFC 5001), TCP keepalive (RFC 7828),
//! extended errors (RFC 8914) and padding (RFC 7830) fill what is left, in this order; client subnet (RFC 7871) and cookies
//! (RFC 7873) are ignored.

use super::codes::{
    DO, HEADER, MAX_MESSAGE, MIN_UDP, OPT_FIXED, OPTION_HEAD, OptionCode, Rcode, RrType, TYPE_AND_CLASS,
};
use super::extended_error::{EdeFit, ExtendedError, INFO_CODE, fit_ede, min_ede_len};
use crate::dns::name::Labels;

/// The only version of EDNS there is.
pub const EDNS_VERSION: u8 = 0;
/// Responses to padded queries are padded to a multiple of so many octets (RFC 8467 section 4.1).
pub const PADDING_BLOCK: usize = 468;

/// Octets of a keepalive option's TIMEOUT (RFC 7828 section 3.1).
const KEEPALIVE_TIMEOUT: usize = 2;
/// Octets of a record's length field.
const RDLENGTH: usize = 2;
/// Octets of a record behind its owner: type, class, TTL, length.
pub(super) const RECORD_FIXED: usize = 8 + RDLENGTH;

/// What a query's OPT record says (RFC 6891 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP response that the client takes, octets.
    pub payload: u16,
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The option edns-tcp-keepalive is there (RFC 7828).
    pub wants_keepalive: bool,
    /// The option NSID is there (RFC 5001).
    pub wants_nsid: bool,
    /// The option Padding is there (RFC 7830).
    pub wants_padding: bool,
}

impl Edns {
    /// Reads `record`, which has to be one OPT record and nothing behind it. None if it is not, or an option is malformed.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let (mut edns, mut options) = Self::parse_fixed(record)?;
        while let Some((head, rest)) = options.split_first_chunk::<OPTION_HEAD>() {
            let [code, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
            let (data, rest) = rest.split_at_checked(usize::from(length))?;
            if code == OptionCode::ClientSubnet as u16 && !is_client_subnet(data) {
                return None;
            }
            edns.wants_keepalive |= code == OptionCode::TcpKeepalive as u16;
            edns.wants_nsid |= code == OptionCode::Nsid as u16;
            edns.wants_padding |= code == OptionCode::Padding as u16;
            options = rest;
        }
        options.is_empty().then_some(edns)
    }

    /// Reads what stands before the options, and gives the options.
    fn parse_fixed(record: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, options) = record.split_first_chunk::<OPT_FIXED>()?;
        let [0, 0, 41, payload_high, payload_low, _, version, flags, _, length_high, length_low] = *fixed else {
            return None;
        };
        let edns = Self {
            payload: u16::from_be_bytes([payload_high, payload_low]),
            version,
            dnssec_ok: flags & DO != 0,
            wants_keepalive: false,
            wants_nsid: false,
            wants_padding: false,
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        (options.len() == length).then_some((edns, options))
    }
}

/// Whether the data of a client subnet option is well-formed: a known family, and as many octets of address as its prefix has
/// (RFC 7871 section 6).
fn is_client_subnet(data: &[u8]) -> bool {
    let Some(([family_high, family_low, source_prefix, _], address)) = data.split_first_chunk::<4>() else {
        return false;
    };
    let most = match u16::from_be_bytes([*family_high, *family_low]) {
        1 => 4,
        2 => 16,
        _ => return false,
    };
    let octets = usize::from(source_prefix.div_ceil(8));
    octets <= most && octets <= address.len()
}

/// The OPT record of a message that is answered with an error. None unless the message is whole as far as its additional
/// section goes, and holds exactly one OPT record there.
///
/// RFC 6891 section 6.1.1: "If an OPT record is present in a received request, compliant responders MUST include an OPT record
/// in their respective responses." An option of which the content is malformed is the client's mistake; its OPT record counts.
pub fn find_opt(message: &[u8]) -> Option<Edns> {
    let (header, mut rest) = message.split_first_chunk::<HEADER>()?;
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    for _ in 0..count(4) {
        rest = skip_name(rest)?.get(TYPE_AND_CLASS..)?;
    }
    for _ in 0..u32::from(count(6)) + u32::from(count(8)) {
        rest = split_record(rest)?.1;
    }
    let mut found = None;
    for _ in 0..count(10) {
        let (record, behind) = split_record(rest)?;
        rest = behind;
        let owner_end = record.len() - skip_name(record)?.len();
        if record.get(owner_end..owner_end + 2) == Some(&RrType::OPT.0.to_be_bytes()[..]) {
            let (edns, options) = Edns::parse_fixed(record)?;
            if !are_options(options) || found.is_some() {
                return None;
            }
            found = Some(Edns::parse(record).unwrap_or(edns));
        }
    }
    found
}

/// Whether these octets are whole options.
fn are_options(mut options: &[u8]) -> bool {
    while let Some((head, rest)) = options.split_first_chunk::<OPTION_HEAD>() {
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([head[2], head[3]]))..) else { return false };
        options = rest;
    }
    options.is_empty()
}

/// The first record of `octets`, and what follows it.
fn split_record(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (fixed, data) = skip_name(octets)?.split_first_chunk::<RECORD_FIXED>()?;
    let end = octets.len() - data.len() + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    octets.split_at_checked(end)
}

/// What follows the name at the start of `octets`, which may be compressed.
pub(super) fn skip_name(octets: &[u8]) -> Option<&[u8]> {
    let mut labels = Labels(octets);
    labels.by_ref().for_each(drop);
    match labels.0.first()? {
        0 => labels.0.get(1..),
        0xc0.. => labels.0.get(2..),
        _ => None,
    }
}

/// What of EDNS is configured.
#[derive(Clone, Copy, Debug)]
pub struct WireOptions {
    /// The largest UDP response to a client with EDNS, octets.
    pub edns_udp_size: u16,
    /// The idle time-out of streams, which clients may ask for (RFC 7828), in its unit of 100 ms.
    pub tcp_keepalive: u16,
}

impl WireOptions {
    /// The largest response to a client, octets.
    pub fn limit(&self, edns: Option<&Edns>, is_datagram: bool) -> u16 {
        match edns {
            _ if !is_datagram => MAX_MESSAGE,
            Some(edns) => edns.payload.min(self.edns_udp_size).max(MIN_UDP),
            None => MIN_UDP,
        }
    }
}

/// What the OPT record of a response may hold. An option is sent to clients that ask for it.
#[derive(Clone, Copy, Debug)]
pub struct OptReply<'a> {
    /// The largest UDP message that we take, octets.
    pub payload: u16,
    /// NSID, where one is configured.
    pub nsid: Option<&'a [u8]>,
    /// The idle time-out in units of 100 ms, where the transport may tell it.
    pub keepalive: Option<u16>,
    /// Sent to every client with EDNS.
    pub errors: &'a [ExtendedError],
    /// Whether the transport is encrypted: elsewhere padding hides nothing.
    pub is_padded: bool,
}

impl OptReply<'_> {
    /// Octets that additional records leave to options. The same whichever of them a client asks for, so that its answer has
    /// the same records.
    pub fn reserved(&self) -> usize {
        let nsid = self.nsid.map_or(0, |nsid| OPTION_HEAD + nsid.len());
        let keepalive = self.keepalive.map_or(0, |_| OPTION_HEAD + KEEPALIVE_TIMEOUT);
        nsid + keepalive + min_ede_len(self.errors)
    }

    /// Appends the OPT record that answers `asked` to the message in `out`, which begins at `start` and must end at `end` at
    /// the latest. There has to be room for the record without options.
    pub(super) fn write(&self, asked: &Edns, rcode: Rcode, out: &mut Vec<u8>, start: usize, end: usize) {
        // RFC 3225 section 3: "The DO bit of the query MUST be copied in the response."
        let flags = if asked.dnssec_ok { DO } else { 0 };
        let [payload_high, payload_low] = self.payload.to_be_bytes();
        let rcode_high = (rcode as u16 >> 4) as u8;
        out.extend_from_slice(&[0, 0, 41, payload_high, payload_low, rcode_high, EDNS_VERSION, flags, 0, 0, 0]);
        let options = out.len();
        if let Some(nsid) = self.nsid.filter(|_| asked.wants_nsid) {
            write_if_it_fits(out, end, OptionCode::Nsid, nsid);
        }
        if let Some(timeout) = self.keepalive.filter(|_| asked.wants_keepalive) {
            write_if_it_fits(out, end, OptionCode::TcpKeepalive, &timeout.to_be_bytes());
        }
        self.write_errors(out, end);
        if self.is_padded && asked.wants_padding {
            write_padding(out, start, end);
        }
        // A message is no longer than 65,535 octets.
        let length = (out.len() - options) as u16;
        out[options - RDLENGTH..options].copy_from_slice(&length.to_be_bytes());
    }

    fn write_errors(&self, out: &mut Vec<u8>, end: usize) {
        let fit = fit_ede(end.saturating_sub(out.len()), self.errors);
        if fit == EdeFit::Nothing {
            return;
        }
        for error in self.errors {
            let text = if fit == EdeFit::WithTexts { error.text.as_bytes() } else { &[] };
            write_option_head(out, OptionCode::ExtendedError, INFO_CODE + text.len());
            out.extend_from_slice(&error.code.to_be_bytes());
            out.extend_from_slice(text);
        }
    }
}

fn write_if_it_fits(out: &mut Vec<u8>, end: usize, code: OptionCode, data: &[u8]) {
    if out.len() + OPTION_HEAD + data.len() <= end {
        write_option_head(out, code, data.len());
        out.extend_from_slice(data);
    }
}

/// Writes the last option, which makes the message a multiple of [`PADDING_BLOCK`], or as long as it may be.
fn write_padding(out: &mut Vec<u8>, start: usize, end: usize) {
    let length = (out.len() + OPTION_HEAD - start).next_multiple_of(PADDING_BLOCK);
    let padded = (start + length).min(end);
    if let Some(padding) = padded.checked_sub(out.len() + OPTION_HEAD) {
        write_option_head(out, OptionCode::Padding, padding);
        // RFC 7830 section 3: "The PADDING octets SHOULD be set to 0x00."
        out.resize(padded, 0);
    }
}

fn write_option_head(out: &mut Vec<u8>, code: OptionCode, length: usize) {
    out.extend_from_slice(&(code as u16).to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
}
