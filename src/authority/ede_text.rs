//! What the Extended DNS Errors of an answer say (RFC 8914). A text is data until it is written, so that an error costs no
//! allocation, and nothing at all where the client did not send EDNS.

use std::fmt;

use arrayvec::ArrayVec;

use crate::dns::name::{Labels, Relative};
use crate::dns::wire::extended_error::{EdeCode, ExtendedError, MAX_ERRORS};
use crate::records::Stale;
use crate::records::reasons::AbsenceReason;

pub type Errors<'t> = ArrayVec<Ede<'t>, MAX_ERRORS>;

/// An Extended DNS Error: its code and the text for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede<'t> {
    pub code: EdeCode,
    pub text: EdeText<'t>,
}

impl Ede<'_> {
    /// The error as it is sent. What its text is about comes first, so that little is lost where long names make it longer
    /// than [`crate::dns::wire::extended_error::MAX_EXTRA_TEXT`].
    pub fn written(&self) -> ExtendedError {
        ExtendedError::new(self.code as u16, self.text)
    }
}

/// The text of an error. Names are labels in wire form, of the question for the most part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdeText<'t> {
    Text(&'t str),
    /// The answer may be out of date.
    Stale(Stale),
    /// What the cluster's objects show.
    Reason(AbsenceReason<'t>),
    /// A namespace that this server does not watch.
    NotWatched(&'t [u8]),
    /// A namespace without Services.
    NoServices(&'t [u8]),
    /// The same of headless Services, where others are not known.
    NoHeadlessServices(&'t [u8]),
    /// `service.namespace` where there is no such Service.
    NoService(&'t [u8]),
    /// The same of a headless Service, where others are not known.
    NoHeadlessService(&'t [u8]),
    /// `service.namespace` of an alias that the name is below.
    BelowAlias(&'t [u8]),
    /// `service.namespace` of a Service without anything to answer with.
    NothingReady(&'t [u8]),
    /// `host.service.namespace` where the Service has no such endpoint.
    NoHost(&'t [u8]),
    /// `_port._protocol.service.namespace`, or without the port, where the Service has none such.
    NoPort(&'t [u8]),
    /// The same where no ready endpoint has such a port; the Service may.
    NoEndpointPort(&'t [u8]),
}

impl fmt::Display for EdeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Text(text) => f.write_str(text),
            Self::Stale(stale) => write!(f, "{stale}"),
            Self::Reason(reason) => write!(f, "{reason}"),
            Self::NotWatched(namespace) => write!(f, "namespace {} is not watched by this server", Relative(namespace)),
            Self::NoServices(namespace) => write!(f, "no Service in namespace {}", Relative(namespace)),
            Self::NoHeadlessServices(namespace) => write!(
                f,
                "no headless Service in namespace {}; others may exist, and are not served",
                Relative(namespace)
            ),
            Self::NoHeadlessService(key) => write!(
                f,
                "there is no headless Service {}; one with a cluster IP may exist, and is not served",
                Service(key)
            ),
            Self::BelowAlias(key) => {
                write!(f, "Service {} is an alias (ExternalName): no name is below it", Service(key))
            }
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
            Self::NoEndpointPort(name) => {
                let (port, key) = split(name, 2);
                write!(f, "Service {} has no ready endpoint with a port {}", Service(key), Relative(port))
            }
        }
    }
}

/// Splits off the last `count` labels.
fn split(labels: &[u8], count: usize) -> (&[u8], &[u8]) {
    let first = Labels(labels).count().saturating_sub(count);
    labels.split_at(Labels(labels).take(first).map(<[u8]>::len).sum())
}

/// `service.namespace` in wire form, displayed as `namespace/service`.
struct Service<'a>(&'a [u8]);

impl fmt::Display for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, namespace) = split(self.0, 1);
        write!(f, "{}/{}", Relative(namespace), Relative(service))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use jiff::Timestamp;

    use super::*;
    use crate::dns::wire::extended_error::MAX_EXTRA_TEXT;
    use crate::records::Silence;

    fn written(text: EdeText<'_>) -> String {
        Ede { code: EdeCode::OtherError, text }.written().text.to_string()
    }

    #[test]
    fn a_text_names_what_is_missing_as_kubectl_would() {
        let since = Timestamp::from_second(1_795_226_645).expect("a time");
        let stale = |silence| EdeText::Stale(Stale { since, silence });
        for (text, expected) in [
            (EdeText::Text("plain"), "plain"),
            (stale(Silence::Unreachable), "no contact with the API server since 2026-11-21T02:04:05Z"),
            (stale(Silence::Unexplained), "no word from the cluster since 2026-11-21T02:04:05Z"),
            (
                stale(Silence::Refused(StatusCode::FORBIDDEN)),
                "the API server refuses (403 Forbidden): no word from the cluster since 2026-11-21T02:04:05Z",
            ),
            (EdeText::NotWatched(b"\x03web"), "namespace web is not watched by this server"),
            (EdeText::NoServices(b"\x02db"), "no Service in namespace db"),
            (EdeText::NoService(b"\x02pg\x02db"), "there is no Service pg in namespace db"),
            (EdeText::NothingReady(b"\x02pg\x02db"), "Service db/pg has no ready endpoint"),
            (EdeText::NoHost(b"\x04pg-7\x02pg\x02db"), "Service db/pg has no ready endpoint pg-7"),
            (EdeText::NoPort(b"\x02_x\x04_tcp\x02pg\x02db"), "Service db/pg has no port _x._tcp"),
            (EdeText::NoPort(b"\x04_udp\x02pg\x02db"), "Service db/pg has no port _udp"),
            (
                EdeText::NoEndpointPort(b"\x02_x\x04_tcp\x02pg\x02db"),
                "Service db/pg has no ready endpoint with a port _x._tcp",
            ),
            (EdeText::BelowAlias(b"\x02pg\x02db"), "Service db/pg is an alias (ExternalName): no name is below it"),
            (
                EdeText::NoHeadlessServices(b"\x02db"),
                "no headless Service in namespace db; others may exist, and are not served",
            ),
            (
                EdeText::NoHeadlessService(b"\x02pg\x02db"),
                "there is no headless Service db/pg; one with a cluster IP may exist, and is not served",
            ),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    #[test]
    fn a_text_that_is_too_long_ends_at_a_letter() {
        let long = "é".repeat(MAX_EXTRA_TEXT);
        assert_eq!(written(EdeText::Text(&long)), "é".repeat(MAX_EXTRA_TEXT / 2));
        let odd = format!("x{long}");
        assert_eq!(written(EdeText::Text(&odd)).len(), MAX_EXTRA_TEXT - 1);
        let label = [&[63][..], &[b'.'; 63]].concat();
        let name = [&label[..], &label, &label].concat();
        assert_eq!(written(EdeText::NoHost(&name)).len(), MAX_EXTRA_TEXT);
    }
}
