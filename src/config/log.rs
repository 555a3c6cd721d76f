//! The options of the log: which lines, in which format.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Which lines are logged: a level, or directives that `EnvFilter` accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl FromStr for LogFilter {
    /// What is allowed.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // To EnvFilter a single word is the name of a target. Here it is a level, perhaps misspelt.
        let is_valid = if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            !text.is_empty() && text.parse::<LevelFilter>().is_ok()
        } else {
            EnvFilter::try_new(text).is_ok()
        };
        if is_valid {
            return Ok(Self(text.to_owned()));
        }
        Err("error, warn, info, debug or trace, or directives such as \"info,kube=debug\"".to_owned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
