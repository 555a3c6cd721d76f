//! The options of the controllers and the kubelet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::addresses::Cidr;

/// The default of kube-controller-manager's `--max-endpoints-per-slice`.
pub const DEFAULT_MAX_ENDPOINTS_PER_SLICE: usize = 100;

/// Addresses of the nodes.
const NODE_CIDR: Cidr = Cidr::v4(Ipv4Addr::new(172, 18, 0, 0), 16);
const NODE_CIDR_V6: Cidr = Cidr::v6(Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, 0), 64);

/// The options of the controllers and the kubelet.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time from the creation of a Pod until it is Ready.
    pub pod_start_delay: Duration,
    /// Time from the deletion of a Pod until it is removed, or its grace period if that is shorter.
    pub pod_stop_delay: Duration,
    /// Delay of the EndpointSlice controller. Changes within one delay are written together.
    pub endpoint_slice_delay: Duration,
    /// Largest number of endpoints in one slice.
    pub max_endpoints_per_slice: usize,
    /// The range of Pod addresses. The default has eight million.
    pub pod_cidr: Cidr,
    /// The range of cluster IPs.
    pub service_cidr: Cidr,
    /// The IPv6 range of Pod addresses, used with `dual_stack`.
    pub pod_cidr_v6: Cidr,
    /// The IPv6 range of cluster IPs.
    pub service_cidr_v6: Cidr,
    /// Gives Pods, and Services that request it, IPv6 addresses in addition to IPv4 ones.
    pub dual_stack: bool,
    /// Names of the nodes that Pods are scheduled to, in turn.
    pub nodes: Vec<String>,
    /// Records Events of what happens to Pods and ReplicaSets.
    pub events: bool,
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
            events: true,
        }
    }
}

impl Options {
    /// The ranges of Pod addresses, the primary family first.
    pub(crate) fn pod_cidrs(&self) -> Vec<Cidr> {
        self.families(self.pod_cidr, self.pod_cidr_v6)
    }

    /// The addresses of the node at `index`, the primary family first.
    pub(crate) fn addresses_of_node(&self, index: usize) -> impl Iterator<Item = IpAddr> {
        self.families(NODE_CIDR, NODE_CIDR_V6).into_iter().map(move |cidr| cidr.nth(index as u128))
    }

    /// The address of the API in the network of the nodes, behind theirs.
    pub(crate) fn address_of_api(&self) -> IpAddr {
        NODE_CIDR.nth(self.nodes.len() as u128)
    }

    fn families(&self, v4: Cidr, v6: Cidr) -> Vec<Cidr> {
        if self.dual_stack { vec![v4, v6] } else { vec![v4] }
    }
}
