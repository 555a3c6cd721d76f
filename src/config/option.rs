//! The declaration of an option, as the file, the variables, the flags and the documentation see it.

use super::source::Kind;
use super::{ENV_PREFIX, OPTIONS, RELOADABLE};

/// The declaration of one option, without its type.
#[derive(Debug)]
pub struct Opt {
    /// The heading under which it is documented.
    pub heading: &'static str,
    /// The key in the file. The variable is named after it.
    pub key: &'static str,
    /// The flag and its value: `--ttl SECONDS`.
    pub(super) flag: &'static str,
    /// The default, as a TOML literal.
    pub default: &'static str,
    pub(super) doc: &'static [&'static str],
}

impl Opt {
    /// The option with this key.
    pub fn find(key: &str) -> Option<&'static Opt> {
        OPTIONS.iter().find(|option| option.key == key)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_ascii_uppercase())
    }

    /// The name of its flag, without the dashes.
    pub fn flag(&self) -> &'static str {
        self.flag.trim_start_matches("--").split(' ').next().unwrap_or_default()
    }

    /// The placeholder of its value in `--help`.
    pub fn value_name(&self) -> &'static str {
        self.flag.split(' ').next_back().unwrap_or_default()
    }

    /// Whether it takes effect in a running server that is told to reload.
    pub fn is_reloadable(&self) -> bool {
        RELOADABLE.contains(&self.key)
    }

    /// Whether its value is a list, so that its flag may be repeated.
    pub fn is_list(&self) -> bool {
        self.kind() == Kind::List
    }

    /// Its purpose, in one line.
    pub fn summary(&self) -> &'static str {
        self.doc.first().map_or("", |line| line.trim())
    }

    /// Its purpose, its bounds and the reason for its default, line by line as in the file.
    pub fn documentation(&self) -> impl Iterator<Item = &'static str> {
        self.doc.iter().map(|line| line.trim())
    }

    pub(super) fn kind(&self) -> Kind {
        Kind::of_literal(self.default)
    }
}
