//! Which neighbours the kernel is looking for, asked over rtnetlink, for which no privilege is needed (rtnetlink(7)).
//!
//! Only a worker or a listener whose socket is full asks. Answers to such neighbours would wait in the kernel behind those that wait already,
//! so they are dropped. Where the kernel does not tell, nothing is.

use std::collections::HashSet;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// Shortest time between two questions. At 5,000 forged queries a second, 250 answers pass meanwhile.
const PAUSE: Duration = Duration::from_millis(50);
/// Asking takes one part in so many of a worker's time, however many neighbours there are.
const SHARE: u32 = 20;
/// Octets that the kernel writes at once (`NLMSG_GOODSIZE` and more, netlink(7)).
const BUFFER: usize = 32 * 1024;
/// The alignment of messages and attributes (`NLMSG_ALIGNTO`, `RTA_ALIGNTO`).
const ALIGN: usize = 4;
/// Octets of `struct nlmsghdr`, and of `struct ndmsg` behind it.
const MESSAGE_HEAD: usize = 16;
const NEIGHBOUR_HEAD: usize = 12;
/// Octets of `struct rtattr`.
const ATTRIBUTE_HEAD: usize = 4;
/// The attribute with the neighbour's address.
const NDA_DST: u16 = 1;
/// The state of a neighbour whose link-layer address is being looked for.
const NUD_INCOMPLETE: u16 = 0x01;

/// The neighbours that were being looked for when the kernel was last asked.
#[derive(Debug)]
pub(super) struct Neighbours {
    sought: HashSet<IpAddr>,
    next: Option<Instant>,
}

impl Neighbours {
    /// Nobody has been asked yet.
    pub fn new() -> Self {
        Self { sought: HashSet::new(), next: None }
    }

    /// Asks the kernel, if it is time to.
    pub fn update(&mut self, now: Instant) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.sought.clear();
        // If the kernel does not tell, the sockets' buffers alone have to do.
        let _ = ask(|address| {
            self.sought.insert(address);
        });
        self.next = Some(now + PAUSE.max(now.elapsed() * SHARE));
    }

    /// Whether the address of a client is being looked for.
    pub fn is_sought(&self, client: SocketAddr) -> bool {
        self.sought.contains(&client.ip())
    }
}

/// Asks for all neighbours, and calls `sought` with each that is being looked for.
fn ask(mut sought: impl FnMut(IpAddr)) -> io::Result<()> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, None)?;
    // The kernel writes the first part of its answer while it takes the question, and each further one as one is read.
    socket.set_nonblocking(true)?;
    socket.send(&question())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = (&socket).read(&mut buffer)?;
        if length == 0 || !read_messages(&buffer[..length], &mut sought) {
            return Ok(());
        }
    }
}

