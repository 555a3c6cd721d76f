//! Why names of a Service are absent: kept as data, and formatted as a sentence only when a client asks.
//!
//! `crate::diagnose` lists where each part of this feature lives.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::ServiceKey;
use crate::dns::name::{Label, Relative};

/// Why names of one Service are absent. The Service need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons {
    pub key: ServiceKey,
    /// Why its bare name and all names below it are absent.
    pub service: Option<ServiceReason>,
    /// Why the names of single endpoints are absent.
    pub hosts: BTreeMap<Label, HostReason>,
}

impl Reasons {
    pub fn is_empty(&self) -> bool {
        self.service.is_none() && self.hosts.is_empty()
    }
}

/// Why a Service has no names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceReason {
    /// It does not exist, though Pods have it as their subdomain.
    Missing { wanted_by: Workload },
    /// No Pod matches its selector.
    SelectsNothing { selector: Box<str> },
    /// It has no selector and no EndpointSlice.
    NoEndpoints,
    /// It has endpoints, and none of them is ready.
    NoneReady { endpoints: usize },
    /// It has not been assigned a virtual address yet.
    NoClusterIp,
}

/// What Pods belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    Controller {
        kind: Box<str>,
        name: Box<str>,
    },
    /// A Pod without a controller.
    Pod(Box<str>),
}

/// Why one endpoint has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReason {
    /// The Pod; none for an endpoint that only an EndpointSlice shows.
    pub pod: Option<Box<str>>,
    pub problem: Problem,
}

impl HostReason {
    pub fn of_pod(pod: &str, problem: Problem) -> Self {
        Self { pod: Some(pod.into()), problem }
    }
}

/// What keeps an endpoint from having a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not ready, since then if that is known.
    NotReady(Option<Timestamp>),
    Terminating,
    /// It has succeeded or failed, and will not restart.
    Finished,
    NoAddress,
    /// The Pod has another Service as its subdomain, or none.
    Subdomain(Option<Box<str>>),
    /// The Pod has the Service as its subdomain, but does not match its selector.
    NotSelected,
}

/// The reason for which one name is absent. Its `Display` form is for users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsenceReason<'r> {
    Service { reasons: &'r Reasons, reason: &'r ServiceReason },
    Host { reasons: &'r Reasons, host: &'r Label, reason: &'r HostReason },
}

impl fmt::Display for AbsenceReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { reasons, reason } => write_service(f, reasons, reason),
            Self::Host { reasons, host, reason } => write_host(f, &reasons.key, host, reason),
        }
    }
}

