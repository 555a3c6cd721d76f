//! The endpoints of a slice, in a compact layout.
//!
//! ```text
//! entries     Pod, 10.0.0.1, ready, 4 octets │ Pod, no IPv4, not ready, 4 octets │ …
//! hostnames   pg-0pg-1…
//! v6          fd00::1, …
//! ```
//!
//! A cluster has one for each Pod, and does not need most of them, because the Pods themselves are mirrored. This layout takes
//! a third of the memory of a `Vec<Endpoint>`, at the price of sequential reading only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::identity::Uid;
use crate::dns::name::Label;

/// One endpoint: a Pod in nearly all cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The first of the endpoint's addresses. The API calls them fungible and asks consumers to use only the first.
    pub address: IpAddr,
    pub hostname: Option<Label>,
    pub ready: bool,
    /// The Pod behind it. Set only in slices of Kubernetes' own controller, which copies the state of the Pod.
    pub pod: Option<Uid>,
}

/// The endpoints of one slice, in the order of the slice.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Endpoint>", into = "Vec<Endpoint>")]
pub struct Endpoints {
    entries: Box<[Entry]>,
    hostnames: Box<str>,
    v6: Box<[Ipv6Addr]>,
}

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    pod: Option<Uid>,
    /// None if its address is the next one in `v6`.
    v4: Option<Ipv4Addr>,
    ready: bool,
    /// Length of its hostname in octets; 0 if it has none.
    hostname: u8,
}

impl Endpoints {
    pub fn iter(&self) -> impl Iterator<Item = Endpoint> {
        self.filter_by_pod(|_| true)
    }

    /// The endpoints for whose Pod `wanted` is true.
    pub fn filter_by_pod(&self, wanted: impl Fn(Option<Uid>) -> bool) -> impl Iterator<Item = Endpoint> {
        let (mut hostnames, mut v6) = (&*self.hostnames, self.v6.iter());
        self.entries.iter().filter_map(move |Entry { pod, v4, ready, hostname }| {
            let (hostname, others) = hostnames.split_at_checked((*hostname).into())?;
            hostnames = others;
            let address = v4.map(IpAddr::V4).or_else(|| v6.next().map(|v6| IpAddr::V6(*v6)))?;
            wanted(*pod).then(|| Endpoint { address, hostname: Label::parse(hostname).ok(), ready: *ready, pod: *pod })
        })
    }

    /// The Pods behind the endpoints.
    pub fn pods(&self) -> impl Iterator<Item = Uid> {
        self.entries.iter().filter_map(|entry| entry.pod)
    }
}

impl FromIterator<Endpoint> for Endpoints {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        let (mut hostnames, mut v6) = (String::new(), Vec::new());
        let entry = |Endpoint { address, hostname, ready, pod }: Endpoint| {
            let v4 = match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(address) => {
                    v6.push(address);
                    None
                }
            };
            let hostname = hostname.map_or(0, |label| {
                hostnames.push_str(label.as_text());
                // A label has at most 63 octets.
                label.as_text().len() as u8
            });
            Entry { pod, v4, ready, hostname }
        };
        let entries = endpoints.into_iter().map(entry).collect();
        Self { entries, hostnames: hostnames.into(), v6: v6.into() }
    }
}

impl From<Vec<Endpoint>> for Endpoints {
    fn from(endpoints: Vec<Endpoint>) -> Self {
        endpoints.into_iter().collect()
    }
}

impl From<Endpoints> for Vec<Endpoint> {
    fn from(endpoints: Endpoints) -> Self {
        endpoints.iter().collect()
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

    fn endpoint(hostname: &str, address: &str, pod: Option<&str>) -> Endpoint {
        let (hostname, pod) = (Label::parse(hostname).ok(), pod.and_then(Uid::parse));
        Endpoint { address: address.parse().unwrap(), hostname, ready: pod.is_some(), pod }
    }

    #[test]
    fn endpoints_are_read_as_they_were_written_and_skipping_some_does_not_shift_the_others() {
        const UID: &str = "0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01";
        let endpoints = [
            endpoint("pg-0", "10.0.0.1", Some(UID)),
            endpoint("", "10.0.0.2", None),
            endpoint("pg-10", "fd00::1", Some(UID)),
            endpoint("pg-2", "fd00::2", None),
            endpoint("pg-3", "10.0.0.3", None),
        ];
        let laid_out: Endpoints = endpoints.iter().cloned().collect();
        assert_eq!(laid_out.iter().collect::<Vec<_>>(), endpoints);
        assert_eq!(
            laid_out.filter_by_pod(|pod| pod.is_none()).collect::<Vec<_>>(),
            [1, 3, 4].map(|i| endpoints[i].clone())
        );
        assert_eq!(laid_out.pods().count(), 2);
        assert_eq!(size_of::<Entry>(), 16);
    }
}
