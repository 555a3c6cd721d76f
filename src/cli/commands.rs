//! The commands that run: each takes its arguments and returns what to print.

use std::convert::Infallible;
use std::future::pending;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use super::log::Log;
use super::{Explain, Export, log};
use crate::admin::{self, ExplanationText, ReloadHandle};
use crate::app::{self, App, Load, Reloading, Stop};
use crate::config::Config;
use crate::dns::name::Name;

/// Answers until a signal stops the process. `load` loads the configuration once more; `when_ready` is called once everything has
/// been listed and is answered.
pub(super) async fn answer(config: Config, load: Load, log: Log, when_ready: impl FnOnce()) -> anyhow::Result<String> {
    let stop = stop_signals()?;
    let reloading = Reloading::new(load, Box::new(move |filter| log.set_filter(filter)));
    reload_signal(reloading.handle())?;
    let app = App::build(config, reloading).await?;
    let readiness = app.readiness().clone();
    let then_ready = async {
        readiness.wait_ready().await;
        when_ready();
        pending::<Infallible>().await
    };
    tokio::select! {
        // In this order: readiness is blocked from the start of the run on.
        biased;
        ended = app.run(stop) => ended?,
        never = then_ready => match never {},
    }
    tracing::info!("stopped");
    Ok(String::new())
}

/// `headless-dns export`
pub async fn export(export: Export, config: Config, zone: Name) -> anyhow::Result<String> {
    log::init(&config.log_level, config.log_format)?;
    if export.from_cluster {
        let stop = stop_signals()?;
        return tokio::select! {
            file = app::read_zone(config, &zone) => file,
            () = stop.requested() => bail!("stopped before the cluster was read"),
        };
    }
    // Checked when the arguments were read.
    let address = config.admin.context("there is no admin address")?;
    Ok(admin::fetch_zone(address, &zone).await?)
}

/// `headless-dns explain`: the text, and whether the name resolves.
pub async fn explain(explain: Explain, config: Config) -> anyhow::Result<ExplanationText> {
    log::init(&config.log_level, config.log_format)?;
    // Checked when the arguments were read.
    let address = config.admin.context("there is no admin address")?;
    Ok(admin::fetch_explanation(address, &explain.name).await?)
}

/// `headless-dns reload`
pub async fn reload(config: Config) -> anyhow::Result<String> {
    log::init(&config.log_level, config.log_format)?;
    // Checked when the arguments were read.
    let address = config.admin.context("there is no admin address")?;
    Ok(admin::request_reload(address).await?)
}

/// SIGTERM, which Kubernetes sends, drains, and so does SIGQUIT, as other servers have it. SIGINT (Ctrl-C) stops at once, and so
/// does a second signal of any of these.
pub(super) fn stop_signals() -> anyhow::Result<Stop> {
    let stop = Stop::default();
    let (mut terminate, mut quit) = (signal(SignalKind::terminate())?, signal(SignalKind::quit())?);
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn({
        let stop = stop.clone();
        async move {
            let is_drain = tokio::select! {
                _ = terminate.recv() => true,
                _ = quit.recv() => true,
                _ = interrupt.recv() => false,
            };
            if is_drain {
                stop.drain();
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = quit.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            stop.now();
        }
    });
    Ok(stop)
}

/// SIGHUP loads the configuration anew. What comes of it is in the log.
fn reload_signal(handle: ReloadHandle) -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let _ = handle.ask().await;
        }
    });
    Ok(())
}

/// Takes the signals that would end the process by default although nobody means that: an operator who sends one wants something
/// to be read anew. SIGHUP is for that, and does nothing until a server runs, whose configuration was read a moment ago.
pub(super) fn take_signals() -> anyhow::Result<()> {
    let _ = signal(SignalKind::hangup())?;
    for (name, kind) in [("SIGUSR1", SignalKind::user_defined1()), ("SIGUSR2", SignalKind::user_defined2())] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!("{name} ignored: SIGHUP loads the configuration anew");
            }
        });
    }
    Ok(())
}
