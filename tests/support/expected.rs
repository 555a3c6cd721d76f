//! The records that must follow from objects, found in the simplest way: every rule is a loop over all objects, nothing is
//! indexed, sorted or shared, and none of the code that is judged is used. Slow, and obviously right. Shared with the fuzz
//! targets.
//!
//! ```text
//! objects ─▶ expected ─┐
//!                      ├─ equal: sets of lines such as `pg-0.pg.db A 10.0.0.1`
//! table ───▶ found ────┘
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use headless_dns::cluster::{
    self, Hostname, POD_INDEX, POD_NAME, Pod, PodRef, Protocol, Service, ServiceSpec, Slice, TargetPort, Uid, Version,
};
use headless_dns::dns::name::Relative;
use headless_dns::index::Options;
use headless_dns::records::{ServiceKind, Srv, SrvTarget};
use headless_dns::table::{PtrTargets, Table};

/// Objects as they are now, and what is known of the Pods besides.
pub struct View<'a> {
    pub services: Vec<&'a Service>,
    pub slices: Vec<&'a Slice>,
    pub pods: Vec<&'a Pod>,
    /// Pods that were mirrored and are deleted.
    pub deleted: BTreeSet<Uid>,
    /// Whether the Pods of a namespace are listed and kept up to date.
    pub trusts_pods: &'a dyn Fn(&str) -> bool,
    pub options: Options,
}

/// An endpoint of one address.
struct Endpoint {
    hostname: Option<String>,
    address: IpAddr,
    is_ready: bool,
    /// Owner labels of the SRV records, such as `_sql._tcp`, none for a port without a name; and the number.
    ports: Vec<(Option<String>, u16)>,
}

impl Endpoint {
    /// S4, S7: its hostname, else its address with dashes, padded where a label would begin or end with one.
    fn label(&self) -> String {
        self.hostname.clone().unwrap_or_else(|| {
            let dashed = self.address.to_string().replace(['.', ':'], "-");
            let start = if dashed.starts_with('-') { "0" } else { "" };
            let end = if dashed.ends_with('-') { "0" } else { "" };
            format!("{start}{dashed}{end}")
        })
    }
}

/// The records that have to be served.
pub fn expected(view: &View<'_>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for service in &view.services {
        let bare = Relative(service.key.as_wire()).to_string();
        let publishes = |endpoint: &Endpoint| endpoint.is_ready || service.publish_not_ready;
        let endpoints = endpoints(view, service);
        let is_served = !view.options.headless_only || service.spec == ServiceSpec::Headless;
        if is_served && is_public(view, service) {
            lines.insert(format!("public: {bare}"));
        }
        match &service.spec {
            ServiceSpec::Headless => {
                let names_early = service.not_ready_ordinals.unwrap_or(view.options.not_ready_ordinals);
                for endpoint in &endpoints {
                    let name = format!("{}.{bare}", endpoint.label());
                    if publishes(endpoint) {
                        lines.insert(address_line(&bare, endpoint.address));
                        for (owner, port) in &endpoint.ports {
                            lines.insert(format!("{bare} SRV {port} {name}"));
                            if let Some(owner) = owner {
                                lines.insert(format!("{owner}.{bare} SRV {port} {name}"));
                            }
                        }
                    }
                    if publishes(endpoint) || (names_early && endpoint.hostname.is_some()) {
                        lines.insert(address_line(&name, endpoint.address));
                        lines.insert(format!("{} PTR {name}", endpoint.address));
                    }
                }
            }
            _ if view.options.headless_only => {}
            ServiceSpec::ExternalName(target) => {
                lines.insert(format!("{bare} CNAME {target}"));
            }
            ServiceSpec::ClusterIp(addresses) => {
                for address in addresses {
                    lines.insert(address_line(&bare, *address));
                    lines.insert(format!("{address} PTR {bare}"));
                    for port in &service.ports {
                        lines.insert(format!("{bare} SRV {} {bare}", port.port));
                        if let Some(owner) = &port.owner {
                            lines.insert(format!("{}.{bare} SRV {} {bare}", Relative(owner), port.port));
                        }
                    }
                }
                for endpoint in endpoints.iter().filter(|endpoint| publishes(endpoint)) {
                    lines.insert(address_line(&format!("{}.{bare}", endpoint.label()), endpoint.address));
                }
            }
        }
    }
    lines
}

