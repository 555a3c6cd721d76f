//! Reading an object as its kind: wrong types are errors that name the field, fields that the kind does not have are
//! collected, and what comes out is in normal form (no nulls, quantities as text).

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Namespace, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

use super::{Admitted, FieldValidation};
use crate::api::status::ApiError;
use crate::kind::Kind;

/// Reads `object` as an object of `kind`.
///
/// # Errors
/// 400 if it is another kind, if a field has the wrong type, or, with [`FieldValidation::Strict`], if a field is unknown.
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
    let read = match kind {
        Kind::Namespace => normal::<Namespace>,
        Kind::ServiceAccount => normal::<ServiceAccount>,
        Kind::Role => normal::<Role>,
        Kind::RoleBinding => normal::<RoleBinding>,
        Kind::ClusterRole => normal::<ClusterRole>,
        Kind::ClusterRoleBinding => normal::<ClusterRoleBinding>,
        Kind::ConfigMap => normal::<ConfigMap>,
        Kind::Secret => normal::<Secret>,
        Kind::Service => normal::<Service>,
        Kind::EndpointSlice => normal::<EndpointSlice>,
        Kind::PersistentVolumeClaim => normal::<PersistentVolumeClaim>,
        Kind::PodDisruptionBudget => normal::<PodDisruptionBudget>,
        Kind::ControllerRevision => normal::<ControllerRevision>,
        Kind::StatefulSet => normal::<StatefulSet>,
        Kind::Deployment => normal::<Deployment>,
        Kind::ReplicaSet => normal::<ReplicaSet>,
        Kind::Pod => normal::<Pod>,
        Kind::Event => normal::<Event>,
    };
    let cannot = |why: &str| {
        let version = kind.version();
        ApiError::bad_request(format!("{name} in version {version:?} cannot be handled as a {name}: {why}"))
    };
    let (object, unknown) = read(&object).map_err(|why| cannot(&why))?;
    let warnings: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match validation {
        FieldValidation::Strict if !warnings.is_empty() => {
            Err(cannot(&format!("strict decoding error: {}", warnings.join(", "))))
        }
        FieldValidation::Ignore => Ok(Admitted { object, warnings: Vec::new() }),
        _ => Ok(Admitted { object, warnings }),
    }
}

/// The object as `T` has it, and the paths that `T` does not have.
fn normal<T: DeserializeOwned + Serialize>(object: &Value) -> Result<(Value, Vec<String>), String> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(object, &mut track);
    let typed = serde_ignored::deserialize::<_, _, T>(deserializer, |path| unknown.push(dotted(&path)));
    match typed {
        Ok(typed) => Ok((serde_json::to_value(typed).map_err(|error| error.to_string())?, unknown)),
        Err(error) => Err(format!("{}: {error}", track.path())),
    }
}

/// `spec.ports[0].prot`, as the API server writes paths.
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
    use serde_json::json;

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
        let error =
            decode(Kind::Service, service(json!({ "ports": 5 })), FieldValidation::Ignore).expect_err("a number");
        assert!(error.message().contains("spec.ports: invalid type"), "{error}");
    }

    #[test]
    fn an_object_of_another_kind_is_refused() {
        let error = decode(Kind::Pod, service(json!({})), FieldValidation::Ignore).expect_err("a Service");
        assert!(error.message().contains("is a Service of v1"), "{error}");
    }
}
