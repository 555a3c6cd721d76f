//! Label and field selectors of lists, watches and deletions of collections.

use serde_json::Value;

use crate::kind::Kind;
use crate::status::ApiError;

use super::request::{Params, Target};

/// The filter of a list or watch: the target's namespace and name, and both selectors.
#[derive(Clone, Debug)]
pub struct Filter {
    kind: Kind,
    namespace: Option<String>,
    labels: LabelSelector,
    fields: Vec<FieldTerm>,
}

impl Filter {
    /// # Errors
    /// 400 for an invalid selector, or a field that the kind cannot be selected by.
    pub fn new(target: &Target, params: &Params) -> Result<Self, ApiError> {
        let mut fields = parse_fields(target.kind, &params.field_selector)?;
        if let Some(name) = &target.name {
            fields.push(FieldTerm { field: "metadata.name".to_owned(), equal: true, value: name.clone() });
        }
        let labels = LabelSelector::parse(&params.label_selector)
            .map_err(|why| ApiError::bad_request(format!("unable to parse requirement: {why}")))?;
        Ok(Self { kind: target.kind, namespace: target.namespace.clone(), labels, fields })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether there is a selector. The API server gives no `remainingItemCount` then.
    pub fn is_selective(&self) -> bool {
        !self.labels.0.is_empty() || !self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
            && self.labels.matches(&object["metadata"]["labels"])
            && self.fields.iter().all(|term| term.matches(self.kind, object))
    }
}

/// A label selector such as `app=web,tier!=db,env in (a,b),!legacy`. All requirements must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    /// Also matches objects without the label.
    NotIn(String, Vec<String>),
}

impl LabelSelector {
    /// # Errors
    /// A description of the invalid requirement.
    pub fn parse(text: &str) -> Result<Self, String> {
        split_outside_parentheses(text)
            .into_iter()
            .map(str::trim)
            .filter(|term| !term.is_empty())
            .map(Requirement::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let value = |key: &String| labels.get(key).and_then(Value::as_str);
            let is_one_of =
                |key, values: &Vec<String>| value(key).is_some_and(|value| values.iter().any(|v| v == value));
            match requirement {
                Requirement::Exists(key) => value(key).is_some(),
                Requirement::Absent(key) => value(key).is_none(),
                Requirement::In(key, values) => is_one_of(key, values),
                Requirement::NotIn(key, values) => !is_one_of(key, values),
            }
        })
    }
}

impl Requirement {
    fn parse(term: &str) -> Result<Self, String> {
        if let Some(key) = term.strip_prefix('!') {
            return Ok(Self::Absent(label_key(key)?));
        }
        // Before `=`, which `!=` and `==` contain.
        if let Some((key, value)) = term.split_once("!=") {
            return Ok(Self::NotIn(label_key(key)?, vec![value.trim().to_owned()]));
        }
        if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            return Ok(Self::In(label_key(key)?, vec![value.trim().to_owned()]));
        }
        let Some((head, values)) = term.split_once('(') else {
            return Ok(Self::Exists(label_key(term)?));
        };
        let values = values.strip_suffix(')').ok_or_else(|| format!("{term:?}: missing ')'"))?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        match head.split_whitespace().collect::<Vec<_>>().as_slice() {
            [key, "in"] => Ok(Self::In(label_key(key)?, values)),
            [key, "notin"] => Ok(Self::NotIn(label_key(key)?, values)),
            _ => Err(format!("{term:?}: expected KEY in (…) or KEY notin (…)")),
        }
    }
}

fn label_key(text: &str) -> Result<String, String> {
    let key = text.trim();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if key.is_empty() || !key.chars().all(valid) {
        return Err(format!("{key:?} is not a label key"));
    }
    Ok(key.to_owned())
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c: char| {
        match c {
            '(' => inside = true,
            ')' => inside = false,
            _ => {}
        }
        c == ',' && !inside
    })
    .collect()
}

/// A term of a field selector: `metadata.name=web-0`, `status.phase!=Running`.
#[derive(Clone, Debug)]
struct FieldTerm {
    field: String,
    equal: bool,
    value: String,
}

impl FieldTerm {
    fn matches(&self, kind: Kind, object: &Value) -> bool {
        let value = field_path(kind, &self.field).map_or(&Value::Null, |path| lookup(object, path));
        (value.as_str().unwrap_or_default() == self.value) == self.equal
    }
}

fn parse_fields(kind: Kind, text: &str) -> Result<Vec<FieldTerm>, ApiError> {
    text.split(',')
        .filter(|term| !term.trim().is_empty())
        .map(|term| {
            let (field, equal, value) = if let Some((field, value)) = term.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
                (field, true, value)
            } else {
                return Err(ApiError::bad_request(format!(
                    "invalid field selector: {text:?}: can't understand {term:?}"
                )));
            };
            let field = field.trim().to_owned();
            if field_path(kind, &field).is_none() {
                return Err(ApiError::bad_request(format!("field label not supported: {field}")));
            }
            Ok(FieldTerm { field, equal, value: value.trim().to_owned() })
        })
        .collect()
}

/// The path of a selectable field; None if the kind cannot be selected by it.
fn field_path(kind: Kind, field: &str) -> Option<&'static str> {
    const COMMON: &[&str] = &["metadata.name", "metadata.namespace"];
    let own: &[&str] = match kind {
        Kind::Pod => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ],
        Kind::Service => &["spec.clusterIP", "spec.type"],
        Kind::Namespace => &["status.phase"],
        Kind::ReplicaSet => &["status.replicas"],
        Kind::Secret => &["type"],
        Kind::Event => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        ],
        _ => &[],
    };
    COMMON.iter().chain(own).find(|known| **known == field).copied()
}

fn lookup<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, key| &value[key])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_label_selector_matches_if_every_requirement_does() {
        let labels = json!({ "app": "redis", "tier": "cache" });
        for (selector, expected) in [
            ("", true),
            ("app=redis", true),
            ("app==redis,tier!=db", true),
            ("app=redis,tier=db", false),
            ("app in (web, redis),tier", true),
            ("app notin (web,redis)", false),
            ("missing notin (x)", true),
            ("missing!=x", true),
            ("!missing", true),
            ("!app", false),
            ("missing", false),
        ] {
            let parsed = LabelSelector::parse(selector).expect(selector);
            assert_eq!(parsed.matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn an_invalid_label_selector_is_rejected() {
        for selector in ["app in (a", "app within (a)", "=x", "a b"] {
            assert!(LabelSelector::parse(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn a_field_selector_on_an_unsupported_field_is_rejected() {
        let error = parse_fields(Kind::Pod, "spec.hostname=a").expect_err("not indexed");
        assert_eq!(error.message(), "field label not supported: spec.hostname");
        assert!(parse_fields(Kind::Service, "spec.clusterIP!=None").is_ok());
    }
}
