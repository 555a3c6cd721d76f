//! Stands in for `sandbox.rs` in a build without the sandbox: `serve` has no flags for it and always watches a cluster.

use clap::Args;

use super::commands;
use super::log::Log;
use crate::app::Load;
use crate::config::{Config, ConfigError, Effective};

/// No flags.
#[derive(Args, Debug)]
pub struct ServeSandbox {}

impl ServeSandbox {
    /// Accepts every configuration.
    pub fn check(&self, _: &Effective) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// Serves the configured cluster.
pub async fn serve(_: ServeSandbox, config: Config, load: Load, log: Log) -> anyhow::Result<String> {
    commands::answer(config, load, log, || {}).await
}
