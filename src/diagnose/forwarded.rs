//! Explains what is not ours: who was asked, and what came back.

use std::net::Ipv4Addr;

use crate::dns::name::{Labels, Relative};
use crate::dns::wire::{Rcode, Response, RrType};
use crate::resolver::{AskedElsewhere, Origin, Resolved, Resolver};

/// What a client is told about a question now.
pub(super) struct Forwarded {
    /// Whether there is an answer with records.
    pub resolves: bool,
    pub lines: Vec<String>,
}

/// Asks as a client would: the cache, then the upstreams.
pub(super) async fn ask(resolver: &Resolver, asked: &AskedElsewhere) -> Forwarded {
    let given = match resolver.answer(asked).await {
        Resolved::Answer(given) => given,
        Resolved::Failed(failure) => {
            return Forwarded { resolves: false, lines: vec![format!("no answer from elsewhere: {}", failure.text)] };
        }
    };
    let response = &given.entry.response;
    let resolves = response.rcode() == Rcode::NoError && response.counts()[0] > 0;
    let mut lines = records(response);
    lines.push(given.to_string());
    if let Origin::Stale { why: Some(why) } = &given.origin {
        lines.push(format!("no upstream answers: {why}"));
    }
    lines.extend(response.errors().iter().map(|error| format!("with extended error {}: {}", error.code, error.text)));
    Forwarded { resolves, lines }
}

/// Addresses and aliases.
fn records(response: &Response) -> Vec<String> {
    let shown = response.section(0).filter_map(|record| match record.rr_type {
        RrType::A => Some(format!("A {}", Ipv4Addr::from(*record.data.first_chunk::<4>()?))),
        RrType::CNAME => {
            let (name, _) = response.name(record.data_at)?;
            let is_root = Labels(name.as_wire()).next().is_none();
            Some(if is_root { "CNAME .".to_owned() } else { format!("CNAME {}.", Relative(name.as_wire())) })
        }
        _ => None,
    });
    shown.collect()
}
