//! Decoding of an object as its kind: a field of the wrong type is an error that names it, unknown fields are collected, and
//! the result is normalized (no nulls, quantities as text).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::kind_type::{WithType, with_type};
use crate::status::{ApiError, FieldError};

/// How unknown fields are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped with a warning to the client.
    Warn,
    /// The request is rejected.
    Strict,
}

impl FieldValidation {
    /// Parses the `fieldValidation` parameter; the default is `Warn`.
    ///
    /// # Errors
    /// 422 for other values.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "Ignore" => Ok(Self::Ignore),
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => {
                let supported = &["Ignore", "Strict", "Warn"];
                let error = FieldError::not_supported("fieldValidation", &json!(other), supported);
                Err(ApiError::invalid_list_options(&error))
            }
        }
    }
}

/// An admitted object, and warnings for the client.
#[derive(Debug)]
pub struct Admitted {
    pub object: Value,
    pub warnings: Vec<String>,
}

/// Decodes `object` as `kind`.
///
/// # Errors
/// 400 if it is of another kind, if a field has the wrong type or, with [`FieldValidation::Strict`], if a field is unknown.
pub fn decode(kind: Kind, object: Value, validation: FieldValidation) -> Result<Admitted, ApiError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (api_version, name) = (text("apiVersion"), text("kind"));
    if name.is_empty() || api_version.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' or 'apiVersion' is missing in the body of the request"));
    }
    if api_version != kind.api_version() || name != kind.name() {
        return Err(ApiError::bad_request(format!(
            "the object provided is a {name} of {api_version}, and the resource expects a {} of {}",
            kind.name(),
            kind.api_version()
        )));
    }
    let cannot_handle = |why: &str| {
        let version = kind.version();
        ApiError::bad_request(format!("{name} in version {version:?} cannot be handled as a {name}: {why}"))
    };
    let (object, unknown) = with_type(kind, Normalize(&object)).map_err(|why| cannot_handle(&why))?;
    let warnings: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match validation {
        FieldValidation::Strict if !warnings.is_empty() => {
            Err(cannot_handle(&format!("strict decoding error: {}", warnings.join(", "))))
        }
        FieldValidation::Ignore => Ok(Admitted { object, warnings: Vec::new() }),
        _ => Ok(Admitted { object, warnings }),
    }
}

/// Gives an object with the fields of its type, and the paths of all other fields.
struct Normalize<'a>(&'a Value);

impl WithType for Normalize<'_> {
    type Output = Result<(Value, Vec<String>), String>;

    fn with<T: DeserializeOwned + Serialize>(self) -> Self::Output {
        let mut unknown = Vec::new();
        let mut track = serde_path_to_error::Track::new();
        let deserializer = serde_path_to_error::Deserializer::new(self.0, &mut track);
        let typed = serde_ignored::deserialize::<_, _, T>(deserializer, |path| unknown.push(dotted(&path)));
        match typed {
            Ok(typed) => Ok((serde_json::to_value(typed).map_err(|error| error.to_string())?, unknown)),
            Err(error) => Err(format!("{}: {error}", track.path())),
        }
    }
}

/// A path as the API server writes it: `spec.ports[0].prot`.
fn dotted(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Path::Map { parent, key } => match dotted(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => dotted(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "db" }, "spec": spec })
    }

    #[test]
    fn an_unknown_field_is_reported_with_its_path_and_dropped() {
        let object = service(json!({ "ports": [{ "port": 80, "prot": "TCP" }], "headless": true }));
        let admitted = decode(Kind::Service, object.clone(), FieldValidation::Warn).expect("a warning only");
        assert_eq!(admitted.warnings, ["unknown field \"spec.headless\"", "unknown field \"spec.ports[0].prot\""]);
        assert_eq!(admitted.object["spec"], json!({ "ports": [{ "port": 80 }] }));
        let error = decode(Kind::Service, object, FieldValidation::Strict).expect_err("strict");
        assert!(error.message().contains("strict decoding error: unknown field \"spec.headless\""), "{error}");
    }

    #[test]
    fn a_field_of_the_wrong_type_is_an_error_that_names_it() {
        let object = service(json!({ "ports": 5 }));
        let error = decode(Kind::Service, object, FieldValidation::Ignore).expect_err("a number");
        assert!(error.message().contains("spec.ports: invalid type"), "{error}");
    }

    #[test]
    fn an_object_of_another_kind_is_rejected() {
        let error = decode(Kind::Pod, service(json!({})), FieldValidation::Ignore).expect_err("a Service");
        assert!(error.message().contains("is a Service of v1"), "{error}");
    }
}