fn write_service(f: &mut fmt::Formatter<'_>, reasons: &Reasons, reason: &ServiceReason) -> fmt::Result {
    let key = &reasons.key;
    match reason {
        ServiceReason::Missing { wanted_by: Workload::Controller { kind, name } } => {
            let field = if &**kind == "StatefulSet" { "serviceName" } else { "subdomain" };
            write!(f, "Service {key} does not exist, but {kind} {name} sets it as its {field}")
        }
        ServiceReason::Missing { wanted_by: Workload::Pod(name) } => {
            write!(f, "Service {key} does not exist, but Pod {name} sets it as its subdomain")
        }
        ServiceReason::SelectsNothing { selector } => {
            write!(f, "Service {key} selects no Pods: none matches its selector {selector}")
        }
        ServiceReason::NoEndpoints => write!(f, "Service {key} has no selector and no EndpointSlice"),
        ServiceReason::NoClusterIp => write!(f, "Service {key} has no cluster IP yet"),
        ServiceReason::NoneReady { endpoints } => {
            write!(f, "Service {key} has no ready endpoint (0 of {endpoints})")?;
            match reasons.hosts.first_key_value() {
                Some((host, reason)) => {
                    f.write_str("; ")?;
                    write_host(f, key, host, reason)
                }
                None => Ok(()),
            }
        }
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, key: &ServiceKey, host: &Label, reason: &HostReason) -> fmt::Result {
    let service = Relative(key.name());
    match &reason.pod {
        Some(pod) => write!(f, "Pod {}/{pod} ", Relative(key.namespace()))?,
        None => write!(f, "endpoint {host} of Service {key} ")?,
    }
    match &reason.problem {
        Problem::NotReady(None) => f.write_str("is not Ready"),
        Problem::NotReady(Some(since)) => write!(f, "has not been Ready since {since}"),
        Problem::Terminating => f.write_str("is terminating"),
        Problem::Finished => f.write_str("has terminated and will not restart"),
        Problem::NoAddress => f.write_str("has no IP address yet"),
        Problem::Subdomain(Some(other)) => {
            write!(f, "has subdomain {other} (the serviceName of its StatefulSet), not {service}")
        }
        Problem::Subdomain(None) => f.write_str("has no subdomain: its StatefulSet sets no serviceName"),
        Problem::NotSelected => {
            write!(f, "has subdomain {service}, but does not match the selector of that Service")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_object_and_its_problem() {
        let label = |text: &str| Label::parse(text).unwrap();
        let key = ServiceKey::new(&label("db"), &label("pg"));
        let since = Timestamp::from_second(1_795_226_645).unwrap();
        let pod = |problem| HostReason::of_pod("pg-1", problem);
        let reasons = Reasons {
            key,
            service: None,
            hosts: [(label("pg-1"), pod(Problem::NotReady(Some(since))))].into_iter().collect(),
        };
        for (reason, text) in [
            (
                ServiceReason::Missing {
                    wanted_by: Workload::Controller { kind: "StatefulSet".into(), name: "postgres".into() },
                },
                "Service db/pg does not exist, but StatefulSet postgres sets it as its serviceName",
            ),
            (
                ServiceReason::Missing { wanted_by: Workload::Pod("pg-0".into()) },
                "Service db/pg does not exist, but Pod pg-0 sets it as its subdomain",
            ),
            (
                ServiceReason::SelectsNothing { selector: "app=pg".into() },
                "Service db/pg selects no Pods: none matches its selector app=pg",
            ),
            (ServiceReason::NoEndpoints, "Service db/pg has no selector and no EndpointSlice"),
            (ServiceReason::NoClusterIp, "Service db/pg has no cluster IP yet"),
            (
                ServiceReason::NoneReady { endpoints: 3 },
                "Service db/pg has no ready endpoint (0 of 3); Pod db/pg-1 has not been Ready since 2026-11-21T02:04:05Z",
            ),
        ] {
            assert_eq!(AbsenceReason::Service { reasons: &reasons, reason: &reason }.to_string(), text);
        }
        for (problem, text) in [
            (Problem::NotReady(None), "Pod db/pg-1 is not Ready"),
            (Problem::Terminating, "Pod db/pg-1 is terminating"),
            (Problem::Finished, "Pod db/pg-1 has terminated and will not restart"),
            (Problem::NoAddress, "Pod db/pg-1 has no IP address yet"),
            (
                Problem::Subdomain(Some("other".into())),
                "Pod db/pg-1 has subdomain other (the serviceName of its StatefulSet), not pg",
            ),
            (Problem::Subdomain(None), "Pod db/pg-1 has no subdomain: its StatefulSet sets no serviceName"),
            (Problem::NotSelected, "Pod db/pg-1 has subdomain pg, but does not match the selector of that Service"),
        ] {
            assert_eq!(
                AbsenceReason::Host { reasons: &reasons, host: &label("pg-1"), reason: &pod(problem) }.to_string(),
                text
            );
        }
        let unknown = HostReason { pod: None, problem: Problem::NotReady(None) };
        assert_eq!(
            AbsenceReason::Host { reasons: &reasons, host: &label("pg-2"), reason: &unknown }.to_string(),
            "endpoint pg-2 of Service db/pg is not Ready"
        );
    }
}
