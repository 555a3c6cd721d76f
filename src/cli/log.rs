//! Sets up the log: text or JSON, always on stderr, so that stdout carries only what a command prints.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFilter, LogFormat};
use crate::server;

/// The variable that switches colours off, see <https://no-color.org>.
const NO_COLOR: &str = "NO_COLOR";

/// kube warns at every attempt; the watch of this program reports an outage once, with advice. Directives of the user come
/// later and win.
const QUIET: &str = "kube_client=off";

/// Sets up the log of the process.
///
/// # Errors
/// The process has a log already.
pub fn init(filter: &LogFilter, format: LogFormat) -> Result<(), TryInitError> {
    let directives = format!("{QUIET},{},{filter}", server::QUIET);
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(directives)).with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let colour = io::stderr().is_terminal() && std::env::var_os(NO_COLOR).is_none_or(|value| value.is_empty());
            log.compact().with_ansi(colour).finish().try_init()
        }
        LogFormat::Json => log.json().flatten_event(true).finish().try_init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_log_is_refused() {
        let filter: LogFilter = "info".parse().expect("a level");
        init(&filter, LogFormat::Json).expect("the first");
        assert!(init(&filter, LogFormat::Text).is_err());
    }
}
