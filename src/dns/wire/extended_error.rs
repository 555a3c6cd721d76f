//! Extended DNS Errors (RFC 8914): codes, and how much of them a response has room for. Records come first.

use arrayvec::ArrayString;

use super::codes::OPTION_HEAD;

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
    /// Section 4.15.
    NotReady = 14,
    /// Section 4.19.
    Prohibited = 18,
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
    pub code: EdeCode,
    /// EXTRA-TEXT, for a person.
    pub text: ArrayString<MAX_EXTRA_TEXT>,
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
        let error = |code, text: &str| ExtendedError { code, text: ArrayString::from(text).unwrap() };
        let errors = [error(EdeCode::StaleAnswer, "stale"), error(EdeCode::OtherError, "none")];
        let (with_texts, codes_only) = (21, 12);
        assert_eq!(min_ede_len(&errors), codes_only);
        assert_eq!(fit_ede(with_texts, &errors), EdeFit::WithTexts);
        assert_eq!(fit_ede(with_texts - 1, &errors), EdeFit::CodesOnly);
        assert_eq!(fit_ede(codes_only, &errors), EdeFit::CodesOnly);
        assert_eq!(fit_ede(codes_only - 1, &errors), EdeFit::Nothing);
    }
}
