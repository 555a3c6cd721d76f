//! Signed requests and answers (TSIG, RFC 8945), and the keys of them.
//!
//! The signatures are made and checked by `domain`, of which two things are put right here: that a wrong signature is answered with
//! BADSIG, and what the answer BADTIME is signed over.

mod files;
mod key;
mod keys;
mod question;
mod request;
mod response;

use std::time::{SystemTime, UNIX_EPOCH};

use domain::rdata::tsig::Time48;

pub use files::KeyError;
pub use key::Access;
pub use keys::{KeyFiles, Keys};
pub use question::Question;
pub use request::{Rejection, Verified};
pub use response::Signer;

/// The clock as a TSIG record has it.
fn time(now: SystemTime) -> Time48 {
    const MOST: u64 = (1 << 48) - 1;
    Time48::from_u64(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().min(MOST))
}
