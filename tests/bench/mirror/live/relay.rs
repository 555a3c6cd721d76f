//! A server as it would be without rule D7: between it and a cache, a TTL of zero in a denial becomes a second.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::support::dns;

/// What a denial may be kept for, seconds: the default of `negative_ttl`.
const DENIAL_TTL: u32 = 1;
/// Octets of the longest datagram.
const LONGEST: usize = 4096;

/// Passes queries on to `server` for as long as this process lives. Returns where it is asked.
///
/// # Errors
/// Those of the sockets.
pub fn start(server: SocketAddr) -> io::Result<SocketAddr> {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
    back.connect(server)?;
    let address = front.local_addr()?;
    // Who has sent the last query with an ID: one cache asks here, and few of its queries are in flight.
    let clients = Arc::<Mutex<HashMap<u16, SocketAddr>>>::default();
    let (to_server, from_cache, asking) = (Arc::clone(&back), Arc::clone(&front), Arc::clone(&clients));
    thread::spawn(move || {
        let mut query = [0; LONGEST];
        while let Ok((length, client)) = from_cache.recv_from(&mut query) {
            asking.lock().unwrap_or_else(PoisonError::into_inner).insert(dns::id(&query), client);
            let _ = to_server.send(&query[..length]);
        }
    });
    thread::spawn(move || {
        let mut response = [0; LONGEST];
        while let Ok(length) = back.recv(&mut response) {
            prolong(&mut response[..length]);
            let client = clients.lock().unwrap_or_else(PoisonError::into_inner).get(&dns::id(&response)).copied();
            if let Some(client) = client {
                let _ = front.send_to(&response[..length], client);
            }
        }
    });
    Ok(address)
}

/// Lets a denial be kept that may not be.
fn prolong(response: &mut [u8]) {
    for at in dns::denial_ttls(response).into_iter().flatten() {
        if let Some(ttl) = response.get_mut(at..at + 4).filter(|ttl| **ttl == [0; 4]) {
            ttl.copy_from_slice(&DENIAL_TTL.to_be_bytes());
        }
    }
}
