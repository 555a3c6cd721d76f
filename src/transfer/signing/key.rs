//! One key, as `domain` has it and as an HMAC.

use std::fmt;
use std::sync::Arc;

use domain::tsig::{self, Algorithm, KeyName};
use ring::hmac;

/// A key. Cheap to clone.
#[derive(Clone)]
pub struct Key(Arc<Both>);

/// The same key for both who use it.
struct Both {
    tsig: tsig::Key,
    hmac: hmac::Key,
}

impl Key {
    /// None if the length of signatures is out of bounds, which that of whole ones is not.
    pub(super) fn new(name: KeyName, algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let hmac = match algorithm {
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha384 => hmac::HMAC_SHA384,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
            Algorithm::Sha1 => return None,
        };
        // Whole signatures alone: RFC 8945 section 5.2.2.1 lets a server refuse those that are truncated.
        let tsig = tsig::Key::new(algorithm, secret, name, None, None).ok()?;
        Some(Self(Arc::new(Both { tsig, hmac: hmac::Key::new(hmac, secret) })))
    }

    pub(super) fn name(&self) -> &KeyName {
        self.0.tsig.name()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.0.tsig.algorithm()
    }

    pub(super) fn hmac(&self) -> hmac::Context {
        hmac::Context::with_key(&self.0.hmac)
    }
}

impl AsRef<tsig::Key> for Key {
    fn as_ref(&self) -> &tsig::Key {
        &self.0.tsig
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name())
    }
}
