//! A name explained: from what is asked over what the cluster says to what is answered, and what to do where that is nothing.
//!
//! ```text
//! name ─▶ authority: zone, form, answers, reason ─┐
//!      ─▶ index (asked over a channel): objects ──┴─▶ text for a person
//! ```

use std::fmt::Write;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::authority::{Authority, EdeText, RecordText};
use crate::dns::name::{Name, Relative};
use crate::dns::wire::{Class, Question, Rcode, RrType};
use crate::records::ServiceKey;
use crate::records::reasons::{ServiceReason, Told, Why};
use crate::table::TableReader;

/// What is asked of whoever owns the index: the lines about a Service, the endpoint called so first.
pub struct Inspection {
    pub service: ServiceKey,
    pub host: Option<String>,
    pub reply: oneshot::Sender<Vec<String>>,
}

/// Inspections that may wait.
pub const INSPECTIONS: usize = 16;

/// Explains names.
pub struct Explainer {
    authority: Arc<Authority>,
    table: TableReader,
    index: mpsc::Sender<Inspection>,
}

impl Explainer {
    /// One that asks the index over `index`.
    pub fn new(authority: Arc<Authority>, table: TableReader, index: mpsc::Sender<Inspection>) -> Self {
        Self { authority, table, index }
    }

    /// What the table answers at a name, and what it knows of the reason.
    fn answer(&self, name: &Name) -> Answered {
        let table = self.table.pin();
        let question = Question { name: name.as_wire(), qtype: RrType::A, class: Class::IN };
        let mut answer = self.authority.answer(&table, &question);
        self.authority.explain(&table, &question, &mut answer);
        let advice = answer.errors.iter().find_map(|error| match error.text {
            EdeText::Reason(told) => Some(advice(&told)),
            _ => None,
        });
        Answered {
            rcode: answer.rcode,
            reasons: answer.errors.iter().map(|error| error.text.to_string()).collect(),
            advice,
            records: self.authority.records_at(&table, name.as_wire()),
        }
    }

    async fn inspect(&self, service: ServiceKey, host: Option<String>) -> Vec<String> {
        let (reply, lines) = oneshot::channel();
        if self.index.send(Inspection { service, host, reply }).await.is_err() {
            return Vec::new();
        }
        lines.await.unwrap_or_default()
    }
}

/// What the table says of one name.
struct Answered {
    rcode: Rcode,
    reasons: Vec<String>,
    advice: Option<&'static str>,
    records: Vec<RecordText>,
}

/// A name explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the name owns a record.
    pub resolves: bool,
    /// For a person, several lines.
    pub text: String,
}

impl Explainer {
    /// Explains how a name is answered.
    ///
    /// # Errors
    /// The text is not a name; the message says why.
    pub async fn explain(&self, name: &str) -> Result<Explanation, String> {
        let name = Name::parse(name).map_err(|error| format!("name: {error}"))?;
        // The table is let go of before anything is waited for.
        let answered = self.answer(&name);
        let resolves = !answered.records.is_empty();
        let mut text = format!("{name} ");
        text += match answered.rcode {
            Rcode::NoError if resolves => "resolves\n",
            Rcode::NoError => "exists, and has no records of its own\n",
            Rcode::NxDomain => "does not resolve: NXDOMAIN\n",
            Rcode::Refused => "does not resolve: REFUSED\n",
            _ => "does not resolve: SERVFAIL\n",
        };
        for RecordText { rr_type, data, .. } in &answered.records {
            let _ = writeln!(text, "  {rr_type} {data}");
        }
        for reason in &answered.reasons {
            let _ = writeln!(text, "  {reason}");
        }
        if let Some(advice) = answered.advice {
            let _ = writeln!(text, "  to mend it: {advice}");
        }
        match self.authority.service_of(name.as_wire()) {
            Some(found) => {
                let host = found.host.map(|host| Relative(host).to_string());
                let _ = writeln!(text, "\nwhat is known of it:");
                for line in self.inspect(ServiceKey::of_wire(found.service), host).await {
                    let _ = writeln!(text, "  {line}");
                }
            }
            None if answered.rcode == Rcode::Refused => {
                let zones: Vec<_> = self.authority.zones().iter().map(|zone| zone.apex().to_string()).collect();
                let _ = writeln!(text, "\nzones that are served: {}", zones.join(" "));
            }
            None => {}
        }
        Ok(Explanation { resolves, text })
    }
}

/// What a person can do.
fn advice(told: &Told<'_>) -> &'static str {
    let why = match told {
        Told::Service(reasons, ServiceReason::NoneReady(_)) => reasons.hosts.values().next().map(|reason| &reason.why),
        Told::Host(_, _, reason) => Some(&reason.why),
        Told::Service(..) => None,
    };
    match (told, why) {
        (_, Some(Why::NotReady(_))) => {
            "see why it is not Ready (kubectl describe pod); members that must find each other in order to become ready \
             need publishNotReadyAddresses on the Service, or the annotation headless-dns/not-ready-ordinals"
        }
        (_, Some(Why::NoAddress)) => "see why it does not start (kubectl describe pod)",
        (_, Some(Why::Terminating)) => "wait: its successor gets the name",
        (_, Some(Why::Finished)) => "see why it ended (kubectl logs); what runs it has to start another",
        (_, Some(Why::Subdomain(_))) => {
            "ask below the Service that the Pod names, or let the StatefulSet's serviceName be this Service: it cannot be \
             changed, so delete the StatefulSet with --cascade=orphan, apply it anew, and restart its Pods"
        }
        (_, Some(Why::NotSelected)) | (Told::Service(_, ServiceReason::SelectsNothing(_)), _) => {
            "compare the Service's selector with the labels of the Pods (kubectl get pods --show-labels)"
        }
        (Told::Service(_, ServiceReason::Wanted(_)), _) => {
            "create that Service, headless (clusterIP: None) and with a selector for those Pods"
        }
        (Told::Service(_, ServiceReason::NoEndpoints), _) => "give it a selector, or write an EndpointSlice for it",
        _ => "look at the Service (kubectl describe service)",
    }
}
