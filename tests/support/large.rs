//! The Service `db/big` of many endpoints, and a server that serves it.

use headless_dns::dns::wire::WireOptions;
use headless_dns::server;
use hickory_proto::op::{Edns, Message};

use crate::support::answering::big;
use crate::support::common::{LIMITS, Server, WIRE, options};

pub const BARE: &str = "big.db.svc.cluster.local.";
pub const PORT: &str = "_peer._tcp.big.db.svc.cluster.local.";

/// A server that knows `db/big`.
pub async fn server_with(endpoints: usize) -> Server {
    server_with_udp_size(endpoints, WIRE.edns_udp_size)
}

pub fn server_with_udp_size(endpoints: usize, edns_udp_size: u16) -> Server {
    let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port");
    let mut server = Server::answering(bound, options(), LIMITS, WireOptions { edns_udp_size, ..WIRE });
    server.apply(&big(endpoints));
    server.writer.set_synchronised();
    server
}

/// The octets of a query with this EDNS payload size, or without EDNS. hickory-proto would raise a size below 512, which is
/// what a test of such a size must send.
pub fn octets_with_payload(query: Message, size: Option<u16>) -> Vec<u8> {
    /// Octets of an OPT record without options behind its owner and type, where the size stands.
    const BEHIND_TYPE: usize = 8;
    let mut octets = with_payload(query, size).to_vec().expect("a message");
    if let Some(size) = size {
        let at = octets.len() - BEHIND_TYPE;
        octets[at..at + 2].copy_from_slice(&size.to_be_bytes());
    }
    octets
}

/// A query with this EDNS payload size, or without EDNS.
pub fn with_payload(mut query: Message, size: Option<u16>) -> Message {
    query.edns = size.map(|size| {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        edns
    });
    query
}
