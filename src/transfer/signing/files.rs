//! Key files, in the form of BIND's `tsig-keygen` or that of Knot's `keymgr -t`.
//!
//! ```text
//! key "secondary" {                     key:
//!     algorithm hmac-sha256;              - id: secondary
//!     secret "c2VjcmV0";                    algorithm: hmac-sha256
//! };                                        secret: c2VjcmV0
//! ```

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use domain::tsig::{Algorithm, KeyName};

use super::key::Key;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read {}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{}: {problem}", file.display())]
    Content { file: PathBuf, problem: String },
}

/// What a file says of a key so far.
#[derive(Default)]
struct Draft {
    name: String,
    algorithm: Option<Algorithm>,
    secret: Option<Vec<u8>>,
}

/// Reads the keys of a file, at least one.
///
/// # Errors
/// The file, and what is wrong with it. A secret is never a part of it.
pub(super) fn read(file: &Path) -> Result<Vec<Key>, KeyError> {
    let text = crate::files::read_text(file).map_err(|source| KeyError::Read { file: file.to_owned(), source })?;
    parse(&text).map_err(|problem| KeyError::Content { file: file.to_owned(), problem })
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let text = without_comments(text)?;
    let drafts = if text.contains('{') { bind(&text)? } else { knot(&text)? };
    if drafts.is_empty() {
        return Err("it has no key; expected what tsig-keygen or keymgr -t writes".to_owned());
    }
    drafts.into_iter().map(Draft::finish).collect()
}

impl KeyError {
    /// The file that cannot be used.
    pub fn file(&self) -> &Path {
        match self {
            Self::Read { file, .. } | Self::Content { file, .. } => file,
        }
    }
}

impl Draft {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes in one more thing that the file says.
    fn set(&mut self, what: &str, value: &str) -> Result<(), String> {
        let Self { name, .. } = self;
        match what {
            "algorithm" => {
                let algorithm = match value.to_ascii_lowercase().parse() {
                    Ok(Algorithm::Sha1) | Err(_) => {
                        return Err(format!(
                            "key {name}: found the algorithm {value}; expected hmac-sha256, hmac-sha384 or hmac-sha512"
                        ));
                    }
                    Ok(algorithm) => algorithm,
                };
                self.algorithm = Some(algorithm);
            }
            "secret" => {
                let secret = BASE64.decode(value.as_bytes()).ok().filter(|secret| !secret.is_empty());
                self.secret = Some(secret.ok_or_else(|| format!("key {name}: the secret is not base64"))?);
            }
            other => return Err(format!("key {name}: found {other}; expected algorithm and secret")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Key, String> {
        let Self { name, algorithm, secret } = self;
        let wire_name: KeyName = name.parse().map_err(|_| format!("found the key {name:?}; expected a domain name"))?;
        let algorithm = algorithm.ok_or_else(|| format!("key {name} has no algorithm"))?;
        let secret = secret.ok_or_else(|| format!("key {name} has no secret"))?;
        Key::new(wire_name, algorithm, &secret).ok_or_else(|| format!("key {name} cannot be used"))
    }
}

/// Comments of both forms, which neither a name nor base64 can look like: `# …`, `// …` at the start of a line, `/* … */`.
fn without_comments(text: &str) -> Result<String, String> {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = after.split_once("*/").ok_or("a comment has no end")?.1;
    }
    kept.push_str(rest);
    let line = |line: &str| {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() }
    };
    Ok(kept.lines().map(line).collect::<Vec<_>>().join("\n"))
}

/// `key "name" { algorithm …; secret "…"; };`
fn bind(text: &str) -> Result<Vec<Draft>, String> {
    let mut drafts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (head, after) = rest.split_once('{').ok_or("a key has no {")?;
        let (body, after) = after.split_once('}').ok_or("a key has no }")?;
        let name = head.trim().strip_prefix("key").ok_or_else(|| format!("found {:?}; expected key", head.trim()))?;
        let mut draft = Draft::named(unquoted(name));
        for statement in body.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let (what, value) = statement.split_once(char::is_whitespace).unwrap_or((statement, ""));
            draft.set(what, unquoted(value))?;
        }
        drafts.push(draft);
        rest = after.trim_start().strip_prefix(';').ok_or("there is no ; behind a key")?.trim();
    }
    Ok(drafts)
}

/// `key:`, and items of `id`, `algorithm` and `secret`.
fn knot(text: &str) -> Result<Vec<Draft>, String> {
    let mut drafts: Vec<Draft> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "key:") {
        let (is_item, line) = line.strip_prefix('-').map_or((false, line), |item| (true, item.trim()));
        let (what, value) = line.split_once(':').ok_or_else(|| "a line has no colon".to_owned())?;
        let (what, value) = (what.trim(), unquoted(value));
        match (what, drafts.last_mut()) {
            ("id", _) if is_item => drafts.push(Draft::named(value)),
            (_, Some(draft)) if !is_item => draft.set(what, value)?,
            _ => return Err(format!("found {what}; expected key, and in it - id, algorithm and secret")),
        }
    }
    Ok(drafts)
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        Ok(parse(text)?.iter().map(|key| format!("{} {}", key.name(), key.algorithm())).collect())
    }

    const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=";

    /// X1.
    #[test]
    fn files_of_bind_and_of_knot_are_read() {
        let bind = format!(
            "/* two */ key \"one\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n// of ours\n\
             key two. {{ secret {SECRET}; algorithm \"HMAC-SHA512\"; }};"
        );
        assert_eq!(names(&bind).unwrap(), ["one hmac-sha256", "two hmac-sha512"]);
        let knot = format!(
            "# hmac-sha384:one:{SECRET}\nkey:\n  - id: one\n    algorithm: hmac-sha384\n    secret: {SECRET}\n\
             \n  - id: \"two.\"\n    secret: \"{SECRET}\"\n    algorithm: hmac-sha256\n"
        );
        assert_eq!(names(&knot).unwrap(), ["one hmac-sha384", "two hmac-sha256"]);
    }

    /// X1.
    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_secret() {
        for (text, problem) in [
            ("", "it has no key"),
            ("key:\n", "it has no key"),
            ("key x { algorithm hmac-md5; };", "key x: found the algorithm hmac-md5"),
            ("key x { algorithm hmac-sha1; };", "key x: found the algorithm hmac-sha1"),
            ("key x { secret \"hush-hush!\"; };", "key x: the secret is not base64"),
            ("key x { secret \"\"; };", "key x: the secret is not base64"),
            ("key x { secret aGFsbG8=; };", "key x has no algorithm"),
            ("key x { algorithm hmac-sha256; };", "key x has no secret"),
            ("key x { algorithm hmac-sha256;", "a key has no }"),
            ("key x { }", "there is no ; behind a key"),
            ("options { };", "found \"options\""),
            ("key:\n - id: x\n   secret: hush-hush!\n", "key x: the secret is not base64"),
            ("zone:\n - domain: x\n", "found zone"),
            ("/* key", "a comment has no end"),
            ("aGFsbG8=", "a line has no colon"),
        ] {
            let found = names(text).unwrap_err();
            assert!(found.starts_with(problem) && !found.contains("hush") && !found.contains("aGF"), "{text}: {found}");
        }
    }
}
