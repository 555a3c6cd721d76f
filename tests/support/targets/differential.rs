//! One question: our reading of it, and hickory-proto's reading of it and of the response, agree.

use std::sync::LazyLock;

use headless_dns::telemetry::metrics::Transport;

use crate::support::answering::Server;
use crate::support::differential::compare;
use crate::support::targets::question;

static SERVER: LazyLock<Server> = LazyLock::new(Server::of_cases);

pub fn run(octets: &[u8]) {
    let message = question::read(octets, &SERVER.names).message();
    for transport in [Transport::Udp, Transport::Tcp] {
        if let Err(problem) = compare(&SERVER.answering, &message, transport) {
            panic!("{problem}");
        }
    }
}
