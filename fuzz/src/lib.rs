//! What the fuzz targets share with the tests.

#[path = "../../tests/suite/answering.rs"]
pub mod answering;
#[path = "../../tests/suite/differential.rs"]
pub mod differential;
#[path = "../../tests/suite/fixture.rs"]
pub mod fixture;
#[path = "../../tests/suite/oracle.rs"]
pub mod oracle;
#[path = "../../tests/suite/rebuild.rs"]
pub mod rebuild;
