//! Explains what is not ours: who was asked, and what came back.

use std::net::Ipv4Addr;

use crate::dns::name::{Labels, Relative};
use crate::dns::wire::{Rcode, Response, RrType};
use crate::resolver::{AskedElsewhere, Resolver};

/// What the upstreams say of a question, asked now.
pub(super) struct Forwarded {
    /// Whether there is an answer with records.
    pub resolves: bool,
    pub lines: Vec<String>,
}

/// Asks the upstreams, whatever the cache holds.
pub(super) async fn ask(resolver: &Resolver, asked: &AskedElsewhere) -> Forwarded {
    match resolver.ask(asked).await {
        Ok(entry) => {
            let response = &entry.response;
            let resolves = response.rcode() == Rcode::NoError && response.counts()[0] > 0;
            let mut lines = records(response);
            lines.push(entry.to_string());
            Forwarded { resolves, lines }
        }
        Err(failure) => Forwarded { resolves: false, lines: vec![format!("no upstream answers: {}", failure.text)] },
    }
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
