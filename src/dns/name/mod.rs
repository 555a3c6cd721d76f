//! Domain names in lower-case wire form (RFC 1035 section 3.1): labels of one length octet and 1 to 63 octets each.
//!
//! Every name that the server holds or looks up has this one form, so that a comparison is a comparison of bytes and a
//! lookup hashes a slice of the question itself. An *absolute* name ends with the root label (one zero octet); a *relative*
//! one is a run of labels without it, such as `\x05pg-0\x02pg` below a zone. Lower-casing happens once, on the way in
//! (RFC 4343: only the ASCII letters have case).

mod parts;

use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use parts::NameParts;

/// Octets in a label, without its length octet (RFC 1035 section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Octets in an absolute name, length octets and root label included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;

/// Why a text or a run of octets is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("a label of the name is empty")]
    EmptyLabel,
    #[error("the label {0:?} is longer than {MAX_LABEL} octets")]
    LongLabel(String),
    #[error("the name is longer than {MAX_NAME} octets")]
    LongName,
    #[error("{0:?} may hold letters, digits, '-' and '_' only")]
    Character(String),
    #[error("the wire form ends inside a label, or holds a compression pointer")]
    Wire,
}

/// One label in lower-case wire form, its length octet first: ASCII all of it. One of an ordinary length is kept in place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(SmolStr);

impl Label {
    /// Reads a label of letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// What is wrong with the text: empty, too long, or a character that no host or service label holds.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let length = checked_length(text)?;
        let mut wire = ArrayString::<{ 1 + MAX_LABEL }>::new();
        wire.push(char::from(length));
        wire.push_str(text);
        wire.make_ascii_lowercase();
        Ok(Self(SmolStr::new(wire)))
    }

    /// The address with dashes for its dots or colons: `10-1-0-20`, `fd00--a`.
    pub fn of_address(address: IpAddr) -> Self {
        // Eight groups of four digits and what stands between them are 41 octets at most, with a digit at either end.
        let mut text = ArrayString::<MAX_LABEL>::new();
        let _ = write!(text, "{address}");
        // A label neither begins nor ends with a dash (RFC 1123 section 2.1), as `::1` and `fd00::` would.
        let [first, last] = [text.starts_with(':'), text.ends_with(':')].map(|is_dash| if is_dash { "0" } else { "" });
        let length = char::from((first.len() + text.len() + last.len()) as u8);
        let dashed = text.chars().map(|c| if matches!(c, '.' | ':') { '-' } else { c });
        Self([length].into_iter().chain(first.chars()).chain(dashed).chain(last.chars()).collect())
    }

    /// The length octet and the label.
    pub fn as_wire(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The label without its length octet.
    pub fn as_text(&self) -> &str {
        self.0.get(1..).unwrap_or_default()
    }
}

impl Hash for Label {
    /// As its wire form, by which it is looked up.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_wire().hash(state);
    }
}

impl TryFrom<String> for Label {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.to_string()
    }
}

impl Borrow<[u8]> for Label {
    fn borrow(&self) -> &[u8] {
        self.as_wire()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_relative(f, self.as_wire())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({self})")
    }
}

/// An absolute name in lower-case wire form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<[u8]>);

impl Name {
    /// Reads a name in presentation form; a trailing dot is optional, `.` is the root.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        if text != "." {
            if text.is_empty() {
                return Err(NameError::Empty);
            }
            for label in text.strip_suffix('.').unwrap_or(text).split('.') {
                push_label(&mut wire, label)?;
            }
        }
        wire.push(0);
        if wire.len() > MAX_NAME {
            return Err(NameError::LongName);
        }
        Ok(Self(wire.into()))
    }

    /// `labels` and then this name.
    ///
    /// # Errors
    /// Those of [`Name::parse`].
    pub fn below(&self, labels: &str) -> Result<Self, NameError> {
        let mut wire = Vec::new();
        for label in labels.split('.') {
            push_label(&mut wire, label)?;
        }
        wire.extend_from_slice(&self.0);
        if wire.len() > MAX_NAME { Err(NameError::LongName) } else { Ok(Self(wire.into())) }
    }

    /// The labels, each with its length octet, and the root label.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relative = self.0.strip_suffix(&[0]).unwrap_or(&self.0);
        write_relative(f, relative)?;
        f.write_str(".")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The name of one question, lower-cased, in a buffer that lives on the stack.
