//! Any octets over UDP and over TCP: each gets what the rules of the wire say, and every answer can be read.

use std::sync::LazyLock;

use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::Message;

use crate::support::answering::{Server, respond_as};
use crate::support::oracle;

static SERVER: LazyLock<Server> = LazyLock::new(Server::of_cases);

pub fn run(message: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let responder = &SERVER.answering.responder;
        let answer = respond_as(responder, &mut responder.worker(transport), message);
        if let Err(problem) = oracle::check(message, transport == Transport::Udp, answer.as_deref()) {
            panic!("{transport:?}: {problem}");
        }
        if let Some(answer) = answer {
            Message::from_vec(&answer).expect("an answer that can be read");
        }
    }
}
