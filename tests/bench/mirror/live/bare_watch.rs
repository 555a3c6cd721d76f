//! A watch of Pods that only notes when each event arrives: what a change takes on its way to any client of the cluster.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use kube_sandbox::Sandbox;

use crate::PATIENCE;

pub struct BareWatch {
    connection: TcpStream,
    arrivals: Receiver<Arrival>,
}

/// That an event of a Pod has arrived.
pub struct Arrival {
    pub ordinal: usize,
    pub at: Instant,
}

impl BareWatch {
    /// Watches from now on.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn start(sandbox: &Sandbox) -> io::Result<Self> {
        let connection = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], sandbox.address().port())))?;
        let revision = sandbox.store().revision();
        // HTTP/1.0: the body is not in chunks, so that each line is an event.
        write!(
            &connection,
            "GET /api/v1/pods?watch=true&resourceVersion={revision} HTTP/1.0\r\nHost: sandbox\r\n\r\n"
        )?;
        let mut lines = BufReader::new(connection.try_clone()?);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 2 {
            line.clear();
        }
        let (arrived, arrivals) = mpsc::channel();
        thread::spawn(move || {
            loop {
                line.clear();
                if !lines.read_line(&mut line).is_ok_and(|length| length > 0) {
                    return;
                }
                let at = Instant::now();
                let arrival = ordinal(&line).map(|ordinal| Arrival { ordinal, at });
                if arrival.is_some_and(|arrival| arrived.send(arrival).is_err()) {
                    return;
                }
            }
        });
        Ok(Self { connection, arrivals })
    }

    pub fn next(&self) -> Arrival {
        self.arrivals.recv_timeout(PATIENCE).expect("an event in time")
    }
}

impl Drop for BareWatch {
    fn drop(&mut self) {
        let _ = self.connection.shutdown(Shutdown::Both);
    }
}

/// The ordinal of the Pod of an event, which its label has.
fn ordinal(event: &str) -> Option<usize> {
    let (_, after) = event.split_once("\"apps.kubernetes.io/pod-index\":\"")?;
    after.split_once('"')?.0.parse().ok()
}
