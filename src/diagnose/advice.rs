//! What to do about a name that is absent.

use crate::records::reasons::{AbsenceReason, KnownServices, Problem, ServiceReason};

/// How to fix what the reason is about, for a person.
pub(super) fn advice(reason: &AbsenceReason<'_>) -> &'static str {
    match reason {
        AbsenceReason::Host { reason, .. } => problem_advice(&reason.problem),
        AbsenceReason::Service { reason, reasons } => match reason {
            ServiceReason::NoneReady { .. } => match reasons.hosts.values().next() {
                Some(host) => problem_advice(&host.problem),
                None => SERVICE_ADVICE,
            },
            ServiceReason::SelectsNothing { .. } => SELECTOR_ADVICE,
            ServiceReason::Missing { kinds: KnownServices::All, .. } => {
                "create that Service: headless (clusterIP: None), with a selector that matches those Pods"
            }
            ServiceReason::Missing { kinds: KnownServices::Headless, .. } | ServiceReason::NotHeadless => {
                "look whether that Service has a cluster IP (kubectl get service): then delete it and create it anew as headless \
                 (clusterIP: None), because a cluster IP cannot be changed; or serve all Services (headless_only = false)"
            }
            ServiceReason::NoEndpoints => "add a selector to the Service, or create an EndpointSlice for it",
            ServiceReason::NoClusterIp => SERVICE_ADVICE,
        },
    }
}

const SERVICE_ADVICE: &str = "check the Service (kubectl describe service)";
const SELECTOR_ADVICE: &str =
    "compare the Service's selector with the labels of the Pods (kubectl get pods --show-labels)";

fn problem_advice(problem: &Problem) -> &'static str {
    match problem {
        Problem::NotReady(_) => {
            "find out why the Pod is not Ready (kubectl describe pod); Pods that must find each other before they become ready \
             need publishNotReadyAddresses on the Service, or the annotation headless-dns/not-ready-ordinals"
        }
        Problem::NoAddress => "find out why the Pod does not start (kubectl describe pod)",
        Problem::OtherFamily(_) => {
            "compare the Service's ipFamilies with the addresses of the Pod (kubectl get pod -o wide)"
        }
        Problem::Terminating => "wait for its replacement, which gets the same name",
        Problem::Finished => "find out why it terminated (kubectl logs); its controller has to create another Pod",
        Problem::Subdomain(_) => {
            "query the name below the Service that is the Pod's subdomain, or set the StatefulSet's serviceName to this Service: \
             the field is immutable, so delete the StatefulSet with --cascade=orphan, apply it again, and restart its Pods"
        }
        Problem::NotSelected => SELECTOR_ADVICE,
    }
}
