//! Names: which are allowed, and how `generateName` makes one.

use std::hash::{BuildHasher, RandomState};

/// The longest DNS label, RFC 1035 section 2.3.4.
pub const LABEL_LIMIT: usize = 63;

/// The longest subdomain that Kubernetes takes as a name.
pub const SUBDOMAIN_LIMIT: usize = 253;

/// Characters that `generateName` adds.
const SUFFIX_LENGTH: usize = 5;

/// What suffixes are made of: no vowels, so that no word appears, and nothing that is misread.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
     must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const SERVICE_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation \
     is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// What is wrong with a DNS label (RFC 1123), if anything.
pub fn label_problem(name: &str) -> Option<String> {
    if name.len() > LABEL_LIMIT {
        return Some(format!("must be no more than {LABEL_LIMIT} characters"));
    }
    (!is_label(name)).then(|| LABEL.to_owned())
}

/// What is wrong with the name of a Service, a label that starts with a letter (RFC 1035).
pub fn service_problem(name: &str) -> Option<String> {
    if name.len() > LABEL_LIMIT {
        return Some(format!("must be no more than {LABEL_LIMIT} characters"));
    }
    let starts_with_letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    (!is_label(name) || !starts_with_letter).then(|| SERVICE_LABEL.to_owned())
}

/// What is wrong with a DNS subdomain, if anything.
pub fn subdomain_problem(name: &str) -> Option<String> {
    if name.len() > SUBDOMAIN_LIMIT {
        return Some(format!("must be no more than {SUBDOMAIN_LIMIT} characters"));
    }
    (!name.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned())
}

/// What is wrong with a name that need only fit in a path, as those of roles.
pub fn path_segment_problem(name: &str) -> Option<String> {
    let unfit = name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '%']);
    unfit.then(|| "may not be '.' or '..', and may not contain '/' or '%'".to_owned())
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.chars().all(|c| alphanumeric(c) || c == '-')
        && text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
}

/// A name that starts with `prefix` and that is not `taken`.
pub fn generated(prefix: &str, taken: impl Fn(&str) -> bool) -> String {
    let prefix: String = prefix.chars().take(LABEL_LIMIT - SUFFIX_LENGTH).collect();
    loop {
        let name = format!("{prefix}{}", suffix());
        if !taken(&name) {
            return name;
        }
    }
}

fn suffix() -> String {
    // Each RandomState has new keys, which is all the chance that is needed here.
    let mut random = RandomState::new().hash_one(());
    let base = SUFFIX_ALPHABET.len() as u64;
    let mut text = String::with_capacity(SUFFIX_LENGTH);
    for _ in 0..SUFFIX_LENGTH {
        text.push(char::from(SUFFIX_ALPHABET[(random % base) as usize]));
        random /= base;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_kind_requires() {
        assert_eq!(label_problem("redis-0"), None);
        assert!(label_problem("Redis").is_some());
        assert!(label_problem("a.b").is_some());
        assert!(label_problem("").is_some());
        assert_eq!(subdomain_problem("a.b-1"), None);
        assert!(subdomain_problem("a..b").is_some());
        assert!(service_problem("0db").is_some());
        assert_eq!(path_segment_problem("system:node"), None);
    }

    #[test]
    fn a_generated_name_is_a_label_that_is_not_taken() {
        let first = generated("web-", |_| false);
        let second = generated("web-", |name| name == first);
        assert_ne!(first, second);
        assert_eq!(label_problem(&first), None);
        assert_eq!(first.len(), "web-".len() + SUFFIX_LENGTH);
    }
}
