//! Where an upstream is, as it is configured: `10.96.0.10`, `10.96.0.10:5353`, `[fd00::a]:53`, `tcp://10.96.0.10`,
//! `tls://9.9.9.9#dns.quad9.net`, or a file in the format of resolv.conf(5).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The port of DNS over UDP and TCP (RFC 1035 section 4.2), and that of DNS over TLS (RFC 7858 section 3.1).
const PORT: u16 = 53;
const TLS_PORT: u16 = 853;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardTo {
    Server(UpstreamAddress),
    /// Those that a file names; it is read anew when it changes.
    File(PathBuf),
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    pub socket: SocketAddr,
    pub protocol: Protocol,
}

/// How an upstream is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Over UDP, and over TCP what does not fit.
    Udp,
    /// Over TCP alone.
    Tcp,
    /// Over TLS; its certificate must be for this name.
    Tls(String),
}

impl ForwardTo {
    /// Reads an element of the configuration. None if it is no such thing.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::File(text.into()));
        }
        UpstreamAddress::parse(text).map(Self::Server)
    }
}

impl fmt::Display for ForwardTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(address) => write!(f, "{address}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl UpstreamAddress {
    fn parse(text: &str) -> Option<Self> {
        let (protocol, place) = if let Some(rest) = text.strip_prefix("tls://") {
            let (place, name) = rest.split_once('#')?;
            rustls::pki_types::ServerName::try_from(name).ok()?;
            (Protocol::Tls(name.to_owned()), place)
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            (Protocol::Tcp, rest)
        } else {
            (Protocol::Udp, text)
        };
        let port = if matches!(protocol, Protocol::Tls(_)) { TLS_PORT } else { PORT };
        let socket = place.parse().ok().or_else(|| Some(SocketAddr::new(bare_address(place)?, port)))?;
        let is_usable = !socket.ip().is_unspecified() && !socket.ip().is_multicast() && socket.port() != 0;
        is_usable.then_some(Self { socket, protocol })
    }

    /// The server of a `nameserver` line.
    pub(in crate::resolver) fn plain(address: IpAddr) -> Self {
        Self { socket: SocketAddr::new(address, PORT), protocol: Protocol::Udp }
    }
}

/// An address without a port; that of IPv6 may stand in brackets.
fn bare_address(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inside.unwrap_or(text).parse().ok()
}

impl fmt::Display for UpstreamAddress {
    /// As it is configured, without the port where that is the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = match self.protocol {
            Protocol::Udp => ("", PORT),
            Protocol::Tcp => ("tcp://", PORT),
            Protocol::Tls(_) => ("tls://", TLS_PORT),
        };
        f.write_str(scheme)?;
        if self.socket.port() == usual { write!(f, "{}", self.socket.ip()) } else { write!(f, "{}", self.socket) }?;
        if let Protocol::Tls(name) = &self.protocol { write!(f, "#{name}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_address_with_or_without_port_and_scheme() {
        for (text, socket) in [
            ("10.96.0.10", "10.96.0.10:53"),
            ("10.96.0.10:5353", "10.96.0.10:5353"),
            ("fd00::a", "[fd00::a]:53"),
            ("[fd00::a]:5353", "[fd00::a]:5353"),
            ("tcp://10.96.0.10", "10.96.0.10:53"),
            ("tls://9.9.9.9#dns.quad9.net", "9.9.9.9:853"),
            ("tls://[fd00::a]:8853#dns.example", "[fd00::a]:8853"),
        ] {
            let parsed = ForwardTo::parse(text).unwrap();
            assert!(matches!(&parsed, ForwardTo::Server(it) if it.socket == socket.parse().unwrap()), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!(ForwardTo::parse("/etc/resolv.conf"), Some(ForwardTo::File("/etc/resolv.conf".into())));
        for text in
            ["", "dns.example", "tls://9.9.9.9", "tls://9.9.9.9#", "udp://1.1.1.1", "0.0.0.0", "1.1.1.1:0", "224.0.0.1"]
        {
            assert_eq!(ForwardTo::parse(text), None, "{text}");
        }
    }
}
