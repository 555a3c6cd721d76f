//! What the fuzz targets share with the tests, at the same path.

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
}
