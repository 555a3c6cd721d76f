//! How far a watch has come.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::objects::{ObjectKey, Uid};

/// Where a watch can go on, and by what it knows its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The resourceVersion up to which everything has been told.
    pub version: u64,
    pub witnesses: Arc<[Witness]>,
}

/// An object that a watch knows its server to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    pub key: ObjectKey,
    pub uid: Uid,
    /// Its resourceVersion.
    pub version: u64,
}

impl Position {
    /// Whether a new process may go on there. Without a witness, a server cannot be told from another one by much, and a list of nothing
    /// costs little; version 0 stands for any.
    pub(super) fn is_proof(&self) -> bool {
        self.version > 0 && !self.witnesses.is_empty()
    }
}
