//! The labels of the metrics. Each is an enum of all its values.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder};

use crate::dns::wire::Rcode;

/// A label: its name and all its values.
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
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $label { $( $(#[$value_doc])+ $value ),+ }

        label! { for $label $name { $( $value = $text ),+ } }
    };
    // A label that is an enum of another room.
    (for $label:ident $name:literal { $( $value:ident = $text:literal ),+ $(,)? }) => {
        impl $label {
            /// How many values there are.
            pub const COUNT: usize = <Self as Label>::ALL.len();

            /// The place of this value in an array of [`Self::COUNT`].
            pub const fn index(self) -> usize {
                enum Index { $( $value ),+ }
                match self { $( $label::$value => Index::$value as usize ),+ }
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
    /// The transport of a query.
    Transport "transport" {
        /// One query per datagram.
        Udp = "udp",
        /// Queries on a stream, each after its length.
        Tcp = "tcp",
        /// The same under TLS.
        Tls = "tls",
        /// One query per HTTP request.
        Https = "https",
        /// One query per QUIC stream.
        Quic = "quic",
    }
}

impl Transport {
    /// Whether a response has to fit into a packet.
    pub fn is_datagram(self) -> bool {
        self == Transport::Udp
    }

    /// Whether the transport is encrypted.
    pub fn is_encrypted(self) -> bool {
        !matches!(self, Transport::Udp | Transport::Tcp)
    }

    /// Whether a response may contain the TCP keepalive option (RFC 7828). HTTP has its own means, and over QUIC the option is
    /// an error (RFC 9250 section 5.5.2).
    pub fn has_keepalive(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }
}

label! {
    /// The address family of a client.
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
    /// The type of a query.
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
        /// All types.
        Any = "ANY",
        /// A type of which this server has no records.
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
    for Rcode "rcode" {
        NoError = "NOERROR",
        FormErr = "FORMERR",
        ServFail = "SERVFAIL",
        NxDomain = "NXDOMAIN",
        NotImp = "NOTIMP",
        Refused = "REFUSED",
        NotAuth = "NOTAUTH",
        BadVers = "BADVERS",
    }
}

label! {
    /// Why a packet got no response.
    DropReason "reason" {
        /// Shorter than a DNS header.
        TooShort = "too_short",
        /// A response instead of a query (QR=1).
        Response = "response",
        /// The response could not be sent.
        SendFailed = "send_failed",
        /// There was no room for the response in the kernel, or it would only have waited behind others.
        SendBufferFull = "send_buffer_full",
    }
}

label! {
    /// Why a query that the filters let through was not logged.
    TapDrop "reason" {
        /// There were more than `log_queries_rate` in that second.
        Rate = "rate",
        /// The log did not take them in time.
        Queue = "queue",
    }
}

label! {
    /// Why a connection was closed where a limit was reached.
    RejectReason "reason" {
        /// It was a new one, over `tcp_max_connections`.
        Total = "total_limit",
        /// It was a new one, over `tcp_max_connections_per_client`.
        Client = "client_limit",
        /// It was open, and gave way to a new one.
        Displaced = "displaced",
    }
}

label! {
    /// A watched resource, by its plural name in the API.
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
    /// Where the endpoints of a Service come from, as the DNS programming latency SLI of SIG Scalability distinguishes them.
    EndpointSource "service_kind" {
        /// The Service has a virtual address.
        ClusterIp = "cluster_ip",
        /// The Service selects Pods.
        HeadlessWithSelector = "headless_with_selector",
        /// Somebody writes EndpointSlices for the Service.
        HeadlessWithoutSelector = "headless_without_selector",
    }
}

label! {
    /// An event of a watch.
    WatchEvent "event" {
        /// A new or changed object.
        Apply = "apply",
        /// A deleted object.
        Delete = "delete",
        /// A complete list.
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
        /// 410: the requested version has been compacted.
        Gone = "gone",
        /// 429: too many requests.
        Throttled = "throttled",
        /// 5xx: the API server failed.
        Server = "server",
        /// The response could not be decoded.
        Malformed = "malformed",
        /// Any other.
        Other = "other",
    }
}

label! {
    /// What an answer from the cache says.
    CachedKind "type" {
        /// Records, or that there are none of a type.
        Success = "success",
        /// That a name does not exist, or that the upstreams cannot answer.
        Denial = "denial",
    }
}

label! {
    /// Why an upstream gave no response.
    FailureReason "reason" {
        /// None came in time.
        Timeout = "timeout",
        /// Nobody is there: no route, no listener, no TLS.
        Network = "network",
        /// It cannot be read.
        Malformed = "malformed",
    }
}

label! {
    /// How a zone was transferred.
    TransferForm "form" {
        /// As a whole.
        Axfr = "axfr",
        /// As the difference to the version that the secondary had.
        Ixfr = "ixfr",
        /// Not at all: the secondary had the newest version.
        Soa = "soa",
    }
}

label! {
    /// Why a zone was not transferred.
    TransferRejection "reason" {
        /// The client is not one of `transfer_clients`, or its request is not signed.
        Refused = "refused",
        /// There is no zone of that name.
        NotAuth = "not_auth",
        /// The first synchronisation is not complete.
        NotSynchronised = "not_synchronised",
        /// Too many transfers at a time.
        Busy = "busy",
        /// The signature is not accepted. Ordinary queries may have one too.
        BadSignature = "bad_signature",
    }
}

label! {
    /// What became of a notification.
    NotifyOutcome "outcome" {
        /// The secondary has answered.
        Answered = "answered",
        /// It answers with an error: it does not expect notifications from here, or not about this zone.
        Refused = "refused",
        /// It does not answer; it is notified again.
        Unanswered = "unanswered",
    }
}
