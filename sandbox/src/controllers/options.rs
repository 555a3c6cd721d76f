//! What the controllers can be told.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::addresses::Cidr;

/// Endpoints in one slice at most: the EndpointSlice controller's default of `--max-endpoints-per-slice`.
pub const DEFAULT_MAX_ENDPOINTS_PER_SLICE: usize = 100;

/// Where the pretend nodes have their addresses.
const NODE_CIDR: Cidr = Cidr::v4(Ipv4Addr::new(172, 18, 0, 0), 16);
const NODE_CIDR_V6: Cidr = Cidr::v6(Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, 0), 64);

/// How the sandbox's controllers behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// From a Pod's creation to its being Ready.
    pub pod_start_delay: Duration,
    /// From a Pod's deletion to its being gone; a shorter grace period wins.
    pub pod_stop_delay: Duration,
    /// How far the EndpointSlice controller lags behind the Pods. Changes that fall into one lag are written at its end.
    pub endpoint_slice_delay: Duration,
    pub max_endpoints_per_slice: usize,
    /// The range of Pod addresses. The default has room for eight million.
    pub pod_cidr: Cidr,
    pub service_cidr: Cidr,
    /// Used where `dual_stack` is on.
    pub pod_cidr_v6: Cidr,
    pub service_cidr_v6: Cidr,
    /// Gives Pods an IPv6 address beside the IPv4 one, and Services that ask for it too.
    pub dual_stack: bool,
    /// Names of the nodes that Pods are placed on, in turn.
    pub nodes: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pod_start_delay: Duration::from_millis(50),
            pod_stop_delay: Duration::from_millis(50),
            endpoint_slice_delay: Duration::ZERO,
            max_endpoints_per_slice: DEFAULT_MAX_ENDPOINTS_PER_SLICE,
            pod_cidr: Cidr::v4(Ipv4Addr::new(10, 128, 0, 0), 9),
            service_cidr: Cidr::v4(Ipv4Addr::new(10, 96, 0, 0), 12),
            pod_cidr_v6: Cidr::v6(Ipv6Addr::new(0xfd00, 0x10, 0x128, 0, 0, 0, 0, 0), 64),
            service_cidr_v6: Cidr::v6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 108),
            dual_stack: false,
            nodes: ["node-a", "node-b", "node-c"].map(str::to_owned).to_vec(),
        }
    }
}

impl Options {
    /// The ranges of Pod addresses, the primary family first.
    pub fn pod_cidrs(&self) -> Vec<Cidr> {
        self.families(self.pod_cidr, self.pod_cidr_v6)
    }

    /// The ranges of node addresses, the primary family first.
    pub fn node_cidrs(&self) -> Vec<Cidr> {
        self.families(NODE_CIDR, NODE_CIDR_V6)
    }

    fn families(&self, v4: Cidr, v6: Cidr) -> Vec<Cidr> {
        if self.dual_stack { vec![v4, v6] } else { vec![v4] }
    }
}
