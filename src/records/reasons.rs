//! Why names of a Service are absent, as far as the cluster's objects tell it: data until somebody asks, and then a sentence.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::dns::name::{Label, Relative};
use crate::records::ServiceKey;

/// What is missing of one Service, which need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons {
    pub key: ServiceKey,
    /// Why its bare name is absent, and all below it.
    pub service: Option<ServiceReason>,
    /// Why names of single endpoints are.
    pub hosts: BTreeMap<Label, HostReason>,
}

impl Reasons {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.service.is_none() && self.hosts.is_empty()
    }
}

/// Why a Service has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceReason {
    /// There is none, though somebody's Pods name it as their subdomain.
    Wanted(Workload),
    /// No Pod has the labels of its selector.
    SelectsNothing(Box<str>),
    /// It has no selector, and nobody has written an EndpointSlice for it.
    NoEndpoints,
    /// It has that many endpoints, of which none is ready.
    NoneReady(usize),
    /// It is to have a virtual address and was not given one yet.
    NoClusterIp,
}

/// Whose Pods they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Kind and name of their controller.
    Controller(Box<str>, Box<str>),
    /// One that nothing controls.
    Pod(Box<str>),
}

/// Why one endpoint of a Service has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReason {
    /// The Pod; none where no more is known than what an EndpointSlice says.
    pub pod: Option<Box<str>>,
    pub why: Why,
}

/// What keeps an endpoint from having a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    NotReady(Option<Timestamp>),
    Terminating,
    /// It has succeeded or failed, and will not run again.
    Finished,
    NoAddress,
    /// The Pod names another Service as its subdomain, or none.
    Subdomain(Option<Box<str>>),
    /// The Pod names the Service, whose selector does not match it.
    NotSelected,
}

/// A reason as it is told, with the Service that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'r> {
    Service(&'r Reasons, &'r ServiceReason),
    Host(&'r Reasons, &'r Label, &'r HostReason),
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(reasons, reason) => service(f, reasons, reason),
            Self::Host(reasons, host, reason) => self::host(f, &reasons.key, host, reason),
        }
    }
}

fn service(f: &mut fmt::Formatter<'_>, reasons: &Reasons, reason: &ServiceReason) -> fmt::Result {
    let key = &reasons.key;
    match reason {
        ServiceReason::Wanted(Workload::Controller(kind, name)) => {
            let field = if &**kind == "StatefulSet" { "serviceName" } else { "subdomain" };
            write!(f, "there is no Service {key}, which {kind} {name} names as its {field}")
        }
        ServiceReason::Wanted(Workload::Pod(name)) => {
            write!(f, "there is no Service {key}, which Pod {name} names as its subdomain")
        }
        ServiceReason::SelectsNothing(selector) => write!(f, "Service {key} selects no Pod: none has {selector}"),
        ServiceReason::NoEndpoints => write!(f, "Service {key} has neither a selector nor an EndpointSlice"),
        ServiceReason::NoClusterIp => write!(f, "Service {key} has no cluster IP yet"),
        ServiceReason::NoneReady(count) => {
            write!(f, "no endpoint of Service {key} is ready, of {count}")?;
            match reasons.hosts.first_key_value() {
                Some((label, reason)) => {
                    f.write_str("; ")?;
                    host(f, key, label, reason)
                }
                None => Ok(()),
            }
        }
    }
}

fn host(f: &mut fmt::Formatter<'_>, key: &ServiceKey, label: &Label, reason: &HostReason) -> fmt::Result {
    match &reason.pod {
        Some(pod) => {
            let namespace = Relative(key.namespace());
            write!(f, "Pod {namespace}/{pod} ")?;
        }
        None => write!(f, "endpoint {label} of Service {key} ")?,
    }
    match &reason.why {
        Why::NotReady(None) => f.write_str("is not Ready"),
        Why::NotReady(Some(since)) => write!(f, "is not Ready since {since}"),
        Why::Terminating => f.write_str("is terminating"),
        Why::Finished => f.write_str("has come to its end and does not run again"),
        Why::NoAddress => f.write_str("has no IP yet"),
        Why::Subdomain(Some(other)) => {
            write!(f, "has the subdomain {other} (serviceName of its StatefulSet), not {}", Relative(key.name()))
        }
        Why::Subdomain(None) => f.write_str("has no subdomain: its StatefulSet names no serviceName"),
        Why::NotSelected => {
            write!(f, "names Service {} as its subdomain, whose selector does not match it", Relative(key.name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_sentence_that_names_what_to_look_at() {
        let label = |text: &str| Label::parse(text).unwrap();
        let key = ServiceKey::new(&label("db"), &label("pg"));
        let since = Timestamp::from_second(1_795_226_645).unwrap();
        let pod = |why| HostReason { pod: Some("pg-1".into()), why };
        let reasons = Reasons {
            key,
            service: None,
            hosts: [(label("pg-1"), pod(Why::NotReady(Some(since))))].into_iter().collect(),
        };
        for (reason, told) in [
            (
                ServiceReason::Wanted(Workload::Controller("StatefulSet".into(), "postgres".into())),
                "there is no Service db/pg, which StatefulSet postgres names as its serviceName",
            ),
            (
                ServiceReason::Wanted(Workload::Pod("pg-0".into())),
                "there is no Service db/pg, which Pod pg-0 names as its subdomain",
            ),
            (ServiceReason::SelectsNothing("app=pg".into()), "Service db/pg selects no Pod: none has app=pg"),
            (ServiceReason::NoEndpoints, "Service db/pg has neither a selector nor an EndpointSlice"),
            (ServiceReason::NoClusterIp, "Service db/pg has no cluster IP yet"),
            (
                ServiceReason::NoneReady(3),
                "no endpoint of Service db/pg is ready, of 3; Pod db/pg-1 is not Ready since 2026-11-21T02:04:05Z",
            ),
        ] {
            assert_eq!(Told::Service(&reasons, &reason).to_string(), told);
        }
        for (why, told) in [
            (Why::NotReady(None), "Pod db/pg-1 is not Ready"),
            (Why::Terminating, "Pod db/pg-1 is terminating"),
            (Why::Finished, "Pod db/pg-1 has come to its end and does not run again"),
            (Why::NoAddress, "Pod db/pg-1 has no IP yet"),
            (
                Why::Subdomain(Some("other".into())),
                "Pod db/pg-1 has the subdomain other (serviceName of its StatefulSet), not pg",
            ),
            (Why::Subdomain(None), "Pod db/pg-1 has no subdomain: its StatefulSet names no serviceName"),
            (Why::NotSelected, "Pod db/pg-1 names Service pg as its subdomain, whose selector does not match it"),
        ] {
            assert_eq!(Told::Host(&reasons, &label("pg-1"), &pod(why)).to_string(), told);
        }
        let unknown = HostReason { pod: None, why: Why::NotReady(None) };
        assert_eq!(
            Told::Host(&reasons, &label("pg-2"), &unknown).to_string(),
            "endpoint pg-2 of Service db/pg is not Ready"
        );
    }
}
