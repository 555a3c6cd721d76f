//! The program from outside, by subject. One binary for all, because linking is what takes time.

mod conformance;
mod forwarding;
mod peers;
mod process;
mod support;
mod transport;
mod watch;
