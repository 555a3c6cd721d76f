//! What the benches serve and ask: clusters of headless Services as objects, and queries about them. The same in every run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use serde_json::{Value, json};

use super::dns;

/// The zone of all names.
pub const ZONE: &str = "cluster.local";
/// The namespace of the Services, which the sandbox has from its start.
const NAMESPACE: &str = "default";
/// Endpoints per slice, the default of the EndpointSlice controller.
const SLICE: usize = 100;
/// Endpoints of the smallest Service: the smallest quorum.
const LEAST_ENDPOINTS: usize = 3;
/// The first endpoint's address, 10.0.0.1.
const FIRST_ADDRESS: u32 = 0x0a00_0001;
/// And fd00::1.
const FIRST_ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// Services of a cluster: name and number of endpoints.
pub struct Cluster(pub Vec<(String, usize)>);

impl Cluster {
    /// The cluster of `count` Services with 3 to `most` endpoints each.
    pub fn of_services(count: usize, most: usize) -> Self {
        let mut random = Random::default();
        Self((0..count).map(|i| (format!("db{i}"), random.between(LEAST_ENDPOINTS, most))).collect())
    }

    /// One Service of each size, named `n` and the number of its endpoints.
    pub fn of_sizes(sizes: &[usize]) -> Self {
        Self(sizes.iter().map(|size| (format!("n{size}"), *size)).collect())
    }

    /// Services without selectors, each followed by its EndpointSlices, made one after the other.
    pub fn objects(&self) -> impl Iterator<Item = Value> {
        let mut address = FIRST_ADDRESS;
        self.0.iter().flat_map(move |(name, endpoints)| {
            let first_address = address;
            address += *endpoints as u32;
            let slices = slices(name, *endpoints, Ipv4Addr::from(first_address).into());
            std::iter::once(service(name)).chain(slices)
        })
    }

    /// `count` queries for the address of one endpoint each.
    pub fn ordinals(&self, count: usize) -> Vec<Asked> {
        self.ask(count, |_| Kind::Ordinal)
    }

    /// `count` queries for the addresses of all endpoints of a Service.
    pub fn bare_names(&self, count: usize) -> Vec<Asked> {
        self.ask(count, |_| Kind::All)
    }

    /// `count` queries for the name of one endpoint's address each.
    pub fn reverse_names(&self, count: usize) -> Vec<Asked> {
        let mut random = Random::default();
        let endpoints: usize = self.0.iter().map(|(_, endpoints)| endpoints).sum();
        let mut ask = || {
            let address = FIRST_ADDRESS + random.between(0, endpoints - 1) as u32;
            // The octets of the name are those of the address in reverse order (RFC 1035 section 3.5).
            Asked { name: format!("{}.in-addr.arpa", Ipv4Addr::from(address.swap_bytes())), qtype: "PTR" }
        };
        (0..count).map(|_| ask()).collect()
    }

    /// `count` queries as clients of StatefulSets mix them: 60 % for an endpoint, 15 % for all, 10 % for a type without
    /// records, 15 % for an endpoint that does not exist.
    pub fn mix(&self, count: usize) -> Vec<Asked> {
        self.ask(count, |percent| match percent {
            0..60 => Kind::Ordinal,
            60..75 => Kind::All,
            75..85 => Kind::NoData,
            _ => Kind::Absent,
        })
    }

    fn ask(&self, count: usize, kind: impl Fn(usize) -> Kind) -> Vec<Asked> {
        let mut random = Random::default();
        let mut ask = || {
            let (service, endpoints) = &self.0[random.between(0, self.0.len() - 1)];
            let ordinal = random.between(0, endpoints - 1);
            let below = format!("{service}.{NAMESPACE}.svc.{ZONE}");
            match kind(random.between(0, 99)) {
                Kind::Ordinal => Asked { name: format!("{service}-{ordinal}.{below}"), qtype: "A" },
                Kind::All => Asked { name: below, qtype: "A" },
                Kind::NoData => Asked { name: format!("{service}-{ordinal}.{below}"), qtype: "AAAA" },
                Kind::Absent => Asked { name: format!("{service}-{}.{below}", endpoints + ordinal), qtype: "A" },
            }
        };
        (0..count).map(|_| ask()).collect()
    }
}

/// A Service without a selector whose endpoints have an address of either family, and its EndpointSlices.
pub fn dual_stack(name: &str, endpoints: usize) -> impl Iterator<Item = Value> {
    let families = [IpAddr::from(Ipv4Addr::from(FIRST_ADDRESS)), IpAddr::from(FIRST_ADDRESS_V6)];
    let slices = families.into_iter().flat_map(move |address| slices(name, endpoints, address));
    std::iter::once(service(name)).chain(slices)
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]},
    })
}

/// The slices of a Service for one family of addresses; its ordinal 0 has this one.
fn slices(service: &str, endpoints: usize, address: IpAddr) -> impl Iterator<Item = Value> {
    (0..endpoints).step_by(SLICE).map(move |first| slice(service, first..(first + SLICE).min(endpoints), address))
}

fn slice(service: &str, ordinals: Range<usize>, address: IpAddr) -> Value {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let name = format!("{service}-{}-{}", family.to_lowercase(), ordinals.start);
    let endpoint = |ordinal| {
        let ip = match address {
            IpAddr::V4(first) => IpAddr::from(Ipv4Addr::from(u32::from(first) + ordinal as u32)),
            IpAddr::V6(first) => IpAddr::from(Ipv6Addr::from(u128::from(first) + ordinal as u128)),
        };
        json!({"addresses": [ip], "hostname": format!("{service}-{ordinal}"), "conditions": {"ready": true}})
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAMESPACE,
            "name": name,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": family,
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": ordinals.map(endpoint).collect::<Vec<_>>(),
    })
}

enum Kind {
    Ordinal,
    All,
    NoData,
    Absent,
}

/// One query, as text.
pub struct Asked {
    pub name: String,
    pub qtype: &'static str,
}

impl Asked {
    pub fn packet(&self) -> Vec<u8> {
        let qtype = match self.qtype {
            "AAAA" => dns::AAAA,
            "PTR" => dns::PTR,
            _ => dns::A,
        };
        dns::query(&self.name, qtype)
    }
}

/// Pseudo-random numbers, the same in each run (SplitMix64).
#[derive(Default)]
pub struct Random(u64);

impl Random {
    /// A number from `least` to `most`.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        least + (bits % (most - least + 1) as u64) as usize
    }
}
