//! The system calls that the standard library lacks: the batched ones of the UDP path, and the socket options beside them.
//! The only file of the program with `unsafe` code.
//!
//! A [`DatagramBatch`] owns every buffer that the kernel is pointed at, for as long as it lives, at addresses that do not move:
//! boxed slices that are never resized, and `Vec`s whose pointers are read anew before each call. Each call names pointers
//! into them together with lengths taken from the same buffers, and none of them outlives the call.
#![expect(unsafe_code, reason = "these system calls are not in the standard library")]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Datagrams that one system call receives or sends.
pub(super) const BATCH: usize = 64;
/// Octets of the longest datagram. A query is far shorter; a longer datagram is truncated and is a format error. Not a
/// multiple of the page size, so that the starts of all slots do not compete for the same cache lines.
const RECEIVE: usize = 2048 + 64;
/// Octets for the control message with an address: `CMSG_SPACE` of the larger of the two families.
const CONTROL: usize = 64;

/// Slots for datagrams and their answers, allocated once for a worker.
pub(super) struct DatagramBatch {
    datagrams: Box<[[u8; RECEIVE]]>,
    /// The answers, filled between receiving and sending. An empty one is not sent.
    pub answers: Box<[Vec<u8>]>,
    peers: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// How many slots, from the first on, were used since the last call, whose headers must be set again. Those of the
    /// others still are, which saves small batches the work for a full one.
    used: usize,
    /// Whether the kernel reports the address that a datagram came to, and its answer is sent from there.
    with_local_address: bool,
}

/// Room for one control message, aligned for its header.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl DatagramBatch {
    /// `answer` is the length of the longest answer in octets, which is allocated for each slot.
    pub fn new(answer: usize, with_local_address: bool) -> Self {
        // SAFETY: these are plain C structures of integers and pointers, for which all zeros is a valid value.
        let (peer, vector, header): (libc::sockaddr_storage, libc::iovec, libc::mmsghdr) =
            unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self {
            datagrams: vec![[0; RECEIVE]; BATCH].into(),
            answers: (0..BATCH).map(|_| Vec::with_capacity(answer)).collect(),
            peers: vec![peer; BATCH].into(),
            controls: vec![Control([0; CONTROL]); BATCH].into(),
            vectors: vec![vector; BATCH].into(),
            headers: vec![header; BATCH].into(),
            used: BATCH,
            with_local_address,
        }
    }

    /// Waits for a datagram, receives as many as have arrived, up to [`BATCH`], and returns their number.
    ///
    /// # Errors
    /// Those of the socket; `WouldBlock` when its receive time-out has passed.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for i in 0..self.used {
            self.vectors[i].iov_base = self.datagrams[i].as_mut_ptr().cast();
            self.vectors[i].iov_len = RECEIVE;
            let header = &mut self.headers[i].msg_hdr;
            header.msg_name = ptr::from_mut(&mut self.peers[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = ptr::from_mut(&mut self.vectors[i]);
            header.msg_iovlen = 1;
            header.msg_control = ptr::null_mut();
            header.msg_controllen = 0;
            header.msg_flags = 0;
            if self.with_local_address {
                header.msg_control = self.controls[i].0.as_mut_ptr().cast();
                header.msg_controllen = CONTROL as _;
            }
        }
        // SAFETY: `headers` has BATCH entries, and each points into buffers of this batch with their true lengths, now or
        // since an earlier call that did not touch it; they stay where they are until the call returns.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        self.used = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.used)
    }

    /// The datagram in a slot, where it came from, and room for its answer.
    pub fn slot(&mut self, i: usize) -> (&[u8], SocketAddr, &mut Vec<u8>) {
        let length = (self.headers[i].msg_len as usize).min(RECEIVE);
        (&self.datagrams[i][..length], address(&self.peers[i]), &mut self.answers[i])
    }

    /// Makes datagrams of the non-empty answers of the first `count` slots, and returns their number.
    pub fn fill(&mut self, count: usize) -> usize {
        let mut filled = 0;
        for i in 0..count {
            if self.answers[i].is_empty() {
                continue;
            }
            self.vectors[i].iov_base = self.answers[i].as_mut_ptr().cast();
            self.vectors[i].iov_len = self.answers[i].len();
            // The name and the control message are as received: an answer goes to the address that the query came from,
            // and leaves from the one that it came to.
            let mut header = self.headers[i].msg_hdr;
            if header.msg_controllen > 0 {
                answer_from_there(&mut header);
            }
            self.headers[filled].msg_hdr = header;
            filled += 1;
        }
        filled
    }

    /// Sends `datagrams` of those that [`DatagramBatch::fill`] has made, without waiting, and returns how many were sent: at least
    /// one, and perhaps not all.
    ///
    /// # Errors
    /// Why the first could not be sent: `WouldBlock` if the socket has no room for it.
    pub fn send(&mut self, socket: BorrowedFd<'_>, datagrams: Range<usize>) -> io::Result<usize> {
        let headers = &mut self.headers[datagrams];
        // SAFETY: each header points at an address, an iovec and a control buffer of this batch, and the iovec at the octets of
        // an answer; none of them is touched until the call returns.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as libc::c_uint, libc::MSG_DONTWAIT)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Clears the answers of the first `count` slots.
    pub fn clear(&mut self, count: usize) {
        self.answers[..count].iter_mut().for_each(Vec::clear);
    }
}

