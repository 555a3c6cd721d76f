//! The key of a Service.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::dns::name::{Label, Labels, NameError, Relative};

/// Namespace and name of a Service, as the two labels `name.namespace` in wire form. A question contains the key as a slice.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceKey(Octets);

/// Keys up to this length are stored inline, where a look-up finds them together with the map's entry. It suffices for most, and
/// makes a key 40 octets large.
const SHORT: usize = 38;

/// What fits is always `Short`, so that equal keys are equal values.
#[derive(Clone, PartialEq, Eq)]
enum Octets {
    /// The length, and the octets padded with zeros.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl ServiceKey {
    pub fn new(namespace: &Label, name: &Label) -> Self {
        Self::of_wire(&[name.as_wire(), namespace.as_wire()].concat())
    }

    /// The key of the two labels `name.namespace` in lower-case wire form, as a question has them.
    pub fn of_wire(wire: &[u8]) -> Self {
        if wire.len() > SHORT {
            return Self(Octets::Long(wire.into()));
        }
        let mut octets = [0; SHORT];
        octets[..wire.len()].copy_from_slice(wire);
        Self(Octets::Short(wire.len() as u8, octets))
    }

    /// The two labels, `\x02pg\x02db`.
    pub fn as_wire(&self) -> &[u8] {
        match &self.0 {
            Octets::Short(length, octets) => &octets[..usize::from(*length)],
            Octets::Long(octets) => octets,
        }
    }

    /// The Service's own label, with its length octet.
    pub fn name(&self) -> &[u8] {
        Labels(self.as_wire()).next().unwrap_or_default()
    }

    /// The namespace's label, with its length octet.
    pub fn namespace(&self) -> &[u8] {
        Labels(self.as_wire()).nth(1).unwrap_or_default()
    }

    /// The Service's namespace as text.
    pub fn namespace_text(&self) -> &str {
        // A namespace is a DNS label (RFC 1123), so it is ASCII. No object is in one that is not.
        str::from_utf8(self.in_text_order().0).unwrap_or_default()
    }

    /// Namespace and name without their length octets: what compares as their texts do.
    pub fn in_text_order(&self) -> (&[u8], &[u8]) {
        (self.namespace().get(1..).unwrap_or_default(), self.name().get(1..).unwrap_or_default())
    }
}

impl TryFrom<String> for ServiceKey {
    type Error = NameError;

    /// Parses the `Display` form.
    fn try_from(text: String) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').ok_or(NameError::EmptyLabel)?;
        Ok(Self::new(&Label::parse(namespace)?, &Label::parse(name)?))
    }
}

impl From<ServiceKey> for String {
    fn from(key: ServiceKey) -> Self {
        key.to_string()
    }
}

impl Borrow<[u8]> for ServiceKey {
    fn borrow(&self) -> &[u8] {
        self.as_wire()
    }
}

impl Hash for ServiceKey {
    /// The same as that of the octets, so that a key can be looked up by them ([`Borrow`]).
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_wire().hash(state);
    }
}

impl Ord for ServiceKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_wire().cmp(other.as_wire())
    }
}

impl PartialOrd for ServiceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ServiceKey {
    /// `namespace/name`, as `kubectl` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Relative(self.namespace()), Relative(self.name()))
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> ServiceKey {
        ServiceKey::new(&Label::parse(namespace).unwrap(), &Label::parse(name).unwrap())
    }

    #[test]
    fn a_key_of_any_length_is_its_two_labels() {
        for length in [1, SHORT - 4, SHORT - 3, SHORT - 2, 63] {
            let name = "a".repeat(length);
            let key = key("b", &name);
            let wire = [&[length as u8], name.as_bytes(), b"\x01b"].concat();
            assert_eq!((key.as_wire(), key.namespace()), (wire.as_slice(), b"\x01b".as_slice()));
            assert_eq!((key.to_string(), key.name().len()), (format!("b/{name}"), length + 1));
            assert_eq!(key.namespace_text(), "b");
        }
        assert_eq!(size_of::<ServiceKey>(), 40);
    }

    #[test]
    fn keys_are_in_the_order_of_their_octets_whether_short_or_long() {
        let keys = [key("b", "a"), key("c", "a"), key("b", &"a".repeat(SHORT)), key("b", &"b".repeat(SHORT))];
        assert!(keys.is_sorted());
        assert!(keys.is_sorted_by_key(ServiceKey::as_wire));
    }
}
