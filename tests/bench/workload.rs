//! What the benchmarks serve and ask: clusters of headless Services as objects, and the questions about them. The same at
//! every run.

use serde_json::{Value, json};

/// The zone that everything stands in.
pub const ZONE: &str = "cluster.local";
/// Where the Services are: the namespace that is there already.
const NAMESPACE: &str = "default";
/// Endpoints in a slice, as the controller of Kubernetes cuts them.
const SLICE: usize = 100;
/// Endpoints of the smallest Service: the fewest members that can elect one of them.
const LEAST_ENDPOINTS: usize = 3;
/// Where the addresses of endpoints begin, 10.0.0.1 and up.
const FIRST_ADDRESS: u32 = 0x0a00_0001;

/// Services of a cluster: name and number of endpoints.
pub struct Cluster(pub Vec<(String, usize)>);

impl Cluster {
    /// The cluster of `count` Services with 3 to `most` endpoints each.
    pub fn of_services(count: usize, most: usize) -> Self {
        let mut random = Random::default();
        Self((0..count).map(|i| (format!("db{i}"), random.between(LEAST_ENDPOINTS, most))).collect())
    }

    /// Services with so many endpoints, named `n` and their number.
    pub fn of_sizes(sizes: &[usize]) -> Self {
        Self(sizes.iter().map(|size| (format!("n{size}"), *size)).collect())
    }

    /// Services and EndpointSlices, the slices as a person would write them: no selector, no controller.
    pub fn objects(&self) -> Vec<Value> {
        let mut objects = Vec::new();
        let mut address = FIRST_ADDRESS;
        for (name, endpoints) in &self.0 {
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": NAMESPACE, "name": name},
                "spec": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]},
            }));
            for first in (0..*endpoints).step_by(SLICE) {
                let endpoint = |ordinal| {
                    let ip = std::net::Ipv4Addr::from(address + ordinal as u32);
                    json!({"addresses": [ip], "hostname": format!("{name}-{ordinal}"), "conditions": {"ready": true}})
                };
                objects.push(json!({
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "namespace": NAMESPACE,
                        "name": format!("{name}-{first}"),
                        "labels": {"kubernetes.io/service-name": name},
                    },
                    "addressType": "IPv4",
                    "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
                    "endpoints": (first..(first + SLICE).min(*endpoints)).map(endpoint).collect::<Vec<_>>(),
                }));
            }
            address += *endpoints as u32;
        }
        objects
    }

    /// `count` questions for the address of one endpoint each.
    pub fn ordinals(&self, count: usize) -> Vec<Asked> {
        self.ask(count, |_| Kind::Ordinal)
    }

    /// `count` questions as clients of StatefulSets mix them: 60 % for an endpoint, 15 % for all, 10 % for a type without
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

enum Kind {
    Ordinal,
    All,
    NoData,
    Absent,
}

/// One question, as text.
pub struct Asked {
    pub name: String,
    pub qtype: &'static str,
}

/// Numbers that look random and are the same each time (SplitMix64).
#[derive(Default)]
struct Random(u64);

impl Random {
    fn between(&mut self, least: usize, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        least + (bits % (most - least + 1) as u64) as usize
    }
}
