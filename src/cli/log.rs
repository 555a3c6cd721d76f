//! The log: lines for people or JSON for collectors, always on stderr, so that stdout stays free for what was asked
//! for.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

use crate::config::LogFormat;
use crate::server;

/// The variable that switches colours off in any program, see <https://no-color.org>.
const NO_COLOR: &str = "NO_COLOR";

/// kube complains at each attempt of what the watch of this program says once, with what to do about it. Directives of
/// one's own for it come later and win.
const QUIET: &str = "kube_runtime=error,kube_client=off";

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not valid.
    #[error("found the log level {0:?}, allowed is error, warn, info, debug or trace, or directives")]
    Filter(String, #[source] ParseError),
    /// There is one already.
    #[error("the log was set up twice")]
    Twice(#[from] TryInitError),
}

/// Sets up the log of the process: what `level` lets through (a level or filter directives), in `format`.
pub fn init(level: &str, format: LogFormat) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::try_new(format!("{QUIET},{},{level}", server::QUIET))
        .map_err(|error| TelemetryError::Filter(level.to_owned(), error))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let colour = io::stderr().is_terminal() && std::env::var_os(NO_COLOR).is_none_or(|value| value.is_empty());
            log.compact().with_ansi(colour).finish().try_init()?;
        }
        LogFormat::Json => log.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_not_valid_is_named() {
        let error = init("info,kube=loud", LogFormat::Text).expect_err("no such level");
        assert!(error.to_string().starts_with(r#"found the log level "info,kube=loud", allowed is error"#), "{error}");
    }

    #[test]
    fn a_second_log_is_refused() {
        init("info", LogFormat::Json).expect("the first");
        assert!(matches!(init("info", LogFormat::Text), Err(TelemetryError::Twice(_))));
    }
}
