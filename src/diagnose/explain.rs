//! Explains a name: its answer, the reason for a denial and the fix, and the objects of the cluster behind it.

use std::fmt::Write;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::advice::advice;
use super::describe::describe;
use super::forwarded;
use super::inspect::Inspection;
use super::meant::{Meant, meant};
use crate::authority::{Authority, EdeText, Elsewhere, RecordText, Zone};
use crate::dns::name::{Name, Relative};
use crate::dns::wire::{Class, Question, Rcode, RrType};
use crate::records::ServiceKey;
use crate::resolver::{AskedElsewhere, Resolver};
use crate::table::TableReader;

/// A name explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the name owns a record.
    pub resolves: bool,
    /// For a person, several lines.
    pub text: String,
}

/// Explains names.
pub struct Explainer {
    authority: Arc<Authority>,
    table: TableReader,
    index: mpsc::Sender<Inspection>,
    /// Asks others, where that is configured.
    resolver: Option<Resolver>,
}

impl Explainer {
    /// An explainer that sends its inspections to `index`.
    pub fn new(authority: Arc<Authority>, table: TableReader, index: mpsc::Sender<Inspection>) -> Self {
        Self { authority, table, index, resolver: None }
    }

    /// The same, with explanations of what is not ours.
    #[must_use]
    pub fn forwarding(self, resolver: Resolver) -> Self {
        Self { resolver: Some(resolver), ..self }
    }

    /// The answer to a query for a name, with its reason.
    fn answer(&self, name: &Name) -> Answered {
        let table = self.table.pin();
        let question = Question { name: name.as_wire(), qtype: RrType::A, class: Class::IN };
        let mut answer = self.authority.answer(&table, &question);
        self.authority.explain(&table, &question, &mut answer);
        let advice = answer.errors.iter().find_map(|error| match error.text {
            EdeText::Reason(reason) => Some(advice(&reason)),
            _ => None,
        });
        Answered {
            rcode: answer.rcode,
            reasons: answer.errors.iter().map(|error| error.text.to_string()).collect(),
            advice,
            records: self.authority.records_at(&table, name.as_wire()),
            elsewhere: answer.elsewhere.map(|elsewhere| match elsewhere {
                Elsewhere::Question => AskedElsewhere::plain(name.as_wire(), RrType::A),
                Elsewhere::Target(target) => AskedElsewhere::plain(target.as_wire(), RrType::A),
            }),
        }
    }

    /// The description of a Service; empty if the index is gone.
    async fn inspect(&self, service: ServiceKey, host: Option<String>) -> Vec<String> {
        let (reply, inspected) = oneshot::channel();
        if self.index.send(Inspection { service, host, reply }).await.is_err() {
            return Vec::new();
        }
        inspected.await.as_ref().map(describe).unwrap_or_default()
    }

    /// Explains how a name is answered. `text` may also be an address, or the beginning of a name.
    ///
    /// # Errors
    /// The text is neither; the message says why.
    pub async fn explain(&self, text: &str) -> Result<Explanation, String> {
        let understood = meant(&self.authority, &self.table.pin(), text)?;
        match understood {
            Meant::Name(name) => Ok(self.explain_name(&name).await),
            Meant::OneOf(names) => {
                let names: String = names.iter().map(|name| format!("  {name}\n")).collect();
                let text = format!("{text} is a Service in several namespaces; ask for one of\n{names}");
                Ok(Explanation { resolves: false, text })
            }
        }
    }

    async fn explain_name(&self, name: &Name) -> Explanation {
        // The table must not stay pinned while this waits for the index.
        let answered = self.answer(name);
        let mut text = format!("{name} ");
        let mut resolves = !answered.records.is_empty();
        match (&self.resolver, &answered.elsewhere) {
            (Some(resolver), Some(asked)) => {
                let forwarded = forwarded::ask(resolver, asked).await;
                resolves |= forwarded.resolves;
                text += if resolves { "resolves\n" } else { "does not resolve\n" };
                answered.write_records(&mut text);
                for line in forwarded.lines {
                    let _ = writeln!(text, "  {line}");
                }
            }
            _ => answered.write(&mut text),
        }
        match self.authority.service_of(name.as_wire()) {
            Some(found) => {
                let host = found.host.map(|host| Relative(host).to_string());
                let _ = writeln!(text, "\ncluster state:");
                for line in self.inspect(ServiceKey::of_wire(found.service), host).await {
                    let _ = writeln!(text, "  {line}");
                }
            }
            None if answered.rcode == Rcode::Refused && (self.resolver.is_none() || answered.elsewhere.is_none()) => {
                let listed =
                    |zones: &[Zone]| zones.iter().map(|zone| zone.apex().to_string()).collect::<Vec<_>>().join(" ");
                let _ = writeln!(text, "\nzones of this server: {}", listed(self.authority.zones()));
                let _ = writeln!(text, "reverse zones: {}", listed(self.authority.reverse_zones()));
            }
            None => {}
        }
        Explanation { resolves, text }
    }
}

/// The answer for one name.
struct Answered {
    rcode: Rcode,
    reasons: Vec<String>,
    advice: Option<&'static str>,
    records: Vec<RecordText>,
    /// What others have to be asked for.
    elsewhere: Option<AskedElsewhere>,
}

impl Answered {
    fn write(&self, text: &mut String) {
        *text += match self.rcode {
            Rcode::NoError if !self.records.is_empty() => "resolves\n",
            Rcode::NoError => "exists, but has no records of its own\n",
            Rcode::NxDomain => "does not resolve: NXDOMAIN\n",
            Rcode::Refused => "does not resolve: REFUSED\n",
            _ => "does not resolve: SERVFAIL\n",
        };
        self.write_records(text);
        for reason in &self.reasons {
            let _ = writeln!(text, "  {reason}");
        }
        if let Some(advice) = self.advice {
            let _ = writeln!(text, "  fix: {advice}");
        }
    }

    fn write_records(&self, text: &mut String) {
        for RecordText { rr_type, data, .. } in &self.records {
            let _ = writeln!(text, "  {rr_type} {data}");
        }
    }
}
