//! Who gets what: the decision about a request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;

use super::followers::Followers;
use super::outgoing::{Form, Outgoing, Step, Wanted};
use super::places::{Places, TransferPlace};
use super::signing::{Access, Keys, Verified};
use super::versions::{VersionReader, Versions};
use crate::authority::{Authority, Rrset, ZoneKind};
use crate::dns::name::Name;
use crate::telemetry::metrics::{Metrics, TransferForm, TransferRejection};

/// Who may have transfers.
#[derive(Debug)]
pub struct Policy {
    /// Networks of those who may have every zone; nobody if empty.
    pub clients: Vec<IpNet>,
    /// Networks of those who may have the public view alone.
    pub public_clients: Vec<IpNet>,
    /// The keys with which requests have to be signed, where there are files of them.
    pub keys: Arc<Keys>,
}

/// Hands out versions of the zones. Shared by all connections.
#[derive(Debug)]
pub struct Primary {
    authority: Arc<Authority>,
    versions: VersionReader,
    policy: Policy,
    places: Arc<Places>,
    followers: Arc<Followers>,
    metrics: Arc<Metrics>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The name of the zone in lower-case wire form.
    pub zone: &'r [u8],
    pub wanted: Wanted,
    pub client: IpAddr,
    /// What the key opens with which it is signed; none if it is not.
    pub signed: Option<Access>,
}

/// Why a transfer is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Not this client.
    Refused,
    /// No zone of ours has this name.
    NotAuth,
    /// There is no version yet.
    NotSynchronised,
    /// Too many transfers.
    Busy,
}

/// A transfer that runs.
#[derive(Debug)]
pub struct Transfer {
    outgoing: Outgoing,
    primary: Arc<Primary>,
    client: IpAddr,
    zone: Name,
    octets: u64,
    is_done: bool,
    _place: TransferPlace,
}

impl Primary {
    pub fn new(authority: Arc<Authority>, versions: VersionReader, policy: Policy, metrics: Arc<Metrics>) -> Self {
        let (places, followers) = (Arc::default(), Arc::default());
        Self { authority, versions, policy, places, followers, metrics }
    }

    /// The same, for another policy or with other TTLs: transfers that run go on as they began.
    #[must_use]
    pub fn reloaded(&self, authority: Arc<Authority>, policy: Policy) -> Self {
        let (versions, metrics) = (self.versions.clone(), Arc::clone(&self.metrics));
        let (places, followers) = (Arc::clone(&self.places), Arc::clone(&self.followers));
        Self { authority, versions, policy, places, followers, metrics }
    }

    /// What the signature of a message is worth.
    pub fn verify(&self, message: &[u8], now: SystemTime) -> Verified {
        let verified = self.policy.keys.verify(message, now);
        if let Verified::Rejected(rejection) = &verified {
            self.metrics.transfers().rejected(TransferRejection::BadSignature);
            tracing::debug!(problem = rejection.problem, "signature of a request rejected");
        }
        verified
    }

    /// What a client may have, if anything.
    pub fn access(&self, client: IpAddr, signed: Option<Access>) -> Option<Access> {
        let Policy { clients, public_clients, keys } = &self.policy;
        let client = client.to_canonical();
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        if is_in(clients) && (signed == Some(Access::All) || !keys.are_required(Access::All)) {
            return Some(Access::All);
        }
        // A key that opens everything opens the public view too.
        let is_public = is_in(public_clients) && (signed.is_some() || !keys.are_required(Access::Public));
        is_public.then_some(Access::Public)
    }

    /// Begins a transfer.
    ///
    /// # Errors
    /// Why it is not begun.
    pub fn begin(self: &Arc<Self>, request: Request<'_>) -> Result<Transfer, Denied> {
        let (versions, zone) = self.admit(&request)?;
        let client = request.client.to_canonical();
        let Some(place) = self.places.take(client) else {
            self.metrics.transfers().rejected(TransferRejection::Busy);
            return Err(Denied::Busy);
        };
        if let Wanted::Ixfr(serial) = request.wanted {
            self.has(client, &zone, serial);
        }
        let outgoing = Outgoing::new(&versions, zone.clone(), request.wanted);
        let primary = Arc::clone(self);
        Ok(Transfer { outgoing, primary, client, zone, octets: 0, is_done: false, _place: place })
    }

    /// The SOA record of the newest version, for whoever asks for no more.
    ///
    /// # Errors
    /// Why it is not given.
    pub fn serial_alone(&self, request: &Request<'_>) -> Result<Rrset<'_>, Denied> {
        let (versions, _) = self.admit(request)?;
        let zone = self.authority.zone_at(request.zone).ok_or(Denied::NotAuth)?;
        Ok(self.authority.soa(zone, versions.serial()))
    }

    /// A client has a version.
    fn has(&self, client: IpAddr, zone: &Name, serial: u32) {
        self.followers.has(client, zone, serial);
        self.metrics.transfers().secondary_has(client, zone, serial);
    }

    /// Whether a request may be answered, and with what.
    fn admit(&self, request: &Request<'_>) -> Result<(Arc<Versions>, Name), Denied> {
        let deny = |reason, denied| {
            self.metrics.transfers().rejected(reason);
            denied
        };
        let refused = || deny(TransferRejection::Refused, Denied::Refused);
        let access = self.access(request.client, request.signed).ok_or_else(refused)?;
        let Some(zone) = self.authority.zone_at(request.zone) else {
            return Err(deny(TransferRejection::NotAuth, Denied::NotAuth));
        };
        if access == Access::Public && zone.kind() != ZoneKind::Public {
            return Err(refused());
        }
        let Some(versions) = self.versions.now() else {
            return Err(deny(TransferRejection::NotSynchronised, Denied::NotSynchronised));
        };
        Ok((versions, zone.apex().clone()))
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    pub fn keys(&self) -> &Arc<Keys> {
        &self.policy.keys
    }

    pub fn versions(&self) -> &VersionReader {
        &self.versions
    }

    pub fn followers(&self) -> &Followers {
        &self.followers
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Transfers that run.
    pub fn running(&self) -> usize {
        self.places.taken()
    }
}

impl Transfer {
    /// Goes on with it, as [`Outgoing::step`] does.
    pub fn step(&mut self, put: impl FnMut(&Rrset<'_>) -> bool) -> Step {
        self.outgoing.step(&self.primary.authority, put)
    }

    /// Counts octets that have been sent.
    pub fn sent(&mut self, octets: usize) {
        self.octets += octets as u64;
    }

    /// The client has been sent everything.
    pub fn end(&mut self) {
        self.is_done = true;
        self.primary.has(self.client, &self.zone, self.outgoing.serial());
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let transfers = self.primary.metrics.transfers();
        let form = match self.outgoing.form() {
            Some(Form::Difference) => TransferForm::Ixfr,
            Some(Form::Serial) => TransferForm::Soa,
            Some(Form::Whole) | None => TransferForm::Axfr,
        };
        let (client, zone, serial, octets) = (self.client, &self.zone, self.outgoing.serial(), self.octets);
        if self.is_done {
            transfers.done(form, octets);
            tracing::debug!(%client, %zone, serial, octets, "zone transferred");
        } else {
            transfers.aborted(octets);
            tracing::debug!(%client, %zone, serial, octets, "zone transfer broken off");
        }
    }
}