#[derive(Clone)]
pub struct NameBuf {
    length: usize,
    octets: [u8; MAX_NAME],
}

impl NameBuf {
    /// Lower-cases an absolute name in uncompressed wire form, of any octets (RFC 2181 section 11).
    ///
    /// # Errors
    /// [`NameError::Wire`] or [`NameError::LongName`] where the octets are no such name.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        if wire.len() > MAX_NAME {
            return Err(NameError::LongName);
        }
        let mut labels = Labels(wire);
        if labels.by_ref().count() == 0 && wire != [0] || labels.0 != [0] {
            return Err(NameError::Wire);
        }
        let mut octets = [0; MAX_NAME];
        // A length octet is at most 63, below any letter: lower-casing the whole run touches the labels alone.
        for (to, from) in octets.iter_mut().zip(wire) {
            *to = from.to_ascii_lowercase();
        }
        Ok(Self { length: wire.len(), octets })
    }

    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// The labels of a name in wire form, each with its length octet, from left to right. Ends before the root label, and at
/// the first octet that begins no label.
#[derive(Clone)]
pub struct Labels<'a>(pub &'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.0.first()?);
        if length == 0 || length > MAX_LABEL {
            return None;
        }
        let (label, rest) = self.0.split_at_checked(1 + length)?;
        self.0 = rest;
        Some(label)
    }
}

/// What stands in front of `suffix` in `name`, if `name` ends with it at a label's boundary: `\x02db\x03svc` in front of
/// `cluster.local.`, nothing in front of the suffix itself.
pub fn strip_suffix<'a>(name: &'a [u8], suffix: &[u8]) -> Option<&'a [u8]> {
    let mut labels = Labels(name);
    loop {
        let rest = labels.0;
        if rest.len() == suffix.len() {
            return if rest == suffix { Some(&name[..name.len() - rest.len()]) } else { None };
        }
        labels.next()?;
    }
}

/// Appends `text` as one label in lower-case wire form.
fn push_label(wire: &mut Vec<u8>, text: &str) -> Result<(), NameError> {
    wire.push(checked_length(text)?);
    wire.extend(text.bytes().map(|b| b.to_ascii_lowercase()));
    Ok(())
}

/// The length of a text that is a label.
fn checked_length(text: &str) -> Result<u8, NameError> {
    let length = u8::try_from(text.len()).ok().filter(|length| usize::from(*length) <= MAX_LABEL);
    let length = length.ok_or_else(|| NameError::LongLabel(text.to_owned()))?;
    if length == 0 {
        return Err(NameError::EmptyLabel);
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(NameError::Character(text.to_owned()));
    }
    Ok(length)
}

/// Writes a run of labels in presentation form, without a final dot: `pg-0.pg`. Octets that are not printable are escaped
/// (RFC 1035 section 5.1).
pub fn write_relative(f: &mut fmt::Formatter<'_>, wire: &[u8]) -> fmt::Result {
    for (i, label) in Labels(wire).enumerate() {
        if i > 0 {
            f.write_str(".")?;
        }
        for &octet in &label[1..] {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", char::from(octet))?,
                b'!'..=b'~' => write!(f, "{}", char::from(octet))?,
                _ => write!(f, "\\{octet:03}")?,
            }
        }
    }
    Ok(())
}

/// A run of labels in wire form, to be shown.
#[derive(Clone, Copy)]
pub struct Relative<'a>(pub &'a [u8]);

impl fmt::Display for Relative<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_relative(f, self.0)
    }
}

impl fmt::Debug for Relative<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_relative(f, self.0)
    }
}

#[cfg(test)]
mod tests;
