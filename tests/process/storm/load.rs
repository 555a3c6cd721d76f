//! Clients that take more than they should: a flood, readers that don't read, connections that come and go.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use socket2::{Domain, Socket, Type};

use crate::support::common::{framed, query};

const NAME: &str = "s0.db.svc.cluster.local.";
const TIME_OUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);
/// Another client than those whose answers are judged: each may have so many connections.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);

fn octets() -> Vec<u8> {
    query(NAME, RecordType::A).to_vec().expect("a query")
}

/// Sends queries without a pause for a time, and reads no answer.
pub fn flood(server: SocketAddr, time: Duration) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let (octets, began) = (octets(), Instant::now());
    while began.elapsed() < time {
        let _ = socket.send_to(&octets, server);
    }
}

/// Connections that ask without a pause and read nothing, for a time.
pub fn read_nothing(server: SocketAddr, connections: usize, time: Duration) {
    let octets = framed(&octets());
    let mut streams: Vec<_> = (0..connections).filter_map(|_| connect(server).ok()).collect();
    streams.iter().for_each(|stream| stream.set_nonblocking(true).expect("a socket"));
    let began = Instant::now();
    while began.elapsed() < time {
        for stream in &mut streams {
            // A full buffer is what is wanted.
            let _ = stream.write(&octets);
        }
        thread::park_timeout(PAUSE);
    }
}

/// Makes so many connections, one after the other, each with a query whose answer nobody waits for.
pub fn connect_and_leave(server: SocketAddr, connections: usize) {
    let octets = framed(&octets());
    for _ in 0..connections {
        if let Ok(mut stream) = connect(server) {
            let _ = stream.write(&octets);
        }
    }
}

/// A connection that is reset at its end, so that it keeps no port.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.bind(&SocketAddr::from((CLIENT, 0)).into())?;
    socket.connect_timeout(&server.into(), TIME_OUT)?;
    Ok(socket.into())
}
