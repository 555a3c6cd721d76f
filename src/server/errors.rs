//! How much of an answer's Extended DNS Errors is sent: records come first, then texts.

use arrayvec::ArrayVec;

use crate::authority::{Ede, MAX_ERRORS, MAX_TEXT};
use crate::dns::wire::codes::OPTION_HEAD;

/// Octets of an error's code.
const INFO_CODE: usize = 2;

/// The data of an option that tells of an error: code and text (RFC 8914 section 2).
pub(super) type ErrorData = ArrayVec<u8, { INFO_CODE + MAX_TEXT }>;

/// Octets of the options that tell of these errors without their texts: so much room is kept for them before records
/// that are not missed. RFC 8914 section 3: "servers SHOULD truncate messages by dropping EDE options before dropping
/// other data from packets."
pub(super) fn bare_length(errors: &[Ede<'_>]) -> usize {
    errors.len() * (OPTION_HEAD + INFO_CODE)
}

/// What is told in `room` octets that are left: everything, the errors without their texts, or nothing.
pub(super) fn told_in(room: usize, errors: &[Ede<'_>]) -> ArrayVec<ErrorData, MAX_ERRORS> {
    let data = |is_whole: bool| -> ArrayVec<ErrorData, MAX_ERRORS> {
        let data = |error: &Ede<'_>| {
            let mut data: ErrorData = error.code.to_be_bytes().into_iter().collect();
            if is_whole {
                data.extend(error.text.written().bytes());
            }
            data
        };
        errors.iter().map(data).collect()
    };
    let whole = data(true);
    let fits = |data: &[ErrorData]| data.iter().map(|data| OPTION_HEAD + data.len()).sum::<usize>() <= room;
    match () {
        () if fits(&whole) => whole,
        () if bare_length(errors) <= room => data(false),
        () => ArrayVec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::EdeText;

    #[test]
    fn texts_are_left_out_before_errors_are_and_all_alike() {
        let errors = [(3, "stale"), (0, "none")].map(|(code, text)| Ede { code, text: EdeText::Text(text) });
        let told = |room| told_in(room, &errors).iter().map(|data| data.to_vec()).collect::<Vec<_>>();
        let (whole, bare) = (21, 12);
        assert_eq!(bare_length(&errors), bare);
        assert_eq!(told(whole), [b"\0\x03stale".to_vec(), b"\0\0none".to_vec()]);
        assert_eq!(told(whole - 1), [[0, 3], [0, 0]]);
        assert_eq!(told(bare), [[0, 3], [0, 0]]);
        assert!(told(bare - 1).is_empty());
    }
}
