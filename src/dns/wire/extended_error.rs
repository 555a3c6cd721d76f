//! Extended DNS Errors (RFC 8914): codes, how much of them a response has room for (records come first), and those of others.

use std::fmt::{self, Write};

use arrayvec::ArrayString;

use super::codes::{OPTION_HEAD, OptionCode};

/// The most errors in one response: that it may be stale, and why the name does not exist.
pub const MAX_ERRORS: usize = 2;
/// The most octets of one EXTRA-TEXT.
pub const MAX_EXTRA_TEXT: usize = 160;
/// Octets of an INFO-CODE (RFC 8914 section 2).
pub(super) const INFO_CODE: usize = 2;

/// An INFO-CODE of RFC 8914 section 4 that this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EdeCode {
    /// Section 4.1.
    OtherError = 0,
    /// Section 4.4.
    StaleAnswer = 3,
    /// Section 4.14.
    CachedError = 13,
    /// Section 4.15.
    NotReady = 14,
    /// Section 4.19.
    Prohibited = 18,
    /// Section 4.20.
    StaleNxDomain = 19,
    /// Section 4.21.
    NotAuthoritative = 20,
    /// Section 4.22.
    NotSupported = 21,
    /// Section 4.23.
    NoReachableAuthority = 22,
    /// Section 4.24.
    NetworkError = 23,
}

/// An error as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// INFO-CODE: an [`EdeCode`], or what another server has sent.
    pub code: u16,
    /// EXTRA-TEXT, for a person.
    pub text: ArrayString<MAX_EXTRA_TEXT>,
}

impl ExtendedError {
    /// An error whose text is cut off where there is no more room for it.
    pub fn new(code: u16, text: impl fmt::Display) -> Self {
        let mut bounded = Bounded(ArrayString::new());
        // An error means that the text was cut off.
        let _ = write!(bounded, "{text}");
        Self { code, text: bounded.0 }
    }
}

/// A buffer that cuts text off where it is full.
struct Bounded(ArrayString<MAX_EXTRA_TEXT>);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = &text[..text.floor_char_boundary(self.0.remaining_capacity())];
        self.0.push_str(fitting);
        if fitting.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The errors among the options of another server's OPT record, as many as a response of ours may have. Their texts are cut to
/// what fits into one of ours; characters that control a terminal are left out.
pub(super) fn read_errors(mut options: &[u8]) -> Vec<ExtendedError> {
    let mut errors = Vec::new();
    while let Some((head, rest)) = options.split_first_chunk::<OPTION_HEAD>()
        && let Some((data, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))
    {
        options = rest;
        let code = u16::from_be_bytes([head[0], head[1]]);
        if let Some((info_code, text)) = data.split_first_chunk::<INFO_CODE>()
            && code == OptionCode::ExtendedError as u16
            && errors.len() < MAX_ERRORS
        {
            let text: String =
                String::from_utf8_lossy(text).chars().filter(|character| !character.is_control()).collect();
            errors.push(ExtendedError::new(u16::from_be_bytes(*info_code), text));
        }
    }
    errors
}

/// How much of a response's errors is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdeFit {
    WithTexts,
    CodesOnly,
    Nothing,
}

/// Octets of these errors as options without texts: so much room is kept for them before additional records are written.
pub fn min_ede_len(errors: &[ExtendedError]) -> usize {
    errors.len() * (OPTION_HEAD + INFO_CODE)
}

/// How much of `errors` fits into `room` octets.
///
/// RFC 8914 section 3: "servers SHOULD truncate messages by dropping EDE options before dropping other data from packets."
pub fn fit_ede(room: usize, errors: &[ExtendedError]) -> EdeFit {
    let codes = min_ede_len(errors);
    let texts: usize = errors.iter().map(|error| error.text.len()).sum();
    match () {
        () if codes + texts <= room => EdeFit::WithTexts,
        () if codes <= room => EdeFit::CodesOnly,
        () => EdeFit::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_dropped_before_codes_and_all_together() {
        let error = |code, text: &str| ExtendedError { code: code as u16, text: ArrayString::from(text).unwrap() };
        let errors = [error(EdeCode::StaleAnswer, "stale"), error(EdeCode::OtherError, "none")];
        let (with_texts, codes_only) = (21, 12);
        assert_eq!(min_ede_len(&errors), codes_only);
        assert_eq!(fit_ede(with_texts, &errors), EdeFit::WithTexts);
        assert_eq!(fit_ede(with_texts - 1, &errors), EdeFit::CodesOnly);
        assert_eq!(fit_ede(codes_only, &errors), EdeFit::CodesOnly);
        assert_eq!(fit_ede(codes_only - 1, &errors), EdeFit::Nothing);
    }

    #[test]
    fn the_errors_of_another_server_are_read_as_far_as_they_are_sound() {
        let option = |code: u16, data: &[u8]| [&code.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data].concat();
        let long = [&[0, 9][..], "é".repeat(MAX_EXTRA_TEXT).as_bytes()].concat();
        let options =
            [option(3, b"id"), option(15, b"\x00\x06bad \x1b[31msignature\0"), option(15, b"\x07"), option(15, &long)];
        let read: Vec<_> =
            read_errors(&options.concat()).into_iter().map(|it| (it.code, it.text.to_string())).collect();
        assert_eq!(read, [(6, "bad [31msignature".to_owned()), (9, "é".repeat(MAX_EXTRA_TEXT / 2))]);
        assert_eq!(read_errors(&option(15, &[0, 1]).repeat(5)).len(), MAX_ERRORS);
        assert_eq!(read_errors(&option(15, &[0, 1])[..5]), []);
    }
}
