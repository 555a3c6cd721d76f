//! The commands that run: each takes what the command line said and gives what is to be printed at its end.

#[cfg(feature = "sandbox")]
mod sandbox;

use crate::admin;
use crate::admin::Explanation;
use crate::app::{self, App, Stop};
use crate::cli::log;
use crate::cli::{Explain, Export, Serve};
use crate::config::Config;
use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "sandbox")]
pub use sandbox::sandbox;

/// `headless-dns serve`
pub async fn serve(serve: Serve, config: Config) -> anyhow::Result<String> {
    log::init(&config.log_level, config.log_format)?;
    #[cfg(feature = "sandbox")]
    if !serve.sandbox.manifests.is_empty() {
        return sandbox::serve(serve.sandbox, config).await;
    }
    // Without the sandbox every flag is an option, and the options have been read.
    drop(serve);
    answer(config).await
}

/// Answers until a signal says to stop.
async fn answer(config: Config) -> anyhow::Result<String> {
    let stop = stop_signals()?;
    App::build(config).await?.run(stop).await?;
    tracing::info!("stopped");
    Ok(String::new())
}

/// `headless-dns export`
pub async fn export(export: Export, config: Config, zone: String) -> anyhow::Result<String> {
    log::init(&config.log_level, config.log_format)?;
    if export.from_cluster {
        let stop = stop_signals()?;
        return tokio::select! {
            file = app::read_zone(config, &zone) => file,
            () = stop.begun() => bail!("stopped before the cluster was read"),
        };
    }
    // The command line has seen to it that there is one.
    let address = config.admin.context("there is no admin address")?;
    Ok(admin::fetch_zone(address, &zone).await?)
}

/// `headless-dns explain`: the text, and whether the name resolves.
pub async fn explain(explain: Explain, config: Config) -> anyhow::Result<Explanation> {
    log::init(&config.log_level, config.log_format)?;
    // The command line has seen to it that there is one.
    let address = config.admin.context("there is no admin address")?;
    Ok(admin::fetch_explanation(address, &explain.name).await?)
}

/// SIGTERM, as Kubernetes sends it, drains; SIGINT, as a keyboard does, stops at once, as any second signal does.
fn stop_signals() -> anyhow::Result<Stop> {
    let stop = Stop::default();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn({
        let stop = stop.clone();
        async move {
            tokio::select! {
                _ = terminate.recv() => {
                    stop.drain.cancel();
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                }
                _ = interrupt.recv() => {}
            }
            stop.now.cancel();
        }
    });
    Ok(stop)
}
