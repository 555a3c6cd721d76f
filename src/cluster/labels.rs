//! Labels, and the selectors that ask for some of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::incoming::RawMap;
use super::tolerant::Field;

/// Keys with their values, sorted by key, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    pub fn get(&self, key: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(other, _)| (**other).cmp(key)).ok()?;
        self.0.get(place).map(|(_, value)| &**value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// Something that is no map of strings; the message names the `field`.
    pub(super) fn read(raw: Field<RawMap>, field: &str) -> Result<Self, String> {
        let pairs = raw.optional(field)?.unwrap_or_default().into_iter();
        pairs.map(|(key, value)| Ok((key.clone(), value.required(&format!("{field}[{key}]"))?))).collect()
    }
}

impl fmt::Display for Labels {
    /// As `kubectl` takes a selector, `app=pg,tier=data`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (key, value)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

impl<S: Into<Box<str>>> FromIterator<(S, S)> for Labels {
    fn from_iter<I: IntoIterator<Item = (S, S)>>(pairs: I) -> Self {
        let mut pairs: Vec<(Box<str>, Box<str>)> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        pairs.sort_unstable();
        pairs.dedup_by(|one, other| one.0 == other.0);
        Self(pairs.into())
    }
}
