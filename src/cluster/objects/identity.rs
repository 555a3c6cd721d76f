//! What identifies objects, and the part of the cluster that they are in.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::dns::name::Label;

/// Namespace and name of an object.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    pub namespace: Arc<str>,
    pub name: SmolStr,
}

impl ObjectKey {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells an object from its predecessors and successors of the same name: the last 64 bits of the API's UUID, of which all
/// but two are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uid(NonZeroU64);

impl Uid {
    /// None if the text is not a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        let mut number = 0_u128;
        for octet in text.bytes().filter(|octet| *octet != b'-') {
            number = number.checked_mul(16)? | u128::from(char::from(octet).to_digit(16)?);
        }
        NonZeroU64::new(number as u64).map(Self)
    }
}

/// The resourceVersion of an object: which of two objects was written later. The API promises that of objects of one kind
/// alone. API servers keep all kinds in one store and give them its revision, so in practice it holds of Pods and EndpointSlices
/// too. Zero, the oldest, if it is not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u64);

impl Version {
    pub fn parse(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }
}

/// The part of the cluster that a watch covers: one namespace, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    All,
    Namespace(Arc<str>),
}

impl Scope {
    /// One scope for each of `namespaces`, or one for all if there are none.
    pub fn of(namespaces: &[Label]) -> Vec<Self> {
        match namespaces {
            [] => vec![Self::All],
            named => named.iter().map(|namespace| Self::Namespace(namespace.as_text().into())).collect(),
        }
    }

    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(one) => **one == *namespace,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
        }
    }
}
