//! The watch on the cluster, against API servers that lag, misbehave or go away.

mod lists;
mod liveness;
mod misbehaving;
mod outage;
mod pods;
mod restored;
mod resumed;
mod trust;
