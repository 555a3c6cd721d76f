//! The keys of the files, which are read again while the server runs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::base::ToName;
use domain::tsig::{Algorithm, KeyName, KeyStore};
use tokio_util::sync::CancellationToken;

use super::files::{self, KeyError};
use super::key::{Access, Key};

/// How often the files are read.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

type ByName = HashMap<(KeyName, Algorithm), Key>;

/// The keys that requests may be signed with: the latest usable ones that the files had.
#[derive(Debug)]
pub struct Keys {
    files: KeyFiles,
    current: ArcSwap<ByName>,
}

/// The files of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// Of those that open every zone.
    pub zones: Vec<PathBuf>,
    /// Of those that open the public view alone.
    pub public: Vec<PathBuf>,
}

impl KeyFiles {
    fn read(&self) -> Result<ByName, KeyError> {
        let mut keys = ByName::new();
        let of_zones = self.zones.iter().map(|file| (file, Access::All));
        for (file, access) in of_zones.chain(self.public.iter().map(|file| (file, Access::Public))) {
            for key in files::read(file)? {
                let key = key.opening(access);
                if keys.keys().any(|(name, _)| name == key.name()) {
                    let problem = format!("key {} is there twice", key.name());
                    return Err(KeyError::Content { file: file.clone(), problem });
                }
                keys.insert((key.name().clone(), key.algorithm()), key);
            }
        }
        Ok(keys)
    }
}

impl Keys {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn read(files: KeyFiles) -> Result<Arc<Self>, KeyError> {
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Arc::new(Self { files, current }))
    }

    /// Whether there are files, so that requests for this have to be signed.
    pub fn are_required(&self, access: Access) -> bool {
        let files = match access {
            Access::All => &self.files.zones,
            Access::Public => &self.files.public,
        };
        !files.is_empty()
    }

    /// Whether others are of the same files and have the same content.
    pub fn are_same(&self, other: &Self) -> bool {
        self.files == other.files && has_same_keys(&self.current.load(), &other.current.load())
    }

    /// The key of this name.
    pub fn named(&self, name: &str) -> Option<Key> {
        let name: KeyName = name.parse().ok()?;
        self.current.load().values().find(|key| *key.name() == name).cloned()
    }

    /// Reads the files again and again until `shutdown`. If they cannot be used, the previous keys stay.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut trouble = None;
        while [Access::All, Access::Public].into_iter().any(|access| self.are_required(access)) {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
            }
            // Reading may block on a disk, or on a file system that is no longer there.
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { return };
            trouble = self.take(read, trouble);
        }
    }

    /// Takes what was read. Returns what was wrong with it.
    fn take(&self, read: Result<ByName, KeyError>, before: Option<Trouble>) -> Option<Trouble> {
        match read {
            Ok(keys) => {
                if !has_same_keys(&keys, &self.current.load()) {
                    self.current.store(Arc::new(keys));
                    tracing::info!("transfer keys reloaded");
                }
                None
            }
            Err(error) => {
                let message = error.to_string();
                let before = before.filter(|before| before.message == message);
                // One file may be new and another not yet: only what is wrong twice is an error.
                if before.as_ref().is_some_and(|before| !before.is_logged) {
                    tracing::error!(%error, "transfer keys not reloaded; the previous ones stay in use");
                }
                Some(Trouble { message, is_logged: before.is_some() })
            }
        }
    }
}

/// What was wrong with the files when they were last read.
struct Trouble {
    message: String,
    is_logged: bool,
}

/// Whether the keys are the same, by what they open and what they make of the same octets.
fn has_same_keys(one: &ByName, other: &ByName) -> bool {
    let tag = |key: &Key| key.hmac().sign();
    let is_in_other = |(name, key): (&(KeyName, Algorithm), &Key)| {
        other.get(name).is_some_and(|own| own.access() == key.access() && tag(own).as_ref() == tag(key).as_ref())
    };
    one.len() == other.len() && one.iter().all(is_in_other)
}

impl KeyStore for Keys {
    type Key = Key;

    fn get_key<N: ToName>(&self, name: &N, algorithm: Algorithm) -> Option<Key> {
        let name = name.try_to_name().ok()?;
        self.current.load().get(&(name, algorithm)).cloned()
    }
}
