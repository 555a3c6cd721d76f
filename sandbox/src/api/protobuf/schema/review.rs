//! Questions that are answered and not stored: who somebody is, and what they may do.

use super::Type::{List, Map, Message, OptionalMessage, Skipped, Text};
use super::{Field, METADATA};

/// The fields of a review by its group and kind.
pub fn of(group: &str, kind: &str) -> Option<&'static [Field]> {
    match (group, kind) {
        ("authorization.k8s.io", "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview") => {
            Some(ACCESS)
        }
        ("authorization.k8s.io", "SelfSubjectRulesReview") => {
            Some(&[METADATA, Field(2, "spec", Message(&[Field(1, "namespace", Text)])), Field(3, "status", Skipped)])
        }
        ("authentication.k8s.io", "SelfSubjectReview") => Some(&[METADATA, Field(2, "status", Skipped)]),
        _ => None,
    }
}

const ACCESS: &[Field] = &[METADATA, Field(2, "spec", Message(ACCESS_SPEC)), Field(3, "status", Skipped)];

const ACCESS_SPEC: &[Field] = &[
    Field(1, "resourceAttributes", OptionalMessage(RESOURCE)),
    Field(2, "nonResourceAttributes", OptionalMessage(&[Field(1, "path", Text), Field(2, "verb", Text)])),
    Field(3, "user", Text),
    Field(4, "groups", List(&Text)),
    Field(5, "extra", Map(&Message(&[Field(1, "items", List(&Text))]))),
    Field(6, "uid", Text),
];

const RESOURCE: &[Field] = &[
    Field(1, "namespace", Text),
    Field(2, "verb", Text),
    Field(3, "group", Text),
    Field(4, "version", Text),
    Field(5, "resource", Text),
    Field(6, "subresource", Text),
    Field(7, "name", Text),
];
