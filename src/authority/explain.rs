//! Extended errors: why a name does not exist, and that an answer may be stale. Looked up apart from the answer, so that
//! clients without EDNS do not pay for it.

use super::owner::{OwnerName, SVC};
use super::{Answer, Authority, Ede, EdeText};
use crate::dns::name::Labels;
use crate::dns::reverse::ReverseName;
use crate::dns::wire::{Class, EdeCode, Question, Rcode};
use crate::records::ServiceKind;
use crate::table::Table;

/// Of an address that no PTR record is for. Endpoints of other Services have none (rule D3).
const NO_ADDRESS: &str =
    "no cluster IP and no ready endpoint of a headless Service that is served here has this address";

/// What a name is about, as labels in wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About<'n> {
    /// `service.namespace`.
    pub service: &'n [u8],
    pub host: Option<&'n [u8]>,
}

impl Authority {
    /// Adds to the answer to `question` that it may be stale, if so, and why its name does not exist.
    pub fn explain<'t>(&'t self, table: &'t Table<'_>, question: &Question<'t>, answer: &mut Answer<'t>) {
        if !answer.is_of_table || question.class != Class::IN {
            return;
        }
        let stale = table.stale().map(|stale| Ede { code: EdeCode::StaleAnswer, text: EdeText::Stale(stale) });
        if !answer.authoritative {
            answer.errors = stale.into_iter().chain(answer.errors.take()).collect();
            return;
        }
        let absent = (answer.rcode == Rcode::NxDomain).then(|| {
            let name = answer.aliases.targets.last().map_or(question.name, |target| target.as_wire());
            self.reason(table, name)
        });
        let absent = absent.flatten().map(|text| Ede { code: EdeCode::OtherError, text });
        answer.errors = stale.into_iter().chain(absent).collect();
    }

    /// The Service that a name of our zones is about, whether either exists or not.
    pub fn service_of<'n>(&self, name: &'n [u8]) -> Option<About<'n>> {
        let (zone, relative) = self.zone_of(name).or_else(|| self.public_zone_of(name))?;
        match zone.parse(relative) {
            OwnerName::Service(service) => Some(About { service, host: None }),
            OwnerName::Host { service, host } => Some(About { service, host: Some(host) }),
            OwnerName::Protocol { service, .. } | OwnerName::Port { service, .. } => {
                Some(About { service, host: None })
            }
            _ => None,
        }
    }

    /// Why a name of our zones does not exist, if that is known.
    fn reason<'t>(&'t self, table: &'t Table<'_>, name: &'t [u8]) -> Option<EdeText<'t>> {
        let Some((_, relative)) = self.zone_of(name) else {
            let is_address = matches!(ReverseName::parse(name), Some(ReverseName::Address(_)));
            return is_address.then_some(EdeText::Text(NO_ADDRESS));
        };
        let name = relative.strip_suffix(SVC).unwrap_or(relative);
        let (service, host, missing) = match OwnerName::parse(relative) {
            OwnerName::Namespace(namespace) => return Some(self.no_services(namespace)),
            OwnerName::Service(service) => (service, None, EdeText::NothingReady(service)),
            OwnerName::Host { service, host } => (service, Some(host), EdeText::NoHost(name)),
            OwnerName::Protocol { service, .. } | OwnerName::Port { service, .. } => {
                let is_of_endpoints =
                    table.service(service).is_some_and(|records| matches!(records.kind, ServiceKind::Headless));
                let text = if is_of_endpoints { EdeText::NoEndpointPort(name) } else { EdeText::NoPort(name) };
                (service, None, text)
            }
            _ => return Some(EdeText::Text("no name in this zone has such a form")),
        };
        if let Some(reasons) = table.reasons(service) {
            let of_host = host.and_then(|host| reasons.of_host(host));
            if let Some(reason) = of_host.or_else(|| reasons.of_service()) {
                return Some(EdeText::Reason(reason));
            }
        }
        let Some(records) = table.service(service) else {
            let namespace = Labels(service).nth(1)?;
            let is_empty = !table.has_namespace(namespace);
            return Some(match self.headless_only {
                _ if is_empty => self.no_services(namespace),
                true => EdeText::NoHeadlessService(service),
                false => EdeText::NoService(service),
            });
        };
        Some(match records.kind {
            ServiceKind::ExternalName(_) => EdeText::BelowAlias(service),
            _ if records.exists() => missing,
            _ => EdeText::NothingReady(service),
        })
    }

    fn no_services<'t>(&self, namespace: &'t [u8]) -> EdeText<'t> {
        match self.headless_only {
            _ if !self.watches(namespace) => EdeText::NotWatched(namespace),
            true => EdeText::NoHeadlessServices(namespace),
            false => EdeText::NoServices(namespace),
        }
    }
}
