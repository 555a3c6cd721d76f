//! Which queries are logged.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::dns::name::{Name, strip_suffix};
use crate::dns::wire::Rcode;

/// The response codes that this server gives.
const RCODES: [Rcode; 8] = [
    Rcode::NoError,
    Rcode::FormErr,
    Rcode::ServFail,
    Rcode::NxDomain,
    Rcode::NotImp,
    Rcode::Refused,
    Rcode::NotAuth,
    Rcode::BadVers,
];

/// What a query has to have: `all` for nothing, `name=NAME` for a name at or below one, `client=NETWORK`, `rcode=RCODE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryFilter {
    All,
    Name(Name),
    Client(IpNet),
    Rcode(Rcode),
}

impl QueryFilter {
    /// Reads a filter as it is configured.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        match text.split_once('=')? {
            ("name", name) => Name::parse(name).ok().map(Self::Name),
            ("client", network) => {
                let alone = || network.parse::<IpAddr>().ok().map(IpNet::from);
                network.parse().ok().or_else(alone).map(Self::Client)
            }
            ("rcode", rcode) => {
                RCODES.into_iter().find(|known| known.to_string().eq_ignore_ascii_case(rcode)).map(Self::Rcode)
            }
            _ => None,
        }
    }
}

impl fmt::Display for QueryFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Name(name) => write!(f, "name={name}"),
            Self::Client(network) => write!(f, "client={network}"),
            Self::Rcode(rcode) => write!(f, "rcode={rcode}"),
        }
    }
}

/// Filters by their kinds: of each kind that there is, one has to fit.
#[derive(Debug, Default)]
pub(super) struct Filters {
    names: Vec<Name>,
    clients: Vec<IpNet>,
    rcodes: Vec<Rcode>,
}

impl Filters {
    pub fn new(filters: &[QueryFilter]) -> Self {
        let mut sorted = Self::default();
        for filter in filters {
            match filter {
                QueryFilter::All => {}
                QueryFilter::Name(name) => sorted.names.push(name.clone()),
                QueryFilter::Client(network) => sorted.clients.push(*network),
                QueryFilter::Rcode(rcode) => sorted.rcodes.push(*rcode),
            }
        }
        sorted
    }

    /// Whether what is known without reading the query fits.
    pub fn fit(&self, client: IpAddr, rcode: Rcode) -> bool {
        let client = client.to_canonical();
        (self.rcodes.is_empty() || self.rcodes.contains(&rcode))
            && (self.clients.is_empty() || self.clients.iter().any(|network| network.contains(&client)))
    }

    /// Whether a name in lower-case wire form fits.
    pub fn fit_name(&self, name: &[u8]) -> bool {
        self.names.is_empty() || self.names.iter().any(|zone| strip_suffix(name, zone.as_wire()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_they_are_written() {
        for text in ["all", "name=db.svc.cluster.local.", "client=10.0.0.0/8", "client=fd00::/8", "rcode=NXDOMAIN"] {
            assert_eq!(QueryFilter::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(QueryFilter::parse("client=10.0.0.7").expect("one").to_string(), "client=10.0.0.7/32");
        assert_eq!(QueryFilter::parse("rcode=servfail"), Some(QueryFilter::Rcode(Rcode::ServFail)));
        for text in ["", "ALL", "name", "name=a..b", "client=10.0.0.0/33", "rcode=4", "type=A"] {
            assert_eq!(QueryFilter::parse(text), None, "{text}");
        }
    }

    #[test]
    fn of_each_kind_one_filter_has_to_fit() {
        let fits = |filters: &[&str], name: &str, client: &str, rcode| {
            let parsed: Vec<_> = filters.iter().map(|text| QueryFilter::parse(text).expect("a filter")).collect();
            let (filters, name) = (Filters::new(&parsed), Name::parse(name).expect("a name"));
            filters.fit(client.parse().expect("an address"), rcode) && filters.fit_name(name.as_wire())
        };
        let all = ["name=db.example", "name=web.example", "client=10.0.0.0/8", "rcode=NXDOMAIN", "rcode=SERVFAIL"];
        assert!(fits(&all, "pg.db.example", "10.0.0.7", Rcode::NxDomain));
        assert!(fits(&all, "web.example", "::ffff:10.0.0.7", Rcode::ServFail));
        assert!(!fits(&all, "xdb.example", "10.0.0.7", Rcode::NxDomain), "another name");
        assert!(!fits(&all, "db.example", "192.0.2.1", Rcode::NxDomain), "another client");
        assert!(!fits(&all, "db.example", "10.0.0.7", Rcode::NoError), "another code");
        assert!(fits(&["all"], "anything", "192.0.2.1", Rcode::Refused));
        assert!(fits(&["client=192.0.2.1"], "anything", "192.0.2.1", Rcode::NoError));
    }
}
