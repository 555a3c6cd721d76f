//! What is answered: the contract of `docs/behaviour.md`, as tables, by an oracle, and over random histories.

mod cases;
mod extended_errors;
mod generated;
mod histories;
pub mod large;
pub mod malformed;
mod readers;
mod reasons;
