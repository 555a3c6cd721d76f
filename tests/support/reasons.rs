//! Holds the reasons for absent names against the objects: each is true of the object that it names (T8), and no name that is on
//! its way is denied without one (D7). As plain as [`super::expected`].

use std::collections::BTreeSet;

use headless_dns::cluster::{Pod, PodSelection, Service, ServiceSpec};
use headless_dns::dns::name::{Label, Relative};
use headless_dns::records::ServiceKey;
use headless_dns::records::reasons::{
    Family, HostReason, KnownPods, KnownServices, Problem, Reasons, ServiceReason, WantedBy,
};
use headless_dns::table::Table;

use super::expected::{Sources, View, expected, hostname, selects, sources};

/// Holds the reasons of Services, which need not exist, against the objects.
///
/// # Errors
/// A reason that is not true, or a name that is on its way and not known to be.
pub fn check(table: &Table<'_>, view: &View<'_>, keys: &[ServiceKey]) -> Result<(), String> {
    let records = expected(view);
    keys.iter().try_for_each(|key| check_service(table, view, &records, key))
}

fn check_service(
    table: &Table<'_>,
    view: &View<'_>,
    records: &BTreeSet<String>,
    key: &ServiceKey,
) -> Result<(), String> {
    let bare = Relative(key.as_wire()).to_string();
    let is_present = |name: &str| {
        let start = format!("{name} ");
        records.range(start.clone()..).next().is_some_and(|record| record.starts_with(&start))
    };
    let service = view.services.iter().copied().find(|service| service.key == *key);
    let sources = service.map(|service| sources(view, service));
    let found = table.reasons(key.as_wire());

    if let Some(reason) = found.and_then(|found| found.service.as_ref()) {
        let is_true = service_reason_is_true(view, key, service.zip(sources.as_ref()), reason);
        if !is_true || (is_present(&bare) && service.is_some_and(|it| it.spec == ServiceSpec::Headless)) {
            return Err(format!("  {bare}: {reason:?} is not true"));
        }
    }
    for (label, reason) in found.into_iter().flat_map(|found| &found.hosts) {
        let is_true = service
            .zip(sources.as_ref())
            .is_some_and(|(service, sources)| host_reason_is_true(view, service, sources, label, reason));
        if !is_true {
            return Err(format!("  {label}.{bare}: {reason:?} is not true"));
        }
    }

    // D7.
    let is_served = |service: &&Service| match service.spec {
        ServiceSpec::Headless => true,
        ServiceSpec::ClusterIp(_) => !view.options.headless_only,
        // Nothing is below an alias.
        ServiceSpec::ExternalName(_) => false,
    };
    let Some((service, sources)) = service.filter(is_served).zip(sources.as_ref()) else { return Ok(()) };
    let is_awaited = |host: Option<&[u8]>| found.is_some_and(|found| found.is_awaited(host));
    for host in awaited_hosts(service, sources) {
        let name = format!("{host}.{bare}");
        let wire = Label::parse(&host).expect("a label");
        if !is_present(&name) && !is_awaited(Some(wire.as_wire())) {
            return Err(format!("  {name} is on its way, and {found:?}"));
        }
    }
    let has_endpoints = !sources.from_slices.is_empty() || !sources.pods.is_empty();
    let is_headless = service.spec == ServiceSpec::Headless;
    if is_headless && has_endpoints && !has_ready_endpoint(service, sources) && !is_awaited(None) {
        return Err(format!("  {bare} is on its way, and {found:?}"));
    }
    Ok(())
}

/// The hostnames of endpoints that lack an address or readiness alone.
fn awaited_hosts(service: &Service, sources: &Sources<'_>) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for (_, endpoint) in sources.from_slices.iter().filter(|(_, endpoint)| !endpoint.ready) {
        hosts.extend(endpoint.hostname.as_ref().map(Label::to_string));
    }
    for pod in &sources.pods {
        let is_below = pod.template.subdomain.as_deref() == Some(&*service.object.name);
        let is_going = pod.is_finished || pod.is_terminating;
        let has_address = (service.families.v4 && pod.v4.is_some()) || (service.families.v6 && pod.v6.is_some());
        let has_none = pod.v4.is_none() && pod.v6.is_none();
        if is_below && !is_going && (has_none || (has_address && !pod.is_ready)) {
            hosts.extend(hostname(pod));
        }
    }
    hosts
}

/// Whether an endpoint of a headless Service is ready, or counts as such.
fn has_ready_endpoint(service: &Service, sources: &Sources<'_>) -> bool {
    let is_ready = |pod: &&Pod| {
        let has_address = (service.families.v4 && pod.v4.is_some()) || (service.families.v6 && pod.v6.is_some());
        let is_ready = pod.is_ready && !pod.is_terminating;
        !pod.is_finished && has_address && (is_ready || service.publish_not_ready)
    };
    let mut of_slices = sources.from_slices.iter();
    of_slices.any(|(_, endpoint)| endpoint.ready || service.publish_not_ready) || sources.pods.iter().any(is_ready)
}

