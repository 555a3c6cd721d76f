//! The pages of the probes beside clients that mean no good.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::support::memory::{may_open, program};
use crate::support::peers::{PATIENCE, until};
use crate::support::program::Program;
use crate::support::sockets::undelivered;
use crate::transport::connections::{client, connect};

/// Connections that are opened and then silent, and client addresses that they come from.
const IDLE: usize = 4096;
const IDLE_CLIENTS: usize = 64;
/// Clients that ask for a page and read nothing of it.
const SLOW: usize = 64;
/// Probes that are sent, and within what time most of them are answered. The kubelet waits for a second by default.
const PROBES: usize = 20;
const PROMPT: Duration = Duration::from_millis(100);

/// How long a probe takes, from its connection to its whole answer.
fn probe(server: SocketAddr, page: &str) -> Duration {
    let began = Instant::now();
    let mut stream = std::net::TcpStream::connect_timeout(&server, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
        .write_all(format!("GET {page} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    began.elapsed()
}

/// Most of the probes are answered in time, and all are answered.
fn probes_are_answered(program: &Program, meanwhile: &str) {
    for page in ["/livez", "/readyz"] {
        let mut times: Vec<_> = (0..PROBES).map(|_| probe(program.probes, page)).collect();
        times.sort_unstable();
        assert!(times[PROBES / 2] <= PROMPT, "{page} {meanwhile}: {times:?}");
    }
}

async fn ask(stream: &mut TcpStream, page: &str) {
    use tokio::io::AsyncWriteExt;
    // A connection whose place another one has taken cannot be written to.
    let _ = stream.write_all(format!("GET {page} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
}

#[tokio::test]
async fn the_kubelets_probes_are_answered_under_4096_idle_connections_and_64_slow_readers() {
    assert!(may_open(IDLE + 2 * SLOW), "files enough");
    let program = program(Program::serve);
    probes_are_answered(&program, "alone");
    let mut idle = Vec::new();
    for number in 0..IDLE {
        idle.push(connect(program.probes, client(number % IDLE_CLIENTS), None).await);
    }
    let mut slow = Vec::new();
    for number in 0..SLOW {
        for (server, page) in [(program.probes, "/metrics"), (program.admin, "/zone?name=cluster.local")] {
            let mut stream = connect(server, client(number), Some(4096)).await;
            ask(&mut stream, page).await;
            slow.push(stream);
        }
    }
    probes_are_answered(&program, "beside them");
    // And while more of the idle ones come all the time, as from a client that opens anew what is closed.
    let flood = tokio::spawn({
        let server = program.probes;
        async move {
            let mut number = 0;
            loop {
                let position = number % IDLE;
                idle[position] = connect(server, client(number % IDLE_CLIENTS), None).await;
                number += 1;
            }
        }
    });
    let program = tokio::task::spawn_blocking(move || {
        probes_are_answered(&program, "beside ever more of them");
        program
    });
    let program = program.await.expect("answers");
    assert!(!flood.is_finished(), "{:?}", flood.await);
    flood.abort();
    drop(slow);
    drop(program);
}

#[tokio::test]
async fn pages_that_nobody_reads_stay_in_the_kernel_no_longer_than_their_places_are_taken() {
    use tokio::io::AsyncWriteExt;
    /// Places of a listener.
    const PLACES: usize = 64;
    let program = program(Program::serve);
    let mut unread = Vec::new();
    for number in 0..4 * PLACES {
        // The page fits the kernel's buffer, so that the server has done with it at once.
        let mut stream = connect(program.probes, client(number), Some(1)).await;
        let _ = stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await;
        unread.push(stream);
        // One that has to go may still be there for a moment.
        until("no more than there are places", || (undelivered(program.probes) <= PLACES).then_some(()));
    }
    until("nothing that nobody takes", || (undelivered(program.probes) == 0).then_some(()));
    probes_are_answered(&program, "after them");
}
