//! Rules for names.

/// The longest DNS label in octets, RFC 1035 section 2.3.4.
pub const LABEL_LIMIT: usize = 63;

/// The longest name that is a DNS subdomain, in octets.
const SUBDOMAIN_LIMIT: usize = 253;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
     must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const SERVICE_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation \
     is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Why `name` is not a DNS label (RFC 1123); None if it is.
pub fn label_problem(name: &str) -> Option<String> {
    if name.len() > LABEL_LIMIT {
        return Some(format!("must be no more than {LABEL_LIMIT} characters"));
    }
    (!is_label(name)).then(|| LABEL.to_owned())
}

/// Why `name` is not the name of a Service, a DNS label that starts with a letter (RFC 1035); None if it is.
pub fn service_problem(name: &str) -> Option<String> {
    if name.len() > LABEL_LIMIT {
        return Some(format!("must be no more than {LABEL_LIMIT} characters"));
    }
    let starts_with_letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    (!is_label(name) || !starts_with_letter).then(|| SERVICE_LABEL.to_owned())
}

/// Why `name` is not a DNS subdomain; None if it is.
pub fn subdomain_problem(name: &str) -> Option<String> {
    if name.len() > SUBDOMAIN_LIMIT {
        return Some(format!("must be no more than {SUBDOMAIN_LIMIT} characters"));
    }
    (!name.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned())
}

/// Why `name` is not a path segment, as the names of roles must be; None if it is.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_accepts_and_rejects_the_right_names() {
        assert_eq!(label_problem("redis-0"), None);
        assert!(label_problem("Redis").is_some());
        assert!(label_problem("a.b").is_some());
        assert!(label_problem("").is_some());
        assert_eq!(subdomain_problem("a.b-1"), None);
        assert!(subdomain_problem("a..b").is_some());
        assert!(service_problem("0db").is_some());
        assert_eq!(path_segment_problem("system:node"), None);
    }
}
