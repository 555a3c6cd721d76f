//! What the page `/explain` shows.

use async_trait::async_trait;

/// A name explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether there is a record at the name.
    pub resolves: bool,
    /// For a person, several lines.
    pub text: String,
}

/// Who can explain names.
#[async_trait]
pub trait Explains: Send + Sync + 'static {
    /// # Errors
    /// The text is no name; the message says why.
    async fn explain(&self, name: &str) -> Result<Explanation, String>;
}
