//! An upstream that gives every name a record of the test's choice, without reading what it is asked by a library: for binaries that
//! count what is allocated.

use std::net::{SocketAddr, UdpSocket};
use std::thread;

/// Octets of the OPT record with which it is asked.
const OPT: usize = 11;

/// Starts it. `record` is given the query, and returns one record of the answer, whose owner is that of the question.
pub fn upstream(record: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut query = [0; 2048];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            // A response with one record, and none of the query's.
            query[2] |= 0x80;
            (query[7], query[11]) = (1, 0);
            let response = [&query[..length - OPT], &record(&query[..length])].concat();
            let _ = socket.send_to(&response, client);
        }
    });
    address
}

/// An address, with this TTL in seconds.
pub fn address_record(ttl: u32) -> Vec<u8> {
    [&[0xc0, 12, 0, 1, 0, 1][..], &ttl.to_be_bytes(), &[0, 4, 192, 0, 2, 1]].concat()
}
