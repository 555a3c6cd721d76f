//! What each fuzz target does with an input, which it panics at if something is wrong. Here and not in `fuzz/`, so that a test
//! gives every target its seeds too. Shared with the fuzz targets.
//!
//! ```text
//! octets ─▶ packet        as a message
//!           differential  as a plain query, by hickory-proto's reading too        (question.rs)
//!           truth         as a plain query, to a server that knows nothing yet, all, or what was     (question.rs)
//!           stream        as a connection over TCP or TLS, in pieces
//!           https         as a request
//!           upstream      as the response of an upstream
//!           state         as a state file
//!           objects       as a history of objects
//!           protobuf      as an object in Protobuf
//!           transfer      as a request for a zone, with and without keys
//! ```

pub mod differential;
pub mod https;
pub mod objects;
pub mod packet;
pub mod protobuf;
pub mod question;
pub mod state;
pub mod stream;
pub mod transfer;
pub mod truth;
pub mod upstream;

/// What is done with an input.
pub type Run = fn(&[u8]);

/// Each target with the name of its folder of seeds.
pub const ALL: [(&str, Run); 10] = [
    ("packet", packet::run),
    ("differential", differential::run),
    ("truth", truth::run),
    ("stream", stream::run),
    ("https", https::run),
    ("upstream", upstream::run),
    ("state", state::run),
    ("objects", objects::run),
    ("protobuf", protobuf::run),
    ("transfer", transfer::run),
];
