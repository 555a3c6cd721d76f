//! One key, as `domain` has it and as an HMAC.

use std::fmt;
use std::sync::Arc;

use domain::tsig::{self, Algorithm, KeyName};
use ring::hmac;

/// What somebody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every zone.
    All,
    /// The public view alone.
    Public,
}

/// A key. Cheap to clone.
#[derive(Clone)]
pub struct Key {
    both: Arc<Both>,
    access: Access,
}

/// The same key for both who use it.
struct Both {
    tsig: tsig::Key,
    hmac: hmac::Key,
}

impl Key {
    /// A key that opens every zone. None if the length of signatures is out of bounds, which that of whole ones is not.
    pub(super) fn new(name: KeyName, algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let hmac = match algorithm {
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha384 => hmac::HMAC_SHA384,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
            Algorithm::Sha1 => return None,
        };
        // Whole signatures alone: RFC 8945 section 5.2.2.1 lets a server refuse those that are truncated.
        let tsig = tsig::Key::new(algorithm, secret, name, None, None).ok()?;
        let both = Arc::new(Both { tsig, hmac: hmac::Key::new(hmac, secret) });
        Some(Self { both, access: Access::All })
    }

    /// The same key, which opens this.
    pub(super) fn opening(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// What a request that is signed with it may get.
    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn name(&self) -> &KeyName {
        self.both.tsig.name()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.both.tsig.algorithm()
    }

    pub(super) fn hmac(&self) -> hmac::Context {
        hmac::Context::with_key(&self.both.hmac)
    }
}

impl AsRef<tsig::Key> for Key {
    fn as_ref(&self) -> &tsig::Key {
        &self.both.tsig
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name())
    }
}
