//! That answers may be out of date: since when, and why.

use std::fmt;

use http::StatusCode;
use jiff::Timestamp;

/// There has been no word from the cluster for so long that answers may be out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// When there was last word.
    pub since: Timestamp,
    pub silence: Silence,
}

/// Why there is no word from the cluster, as far as is known. In order of how much that tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// The API server says nothing, or something that cannot be understood.
    #[default]
    Unexplained,
    /// The API server does not answer.
    Unreachable,
    /// The API server answers with this error.
    Refused(StatusCode),
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, silence } = self;
        match silence {
            Silence::Unexplained => write!(f, "no word from the cluster since {since}"),
            Silence::Unreachable => write!(f, "no contact with the API server since {since}"),
            Silence::Refused(status) => {
                write!(f, "the API server refuses ({status}): no word from the cluster since {since}")
            }
        }
    }
}
