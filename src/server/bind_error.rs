//! Why an address cannot be bound, and how to fix it.

use std::io;
use std::net::SocketAddr;

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({protocol}): {source}{}", advice(.source, .address, .flag))]
pub struct BindError {
    pub address: SocketAddr,
    pub protocol: &'static str,
    /// The flag that sets the address.
    pub(super) flag: &'static str,
    pub(super) source: io::Error,
}

fn advice(error: &io::Error, address: &SocketAddr, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "; another program has it (see: ss -lntup 'sport = :{}'), choose another with {flag}",
                address.port()
            )
        }
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            format!("; ports below 1024 need the capability NET_BIND_SERVICE, choose a higher one with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has the address".to_owned(),
        _ => String::new(),
    }
}
