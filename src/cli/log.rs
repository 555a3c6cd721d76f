//! Sets up the log: text or JSON, always on stderr, so that stdout carries only what a command prints.

use std::io::{self, IsTerminal};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::{LogFilter, LogFormat};
use crate::server;

/// The variable that switches colours off, see <https://no-color.org>.
const NO_COLOR: &str = "NO_COLOR";

/// kube warns at every attempt; the watch of this program reports an outage once, with advice. Directives of the user come
/// later and win.
const QUIET: &str = "kube_client=off";

/// The log of the process, whose filter can be changed.
#[derive(Clone, Debug)]
pub struct Log(reload::Handle<EnvFilter, Registry>);

/// Sets up the log of the process.
///
/// # Errors
/// The process has a log already.
pub fn init(filter: &LogFilter, format: LogFormat) -> Result<Log, TryInitError> {
    let (filter, handle) = reload::Layer::new(directives(filter));
    let log = Registry::default().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let colour = io::stderr().is_terminal() && std::env::var_os(NO_COLOR).is_none_or(|value| value.is_empty());
            log.with(lines.compact().with_ansi(colour)).try_init()?;
        }
        LogFormat::Json => log.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(Log(handle))
}

impl Log {
    /// Logs by another filter from now on.
    pub fn set_filter(&self, filter: &LogFilter) {
        // It fails when the log is gone, and then there is nobody to tell.
        let _ = self.0.reload(directives(filter));
    }
}

fn directives(filter: &LogFilter) -> EnvFilter {
    EnvFilter::new(format!("{QUIET},{},{filter}", server::QUIET))
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
