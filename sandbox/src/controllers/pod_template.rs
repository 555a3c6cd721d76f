//! Pods made from a workload's template, and the names and hashes that go with them.

use serde_json::{Value, json};

use super::actions::{Action, Target};
use super::types::Meta;
use crate::kind::Kind;

/// Label that ties a Pod to the revision it was made from.
pub const REVISION_LABEL: &str = "controller-revision-hash";

/// The characters of generated names: no vowels, so that they spell nothing, and no digits that look like letters.
const SAFE_CHARACTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Length of the random end of a generated name.
const SUFFIX_LENGTH: usize = 5;

/// A Pod from `template`, controlled by the workload that `owner` describes. It has no name yet.
pub fn pod_from_template(template: &Value, owner_kind: Kind, owner: &Meta) -> Value {
    let mut metadata = json!({
        "namespace": owner.namespace,
        "generateName": format!("{}-", owner.name),
        "labels": {},
        "ownerReferences": [controller_reference(owner_kind, owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field).filter(|value| !value.is_null()) {
            metadata[field] = value.clone();
        }
    }
    json!({"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}})
}

/// The ownerReference by which a controller claims an object.
pub fn controller_reference(kind: Kind, owner: &Meta) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "name": owner.name,
        "uid": owner.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Claims an object that is nobody's; owners that don't control it stay.
pub fn adopt(owner_kind: Kind, owner: &Meta, kind: Kind, orphan: &Meta) -> Action {
    let present = orphan.owner_references.iter().map(|reference| json!(reference));
    let owners: Vec<Value> = present.chain([controller_reference(owner_kind, owner)]).collect();
    Action::Merge(Target::new(kind, orphan), json!({"metadata": {"ownerReferences": owners}}))
}

/// A hash of a template, written as names are.
pub fn template_hash(template: &Value) -> String {
    const FNV_OFFSET: u32 = 0x811c_9dc5;
    const FNV_PRIME: u32 = 0x0100_0193;
    let text = template.to_string();
    let hash = text.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME));
    hash.to_string().bytes().map(|digit| safe_character(usize::from(digit))).collect()
}

/// The end of a generated name. Different seeds give unrelated names, the same seed the same one.
pub fn suffix(seed: u64) -> String {
    let mut bits = mix(seed);
    let mut next = || {
        let index = usize::try_from(bits % SAFE_CHARACTERS.len() as u64).unwrap_or(0);
        bits /= SAFE_CHARACTERS.len() as u64;
        safe_character(index)
    };
    (0..SUFFIX_LENGTH).map(|_| next()).collect()
}

fn safe_character(index: usize) -> char {
    char::from(SAFE_CHARACTERS[index % SAFE_CHARACTERS.len()])
}

/// The finalizer of SplitMix64: every bit of the seed reaches every bit of the result.
fn mix(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
