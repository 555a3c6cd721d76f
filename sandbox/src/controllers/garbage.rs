//! The garbage collector: deletes objects whose owners are gone, and finishes foreground and orphan deletions.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::deletion::FOREGROUND;
use crate::kind::Kind;

use super::actions::{Action, Target};
use super::types::{Meta, ObjectRef};
use super::world::World;

/// The finalizer of an owner whose dependents are orphaned (`propagationPolicy: Orphan`).
const ORPHAN: &str = "orphan";

/// A dependent of an object.
struct Dependent {
    target: Target,
    metadata: Meta,
    has_dependents: bool,
}

/// The actions for an object.
pub fn plan(world: &World, reference: &ObjectRef) -> Vec<Action> {
    let Some((target, metadata)) = read(world, reference) else { return Vec::new() };
    if metadata.is_terminating() {
        let dependents = world.dependents(&metadata.uid).filter_map(|reference| {
            let (target, metadata) = read(world, reference)?;
            let has_dependents = world.dependents(&metadata.uid).next().is_some();
            Some(Dependent { target, metadata, has_dependents })
        });
        return finalize(&target, &metadata, &dependents.collect::<Vec<_>>());
    }
    if is_garbage(&metadata, |uid| world.is_alive(uid)) { vec![Action::Delete(target)] } else { Vec::new() }
}

fn read(world: &World, reference: &ObjectRef) -> Option<(Target, Meta)> {
    let object = world.get(reference.kind, &reference.id)?;
    let metadata = Meta::deserialize(&object["metadata"]).ok()?;
    Some((Target::new(reference.kind, &metadata), metadata))
}

/// Whether an object has owners and all of them are gone. Owners of kinds that the sandbox does not have count as alive.
fn is_garbage(metadata: &Meta, is_alive: impl Fn(&str) -> bool) -> bool {
    let is_known = |kind: &str| Kind::ALL.into_iter().any(|known| known.name() == kind);
    let mut owners = metadata.owner_references.iter();
    owners.len() > 0 && owners.all(|owner| is_known(&owner.kind) && !is_alive(&owner.uid))
}

/// The next step in the deletion of a marked object. Pods are removed by the kubelet.
fn finalize(target: &Target, metadata: &Meta, dependents: &[Dependent]) -> Vec<Action> {
    if metadata.finalizers.is_empty() {
        let is_ours = !matches!(target.kind, Kind::Pod | Kind::Namespace);
        return if is_ours { vec![Action::Remove(target.clone())] } else { Vec::new() };
    }
    let has = |finalizer: &str| metadata.finalizers.iter().any(|present| present == finalizer);
    if has(ORPHAN) {
        let orphaned = dependents.iter().map(|dependent| {
            let others = dependent.metadata.owner_references.iter().filter(|owner| owner.uid != metadata.uid);
            let owners: Vec<Value> = others.map(|owner| json!(owner)).collect();
            Action::Merge(dependent.target.clone(), json!({"metadata": {"ownerReferences": owners}}))
        });
        return orphaned.chain([without_finalizer(target, metadata, ORPHAN)]).collect();
    }
    if !has(FOREGROUND) {
        return Vec::new();
    }
    let blocks = |dependent: &Dependent| {
        let owners = &dependent.metadata.owner_references;
        owners.iter().any(|owner| owner.uid == metadata.uid && owner.block_owner_deletion)
    };
    if !dependents.iter().any(blocks) {
        return vec![without_finalizer(target, metadata, FOREGROUND)];
    }
    let alive = dependents.iter().filter(|dependent| !dependent.metadata.is_terminating());
    alive
        .flat_map(|dependent| {
            // Foreground deletion cascades to dependents that have dependents.
            let finalizers: Vec<&str> =
                dependent.metadata.finalizers.iter().map(String::as_str).chain([FOREGROUND]).collect();
            let foreground = Action::Merge(dependent.target.clone(), json!({"metadata": {"finalizers": finalizers}}));
            dependent.has_dependents.then_some(foreground).into_iter().chain([Action::Delete(dependent.target.clone())])
        })
        .collect()
}

fn without_finalizer(target: &Target, metadata: &Meta, finalizer: &str) -> Action {
    let left: Vec<&String> = metadata.finalizers.iter().filter(|present| *present != finalizer).collect();
    Action::Merge(target.clone(), json!({"metadata": {"finalizers": left}}))
}

#[cfg(test)]
mod tests {
    use crate::controllers::testing::object;

    use super::*;

    fn meta(value: Value) -> Meta {
        object(&value)
    }

    #[test]
    fn an_object_is_garbage_once_all_its_owners_are_gone() {
        let owner = |kind: &str, uid: &str| json!({"kind": kind, "uid": uid});
        let garbage = |owners: Value| is_garbage(&meta(json!({"ownerReferences": owners})), |uid| uid == "alive");
        assert!(garbage(json!([owner("StatefulSet", "gone")])));
        assert!(!garbage(json!([owner("StatefulSet", "alive")])));
        assert!(!garbage(json!([owner("StatefulSet", "gone"), owner("Pod", "alive")])));
        assert!(!garbage(json!([owner("Widget", "unknown")])));
        assert!(!garbage(json!([])));
    }

    #[test]
    fn foreground_deletion_waits_for_blocking_dependents() {
        let owner = meta(
            json!({"namespace": "default", "name": "web", "uid": "o", "deletionTimestamp": "x", "finalizers": [FOREGROUND]}),
        );
        let target = Target::new(Kind::Deployment, &owner);
        let dependent = |blocks: bool| {
            let metadata = meta(json!({"namespace": "default", "name": "web-x", "uid": "d",
                "ownerReferences": [{"kind": "Deployment", "uid": "o", "blockOwnerDeletion": blocks}]}));
            Dependent { target: Target::new(Kind::ReplicaSet, &metadata), metadata, has_dependents: false }
        };
        let blocking = dependent(true);
        assert_eq!(finalize(&target, &owner, &[blocking]), [Action::Delete(dependent(true).target)]);
        let released = [without_finalizer(&target, &owner, FOREGROUND)];
        assert_eq!(finalize(&target, &owner, &[dependent(false)]), released);
        assert_eq!(finalize(&target, &owner, &[]), released);
    }
}