/// X8: what its annotation says, or its namespace.
fn is_public(view: &View<'_>, service: &Service) -> bool {
    let Some(namespaces) = &view.options.public_namespaces else { return false };
    let namespace = &*service.object.namespace;
    service.public.unwrap_or_else(|| namespaces.iter().any(|public| public.as_text() == namespace))
}

fn address_line(name: &str, address: IpAddr) -> String {
    format!("{name} {} {address}", if address.is_ipv4() { "A" } else { "AAAA" })
}

fn endpoints(view: &View<'_>, service: &Service) -> Vec<Endpoint> {
    let sources = sources(view, service);
    let mut endpoints = Vec::new();
    for (slice, endpoint) in &sources.from_slices {
        let ports = slice.ports.iter().map(|port| (port.owner.as_ref().map(|it| Relative(it).to_string()), port.port));
        endpoints.push(Endpoint {
            hostname: endpoint.hostname.as_ref().map(|label| label.to_string()),
            address: endpoint.address,
            is_ready: endpoint.ready,
            ports: ports.collect(),
        });
    }
    for pod in sources.pods.iter().filter(|pod| !pod.is_finished) {
        let v4 = pod.v4.map(IpAddr::V4).filter(|_| service.families.v4);
        let v6 = pod.v6.as_deref().map(|v6| IpAddr::V6(*v6)).filter(|_| service.families.v6);
        for address in v4.into_iter().chain(v6) {
            let is_below = pod.template.subdomain.as_deref() == Some(&*service.object.name);
            endpoints.push(Endpoint {
                hostname: hostname(pod).filter(|_| is_below),
                address,
                is_ready: pod.is_ready && !pod.is_terminating,
                ports: ports(service, pod),
            });
        }
    }
    endpoints
}

/// What the endpoints of a Service come from.
pub struct Sources<'a> {
    /// Endpoints that no mirrored or deleted Pod stands for, each with its slice.
    pub from_slices: Vec<(&'a Slice, cluster::Endpoint<'a>)>,
    /// Pods that are endpoints themselves, or will be.
    pub pods: Vec<&'a Pod>,
    pub trusts_pods: bool,
}

/// T6, T7.
pub fn sources<'a>(view: &View<'a>, service: &Service) -> Sources<'a> {
    let trusts_pods = service.spec == ServiceSpec::Headless
        && !service.selector.is_empty()
        && (view.trusts_pods)(&service.object.namespace);
    let slices = view.slices.iter().filter(|slice| slice.service.as_ref() == Some(&service.key));
    let endpoints = slices.flat_map(|slice| slice.endpoints.iter().map(|endpoint| (*slice, endpoint)));
    let endpoints: Vec<_> = endpoints.collect();
    let pods: Vec<_> = view.pods.iter().copied().filter(|pod| trusts_pods && selects(service, pod)).collect();

    let is_known = |uid: Uid| view.deleted.contains(&uid) || view.pods.iter().any(|mirrored| mirrored.uid == Some(uid));
    // T6: which Pod has which name, by the object that was written last. Mirrored Pods have different names.
    let mut claims: Vec<(String, (Version, bool, Uid))> = Vec::new();
    for (slice, endpoint) in &endpoints {
        let Some(pod) = &endpoint.pod else { continue };
        let is_gone = trusts_pods && view.deleted.contains(&pod.uid);
        if !pod.name.is_empty() && !is_gone {
            claims.push((pod.name.to_string(), (slice.version, true, pod.uid)));
        }
    }
    for pod in &pods {
        claims.extend(pod.uid.map(|uid| (pod.name.to_string(), (pod.version, false, uid))));
    }
    let mut named = endpoints.iter().filter_map(|(_, endpoint)| endpoint.pod.as_ref());
    let is_doubtful = named.any(|pod| !trusts_pods || !is_known(pod.uid));
    // A Pod whose name is that of another is gone, wherever it is listed.
    let is_gone = |uid: Uid| {
        let newest = |name: &String| claims.iter().filter(|(other, _)| other == name).map(|(_, claim)| claim).max();
        let is_of_another = |name: &String| newest(name).is_some_and(|(_, _, newest)| *newest != uid);
        is_doubtful && claims.iter().any(|(name, (_, _, claimed))| *claimed == uid && is_of_another(name))
    };
    let is_shadowed = |pod: &PodRef<'_>| (trusts_pods && is_known(pod.uid)) || is_gone(pod.uid);
    let counts = |(_, endpoint): &(_, cluster::Endpoint<'_>)| !endpoint.pod.as_ref().is_some_and(is_shadowed);
    let is_superseded = |pod: &&Pod| pod.uid.is_some_and(is_gone);
    Sources {
        from_slices: endpoints.iter().filter(|endpoint| counts(endpoint)).cloned().collect(),
        pods: pods.iter().copied().filter(|pod| !is_superseded(pod)).collect(),
        trusts_pods,
    }
}