fn service_reason_is_true(
    view: &View<'_>,
    key: &ServiceKey,
    service: Option<(&Service, &Sources<'_>)>,
    reason: &ServiceReason,
) -> bool {
    let endpoints = service.map_or(0, |(_, sources)| sources.from_slices.len() + sources.pods.len());
    match (service, reason) {
        (None, ServiceReason::Missing { wanted_by, kinds }) => {
            let is_wanted = |pod: &&Pod| {
                let of = ServiceKey::new(
                    &Label::parse(pod.namespace()).expect("a label"),
                    &Label::parse(pod.template.subdomain.as_deref().unwrap_or("none")).expect("a label"),
                );
                of == *key && (view.trusts_pods)(pod.namespace()) && wanted_by_of(pod) == *wanted_by
            };
            (*kinds == KnownServices::Headless) == view.options.headless_only
                && view.pods.iter().copied().any(|pod| is_wanted(&pod))
        }
        (Some((service, _)), ServiceReason::NotHeadless) => {
            view.options.headless_only && service.spec != ServiceSpec::Headless
        }
        (Some((service, sources)), ServiceReason::SelectsNothing { selector, pods }) => {
            let known = match view.options.pods {
                _ if !sources.trusts_pods => KnownPods::None,
                PodSelection::Off => KnownPods::None,
                PodSelection::StatefulSets => KnownPods::OfStatefulSets,
                PodSelection::All => KnownPods::All,
            };
            let is_selector = **selector == service.selector.to_string() && !selector.is_empty();
            is_selector && *pods == known && endpoints == 0
        }
        (Some((service, _)), ServiceReason::NoEndpoints) => service.selector.is_empty() && endpoints == 0,
        (Some((service, sources)), ServiceReason::NoneReady { endpoints: found }) => {
            *found == endpoints && endpoints > 0 && !has_ready_endpoint(service, sources)
        }
        (Some((service, _)), ServiceReason::NoClusterIp) => service.spec == ServiceSpec::ClusterIp(Vec::new()),
        _ => false,
    }
}

fn wanted_by_of(pod: &Pod) -> WantedBy {
    let owner = pod.template.owner.as_ref();
    let controller = owner.map(|(kind, name)| (kind.as_str().into(), name.as_str().into()));
    WantedBy { pod: pod.name.as_str().into(), controller }
}

fn host_reason_is_true(
    view: &View<'_>,
    service: &Service,
    sources: &Sources<'_>,
    label: &Label,
    HostReason { pod, problem }: &HostReason,
) -> bool {
    let Some(name) = pod else {
        let is_alias = matches!(service.spec, ServiceSpec::ExternalName(_));
        let mut endpoints = sources.from_slices.iter();
        return !is_alias
            && *problem == Problem::NotReady(None)
            && endpoints.any(|(_, endpoint)| endpoint.hostname.as_ref() == Some(label) && !endpoint.ready);
    };
    let is_it = |pod: &&&Pod| *pod.name == **name && pod.namespace() == &*service.object.namespace;
    let Some(pod) = view.pods.iter().find(is_it) else { return false };
    let is_endpoint = sources.pods.iter().any(|endpoint| endpoint.name == pod.name);
    let subdomain = pod.template.subdomain.as_deref();
    let is_below = subdomain == Some(&*service.object.name);
    let is_about_it = hostname(pod) == Some(label.to_string());
    is_about_it
        && sources.trusts_pods
        && match problem {
            Problem::NotReady(since) => {
                let changed = pod.ready_changed.map(|seconds| i64::from(seconds.get()));
                is_endpoint && !pod.is_ready && since.map(|since| since.as_second()) == changed
            }
            Problem::Terminating => is_endpoint && pod.is_terminating,
            Problem::Finished => is_endpoint && pod.is_finished,
            Problem::NoAddress => is_endpoint && pod.v4.is_none() && pod.v6.is_none(),
            Problem::OtherFamily(Family::V4) => is_endpoint && pod.v4.is_none() && !service.families.v6,
            Problem::OtherFamily(Family::V6) => is_endpoint && pod.v6.is_none() && !service.families.v4,
            Problem::Subdomain(other) => is_endpoint && !is_below && other.as_deref() == subdomain,
            Problem::NotSelected => is_below && !selects(service, pod),
        }
}

/// The reasons of a table that differ from those of another.
///
/// # Errors
/// The first difference.
pub fn compare(one: &Table<'_>, other: &Table<'_>, keys: &[ServiceKey]) -> Result<(), String> {
    for key in keys {
        let [one, other]: [Option<&Reasons>; 2] = [one, other].map(|table| table.reasons(key.as_wire()));
        if one != other {
            return Err(format!("reasons of {key}:\n  {one:?}\n  {other:?}"));
        }
    }
    Ok(())
}
