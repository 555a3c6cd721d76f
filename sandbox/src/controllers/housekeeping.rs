//! Volume claims and Namespaces: each needs little more than a status.

use serde_json::{Value, json};

use super::actions::{Action, Target};
use super::world::World;
use crate::kind::Kind;

/// Binds a claim to a pretend volume of the size it asks for.
pub fn bind_claim(claim: &Value) -> Option<Action> {
    let uid = claim["metadata"]["uid"].as_str()?;
    let is_bound = claim["status"]["phase"] == "Bound";
    let volume = claim["spec"]["volumeName"].as_str().map_or_else(|| format!("pvc-{uid}"), str::to_owned);
    let patch = json!({
        "spec": {"volumeName": volume},
        "status": {
            "phase": "Bound",
            "accessModes": claim["spec"]["accessModes"],
            "capacity": claim["spec"]["resources"]["requests"],
        },
    });
    (!is_bound).then(|| Action::Merge(Target::of(Kind::PersistentVolumeClaim, claim), patch))
}

/// Sets a Namespace's phase; a Namespace that is being deleted is emptied, and goes when it is empty.
pub fn sync_namespace(world: &World, name: &str, namespace: Option<&Value>) -> Vec<Action> {
    let is_terminating = namespace.is_none_or(|namespace| namespace["metadata"]["deletionTimestamp"].is_string());
    let phase = if is_terminating { "Terminating" } else { "Active" };
    let status = namespace
        .filter(|namespace| namespace["status"]["phase"] != phase)
        .map(|namespace| Action::Merge(Target::of(Kind::Namespace, namespace), json!({"status": {"phase": phase}})));
    let mut actions: Vec<Action> = status.into_iter().collect();
    if !is_terminating {
        return actions;
    }
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_namespaced());
    let content: Vec<Target> = kinds
        .flat_map(|kind| world.in_namespace(kind, name).map(move |(_, object)| Target::of(kind, object)))
        .collect();
    if content.is_empty() {
        actions.extend(namespace.map(|namespace| Action::Remove(Target::of(Kind::Namespace, namespace))));
    }
    actions.extend(content.into_iter().map(Action::Delete));
    actions
}
