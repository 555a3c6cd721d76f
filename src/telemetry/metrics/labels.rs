//! The labels of the metrics. Each is an enum of all its values: what is not in here cannot be counted.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder};
use std::fmt;

/// One label: its name, and every value that it may have.
pub trait Label: Copy + fmt::Debug + 'static {
    /// The name.
    const NAME: &'static str;
    /// Every value, in the order of their indices.
    const ALL: &'static [Self];

    /// The value as Prometheus sees it.
    fn as_str(self) -> &'static str;
}

macro_rules! label {
    ($(#[$doc:meta])+ $label:ident $name:literal {
        $( $(#[$value_doc:meta])+ $value:ident = $text:literal ),+ $(,)?
    }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $label { $( $(#[$value_doc])+ $value ),+ }

        impl $label {
            /// How many values there are.
            pub const COUNT: usize = <Self as Label>::ALL.len();

            /// The place of this value in an array of [`Self::COUNT`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl Label for $label {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[ $( $label::$value ),+ ];

            fn as_str(self) -> &'static str {
                match self { $( $label::$value => $text ),+ }
            }
        }

        impl EncodeLabelValue for $label {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }

        impl EncodeLabelSet for $label {
            fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelSet::encode(&[($name, self.as_str())], encoder)
            }
        }
    };
}

label! {
    /// How a question came in.
    Transport "transport" {
        /// One question a datagram.
        Udp = "udp",
        /// Questions with a length before each, on a stream.
        Tcp = "tcp",
        /// The same under TLS.
        Tls = "tls",
        /// One question an HTTP request.
        Https = "https",
        /// One question a QUIC stream.
        Quic = "quic",
    }
}

impl Transport {
    /// Whether an answer has to fit into a packet.
    pub fn is_datagram(self) -> bool {
        self == Transport::Udp
    }

    /// Whether the client may be told how long a connection is kept (RFC 7828). HTTP has means of its own, and over QUIC
    /// the option is an error (RFC 9250 section 5.5.2).
    pub fn has_keepalive(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }
}

label! {
    /// The address family a question came in by.
    Family "family" {
        /// IPv4, and IPv4 mapped into IPv6.
        Ipv4 = "ipv4",
        /// IPv6.
        Ipv6 = "ipv6",
    }
}

impl From<std::net::IpAddr> for Family {
    fn from(address: std::net::IpAddr) -> Self {
        if address.to_canonical().is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }
}

label! {
    /// The type that a question asks for.
    QueryType "type" {
        /// An IPv4 address.
        A = "A",
        /// An IPv6 address.
        Aaaa = "AAAA",
        /// A service's endpoints with ports.
        Srv = "SRV",
        /// The name of an address.
        Ptr = "PTR",
        /// An alias.
        Cname = "CNAME",
        /// A zone's start of authority.
        Soa = "SOA",
        /// A zone's name servers.
        Ns = "NS",
        /// Text, such as the schema version.
        Txt = "TXT",
        /// Whatever there is.
        Any = "ANY",
        /// A type that this server holds no records of.
        Other = "other",
    }
}

impl From<u16> for QueryType {
    /// From the number of the type, as registered with IANA.
    fn from(number: u16) -> Self {
        match number {
            1 => QueryType::A,
            2 => QueryType::Ns,
            5 => QueryType::Cname,
            6 => QueryType::Soa,
            12 => QueryType::Ptr,
            16 => QueryType::Txt,
            28 => QueryType::Aaaa,
            33 => QueryType::Srv,
            255 => QueryType::Any,
            _ => QueryType::Other,
        }
    }
}

label! {
    /// The response code of an answer.
    Rcode "rcode" {
        /// Fine.
        NoError = "NOERROR",
        /// The question was garbled.
        FormErr = "FORMERR",
        /// The server cannot say at present.
        ServFail = "SERVFAIL",
        /// There is no such name.
        NxDomain = "NXDOMAIN",
        /// Not an operation of this server.
        NotImp = "NOTIMP",
        /// Not a zone of this server.
        Refused = "REFUSED",
        /// Not a version of EDNS of this server.
        BadVers = "BADVERS",
        /// Any further one.
        Other = "other",
    }
}

impl From<u16> for Rcode {
    /// From the number of the response code with its extended bits, as registered with IANA.
    fn from(number: u16) -> Self {
        match number {
            0 => Rcode::NoError,
            1 => Rcode::FormErr,
            2 => Rcode::ServFail,
            3 => Rcode::NxDomain,
            4 => Rcode::NotImp,
            5 => Rcode::Refused,
            16 => Rcode::BadVers,
            _ => Rcode::Other,
        }
    }
}

label! {
    /// Why a packet got no answer.
    DropReason "reason" {
        /// Shorter than a DNS header.
        TooShort = "too_short",
        /// A response, not a question (QR=1).
        Response = "response",
        /// The answer could not be sent.
        SendFailed = "send_failed",
    }
}

label! {
    /// Why a TCP connection was closed unserved.
    RejectReason "reason" {
        /// All clients together had as many as may be.
        Total = "total_limit",
        /// This client had as many as it may have.
        Client = "client_limit",
    }
}

label! {
    /// A kind of object that is watched.
    Resource "resource" {
        /// Services.
        Services = "services",
        /// EndpointSlices.
        EndpointSlices = "endpointslices",
        /// Pods.
        Pods = "pods",
    }
}

label! {
    /// How a Service comes by its endpoints, as the SIG-Scalability SLI tells them apart.
    ServiceKind "service_kind" {
        /// By its virtual address.
        ClusterIp = "cluster_ip",
        /// From Pods that it selects.
        HeadlessWithSelector = "headless_with_selector",
        /// From slices that somebody writes.
        HeadlessWithoutSelector = "headless_without_selector",
    }
}

label! {
    /// What a watch delivered.
    WatchEvent "event" {
        /// An object that is new or different.
        Apply = "apply",
        /// An object that is gone.
        Delete = "delete",
        /// Everything anew.
        Relist = "relist",
    }
}

label! {
    /// Why a watch failed.
    WatchErrorReason "reason" {
        /// 403: the role lacks a verb.
        Forbidden = "forbidden",
        /// 401: the credentials are not accepted.
        Unauthorized = "unauthorized",
        /// No connection, or it broke.
        Unreachable = "unreachable",
        /// 410: the version asked for is compacted away.
        Gone = "gone",
        /// 429: asked to slow down.
        Throttled = "throttled",
        /// 5xx: the API server has troubles of its own.
        Server = "server",
        /// What came was not what was asked for.
        Malformed = "malformed",
        /// Any further one.
        Other = "other",
    }
}
