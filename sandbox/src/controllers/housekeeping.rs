//! The controllers of PersistentVolumeClaims and Namespaces.

use serde_json::{Value, json};

use crate::deletion;
use crate::kind::Kind;

use super::actions::{Action, Target};
use super::types::Id;
use super::world::World;

/// Binds a claim to a volume of the requested size. There is no PersistentVolume object.
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

/// The account of Pods that name none, which each namespace has.
const DEFAULT_ACCOUNT: &str = "default";

/// Sets the phase of a Namespace and gives it its account. A terminating Namespace is emptied and then removed.
pub fn sync_namespace(world: &World, name: &str, namespace: Option<&Value>) -> Vec<Action> {
    let is_terminating = namespace.is_none_or(deletion::is_terminating);
    let phase = if is_terminating { "Terminating" } else { "Active" };
    let status = namespace
        .filter(|namespace| namespace["status"]["phase"] != phase)
        .map(|namespace| Action::Merge(Target::of(Kind::Namespace, namespace), json!({"status": {"phase": phase}})));
    let mut actions: Vec<Action> = status.into_iter().collect();
    if !is_terminating {
        let account = Id::new(name, DEFAULT_ACCOUNT);
        if world.get(Kind::ServiceAccount, &account).is_none() {
            let account = json!({"metadata": {"namespace": name, "name": DEFAULT_ACCOUNT}});
            actions.push(Action::Ensure(Kind::ServiceAccount, account));
        }
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
