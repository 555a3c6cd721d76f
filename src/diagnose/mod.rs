//! Answers "why is this name absent?".
//!
//! The answer has two forms: an Extended DNS Error (EDE) beside a denial, and the output of `headless-dns explain`. The parts:
//!
//! - `records::reasons`: the reasons as data, and their text. Below everything that uses them.
//! - `index::reasons`: finds the reasons of a Service from its objects. They are joins, so they are found where the joins are.
//! - `table`: publishes them beside the records, so that a query finds them without asking the index.
//! - `authority::explain`: picks the reason that fits a denied name, and adds it to the answer as EDE.
//! - `inspect`: the objects behind a Service, as the index has them: the only part that runs where the index is owned. `describe`
//!   makes text of it, and `endpoints` the data of a page.
//! - `forwarded`: what is not ours, asked from the upstreams.
//! - `meant`: which name a person means.
//! - `explain`: `headless-dns explain`: the answer, its reason, the fix (`advice`) and the description. Here, because it needs
//!   both the authority and the index.
//!
//! ```text
//! index ──reasons──▶ table ──▶ authority ──EDE──▶ client
//!   │                              │
//!   └─▶ inspect ──▶ describe ──▶ explain ◀──┘
//!                       └─▶ admin page /explain ◀── headless-dns explain NAME
//! ```

mod advice;
mod describe;
mod endpoints;
mod explain;
mod forwarded;
mod inspect;
mod meant;

pub use endpoints::{EndpointView, ServiceState};
pub use explain::{Explainer, Explanation};
pub use inspect::{EndpointState, INSPECTIONS, Inspected, Inspection, Wanted, inspect};
