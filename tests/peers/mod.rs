//! Other people's programs beside ours: forwarders with the examples of `config/`, and `kubectl` with those of `deploy/`.

#[cfg(feature = "sandbox")]
mod deploy;
#[cfg(feature = "sandbox")]
mod forwarders;
