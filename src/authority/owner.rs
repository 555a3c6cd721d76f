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
//!
//! In the public view, namespaces are below the origin itself, and there is nothing beside them.

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
/// The same in the public view.
const MOST_PUBLIC_LABELS: usize = 4;

pub const SVC: &[u8] = b"\x03svc";
const DNS: &[u8] = b"\x03dns";
const NS: &[u8] = b"\x02ns";
pub const DNS_VERSION: &[u8] = b"\x0bdns-version";

impl<'q> OwnerName<'q> {
    /// Parses the part of a name in front of the zone: lower-case labels in wire form.
    pub fn parse(relative: &'q [u8]) -> Self {
        let mut places = [&[][..]; MOST_LABELS];
        let Some(labels) = labels(relative, &mut places) else { return Self::Other };
        match *labels {
            [] => Self::Apex,
            [DNS_VERSION] => Self::DnsVersion,
            [DNS] => Self::Dns,
            [NS, DNS] => Self::NameServer,
            [SVC] => Self::Svc,
            [ref below @ .., SVC] => Self::of_service(below, &relative[..relative.len() - SVC.len()]),
            _ => Self::Other,
        }
    }

    /// Parses the part of a name in front of the origin of the public view.
    pub fn parse_public(relative: &'q [u8]) -> Self {
        let mut places = [&[][..]; MOST_PUBLIC_LABELS];
        let Some(labels) = labels(relative, &mut places) else { return Self::Other };
        match *labels {
            [] => Self::Apex,
            ref below => Self::of_service(below, relative),
        }
    }

    /// Parses what stands in front of the name that namespaces are below.
    fn of_service(labels: &[&'q [u8]], relative: &'q [u8]) -> Self {
        // The labels from `first` on.
        let from = |first: usize| {
            let skipped: usize = labels[..first].iter().map(|label| label.len()).sum();
            &relative[skipped..]
        };
        match *labels {
            [namespace] => Self::Namespace(namespace),
            [_, _] => Self::Service(from(0)),
            [protocol, _, _] if is_underscored(protocol) => Self::Protocol { service: from(1), protocol },
            [host, _, _] => Self::Host { service: from(1), host },
            [port, protocol, _, _] if is_underscored(port) && is_underscored(protocol) => {
                Self::Port { service: from(2), port: &relative[..port.len() + protocol.len()] }
            }
            _ => Self::Other,
        }
    }
}

/// The labels of a relative name, put in these places; None if it has more.
fn labels<'p, 'q>(relative: &'q [u8], places: &'p mut [&'q [u8]]) -> Option<&'p [&'q [u8]]> {
    let mut count = 0;
    for label in Labels(relative) {
        *places.get_mut(count)? = label;
        count += 1;
    }
    places.get(..count)
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
        let parse_public = |text: &str| {
            let wire = if text.is_empty() { Vec::new() } else { Name::parse(text).unwrap().as_wire().to_vec() };
            format!("{:?}", OwnerName::parse_public(wire.strip_suffix(&[0]).unwrap_or_default()))
        };
        assert_eq!(parse_public(""), "Apex");
        for name in ["db", "pg.db", "pg-0.pg.db", "_tcp.pg.db", "_sql._tcp.pg.db", "x.y.pg.db", "a.b.c.pg.db"] {
            assert_eq!(parse_public(name), parse(&format!("{name}.svc")), "{name} is what it is below svc");
        }
        for name in ["dns-version", "dns", "svc"] {
            assert!(parse_public(name).starts_with("Namespace("), "{name} can be a namespace");
        }
        for half in ["_sql.x.pg.db.svc", "sql._tcp.pg.db.svc"] {
            assert_eq!(parse(half), "Other", "{half}: both labels have the underscore");
        }
    }
}
