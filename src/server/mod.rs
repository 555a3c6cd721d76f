//! Transports: octets in, octets out. What a response says is decided in `authority`.
//!
//! ```text
//! udp.rs     datagrams ──────┐
//! stream.rs  TCP, tls.rs TLS ┤                        ┌─▶ dns::wire::parse ─▶┐
//! https.rs   HTTPS ──────────┼─▶ responder.rs: screen ┤      │ declined      ├─▶ authority ─▶ response.rs ─▶ dns::wire::encode
//! quic/      QUIC ───────────┘                        └─▶ hickory.rs ───────▶┘       └ not ours: elsewhere.rs ─▶ resolver
//! ```
//!
//! `accept.rs` accepts what runs over TCP and `delivery.rs` ends it, `limits.rs` limits all connections, `certificate.rs` has the
//! certificate of the encrypted transports, `serving.rs` what all of them answer from.

mod accept;
mod backlog;
mod bind_error;
mod bound;
mod certificate;
mod client_stream;
mod delivery;
mod elsewhere;
mod encrypted;
mod hickory;
mod https;
mod limits;
mod low_ports;
mod memory;
mod neighbours;
mod overflow;
mod quic;
mod responder;
mod response;
mod serving;
mod stream;
mod sys;
mod tls;
mod transfer;
mod udp;
mod udp_socket;

pub use bind_error::BindError;
pub use bound::{Bound, bind, bind_shared};
pub use certificate::{Certificate, CertificateError, CertificateFiles};
pub use delivery::{deliver, reset};
pub use elsewhere::Deferred;
pub use encrypted::Encrypted;
pub use https::Https;
pub use limits::{StreamLimits, allow_files};
pub use low_ports::allow_low_ports;
pub use memory::{Encryption, connection_memory, quic_memory, udp_memory};
pub use responder::{Batch, Responder, Worker};
pub use response::{Encoding, encode};
pub use serving::{PinnedServing, Serving, SharedServing};
pub use stream::{Connection, answer_queries};
pub use transfer::{Outbound, Portion};

/// Log directive that keeps hickory-proto quiet: it warns of what any client can send.
pub const QUIET: &str = "hickory_proto=error";
