//! Rules for single fields, shared by the kinds.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admit::names::{LABEL_LIMIT, label_problem};
use crate::status::FieldError;

/// The errors found in an object.
pub type Errors = Vec<FieldError>;

pub const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// Keys and values of labels.
pub fn labels(path: &str, labels: &Value, errors: &mut Errors) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        if !is_label_value(text) {
            let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                       must start and end with an alphanumeric character, no more than 63 of them";
            errors.push(FieldError::invalid(path, text, why));
        }
        if !is_label_value(key.rsplit('/').next().unwrap_or_default()) || key.is_empty() || key.ends_with('/') {
            let why = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                       alphanumeric character";
            errors.push(FieldError::invalid(path, key.as_str(), why));
        }
    }
}

fn is_label_value(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= LABEL_LIMIT
            && text.chars().all(|c| alphanumeric(c) || matches!(c, '-' | '_' | '.'))
            && text.starts_with(alphanumeric)
            && text.ends_with(alphanumeric)
}

/// A DNS label that is not among `names` yet.
pub fn unique_label<'a>(path: &str, name: &'a str, names: &mut BTreeSet<&'a str>, errors: &mut Errors) {
    if let Some(problem) = label_problem(name) {
        errors.push(FieldError::invalid(path, name, problem));
    } else if !names.insert(name) {
        errors.push(FieldError::duplicate(path, name));
    }
}

/// A port number from 1 to 65535.
pub fn port_number(path: &str, value: &Value, errors: &mut Errors) {
    let valid = value.as_u64().is_some_and(|port| (1..=u64::from(u16::MAX)).contains(&port));
    if !valid {
        errors.push(FieldError::invalid(path, value.clone(), "must be between 1 and 65535, inclusive"));
    }
}

/// A number that is not negative; unset is valid.
pub fn not_negative(path: &str, value: &Value, errors: &mut Errors) {
    if value.as_i64().is_some_and(|number| number < 0) {
        errors.push(FieldError::invalid(path, value.clone(), "must be greater than or equal to 0"));
    }
}

/// A value of an enumeration; unset is valid.
pub fn one_of(path: &str, value: &Value, supported: &'static [&'static str], errors: &mut Errors) {
    if value.as_str().is_some_and(|text| !supported.contains(&text)) {
        errors.push(FieldError::not_supported(path, value, supported));
    }
}

/// A field that cannot change.
pub fn immutable(path: &str, old: &Value, new: &Value, errors: &mut Errors) {
    if old != new {
        errors.push(FieldError::invalid(path, new.clone(), "field is immutable"));
    }
}
