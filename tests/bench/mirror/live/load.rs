//! How late a change is answered while connections ask for the largest answers without a pause.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{park_timeout, scope};
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::asker::Asker;
use crate::lower_priority;
use crate::objects::NAMESPACE;
use crate::server::{Build, Server};
use crate::support::dns::{self, query_with_options};
use crate::support::figures::Sorted;
use crate::support::workload::dual_stack;

/// Endpoints of the Service that the connections ask for, each with an address of either family.
const ENDPOINTS: usize = 5_000;
const LARGE: &str = "large.default.svc.cluster.local";
/// The Service that changes.
const SMALL: &str = "small.default.svc.cluster.local";
/// Connections and the EDNS options of their queries, in wire format.
const LOADS: [(usize, &str, &[u8]); 4] = [
    (0, "nothing", &[]),
    (16, "no option", &[]),
    (16, "NSID", &[0, 3, 0, 0]),
    (16, "client subnet", &[0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 0]),
];
/// Between two changes, so that each is one by itself.
const PAUSE: Duration = Duration::from_millis(10);
/// The first new address, 11.0.0.0.
const FIRST_ADDRESS: u32 = 0x0b00_0000;

pub fn run(cluster: &Runtime, builds: &[Build], rounds: usize) {
    let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
    let sandbox = sandbox.expect("a free port");
    for object in dual_stack("large", ENDPOINTS).chain(dual_stack("small", 1)) {
        let kind = if object["kind"] == "Service" { Kind::Service } else { Kind::EndpointSlice };
        sandbox.store().create(kind, object).expect("a new object");
    }
    println!(
        "load: from the write of a new address in the sandbox to the first answer with it over UDP, while connections"
    );
    println!("ask for a Service of {ENDPOINTS} endpoints by A, AAAA and SRV over TCP, each without a pause.");
    println!("build      connections  asking with     p50 ms   p99 ms   max ms   answers/s");
    let mut address = FIRST_ADDRESS;
    for build in builds {
        let server = Server::start(&sandbox, build, &[]);
        server.until_answered(SMALL);
        for (connections, what, options) in LOADS {
            let (load, began) = (Load::default(), Instant::now());
            let times = scope(|scope| {
                for number in 0..connections {
                    let query = query_with_options(LARGE, [dns::A, dns::AAAA, dns::SRV][number % 3], options);
                    let (load, server) = (&load, server.dns);
                    scope.spawn(move || load.ask(server, &query).expect("a connection with answers"));
                }
                let times = (0..rounds).map(|_| {
                    address += 1;
                    change(&sandbox, &server, address.into())
                });
                let times = Sorted::new(times.collect());
                load.is_over.store(true, Ordering::Relaxed);
                times
            });
            let rate = load.answers.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| times.millis(share));
            println!("{:<10} {connections:>11}  {what:<13} {p50:>8.2} {p99:>8.2} {max:>8.2} {rate:>11.0}", build.name);
        }
    }
    cluster.block_on(sandbox.shutdown());
}

/// Writes a new address; the time until it is answered.
fn change(sandbox: &Sandbox, server: &Server, address: Ipv4Addr) -> Duration {
    let asker = Asker::start(server.dns);
    asker.expect(0, SMALL, address);
    park_timeout(PAUSE);
    let change = |slice: &mut Value| slice["endpoints"][0]["addresses"] = json!([address]);
    let began = Instant::now();
    sandbox.store().modify(Kind::EndpointSlice, NAMESPACE, "small-ipv4-0", change).expect("the slice");
    asker.answer().received_at - began
}

/// Connections that ask until it is over.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    answers: AtomicUsize,
}

impl Load {
    /// Asks one query after the other on a connection.
    fn ask(&self, server: SocketAddr, query: &[u8]) -> io::Result<()> {
        lower_priority();
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let framed = [&(query.len() as u16).to_be_bytes(), query].concat();
        let (mut length, mut response) = ([0; 2], vec![0; usize::from(u16::MAX)]);
        while !self.is_over.load(Ordering::Relaxed) {
            stream.write_all(&framed)?;
            stream.read_exact(&mut length)?;
            stream.read_exact(&mut response[..usize::from(u16::from_be_bytes(length))])?;
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