/// Where the answer to a datagram goes and leaves from, for one that is made after its batch has been sent.
pub(super) struct ReturnPath {
    peer: libc::sockaddr_storage,
    peer_length: libc::socklen_t,
    control: Control,
    has_control: bool,
}

impl DatagramBatch {
    /// The way back of the datagram in a slot of the batch that was received last.
    pub fn return_path(&self, i: usize) -> ReturnPath {
        let header = &self.headers[i].msg_hdr;
        let has_control = self.with_local_address && header.msg_controllen > 0;
        ReturnPath { peer: self.peers[i], peer_length: header.msg_namelen, control: self.controls[i], has_control }
    }
}

impl ReturnPath {
    /// Sends an answer, unless the socket has no room for it.
    ///
    /// # Errors
    /// Those of `sendmsg`.
    pub fn send(mut self, socket: BorrowedFd<'_>, answer: &[u8]) -> io::Result<()> {
        let mut vector = libc::iovec { iov_base: answer.as_ptr().cast_mut().cast(), iov_len: answer.len() };
        // SAFETY: a plain C structure of integers and pointers, for which all zeros is a valid value.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = ptr::from_mut(&mut self.peer).cast();
        header.msg_namelen = self.peer_length;
        header.msg_iov = ptr::from_mut(&mut vector);
        header.msg_iovlen = 1;
        if self.has_control {
            header.msg_control = self.control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            answer_from_there(&mut header);
        }
        // SAFETY: the header points at an address, an iovec and a control buffer that live until the call returns, with their
        // true lengths, and the iovec at the answer's octets, which the call does not write to.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Turns the control message that reported where a datagram came to into one that sets where its answer leaves from. `header` is one
/// that [`DatagramBatch::receive`] has filled, or has the control buffer of one.
fn answer_from_there(header: &mut libc::msghdr) {
    // SAFETY: the kernel filled the first `msg_controllen` octets of the buffer to which `msg_control` points, one of the
    // batch's, and the CMSG macros stay within that length. The structures read and written have no invalid values, and
    // are accessed unaligned.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        let kind = if control.is_null() { (0, 0) } else { ((*control).cmsg_level, (*control).cmsg_type) };
        header.msg_controllen = match kind {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let data = libc::CMSG_DATA(control).cast::<libc::in_pktinfo>();
                let mut info = data.read_unaligned();
                // The routing table chooses the interface; only the source address is set.
                info.ipi_ifindex = 0;
                info.ipi_spec_dst = info.ipi_addr;
                data.write_unaligned(info);
                libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) as _
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let data = libc::CMSG_DATA(control).cast::<libc::in6_pktinfo>();
                let mut info = data.read_unaligned();
                // A link-local address is meaningless without its interface.
                if !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() {
                    info.ipi6_ifindex = 0;
                }
                data.write_unaligned(info);
                libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32) as _
            }
            _ => 0,
        };
    }
}

