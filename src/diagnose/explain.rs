//! Explains a name: its answer, the reason for a denial and the fix, and the objects of the cluster behind it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::advice::advice;
use super::describe::describe;
use super::endpoints::ServiceState;
use super::forwarded;
use super::inspect::{Inspected, Inspection, Wanted};
use super::meant::{Meant, meant};
use crate::authority::{Authority, EdeText, Elsewhere, RecordText, Zone};
use crate::dns::name::{Name, Relative};
use crate::dns::wire::{Class, Question, Rcode, RrType};
use crate::records::ServiceKey;
use crate::resolver::{AskedElsewhere, Resolver};
use crate::table::TableReader;

/// Endpoints that are listed, of each source. The one that was asked about is always among them.
const MAX_LISTED: usize = 12;

/// A name explained. Its `Display` form is for a person, several lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether the name owns a record.
    pub resolves: bool,
    /// The name as it was understood, and what becomes of it: together a sentence.
    pub name: String,
    pub verdict: &'static str,
    /// The names of which one may be meant, if that is not clear.
    pub meant: Vec<String>,
    /// Its records: type and data.
    pub records: Vec<String>,
    /// Why it is answered so, and who has said so.
    pub reasons: Vec<String>,
    /// What to do about it.
    pub fix: Option<&'static str>,
    /// The Service and its endpoints in the cluster, if the name is about one.
    pub cluster_state: Option<Vec<String>>,
    /// What is served here, if the name is nothing of it.
    pub served: Option<ServedZones>,
}

/// The zones of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServedZones {
    pub zones: Vec<String>,
    pub reverse_zones: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, verdict, meant, records, reasons, .. } = self;
        writeln!(f, "{name} {verdict}")?;
        meant.iter().chain(records).chain(reasons).try_for_each(|line| writeln!(f, "  {line}"))?;
        if let Some(fix) = self.fix {
            writeln!(f, "  fix: {fix}")?;
        }
        if let Some(lines) = &self.cluster_state {
            writeln!(f, "\ncluster state:")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        if let Some(ServedZones { zones, reverse_zones }) = &self.served {
            writeln!(f, "\nzones of this server: {}", zones.join(" "))?;
            writeln!(f, "reverse zones: {}", reverse_zones.join(" "))?;
        }
        Ok(())
    }
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

    /// The answer to a query for a name, with its reason, and what others have to be asked for.
    fn answer(&self, name: &Name) -> (Explanation, Rcode, Option<AskedElsewhere>) {
        let table = self.table.pin();
        let question = Question { name: name.as_wire(), qtype: RrType::A, class: Class::IN };
        let mut answer = self.authority.answer(&table, &question);
        self.authority.explain(&table, &question, &mut answer);
        let fix = answer.errors.iter().find_map(|error| match error.text {
            EdeText::Reason(reason) => Some(advice(&reason)),
            _ => None,
        });
        let records = self.authority.records_at(&table, name.as_wire());
        let explanation = Explanation {
            resolves: !records.is_empty(),
            name: name.to_string(),
            verdict: verdict(answer.rcode, !records.is_empty()),
            records: records.iter().map(|RecordText { rr_type, data, .. }| format!("{rr_type} {data}")).collect(),
            reasons: answer.errors.iter().map(|error| error.text.to_string()).collect(),
            fix,
            ..Explanation::default()
        };
        let elsewhere = answer.elsewhere.map(|elsewhere| match elsewhere {
            Elsewhere::Question => AskedElsewhere::plain(name.as_wire(), RrType::A),
            Elsewhere::Target(target) => AskedElsewhere::plain(target.as_wire(), RrType::A),
        });
        (explanation, answer.rcode, elsewhere)
    }

    /// What the index has of a Service; none if the index is gone.
    async fn inspect(&self, service: ServiceKey, wanted: Wanted) -> Option<Inspected> {
        let (reply, inspected) = oneshot::channel();
        self.index.send(Inspection { service, wanted, reply }).await.ok()?;
        inspected.await.ok()
    }

    /// A Service and the endpoints that are wanted; none if the index is gone.
    pub async fn service(&self, service: ServiceKey, wanted: Wanted) -> Option<ServiceState> {
        let inspected = self.inspect(service, wanted).await?;
        Some(ServiceState::new(&inspected, &self.table.pin()))
    }

    /// Explains how a name is answered. `text` may also be an address, or the beginning of a name.
    ///
    /// # Errors
    /// The text is neither; the message says why.
    pub async fn explain(&self, text: &str) -> Result<Explanation, String> {
        let understood = meant(&self.authority, &self.table.pin(), text)?;
        match understood {
            Meant::Name(name) => Ok(self.explain_name(&name).await),
            Meant::OneOf(names) => Ok(Explanation {
                name: text.to_owned(),
                verdict: "is a Service in several namespaces; ask for one of",
                meant: names.iter().map(ToString::to_string).collect(),
                ..Explanation::default()
            }),
        }
    }

    /// Whether others are asked for what becomes of a name, for which they may take their time.
    pub fn asks_others(&self, text: &str) -> bool {
        if self.resolver.is_none() {
            return false;
        }
        let table = self.table.pin();
        let Ok(Meant::Name(name)) = meant(&self.authority, &table, text) else { return false };
        let question = Question { name: name.as_wire(), qtype: RrType::A, class: Class::IN };
        self.authority.answer(&table, &question).elsewhere.is_some()
    }

    async fn explain_name(&self, name: &Name) -> Explanation {
        // The table must not stay pinned while this waits for the index.
        let (mut explanation, rcode, elsewhere) = self.answer(name);
        let is_forwarded = match (&self.resolver, &elsewhere) {
            (Some(resolver), Some(asked)) => {
                let forwarded = forwarded::ask(resolver, asked).await;
                explanation.resolves |= forwarded.resolves;
                explanation.verdict = if explanation.resolves { "resolves" } else { "does not resolve" };
                (explanation.reasons, explanation.fix) = (forwarded.lines, None);
                true
            }
            _ => false,
        };
        match self.authority.service_of(name.as_wire()) {
            Some(found) => {
                let host = found.host.map(|host| Relative(host).to_string());
                let wanted = Wanted { host, most: MAX_LISTED, ..Wanted::default() };
                let inspected = self.inspect(ServiceKey::of_wire(found.service), wanted).await;
                explanation.cluster_state = Some(inspected.as_ref().map(describe).unwrap_or_default());
            }
            None if rcode == Rcode::Refused && !is_forwarded => {
                let listed = |zones: &[Zone]| zones.iter().map(|zone| zone.apex().to_string()).collect();
                explanation.served = Some(ServedZones {
                    zones: listed(self.authority.zones()),
                    reverse_zones: listed(self.authority.reverse_zones()),
                });
            }
            None => {}
        }
        explanation
    }
}

fn verdict(rcode: Rcode, has_records: bool) -> &'static str {
    match rcode {
        Rcode::NoError if has_records => "resolves",
        Rcode::NoError => "exists, but has no records of its own",
        Rcode::NxDomain => "does not resolve: NXDOMAIN",
        Rcode::Refused => "does not resolve: REFUSED",
        _ => "does not resolve: SERVFAIL",
    }
}
