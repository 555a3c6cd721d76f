//! The floor: the smallest program that answers DNS over UDP at all, as a measure for real servers.
//!
//! One thread receives up to 64 queries, turns each into a response with one fixed A record, and sends them: two system calls
//! per batch, no look-up, no check but for a header. Any CPU time above this is the server's own.

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

use crate::support::dns::HEADER;

/// Datagrams per system call.
const BATCH: usize = 64;
/// Octets for a query and the record behind it.
const SLOT: usize = 2048 + 64;
/// QR and AA.
const RESPONSE: u8 = 0x84;
/// The question's name, A, IN, 5 seconds, four octets: 10.0.0.1.
const RECORD: [u8; 16] = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1];
/// Octets that may wait in the socket; headless-dns asks for as many.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;

pub fn serve(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    let mut slots = vec![[0_u8; SLOT]; BATCH];
    // SAFETY: plain C structures of integers and pointers, for which all zeros is a valid value.
    let (mut peers, mut vectors, mut headers): (
        [libc::sockaddr_storage; BATCH],
        [libc::iovec; BATCH],
        [libc::mmsghdr; BATCH],
    ) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
    let peers: *mut libc::sockaddr_storage = peers.as_mut_ptr();
    for i in 0..BATCH {
        vectors[i].iov_base = slots[i].as_mut_ptr().cast();
        // SAFETY: `i` is below the length of `peers`.
        headers[i].msg_hdr.msg_name = unsafe { peers.add(i) }.cast();
        headers[i].msg_hdr.msg_iov = ptr::from_mut(&mut vectors[i]);
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    loop {
        for i in 0..BATCH {
            vectors[i].iov_len = SLOT - RECORD.len();
            headers[i].msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        // SAFETY: every header points into `peers`, `vectors` and `slots`, which live as long as the loop and do not move.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else { continue };
        for i in 0..received {
            let length = headers[i].msg_len as usize;
            if length < HEADER {
                continue;
            }
            slots[i][2] |= RESPONSE;
            slots[i][7] = 1;
            slots[i][length..length + RECORD.len()].copy_from_slice(&RECORD);
            vectors[i].iov_len = length + RECORD.len();
        }
        let mut sent = 0;
        while sent < received {
            let rest = &mut headers[sent..received];
            // SAFETY: as above; each length is that of a query and the record, which fit their slot.
            let more = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0) };
            // A response that cannot be sent is skipped.
            sent += usize::try_from(more).unwrap_or(1).max(1);
        }
    }
}
