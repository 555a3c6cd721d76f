//! Other people's programs beside ours: forwarders with the examples of `config/`, `kubectl` with those of `deploy/`, Knot as
//! the upstream, and other name servers as secondaries.

#[cfg(feature = "sandbox")]
mod alerts;
#[cfg(feature = "sandbox")]
mod deploy;
#[cfg(feature = "sandbox")]
mod examples;
#[cfg(feature = "sandbox")]
mod forwarders;
#[cfg(feature = "sandbox")]
mod helm;
mod image;
mod knot;
#[cfg(feature = "sandbox")]
mod monitoring;
#[cfg(feature = "sandbox")]
mod node;
#[cfg(feature = "sandbox")]
mod page;
#[cfg(feature = "sandbox")]
mod policy;
#[cfg(feature = "sandbox")]
mod public_view;
#[cfg(feature = "sandbox")]
mod secondaries;
#[cfg(feature = "sandbox")]
mod sidecar;
#[cfg(feature = "sandbox")]
mod transfer_forms;
