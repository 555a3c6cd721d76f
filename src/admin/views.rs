//! What the page `/records` shows, and its query.

use serde::Serialize;

use crate::authority::RecordText;
use crate::records::ServiceKey;

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
    /// Whether the query asks for this Service.
    pub fn matches(&self, key: &ServiceKey) -> bool {
        let (namespace, service) = key.in_text_order();
        let is =
            |wanted: &Option<String>, text: &[u8]| wanted.as_deref().is_none_or(|wanted| wanted.as_bytes() == text);
        let after = self.after.as_ref().map(|(namespace, service)| (namespace.as_bytes(), service.as_bytes()));
        is(&self.namespace, namespace)
            && is(&self.service, service)
            && after.is_none_or(|after| (namespace, service) > after)
    }
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

/// A text as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
