//! The endpoints of a slice, in a compact layout.
//!
//! ```text
//! entries   Pod, 10.0.0.1, ready, 4 + 0 octets │ Pod, no IPv4, not ready, 0 + 9 octets │ …
//! texts     pg-0web-7xq2f…
//! v6        fd00::1, …
//! ```
//!
//! A cluster has one for each Pod, and does not need most of them, because the Pods themselves are mirrored. This layout takes
//! a third of the memory of a `Vec<Endpoint>`, at the price of sequential reading only. The name of a Pod that is also its
//! hostname, as in every StatefulSet, is stored once.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::identity::Uid;
use crate::dns::name::Label;

/// One endpoint: a Pod in nearly all cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The first of the endpoint's addresses. The API calls them fungible and asks consumers to use only the first.
    pub address: IpAddr,
    pub hostname: Option<Label>,
    pub ready: bool,
    /// The Pod behind it. Set only in slices of Kubernetes' own controller, which copies the state of the Pod.
    pub pod: Option<PodRef<'a>>,
}

/// Which Pod an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef<'a> {
    pub uid: Uid,
    /// Empty if the slice does not say.
    pub name: Cow<'a, str>,
}

/// The endpoints of one slice, in the order of the slice.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    entries: Box<[Entry]>,
    /// For each entry its hostname, and the name of its Pod unless that is the same.
    texts: Box<str>,
    v6: Box<[Ipv6Addr]>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    pod: Option<Uid>,
    /// None if its address is the next one in `v6`.
    v4: Option<Ipv4Addr>,
    ready: bool,
    /// Length of its hostname in octets; 0 if it has none.
    hostname: u8,
    /// Length of the name of its Pod in octets; 0 if that is the hostname, or if there is none.
    name: u8,
}

impl Endpoints {
    pub fn iter(&self) -> impl Iterator<Item = Endpoint<'_>> {
        self.filter_by_pod(|_| true)
    }

    /// The endpoints for whose Pod `wanted` is true.
    pub fn filter_by_pod(&self, wanted: impl Fn(Option<Uid>) -> bool) -> impl Iterator<Item = Endpoint<'_>> {
        let mut v6 = self.v6.iter();
        self.with_texts().filter_map(move |(entry, hostname, name)| {
            let &Entry { pod, v4, ready, .. } = entry;
            let address = v4.map(IpAddr::V4).or_else(|| v6.next().map(|v6| IpAddr::V6(*v6)))?;
            wanted(pod).then(|| Endpoint {
                address,
                hostname: Label::parse(hostname).ok(),
                ready,
                pod: pod.map(|uid| PodRef { uid, name: Cow::Borrowed(name) }),
            })
        })
    }

    /// The Pods behind the endpoints.
    pub fn pods(&self) -> impl Iterator<Item = Uid> {
        self.entries.iter().filter_map(|entry| entry.pod)
    }

    /// The Pods behind the endpoints, and their names as far as the slice has them.
    pub fn named_pods(&self) -> impl Iterator<Item = (&str, Uid)> {
        self.with_texts().filter_map(|(entry, _, name)| Some((name, entry.pod?))).filter(|(name, _)| !name.is_empty())
    }

    /// Each entry with its hostname and the name of its Pod.
    fn with_texts(&self) -> impl Iterator<Item = (&Entry, &str, &str)> {
        let mut texts = &*self.texts;
        self.entries.iter().map_while(move |entry| {
            let (hostname, rest) = texts.split_at_checked(entry.hostname.into())?;
            let (name, rest) = rest.split_at_checked(entry.name.into())?;
            texts = rest;
            Some((entry, hostname, if name.is_empty() { hostname } else { name }))
        })
    }
}

impl<'a> FromIterator<Endpoint<'a>> for Endpoints {
    fn from_iter<I: IntoIterator<Item = Endpoint<'a>>>(endpoints: I) -> Self {
        let (mut texts, mut v6) = (String::new(), Vec::new());
        let entry = |Endpoint { address, hostname, ready, pod }: Endpoint<'_>| {
            let v4 = match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(address) => {
                    v6.push(address);
                    None
                }
            };
            let hostname = hostname.as_ref().map_or("", Label::as_text);
            let name = pod.as_ref().map_or("", |pod| &pod.name);
            // Names in Kubernetes have 253 octets at most. One that is longer is none.
            let name = if name == hostname || name.len() > u8::MAX.into() { "" } else { name };
            texts.push_str(hostname);
            texts.push_str(name);
            // A label has at most 63 octets.
            let (hostname, name) = (hostname.len() as u8, name.len() as u8);
            Entry { pod: pod.map(|pod| pod.uid), v4, ready, hostname, name }
        };
        let entries = endpoints.into_iter().map(entry).collect();
        Self { entries, texts: texts.into(), v6: v6.into() }
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(hostname: &str, address: &str, pod: Option<(&'static str, &'static str)>) -> Endpoint<'static> {
        let pod = pod.map(|(uid, name)| PodRef { uid: Uid::parse(uid).unwrap(), name: name.into() });
        let hostname = Label::parse(hostname).ok();
        Endpoint { address: address.parse().unwrap(), hostname, ready: pod.is_some(), pod }
    }

    #[test]
    fn endpoints_are_read_as_they_were_written_and_skipping_some_does_not_shift_the_others() {
        const UID: &str = "0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01";
        let endpoints = [
            endpoint("pg-0", "10.0.0.1", Some((UID, "pg-0"))),
            endpoint("", "10.0.0.2", None),
            endpoint("pg-10", "fd00::1", Some((UID, "another.name"))),
            endpoint("pg-2", "fd00::2", None),
            endpoint("", "10.0.0.4", Some((UID, "web-7xq2f"))),
            endpoint("pg-3", "10.0.0.3", None),
            endpoint("", "10.0.0.5", Some((UID, ""))),
        ];
        let laid_out: Endpoints = endpoints.iter().cloned().collect();
        assert_eq!(laid_out.iter().collect::<Vec<_>>(), endpoints);
        assert_eq!(
            laid_out.filter_by_pod(|pod| pod.is_none()).collect::<Vec<_>>(),
            [1, 3, 5].map(|i| endpoints[i].clone())
        );
        assert_eq!(laid_out.pods().count(), 4);
        let uid = Uid::parse(UID).unwrap();
        let named = ["pg-0", "another.name", "web-7xq2f"].map(|name| (name, uid));
        assert_eq!(laid_out.named_pods().collect::<Vec<_>>(), named);
        assert_eq!(size_of::<Entry>(), 16);
    }
}
