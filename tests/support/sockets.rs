//! The kernel's view of a server's connections.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

/// Connections of this server to whose clients octets are still to be delivered, those included that no process has any more
/// (proc_net_tcp(5)).
pub fn undelivered(server: SocketAddr) -> usize {
    /// Not octets but the end of the stream.
    const END: usize = 1;
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let SocketAddr::V4(server) = server else { panic!("{server} is not in this table") };
    // With its address: a client of another server may have the same port.
    let server = format!("{:08X}:{:04X}", u32::from_ne_bytes(server.ip().octets()), server.port());
    let client_of = |line: &str| {
        let [_, local, remote, _, queues, ..] = *line.split_whitespace().collect::<Vec<_>>() else { return None };
        let octets = usize::from_str_radix(queues.split_once(':')?.0, 16).ok()?;
        (local == server && octets > END).then(|| remote.to_owned())
    };
    // The table is read in parts, and what changes meanwhile may make a line appear twice.
    table.lines().filter_map(client_of).collect::<BTreeSet<_>>().len()
}
