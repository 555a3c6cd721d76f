//! Numbers of the DNS: record types, classes, response codes, EDNS option codes, bits, lengths and limits.

use std::fmt;

/// A record type (RFC 1035 section 3.2.2 and successors).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RrType(pub u16);

impl RrType {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const PTR: Self = Self(12);
    pub const HINFO: Self = Self(13);
    pub const MX: Self = Self(15);
    pub const TXT: Self = Self(16);
    pub const AAAA: Self = Self(28);
    pub const SRV: Self = Self(33);
    pub const OPT: Self = Self(41);
    pub const IXFR: Self = Self(251);
    pub const AXFR: Self = Self(252);
    pub const ANY: Self = Self(255);
}

impl fmt::Display for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::A => "A",
            Self::NS => "NS",
            Self::CNAME => "CNAME",
            Self::SOA => "SOA",
            Self::PTR => "PTR",
            Self::HINFO => "HINFO",
            Self::MX => "MX",
            Self::TXT => "TXT",
            Self::AAAA => "AAAA",
            Self::SRV => "SRV",
            Self::OPT => "OPT",
            Self::IXFR => "IXFR",
            Self::AXFR => "AXFR",
            Self::ANY => "ANY",
            // RFC 3597 section 5.
            Self(other) => return write!(f, "TYPE{other}"),
        })
    }
}

impl fmt::Debug for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A class (RFC 1035 section 3.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(pub u16);

impl Class {
    pub const IN: Self = Self(1);
    pub const CH: Self = Self(3);
}

/// The response codes that the server gives. Those above 15 need an OPT record (RFC 6891 section 6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    NotAuth = 9,
    BadVers = 16,
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::NotAuth => "NOTAUTH",
            Self::BadVers => "BADVERS",
        })
    }
}

/// The EDNS options that the server reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum OptionCode {
    /// RFC 5001.
    Nsid = 3,
    /// edns-client-subnet, RFC 7871.
    ClientSubnet = 8,
    /// edns-tcp-keepalive, RFC 7828.
    TcpKeepalive = 11,
    /// RFC 7830.
    Padding = 12,
    /// Extended DNS Error, RFC 8914.
    ExtendedError = 15,
}

/// Bits of a header's third octet (RFC 1035 section 4.1.1).
pub const QR: u8 = 0x80;
pub const OPCODE: u8 = 0x78;
pub const AA: u8 = 0x04;
pub const TC: u8 = 0x02;
pub const RD: u8 = 0x01;
/// Bits of a header's fourth octet (RFC 1035 section 4.1.1, RFC 4035 section 3.2).
pub const RA: u8 = 0x80;
pub const AD: u8 = 0x20;
pub const CD: u8 = 0x10;
/// The DO bit, in the third of the four octets that are an OPT record's TTL (RFC 6891 section 6.1.4).
pub const DO: u8 = 0x80;

/// Octets of type and class after a question's name.
pub const TYPE_AND_CLASS: usize = 4;
/// Octets of an EDNS option's code and length (RFC 6891 section 6.1.2).
pub const OPTION_HEAD: usize = 4;
/// Octets of an OPT record before its options, the root owner included (RFC 6891 section 6.1.2).
pub const OPT_FIXED: usize = 11;
/// Octets of a message header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;
/// The most octets of a UDP response to a client without EDNS (RFC 1035 section 4.2.1).
pub const MIN_UDP: u16 = 512;
/// Our EDNS payload size unless configured: fits any path without fragments (DNS flag day 2020).
pub const DEFAULT_EDNS_UDP: u16 = 1232;
/// The most octets of any message, and of any response over a stream.
pub const MAX_MESSAGE: u16 = u16::MAX;
