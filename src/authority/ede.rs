//! Extended DNS Errors (RFC 8914): what is told to whoever asks with EDNS beside the answer. A text is data until it is
//! written, so that an error costs no allocation, and nothing at all where nobody asks for it.

use std::fmt::{self, Write};

use arrayvec::{ArrayString, ArrayVec};
use jiff::Timestamp;

use crate::dns::name::{Labels, Relative};
use crate::records::reasons::Told;

/// The most errors of one answer: that it may be out of date, and why the name does not exist.
pub const MAX_ERRORS: usize = 2;
/// The most octets of one text. What it is about comes first, so that little is lost where long names make it longer.
pub const MAX_TEXT: usize = 160;

pub type Errors<'t> = ArrayVec<Ede<'t>, MAX_ERRORS>;

/// An Extended DNS Error: its code and the text for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede<'t> {
    pub code: u16,
    pub text: EdeText<'t>,
}

impl Ede<'_> {
    /// *Other Error*, RFC 8914 section 4.1.
    pub const OTHER: u16 = 0;
    /// *Stale Answer*, RFC 8914 section 4.4.
    pub const STALE_ANSWER: u16 = 3;
    /// *Not Ready*, RFC 8914 section 4.15.
    pub const NOT_READY: u16 = 14;
    /// *Not Authoritative*, RFC 8914 section 4.21.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// *Not Supported*, RFC 8914 section 4.22.
    pub const NOT_SUPPORTED: u16 = 21;
}

/// The text of an error. Names are labels in wire form, of the question for the most part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdeText<'t> {
    Text(&'t str),
    /// The cluster has not been heard since.
    SilentSince(Timestamp),
    /// What the cluster's objects tell.
    Reason(Told<'t>),
    /// A namespace that the server leaves alone.
    NotWatched(&'t [u8]),
    /// A namespace without Services.
    NoServices(&'t [u8]),
    /// `service.namespace` where there is no such Service.
    NoService(&'t [u8]),
    /// `service.namespace` of a Service without anything to answer with.
    NothingReady(&'t [u8]),
    /// `host.service.namespace` where the Service has no such endpoint.
    NoHost(&'t [u8]),
    /// `_port._protocol.service.namespace`, or without the port, where the Service has none such.
    NoPort(&'t [u8]),
}

impl EdeText<'_> {
    /// The text as it is sent.
    pub fn written(&self) -> ArrayString<MAX_TEXT> {
        let mut text = Bounded(ArrayString::new());
        // An error says that the rest found no room.
        let _ = write!(text, "{self}");
        text.0
    }
}

impl fmt::Display for EdeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Text(text) => f.write_str(text),
            Self::SilentSince(since) => write!(f, "no contact with the API server since {since}"),
            Self::Reason(reason) => write!(f, "{reason}"),
            Self::NotWatched(namespace) => write!(f, "namespace {} is not watched by this server", Relative(namespace)),
            Self::NoServices(namespace) => write!(f, "no Service in namespace {}", Relative(namespace)),
            Self::NoService(key) => {
                let (service, namespace) = split(key, 1);
                write!(f, "there is no Service {} in namespace {}", Relative(service), Relative(namespace))
            }
            Self::NothingReady(key) => write!(f, "Service {} has no ready endpoint", Service(key)),
            Self::NoHost(name) => {
                let (host, key) = split(name, 2);
                write!(f, "Service {} has no ready endpoint {}", Service(key), Relative(host))
            }
            Self::NoPort(name) => {
                let (port, key) = split(name, 2);
                write!(f, "Service {} has no port {}", Service(key), Relative(port))
            }
        }
    }
}

/// The labels up to the last `count`, and those.
fn split(labels: &[u8], count: usize) -> (&[u8], &[u8]) {
    let first = Labels(labels).count().saturating_sub(count);
    labels.split_at(Labels(labels).take(first).map(<[u8]>::len).sum())
}

/// `service.namespace` in wire form, to be shown as `kubectl` does.
struct Service<'a>(&'a [u8]);

impl fmt::Display for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, namespace) = split(self.0, 1);
        write!(f, "{}/{}", Relative(namespace), Relative(service))
    }
}

/// A text that ends where it is full.
struct Bounded(ArrayString<MAX_TEXT>);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = &text[..text.floor_char_boundary(self.0.remaining_capacity())];
        self.0.push_str(fitting);
        if fitting.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_what_is_missing_as_kubectl_would() {
        let since = Timestamp::from_second(1_795_226_645).expect("a time");
        for (text, written) in [
            (EdeText::Text("plain"), "plain"),
            (EdeText::SilentSince(since), "no contact with the API server since 2026-11-21T02:04:05Z"),
            (EdeText::NotWatched(b"\x03web"), "namespace web is not watched by this server"),
            (EdeText::NoServices(b"\x02db"), "no Service in namespace db"),
            (EdeText::NoService(b"\x02pg\x02db"), "there is no Service pg in namespace db"),
            (EdeText::NothingReady(b"\x02pg\x02db"), "Service db/pg has no ready endpoint"),
            (EdeText::NoHost(b"\x04pg-7\x02pg\x02db"), "Service db/pg has no ready endpoint pg-7"),
            (EdeText::NoPort(b"\x02_x\x04_tcp\x02pg\x02db"), "Service db/pg has no port _x._tcp"),
            (EdeText::NoPort(b"\x04_udp\x02pg\x02db"), "Service db/pg has no port _udp"),
        ] {
            assert_eq!(text.written().as_str(), written);
        }
    }

    #[test]
    fn a_text_that_is_too_long_ends_at_a_letter() {
        let long = "é".repeat(MAX_TEXT);
        assert_eq!(EdeText::Text(&long).written().as_str(), "é".repeat(MAX_TEXT / 2));
        let odd = format!("x{long}");
        assert_eq!(EdeText::Text(&odd).written().len(), MAX_TEXT - 1);
        let label = [&[63][..], &[b'.'; 63]].concat();
        let name = [&label[..], &label, &label].concat();
        assert_eq!(EdeText::NoHost(&name).written().len(), MAX_TEXT);
    }
}
