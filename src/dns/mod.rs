//! The protocol: names, reverse names and messages. Knows no runtime, no cluster, and none of our records.

pub mod name;
pub mod reverse;
pub mod wire;
