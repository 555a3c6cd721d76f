//! Labels, and label selectors, which have the same form.

use std::{fmt, iter};

use serde::{Deserialize, Serialize};

/// Keys with their values, sorted by key, each key once. They are stored in one piece, each text followed by `END`: there
/// is one set per Service and per workload, and few have more than a handful.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels(Box<[u8]>);

/// Terminates a text; occurs in none, because it is not an octet of UTF-8 (RFC 3629 section 3).
const END: u8 = 0xff;

impl Labels {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Whether it contains all of `wanted`, which must be sorted by key, each key once.
    pub fn have_all<'a>(&'a self, mut wanted: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        let mut labels = self.iter();
        wanted.all(|(key, value)| labels.find(|(other, _)| *other >= key) == Some((key, value)))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut texts = self.0.split_inclusive(|octet| *octet == END).map(|text| {
            let text = text.strip_suffix(&[END]).unwrap_or(text);
            str::from_utf8(text).unwrap_or_default()
        });
        iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Labels {
    /// In the form of a selector for `kubectl`, `app=pg,tier=data`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (key, value)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

impl<S: AsRef<str> + Ord> FromIterator<(S, S)> for Labels {
    fn from_iter<I: IntoIterator<Item = (S, S)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_unstable();
        pairs.dedup_by(|one, other| one.0 == other.0);
        let mut octets = Vec::new();
        for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
            octets.extend_from_slice(text.as_ref().as_bytes());
            octets.push(END);
        }
        Self(octets.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_what_they_were_made_of_in_the_order_of_their_keys() {
        let pairs = [("tier", "data"), ("app", "pg"), ("", "no key"), ("empty", ""), ("\0", "\u{7ff}")];
        let labels: Labels = pairs.into_iter().collect();
        let sorted = [("", "no key"), ("\0", "\u{7ff}"), ("app", "pg"), ("empty", ""), ("tier", "data")];
        assert_eq!(labels.iter().collect::<Vec<_>>(), sorted);
        assert_eq!([labels.get("empty"), labels.get("ap"), labels.get("")], [Some(""), None, Some("no key")]);
        assert_eq!(labels.to_string(), "=no key,\0=\u{7ff},app=pg,empty=,tier=data");
        for (wanted, have) in
            [(vec![], true), (vec![("app", "pg")], true), (vec![("app", "pg"), ("tier", "data")], true)]
                .into_iter()
                .chain([
                    (vec![("app", "other")], false),
                    (vec![("app", "pg"), ("b", "")], false),
                    (vec![("z", "")], false),
                ])
        {
            assert_eq!(labels.have_all(wanted.iter().copied()), have, "{wanted:?}");
        }
        assert!(Labels::default().is_empty() && Labels::default().iter().next().is_none());
    }
}
