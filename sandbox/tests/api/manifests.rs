//! Manifests from files and folders: order, repetition and errors.

use std::path::PathBuf;

use kube_sandbox::Sandbox;
use kube_sandbox::kind::Kind;
use tempfile::TempDir;

use crate::sandbox;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// The error for these files, without the path of the folder.
fn error_of(sandbox: &Sandbox, files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let error = sandbox.apply(&[folder.path().to_owned()]).expect_err("rejected").to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[tokio::test]
async fn a_folder_is_applied_in_the_order_of_kinds_not_of_files() {
    let (sandbox, _) = sandbox().await;
    let folder = folder(&[
        ("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: team}\n"),
        ("b.yml", "# nothing but a comment\n---\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n"),
        (
            "c.json",
            r#"{"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"clusterIP": "None"}},
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}, "spec": {"clusterIP": "None"}}]}"#,
        ),
        ("README.md", "not a manifest"),
    ]);
    assert_eq!(sandbox.apply(&[folder.path().to_owned()]).expect("applied"), 4);
    assert!(sandbox.store().get(Kind::ConfigMap, "team", "c").is_some());
    assert_eq!(sandbox.store().list(Kind::Service, Some("default")).1.len(), 2);
    let before = sandbox.store().revision();
    assert_eq!(sandbox.apply(&[folder.path().to_owned()]).expect("applied again"), 4);
    assert_eq!(sandbox.store().revision(), before, "no writes without changes");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn an_error_names_file_document_object_and_field() {
    let (sandbox, _) = sandbox().await;
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n";
    for (text, expected) in [
        ("a: [", "m.yaml: document 2 (line 4): did not find expected node content at line 6 column 1"),
        ("kind: Pod\n", "m.yaml: document 2 (line 4): an object must have the fields apiVersion and kind as text"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {port: 80}\n",
            "m.yaml: document 2 (line 4): Service default/db: Service in version \"v1\" cannot be handled as a Service: \
             strict decoding error: unknown field \"spec.port\"",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {ports: 80}\n",
            "m.yaml: document 2 (line 4): Service default/db: Service in version \"v1\" cannot be handled as a Service: \
             spec.ports: invalid type: integer `80`",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: nowhere}\nspec: {clusterIP: None}\n",
            "m.yaml: document 2 (line 4): Service nowhere/db: namespaces \"nowhere\" not found",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {ports: [{port: 99999}]}\n",
            "m.yaml: document 2 (line 4): Service default/db: Service \"db\" is invalid: spec.ports[0].port: Invalid value: \
             99999",
        ),
    ] {
        let error = error_of(&sandbox, &[("m.yaml", &format!("{good}{text}"))]);
        assert!(error.starts_with(expected), "{error}\ninstead of\n{expected}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn objects_of_unknown_kinds_are_left_out() {
    let (sandbox, _) = sandbox().await;
    let folder = folder(&[(
        "m.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: m}\n",
    )]);
    assert_eq!(sandbox.apply(&[folder.path().to_owned()]).expect("applied"), 1);
    assert!(sandbox.store().get(Kind::ConfigMap, "default", "c").is_some());
    sandbox.shutdown().await;
}

#[tokio::test]
async fn an_error_names_a_path_without_manifests() {
    let (sandbox, _) = sandbox().await;
    let missing = sandbox.apply(&[PathBuf::from("no/such/file.yaml")]).expect_err("missing");
    assert!(missing.to_string().starts_with("no/such/file.yaml: "), "{missing}");
    let empty = tempfile::tempdir().expect("a folder");
    let error = sandbox.apply(&[empty.path().to_owned()]).expect_err("empty");
    assert!(error.to_string().contains("no manifests here"), "{error}");
    sandbox.shutdown().await;
}