/// A dump of all neighbours of all families: `struct nlmsghdr`, and a `struct ndmsg` of zeros.
fn question() -> [u8; MESSAGE_HEAD + NEIGHBOUR_HEAD] {
    let mut question = [0; MESSAGE_HEAD + NEIGHBOUR_HEAD];
    let length = question.len() as u32;
    question[..4].copy_from_slice(&length.to_ne_bytes());
    question[4..6].copy_from_slice(&libc::RTM_GETNEIGH.to_ne_bytes());
    question[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    question
}

/// Reads the messages of one part of the answer. Returns whether more parts follow.
fn read_messages(mut part: &[u8], sought: &mut impl FnMut(IpAddr)) -> bool {
    while let Some(head) = part.first_chunk::<MESSAGE_HEAD>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let message_type = u16::from_ne_bytes([head[4], head[5]]);
        let Some(body) = part.get(MESSAGE_HEAD..length) else { return false };
        if message_type != libc::RTM_NEWNEIGH {
            // The end, or an error.
            return false;
        }
        if let Some(address) = sought_address(body) {
            sought(address);
        }
        part = part.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    true
}

/// The address of a neighbour, if it is being looked for.
fn sought_address(neighbour: &[u8]) -> Option<IpAddr> {
    let (head, mut attributes) = neighbour.split_first_chunk::<NEIGHBOUR_HEAD>()?;
    if u16::from_ne_bytes([head[8], head[9]]) & NUD_INCOMPLETE == 0 {
        return None;
    }
    while let Some(attribute) = attributes.first_chunk::<ATTRIBUTE_HEAD>() {
        let length = usize::from(u16::from_ne_bytes([attribute[0], attribute[1]]));
        let data = attributes.get(ATTRIBUTE_HEAD..length)?;
        if u16::from_ne_bytes([attribute[2], attribute[3]]) == NDA_DST {
            return match data.len() {
                4 => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
                _ => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
            };
        }
        attributes = attributes.get(length.next_multiple_of(ALIGN)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel writes it.
    fn message(message_type: u16, state: u16, attributes: &[u8]) -> Vec<u8> {
        let length = (MESSAGE_HEAD + NEIGHBOUR_HEAD + attributes.len()) as u32;
        let mut message =
            [&length.to_ne_bytes()[..], &message_type.to_ne_bytes(), &[0; 18], &state.to_ne_bytes()].concat();
        message.extend([0, 0]);
        message.extend(attributes);
        message
    }

    fn attribute(number: u16, data: &[u8]) -> Vec<u8> {
        let length = (ATTRIBUTE_HEAD + data.len()) as u16;
        let padding = vec![0; data.len().next_multiple_of(ALIGN) - data.len()];
        [&length.to_ne_bytes()[..], &number.to_ne_bytes(), data, &padding].concat()
    }

    #[test]
    fn the_addresses_that_are_being_looked_for_are_read() {
        let (v4, v6) = ([10, 0, 0, 7], [0xfd; 16]);
        let link = attribute(2, &[1, 2, 3, 4, 5, 6]);
        let part = [
            message(libc::RTM_NEWNEIGH, NUD_INCOMPLETE, &[link, attribute(NDA_DST, &v4)].concat()),
            message(libc::RTM_NEWNEIGH, 0x02, &attribute(NDA_DST, &[10, 0, 0, 8])),
            message(libc::RTM_NEWNEIGH, NUD_INCOMPLETE, &attribute(NDA_DST, &v6)),
        ]
        .concat();
        let mut found = Vec::new();
        assert!(read_messages(&part, &mut |address| found.push(address)), "more follows");
        assert_eq!(found, [IpAddr::from(v4), IpAddr::from(v6)]);
        assert!(!read_messages(&message(3, 0, &[]), &mut |_| ()), "the end (NLMSG_DONE)");
    }

    #[test]
    fn what_is_cut_off_is_not_read() {
        let whole = message(libc::RTM_NEWNEIGH, NUD_INCOMPLETE, &attribute(NDA_DST, &[10, 0, 0, 7]));
        for length in 0..whole.len() {
            read_messages(&whole[..length], &mut |address| panic!("{address} of {length} octets"));
            let mut short = whole.clone();
            short[..4].copy_from_slice(&(length as u32).to_ne_bytes());
            read_messages(&short, &mut |address| panic!("{address} of a length of {length}"));
        }
    }

    #[test]
    fn the_kernel_answers() {
        ask(|_| ()).unwrap();
    }

    /// W7. Answers to a neighbour are dropped for as long as the kernel is looking for it, and not longer.
    #[test]
    fn the_kernel_is_asked_again_after_a_pause_and_who_is_sought_no_more_is_answered() {
        // Of TEST-NET-1 (RFC 5737): nobody looks for it.
        let client = SocketAddr::from(([192, 0, 2, 7], 53));
        let now = Instant::now();
        let mut neighbours = Neighbours { sought: [client.ip()].into(), next: Some(now + PAUSE) };
        neighbours.update(now);
        assert!(neighbours.is_sought(client), "it is not time to ask");
        let later = now + PAUSE;
        neighbours.update(later);
        assert!(!neighbours.is_sought(client), "it has been found, or given up");
        neighbours.sought.insert(client.ip());
        neighbours.update(later + PAUSE - Duration::from_nanos(1));
        assert!(neighbours.is_sought(client), "it is not time to ask again");
    }
}
