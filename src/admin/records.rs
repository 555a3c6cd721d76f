//! What the pages `/records` and `/zone` show, and where they get it from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Services on a page of `/records` where the client does not say.
pub const DEFAULT_PAGE: usize = 500;
/// Services on a page of `/records` at most.
pub const MAX_PAGE: usize = 5000;

/// What the admin pages need to know of the records that are served. The methods may take their time: they are called
/// on a thread for blocking work.
pub trait RecordsSource: Send + Sync + 'static {
    /// The first `limit` Services that fit `query`, in order of namespace and name.
    fn services(&self, query: &RecordsQuery, limit: usize) -> Vec<ServiceView>;

    /// The zones that are served, forward and reverse: lower case, no final dot.
    fn zones(&self) -> Vec<String>;

    /// The zone of that name as a zone file (RFC 1035 section 5). `None` for a name that [`RecordsSource::zones`]
    /// lacks.
    fn zone_file(&self, zone: &str) -> Option<String>;

    /// Since when nothing has been heard of the cluster, so that the records may be out of date; none while it is heard.
    /// Does not take its time.
    fn stale_since(&self) -> Option<Timestamp>;
}

/// Which Services to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsQuery {
    /// Only those in this namespace.
    pub namespace: Option<String>,
    /// Only those of this name.
    pub service: Option<String>,
    /// Only those that come after this namespace and name, in that order.
    pub after: Option<(String, String)>,
}

impl RecordsQuery {
    /// Whether the Service of this namespace and name is one of those asked for.
    pub fn fits(&self, namespace: &str, service: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.service.as_deref().is_none_or(|wanted| wanted == service)
            && self.after.as_ref().is_none_or(|(after_namespace, after)| {
                (namespace, service) > (after_namespace.as_str(), after.as_str())
            })
    }
}

/// A page of Services with their records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsPage {
    /// In order of namespace and name.
    pub services: Vec<ServiceView>,
    /// There are more: what to give as `continue` for the next page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One Service and all its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// What kind of Service it is.
    pub kind: ServiceKind,
    /// Its names that have records, reverse ones included.
    pub names: Vec<NameView>,
}

/// What kind of Service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceKind {
    /// Each endpoint has its name.
    Headless,
    /// One virtual IP stands for all endpoints.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Another name for something outside.
    ExternalName,
}

/// An owner name and its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameView {
    /// Fully qualified, with the final dot.
    pub name: String,
    /// In order of type and data.
    pub records: Vec<RecordView>,
}

/// One record, in the presentation format of RFC 1035.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordView {
    /// `A`, `AAAA`, `SRV`, …
    #[serde(rename = "type")]
    pub record_type: String,
    /// In seconds.
    pub ttl: u32,
    /// Such as `10.1.0.10` or `0 50 5432 pg-0.pg.db.svc.cluster.local.`.
    pub data: String,
}

/// A source without any records, for a process that has none to show.
#[derive(Clone, Copy, Debug)]
pub struct NoRecords;

impl RecordsSource for NoRecords {
    fn services(&self, _: &RecordsQuery, _: usize) -> Vec<ServiceView> {
        Vec::new()
    }

    fn zones(&self) -> Vec<String> {
        Vec::new()
    }

    fn zone_file(&self, _: &str) -> Option<String> {
        None
    }

    fn stale_since(&self) -> Option<Timestamp> {
        None
    }
}
