//! Upstreams that give no answer: one that says nothing, and one that lies.

use std::net::UdpSocket;

use super::Failure;
use crate::support::dns::{self, HEADER};

/// Octets of the longest query.
const LONGEST: usize = 1500;
/// The QR bit in a header's third octet.
const RESPONSE: u8 = 0x80;

pub fn serve(behaviour: &str, address: &str) -> Result<(), Failure> {
    let is_lying = match behaviour {
        "hanging" => false,
        "lying" => true,
        other => return Err(format!("no upstream is {other}").into()),
    };
    let socket = UdpSocket::bind(address)?;
    let mut query = [0; LONGEST];
    loop {
        let (length, client) = socket.recv_from(&mut query)?;
        if !is_lying || length <= HEADER {
            continue;
        }
        let id = dns::id(&query);
        let mut response = query[..length].to_vec();
        response[2] |= RESPONSE;
        // Another ID, another name, and garbage.
        dns::set_id(&mut response, id.wrapping_add(1));
        socket.send_to(&response, client)?;
        dns::set_id(&mut response, id);
        response[HEADER + 1] ^= 1;
        socket.send_to(&response, client)?;
        socket.send_to(&[u8::MAX; HEADER], client)?;
    }
}