/// The address that the kernel wrote. Unspecified for families other than IP, which no socket here has.
fn address(storage: &libc::sockaddr_storage) -> SocketAddr {
    let pointer = ptr::from_ref(storage);
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: a sockaddr_storage is large enough and aligned for any address, and the family says which it is.
            let address = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into()
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            SocketAddrV6::new(ip, u16::from_be(address.sin6_port), address.sin6_flowinfo, address.sin6_scope_id).into()
        }
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    }
}

/// Makes the kernel report the address that each datagram came to.
///
/// # Errors
/// Those of `setsockopt`.
pub(super) fn ask_for_local_address(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, &1)
    }
}

/// Spreads datagrams evenly over the sockets that share an address: each goes to one of the first `sockets` at random,
/// while by default the client's address decides, which leaves a busy forwarder to one worker.
///
/// # Errors
/// Those of `setsockopt`.
pub(super) fn spread_evenly(socket: BorrowedFd<'_>, sockets: u32) -> io::Result<()> {
    /// The offset at which a filter loads a random number (`SKF_AD_OFF + SKF_AD_RANDOM`).
    const RANDOM: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, RANDOM),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, sockets),
        instruction(libc::BPF_RET | libc::BPF_A, 0),
    ];
    attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

/// Reverts [`spread_evenly`] for all sockets that share the address.
///
/// # Errors
/// Those of `setsockopt`, above all that there is nothing to revert.
pub(super) fn spread_by_client(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_DETACH_REUSEPORT_BPF, &0)
}

/// Makes a listening TCP socket drop the SYN of new clients, which send it again a second later, to the process that listens
/// then. Handshakes that have started go on.
///
/// # Errors
/// Those of `setsockopt`.
pub(super) fn drop_new_clients(listener: BorrowedFd<'_>) -> io::Result<()> {
    /// The offset of the flags in a TCP header, and two of them (RFC 9293 section 3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    // How many octets of a packet are kept: none or all.
    let (drop, keep) = (0, u32::MAX);
    // Accepted sockets inherit the program, and receive no SYN without ACK that matters.
    let program = [
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, FLAGS),
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, SYN | ACK),
        libc::sock_filter { jf: 1, ..instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, SYN) },
        instruction(libc::BPF_RET | libc::BPF_K, drop),
        instruction(libc::BPF_RET | libc::BPF_K, keep),
    ];
    attach(listener, libc::SO_ATTACH_FILTER, program)
}

/// Octets of a stream that its peer's kernel has not taken yet, the end of the stream among them once it was sent.
///
/// # Errors
/// Those of `ioctl`.
pub(super) fn undelivered(stream: BorrowedFd<'_>) -> io::Result<usize> {
    let mut octets: libc::c_int = 0;
    // SAFETY: the kernel writes one integer there (SIOCOUTQ in tcp(7), which has the value of TIOCOUTQ).
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result == 0 { Ok(usize::try_from(octets).unwrap_or_default()) } else { Err(io::Error::last_os_error()) }
}

/// An instruction of a classic BPF program.
fn instruction(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn attach<const N: usize>(socket: BorrowedFd<'_>, option: i32, mut program: [libc::sock_filter; N]) -> io::Result<()> {
    let filter = libc::sock_fprog { len: N as u16, filter: program.as_mut_ptr() };
    set_option(socket, libc::SOL_SOCKET, option, &filter)
}

fn set_option<T>(socket: BorrowedFd<'_>, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `value`, which the kernel copies before the call returns; what a
    // value itself points at (a filter's program) is borrowed by its owner for as long.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
