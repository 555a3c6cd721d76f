//! What the fuzz targets share with the tests, at the same path, and what surrounds each of them.

mod memory;

pub use memory::bounded;

#[path = "../../tests/support"]
pub mod support {
    pub mod answering;
    pub mod differential;
    pub mod expected;
    pub mod fixture;
    pub mod oracle;
    pub mod reasons;
    pub mod rebuild;
    pub mod reference;
    pub mod targets;
    pub mod tsig;
}

/// The fuzz target of this name in [`support::targets`].
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(|octets: &[u8]| $crate::bounded($crate::support::targets::$name::run, octets));
    };
}
