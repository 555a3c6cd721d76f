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

    /// Why the Service has no names, if that is known.
    pub fn of_service(&self) -> Option<AbsenceReason<'_>> {
        self.service.as_ref().map(|reason| AbsenceReason::Service { reasons: self, reason })
    }

    /// Why the name of a host is absent, if that is known. The label is in wire form.
    pub fn of_host(&self, host: &[u8]) -> Option<AbsenceReason<'_>> {
        let (host, reason) = self.hosts.get_key_value(host)?;
        Some(AbsenceReason::Host { reasons: self, host, reason })
    }

    /// Whether the name of a host, or the Service's own without one, appears as soon as an endpoint that is known is ready.
    pub fn is_awaited(&self, host: Option<&[u8]>) -> bool {
        match host {
            Some(host) => self.hosts.get(host).is_some_and(|reason| reason.problem.ends_with_readiness()),
            None => matches!(self.service, Some(ServiceReason::NoneReady { .. })),
        }
    }
}

/// Why a Service has no names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceReason {
    /// It does not exist, though a Pod has it as its subdomain.
    Missing { wanted_by: WantedBy, kinds: KnownServices },
    /// It is not headless, and only headless Services are served.
    NotHeadless,
    /// No Pod that is watched matches its selector, and its EndpointSlices have nothing else.
    SelectsNothing { selector: Box<str>, pods: KnownPods },
    /// It has no selector, and nothing in an EndpointSlice.
    NoEndpoints,
    /// It has endpoints, and none of them is ready.
    NoneReady { endpoints: usize },
    /// It has not been assigned a virtual address yet.
    NoClusterIp,
}

/// The Services that are watched: a reason claims nothing of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownServices {
    #[default]
    All,
    Headless,
}

/// The Pods that are watched, and whose watch is up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownPods {
    All,
    OfStatefulSets,
    None,
}

/// A Pod that has a Service as its subdomain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedBy {
    pub pod: Box<str>,
    /// Kind and name of its controller.
    pub controller: Option<(Box<str>, Box<str>)>,
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
    /// It has none of the only family that the Service has.
    OtherFamily(Family),
    /// The Pod has another Service as its subdomain, or none.
    Subdomain(Option<Box<str>>),
    /// The Pod has the Service as its subdomain, but does not match its selector.
    NotSelected,
}

impl Problem {
    /// Whether it is over as soon as the Pod is ready.
    pub fn ends_with_readiness(&self) -> bool {
        matches!(self, Self::NotReady(_) | Self::NoAddress)
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
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
        ServiceReason::Missing { wanted_by: WantedBy { pod, controller }, kinds } => {
            match kinds {
                KnownServices::All => write!(f, "Service {key} does not exist, but Pod {pod}")?,
                KnownServices::Headless => {
                    write!(f, "no headless Service {key} exists (one with a cluster IP may), but Pod {pod}")?;
                }
            }
            if let Some((kind, name)) = controller {
                write!(f, " of {kind} {name}")?;
            }
            f.write_str(" has it as its subdomain")?;
            let is_of_stateful_set = controller.as_ref().is_some_and(|(kind, _)| &**kind == "StatefulSet");
            f.write_str(if is_of_stateful_set { " (serviceName)" } else { "" })
        }
        ServiceReason::NotHeadless => {
            write!(f, "Service {key} is not headless, and this server serves headless Services only")
        }
        ServiceReason::SelectsNothing { selector, pods: KnownPods::All } => {
            write!(f, "Service {key} selects no Pods: none matches its selector {selector}")
        }
        ServiceReason::SelectsNothing { selector, pods: KnownPods::OfStatefulSets } => {
            write!(
                f,
                "Service {key} has no endpoint: no EndpointSlice lists one, and no Pod of a StatefulSet matches {selector}"
            )
        }
        ServiceReason::SelectsNothing { selector, pods: KnownPods::None } => {
            write!(f, "Service {key} has no endpoint: no EndpointSlice lists one (its selector is {selector})")
        }
        ServiceReason::NoEndpoints => {
            write!(f, "Service {key} has no selector, and no EndpointSlice has an address for it")
        }
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
        Problem::OtherFamily(family) => {
            let family = match family {
                Family::V4 => "IPv4",
                Family::V6 => "IPv6",
            };
            write!(f, "has no {family} address, and Service {service} has no other family")
        }
        Problem::Subdomain(Some(other)) => write!(f, "has subdomain {other}, not {service}"),
        Problem::Subdomain(None) => f.write_str("has no subdomain"),
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
        let missing = |kind: Option<&str>, kinds| {
            let controller = kind.map(|kind| (kind.into(), "x".into()));
            ServiceReason::Missing { wanted_by: WantedBy { pod: "pg-0".into(), controller }, kinds }
        };
        let selects_nothing = |pods| ServiceReason::SelectsNothing { selector: "app=pg".into(), pods };
        for (reason, text) in [
            (
                missing(Some("StatefulSet"), KnownServices::All),
                "Service db/pg does not exist, but Pod pg-0 of StatefulSet x has it as its subdomain (serviceName)",
            ),
            (
                missing(Some("Job"), KnownServices::All),
                "Service db/pg does not exist, but Pod pg-0 of Job x has it as its subdomain",
            ),
            (missing(None, KnownServices::All), "Service db/pg does not exist, but Pod pg-0 has it as its subdomain"),
            (
                missing(None, KnownServices::Headless),
                "no headless Service db/pg exists (one with a cluster IP may), but Pod pg-0 has it as its subdomain",
            ),
            (
                ServiceReason::NotHeadless,
                "Service db/pg is not headless, and this server serves headless Services only",
            ),
            (selects_nothing(KnownPods::All), "Service db/pg selects no Pods: none matches its selector app=pg"),
            (
                selects_nothing(KnownPods::OfStatefulSets),
                "Service db/pg has no endpoint: no EndpointSlice lists one, and no Pod of a StatefulSet matches app=pg",
            ),
            (
                selects_nothing(KnownPods::None),
                "Service db/pg has no endpoint: no EndpointSlice lists one (its selector is app=pg)",
            ),
            (ServiceReason::NoEndpoints, "Service db/pg has no selector, and no EndpointSlice has an address for it"),
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
            (Problem::OtherFamily(Family::V6), "Pod db/pg-1 has no IPv6 address, and Service pg has no other family"),
            (Problem::OtherFamily(Family::V4), "Pod db/pg-1 has no IPv4 address, and Service pg has no other family"),
            (Problem::Subdomain(Some("other".into())), "Pod db/pg-1 has subdomain other, not pg"),
            (Problem::Subdomain(None), "Pod db/pg-1 has no subdomain"),
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
