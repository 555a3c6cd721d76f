//! What is answered: the contract of `docs/behaviour.md`, as tables, by an oracle, and over random histories.

mod cases;
mod extended_errors;
mod generated;
mod histories;
mod large;
mod malformed;
mod readers;
mod reasons;
mod seeds;
mod transfers;
