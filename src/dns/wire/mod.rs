//! Messages: what is read from a query, or from the response of another server, and how a response is written. Knows nothing
//! of what the records are about.
//!
//! ```text
//! octets ─▶ screen ─▶ parse ─▶ Query ┄┄▶ (an answer) ┄┄▶ encode: MessageWriter ─▶ octets
//!             │ what is no query           edns: OPT, extended_error: EDE ─┘
//!             └────────────────────────▶ encode::write_error
//! octets of another server ─▶ response: Response, kept ┄┄▶ encode: MessageWriter::copy
//! ```

pub mod codes;
pub mod edns;
pub mod encode;
pub mod extended_error;
pub mod parse;
pub mod response;
pub mod screen;

pub use codes::{Class, DEFAULT_EDNS_UDP, HEADER, MAX_MESSAGE, MIN_UDP, OptionCode, Rcode, RrType};
pub use edns::{EDNS_VERSION, Edns, OptReply, WireOptions};
pub use encode::{MessageWriter, Owner, Section};
pub use extended_error::{EdeCode, ExtendedError};
pub use parse::{Query, Question};
pub use response::Response;