/// The hostname in its spec.
pub fn hostname(pod: &Pod) -> Option<String> {
    match &pod.template.hostname {
        Hostname::None => None,
        // A name with dots in it is no label.
        Hostname::Own => Some(pod.name.to_ascii_lowercase()).filter(|name| !name.contains('.') && name.len() <= 63),
        Hostname::Other(label) => Some(label.to_string()),
    }
}

/// The ports of a Service with the numbers that a Pod has for them.
fn ports(service: &Service, pod: &Pod) -> Vec<(Option<String>, u16)> {
    let mut ports = Vec::new();
    for port in &service.ports {
        let number = match &port.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => {
                let mut named = pod.template.ports.iter();
                let same = |protocol: Protocol| protocol == port.protocol;
                named.find(|named| *named.name == **name && same(named.protocol)).map(|named| named.port)
            }
        };
        ports.extend(number.map(|number| (port.owner.as_ref().map(|owner| Relative(owner).to_string()), number)));
    }
    ports
}

/// Whether a Pod has all labels of a Service's selector, and is in its namespace.
pub fn selects(service: &Service, pod: &Pod) -> bool {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (key, value) in pod.template.labels.iter() {
        labels.push((key.to_owned(), value.to_owned()));
    }
    if pod.template.own_labels.name {
        labels.push((POD_NAME.to_owned(), pod.name.to_string()));
    }
    if pod.template.own_labels.index {
        labels.extend(pod.name.rsplit_once('-').map(|(_, ordinal)| (POD_INDEX.to_owned(), ordinal.to_owned())));
    }
    let has = |wanted: (&str, &str)| labels.iter().any(|(key, value)| (key.as_str(), value.as_str()) == wanted);
    *pod.template.namespace == *service.object.namespace && service.selector.iter().all(has)
}

/// The records of a table.
pub fn found(table: &Table<'_>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (key, records) in table.services() {
        let bare = Relative(key.as_wire()).to_string();
        if records.is_public {
            lines.insert(format!("public: {bare}"));
        }
        for address in records.addresses.iter() {
            lines.insert(address_line(&bare, address));
        }
        for (label, addresses) in records.hosts.iter() {
            for address in addresses.iter() {
                lines.insert(address_line(&format!("{}.{bare}", Relative(label)), address));
            }
        }
        let target = |target: SrvTarget| match records.target(target) {
            Some(([], _)) | None => bare.clone(),
            Some((label, _)) => format!("{}.{bare}", Relative(label)),
        };
        let srv = |owner: &str, srv: &Srv| format!("{owner} SRV {} {}", srv.port, target(srv.target));
        lines.extend(records.all_srv.iter().map(|record| srv(&bare, record)));
        for owner in records.srv.owners() {
            let set = records.srv.get(owner).unwrap_or_default();
            lines.extend(set.iter().map(|record| srv(&format!("{}.{bare}", Relative(owner)), record)));
        }
        if let ServiceKind::ExternalName(target) = &records.kind {
            lines.insert(format!("{bare} CNAME {target}"));
        }
    }
    for address in table.reverse_addresses() {
        for [label, service] in table.reverse(address).into_iter().flat_map(PtrTargets::names) {
            let dot = if label.is_empty() { "" } else { "." };
            lines.insert(format!("{address} PTR {}{dot}{}", Relative(label), Relative(service)));
        }
    }
    lines
}

/// Holds a table against the objects that it has to follow from.
///
/// # Errors
/// The records that are missing, and those that should not be there.
pub fn check(table: &Table<'_>, view: &View<'_>) -> Result<(), String> {
    let (expected, found) = (expected(view), found(table));
    if expected == found {
        return Ok(());
    }
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> String {
        one.difference(other).map(|line| format!("\n    {line}")).collect()
    };
    Err(format!("  missing:{}\n  wrong:{}", only(&expected, &found), only(&found, &expected)))
}
