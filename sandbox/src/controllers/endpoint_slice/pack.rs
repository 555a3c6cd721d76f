//! Distribution of endpoints to slices with few writes: unchanged endpoints stay in their slice; new ones go to slices that
//! are written anyway, then to a slice that has room for all of them, then to new slices.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fields::list;
use crate::store::Object;

/// Endpoints with the same ports.
pub struct PortGroup {
    pub ports: Vec<Value>,
    pub endpoints: Vec<Value>,
}

/// The writes that update the slices of one address family.
#[derive(Default)]
pub struct Changes<'a> {
    pub create: Vec<PortGroup>,
    pub update: Vec<(&'a Object, PortGroup)>,
    pub delete: Vec<&'a Object>,
}

/// The identity of an endpoint: the Pod's uid and the address.
type EndpointKey = (String, String);

/// Computes the writes. `present` are the managed slices of the family.
pub fn pack<'a>(
    present: &[&'a Object],
    desired: Vec<PortGroup>,
    labels: &BTreeMap<String, String>,
    max_endpoints: usize,
) -> Changes<'a> {
    // With a limit of zero, no slice would ever have room.
    let max_endpoints = max_endpoints.max(1);
    let mut changes = Changes::default();
    let is_wanted = |slice: &Object| desired.iter().any(|group| group.ports == list(&slice["ports"]));
    changes.delete = present.iter().copied().filter(|slice| !is_wanted(slice)).collect();
    for group in desired {
        let slices: Vec<&Object> =
            present.iter().copied().filter(|slice| list(&slice["ports"]) == group.ports).collect();
        pack_group(&mut changes, &slices, group, labels, max_endpoints);
    }
    keep_placeholder(&mut changes, present, labels);
    reuse_deleted(&mut changes);
    changes
}

fn pack_group<'a>(
    changes: &mut Changes<'a>,
    slices: &[&'a Object],
    group: PortGroup,
    labels: &BTreeMap<String, String>,
    max_endpoints: usize,
) {
    let ports = group.ports;
    let mut wanted: BTreeMap<EndpointKey, Value> =
        group.endpoints.into_iter().map(|endpoint| (key_of(&endpoint), endpoint)).collect();
    let mut changed: Vec<(&Object, Vec<Value>)> = Vec::new();
    let mut unchanged: Vec<(&Object, Vec<Value>)> = Vec::new();
    for slice in slices {
        let before = list(&slice["endpoints"]);
        let kept: Vec<Value> = before.iter().filter_map(|endpoint| wanted.remove(&key_of(endpoint))).collect();
        let is_same = kept == before && slice["metadata"]["labels"] == json!(labels);
        match () {
            () if kept.is_empty() && !before.is_empty() => changes.delete.push(slice),
            () if is_same => unchanged.push((slice, kept)),
            () => changed.push((slice, kept)),
        }
    }
    let mut left: Vec<Value> = wanted.into_values().rev().collect();
    let fill = |endpoints: &mut Vec<Value>, left: &mut Vec<Value>| {
        let room = max_endpoints.saturating_sub(endpoints.len()).min(left.len());
        endpoints.extend(left.drain(left.len() - room..).rev());
    };

    // The fullest first, so that slices fill up.
    changed.sort_by_key(|(_, endpoints)| std::cmp::Reverse(endpoints.len()));
    for (_, endpoints) in &mut changed {
        fill(endpoints, &mut left);
    }
    while !left.is_empty() {
        let fits = |endpoints: &[Value]| endpoints.len() + left.len() <= max_endpoints;
        let tightest = unchanged.iter().enumerate().filter(|(_, (_, endpoints))| fits(endpoints));
        let tightest = tightest.max_by_key(|(_, (_, endpoints))| endpoints.len()).map(|(index, _)| index);
        if let Some(index) = tightest {
            let (slice, mut endpoints) = unchanged.swap_remove(index);
            fill(&mut endpoints, &mut left);
            changed.push((slice, endpoints));
        } else {
            let mut endpoints = Vec::new();
            fill(&mut endpoints, &mut left);
            changes.create.push(PortGroup { ports: ports.clone(), endpoints });
        }
    }
    let changed = changed.into_iter();
    changes.update.extend(changed.map(|(slice, endpoints)| (slice, PortGroup { ports: ports.clone(), endpoints })));
}

/// Keeps one empty slice for a Service without endpoints, as the real controller does.
fn keep_placeholder(changes: &mut Changes<'_>, present: &[&Object], labels: &BTreeMap<String, String>) {
    if changes.delete.len() < present.len() || !changes.create.is_empty() {
        return;
    }
    let is_placeholder = |slice: &Object| {
        list(&slice["endpoints"]).is_empty()
            && list(&slice["ports"]).is_empty()
            && slice["metadata"]["labels"] == json!(labels)
    };
    match changes.delete.iter().position(|slice| is_placeholder(slice)) {
        Some(index) => drop(changes.delete.remove(index)),
        None => changes.create.push(PortGroup { ports: Vec::new(), endpoints: Vec::new() }),
    }
}

/// Updates slices that would be deleted instead of creating new ones.
fn reuse_deleted(changes: &mut Changes<'_>) {
    let count = changes.create.len().min(changes.delete.len());
    let recycled = changes.delete.drain(..count).zip(changes.create.drain(..count));
    changes.update.extend(recycled);
}

fn key_of(endpoint: &Value) -> EndpointKey {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&endpoint["targetRef"]["uid"]), text(&endpoint["addresses"][0]))
}
