//! The grammar of owner names: what a name below a zone can mean. Does not know which names exist.
//!
//! ```text
//! ZONE                                          the apex
//! dns-version.ZONE                              the schema's version
//! ns.dns.ZONE                                   the name server
//! svc.ZONE
//!     NAMESPACE.svc.ZONE
//!         SERVICE.NAMESPACE.svc.ZONE            the bare name
//!             HOST.SERVICE.NAMESPACE.svc.ZONE   an endpoint
//!             _PROTOCOL.SERVICE.…               what is above its ports
//!                 _PORT._PROTOCOL.SERVICE.…     a port
//! ```

use crate::dns::name::Labels;

/// What a name means, by its form. Slices are labels in wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerName<'q> {
    Apex,
    DnsVersion,
    /// `dns.ZONE`, above the name server.
    Dns,
    NameServer,
    Svc,
    Namespace(&'q [u8]),
    /// `service.namespace`.
    Service(&'q [u8]),
    Host {
        service: &'q [u8],
        host: &'q [u8],
    },
    Protocol {
        service: &'q [u8],
        protocol: &'q [u8],
    },
    Port {
        service: &'q [u8],
        port: &'q [u8],
    },
    /// No name of this form exists.
    Other,
}

/// The labels of the longest form, `_port._protocol.service.namespace.svc`.
const MOST_LABELS: usize = 5;

pub const SVC: &[u8] = b"\x03svc";
const DNS: &[u8] = b"\x03dns";
const NS: &[u8] = b"\x02ns";
pub const DNS_VERSION: &[u8] = b"\x0bdns-version";

impl<'q> OwnerName<'q> {
    /// Parses the part of a name in front of the zone: lower-case labels in wire form.
    pub fn parse(relative: &'q [u8]) -> Self {
        let mut labels = [&[][..]; MOST_LABELS];
        let mut count = 0;
        for label in Labels(relative) {
            let Some(place) = labels.get_mut(count) else { return Self::Other };
            *place = label;
            count += 1;
        }
        // The part of `relative` that is the labels from `first` up to, not including, `svc`.
        let from = |first: usize| {
            let skipped: usize = labels[..first].iter().map(|label| label.len()).sum();
            &relative[skipped..relative.len() - SVC.len()]
        };
        match labels[..count] {
            [] => Self::Apex,
            [DNS_VERSION] => Self::DnsVersion,
            [DNS] => Self::Dns,
            [NS, DNS] => Self::NameServer,
            [SVC] => Self::Svc,
            [namespace, SVC] => Self::Namespace(namespace),
            [_, _, SVC] => Self::Service(from(0)),
            [protocol, _, _, SVC] if is_underscored(protocol) => Self::Protocol { service: from(1), protocol },
            [host, _, _, SVC] => Self::Host { service: from(1), host },
            [port, protocol, _, _, SVC] if is_underscored(port) && is_underscored(protocol) => {
                Self::Port { service: from(2), port: &relative[..port.len() + protocol.len()] }
            }
            _ => Self::Other,
        }
    }
}

/// The labels of the name server.
pub const NS_DNS: &[u8] = b"\x02ns\x03dns";

/// Whether labels in front of a Service's name make a name that is read as a host's or a port's, or none are.
pub fn is_own(labels: &[u8]) -> bool {
    let mut each = Labels(labels);
    match (each.next(), each.next(), each.next()) {
        (None, ..) => true,
        (Some(host), None, _) => !is_underscored(host),
        (Some(port), Some(protocol), None) => is_underscored(port) && is_underscored(protocol),
        _ => false,
    }
}

/// Host names hold no underscore, service labels begin with one (RFC 2782).
fn is_underscored(label: &[u8]) -> bool {
    label.get(1) == Some(&b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::Name;

    #[test]
    fn every_form_of_owner_name_is_told_apart() {
        let parse = |text: &str| {
            let wire = if text.is_empty() { Vec::new() } else { Name::parse(text).unwrap().as_wire().to_vec() };
            format!("{:?}", OwnerName::parse(wire.strip_suffix(&[0]).unwrap_or_default()))
        };
        let service = format!("{:?}", b"\x02pg\x02db");
        assert_eq!(parse(""), "Apex");
        assert_eq!(parse("dns-version"), "DnsVersion");
        assert_eq!(parse("dns"), "Dns");
        assert_eq!(parse("ns.dns"), "NameServer");
        assert_eq!(parse("svc"), "Svc");
        assert_eq!(parse("db.svc"), format!("Namespace({:?})", b"\x02db"));
        assert_eq!(parse("pg.db.svc"), format!("Service({service})"));
        assert_eq!(parse("pg-0.pg.db.svc"), format!("Host {{ service: {service}, host: {:?} }}", b"\x04pg-0"));
        assert_eq!(parse("_tcp.pg.db.svc"), format!("Protocol {{ service: {service}, protocol: {:?} }}", b"\x04_tcp"));
        assert_eq!(
            parse("_sql._tcp.pg.db.svc"),
            format!("Port {{ service: {service}, port: {:?} }}", b"\x04_sql\x04_tcp")
        );
        for other in ["nope", "x.dns", "db.pod", "x.y.pg.db.svc", "a.b.c.pg.db.svc", "a.b.c.d.e.f.svc"] {
            assert_eq!(parse(other), "Other", "{other}");
        }
        for half in ["_sql.x.pg.db.svc", "sql._tcp.pg.db.svc"] {
            assert_eq!(parse(half), "Other", "{half}: both labels have the underscore");
        }
    }
}
