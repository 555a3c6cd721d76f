//! The JSON of the page `/records`, and its query.

use serde::Serialize;

use crate::authority::RecordText;

/// Services on a page of `/records` by default.
pub const DEFAULT_PAGE: usize = 500;
/// Maximum number of Services on a page of `/records`.
pub const MAX_PAGE: usize = 5000;

/// Which Services to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsQuery {
    /// Only those in this namespace.
    pub namespace: Option<String>,
    /// Only those of this name.
    pub service: Option<String>,
    /// Only those that sort after this namespace and name.
    pub after: Option<(String, String)>,
}

impl RecordsQuery {
    /// Whether the query asks for the Service of this namespace and name.
    pub fn matches(&self, namespace: &str, service: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.service.as_deref().is_none_or(|wanted| wanted == service)
            && self.after.as_ref().is_none_or(|(after_namespace, after)| {
                (namespace, service) > (after_namespace.as_str(), after.as_str())
            })
    }
}

/// A page of Services with their records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordsPage {
    /// Ordered by namespace and name.
    pub services: Vec<ServiceView>,
    /// If there are more Services: the parameter `continue` of the next page.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One Service and all its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceView {
    pub namespace: String,
    pub service: String,
    /// `Headless`, `ClusterIP` or `ExternalName`.
    pub kind: &'static str,
    /// Its names that own records, reverse ones included.
    pub names: Vec<NameView>,
}

/// An owner name and its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameView {
    /// Fully qualified, with the final dot.
    pub name: String,
    /// Ordered by type.
    pub records: Vec<RecordView>,
}

/// One record, in the presentation format of RFC 1035.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordView {
    /// `A`, `AAAA`, `SRV`, …
    #[serde(rename = "type")]
    pub record_type: String,
    /// Seconds.
    pub ttl: u32,
    /// Such as `10.1.0.10` or `0 50 5432 pg-0.pg.db.svc.cluster.local.`.
    pub data: String,
}

impl From<RecordText> for RecordView {
    fn from(RecordText { rr_type, ttl, data }: RecordText) -> Self {
        Self { record_type: rr_type.to_string(), ttl, data }
    }
}
