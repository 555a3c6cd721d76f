//! The parameters of requests.

use form_urlencoded::Serializer;

/// Objects on a page of a list; client-go has the same.
const PAGE_SIZE: u32 = 500;

/// Which objects of a kind are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cluster) struct Selectors {
    pub labels: Option<String>,
    pub fields: Option<String>,
}

impl Selectors {
    fn append(&self, parameters: &mut Serializer<'_, String>) {
        for (name, selector) in [("labelSelector", &self.labels), ("fieldSelector", &self.fields)] {
            if let Some(selector) = selector {
                parameters.append_pair(name, selector);
            }
        }
    }
}

/// A list. Without a resourceVersion it is a consistent read: it has what was written before it was asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster) struct ListQuery<'a> {
    pub selectors: &'a Selectors,
    pub limit: u32,
    /// Of the page before; empty for the first one.
    pub continue_token: &'a str,
}

impl<'a> ListQuery<'a> {
    pub fn page(selectors: &'a Selectors, continue_token: &'a str) -> Self {
        Self { selectors, limit: PAGE_SIZE, continue_token }
    }

    pub fn parameters(&self) -> String {
        let mut parameters = Serializer::new(String::new());
        self.selectors.append(&mut parameters);
        parameters.append_pair("limit", &self.limit.to_string());
        if !self.continue_token.is_empty() {
            parameters.append_pair("continue", self.continue_token);
        }
        parameters.finish()
    }
}

/// A watch, with bookmarks.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster) struct WatchQuery<'a> {
    pub selectors: &'a Selectors,
    /// After how many seconds the server is to end it.
    pub timeout_seconds: u32,
    /// From where it goes on. None if it begins with all objects, which is a streaming list. Of several API servers, one may
    /// lag behind the one that answered last, and its list from version 0 would take the answers back in time. Without a version,
    /// says the reference of the Kubernetes API on `sendInitialEvents`, "this is interpreted as 'consistent read'".
    pub position: Option<&'a str>,
}

impl WatchQuery<'_> {
    pub fn parameters(&self) -> String {
        let mut parameters = Serializer::new(String::new());
        parameters.append_pair("watch", "true");
        parameters.append_pair("allowWatchBookmarks", "true");
        parameters.append_pair("timeoutSeconds", &self.timeout_seconds.to_string());
        self.selectors.append(&mut parameters);
        match self.position {
            Some(position) => parameters.append_pair("resourceVersion", position),
            None => {
                parameters.append_pair("sendInitialEvents", "true").append_pair("resourceVersionMatch", "NotOlderThan")
            }
        };
        parameters.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_goes_on_from_where_it_was_and_a_streaming_list_is_a_consistent_read() {
        let headless = Selectors { fields: Some("spec.clusterIP=None".to_owned()), labels: None };
        let watch = |position| WatchQuery { selectors: &headless, timeout_seconds: 50, position }.parameters();
        let common = "watch=true&allowWatchBookmarks=true&timeoutSeconds=50&fieldSelector=spec.clusterIP%3DNone";
        assert_eq!(watch(Some("07")), format!("{common}&resourceVersion=07"));
        let list = format!("{common}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        assert_eq!(watch(None), list);
    }

    #[test]
    fn pages_of_a_list_follow_each_other() {
        let pods = Selectors { labels: Some("statefulset.kubernetes.io/pod-name".to_owned()), fields: None };
        let common = "labelSelector=statefulset.kubernetes.io%2Fpod-name&limit=500";
        assert_eq!(ListQuery::page(&pods, "").parameters(), common);
        assert_eq!(ListQuery::page(&pods, "a=&b").parameters(), format!("{common}&continue=a%3D%26b"));
    }
}
