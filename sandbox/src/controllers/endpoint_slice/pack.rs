//! Fitting endpoints into slices with as few writes as possible: what is right stays where it is, what is new goes first into
//! slices that are written anyway, then into one that has room for all of it, and only then into new slices.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::PortGroup;
use crate::store::Object;

/// The writes that bring the slices of one address family up to date.
#[derive(Default)]
pub struct Changes<'a> {
    pub create: Vec<PortGroup>,
    pub update: Vec<(&'a Object, PortGroup)>,
    pub delete: Vec<&'a Object>,
}

/// An endpoint's identity: its Pod's uid and its address.
type EndpointKey = (String, String);

/// Decides on the writes. `present` are the slices of the family that the controller owns.
pub fn pack<'a>(
    present: &[&'a Object],
    desired: Vec<PortGroup>,
    labels: &BTreeMap<String, String>,
    max_endpoints: usize,
) -> Changes<'a> {
    // A slice without room would never hold what is left.
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
    recycle(&mut changes);
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
    let mut wanted: IndexMap<EndpointKey, Value> =
        group.endpoints.into_iter().map(|endpoint| (key_of(&endpoint), endpoint)).collect();
    let mut changed: Vec<(&Object, Vec<Value>)> = Vec::new();
    let mut unchanged: Vec<(&Object, Vec<Value>)> = Vec::new();
    for slice in slices {
        let before = list(&slice["endpoints"]);
        let kept: Vec<Value> = before.iter().filter_map(|endpoint| wanted.swap_remove(&key_of(endpoint))).collect();
        let is_same = kept == before && slice["metadata"]["labels"] == json!(labels);
        match () {
            () if kept.is_empty() && !before.is_empty() => changes.delete.push(slice),
            () if is_same => unchanged.push((slice, kept)),
            () => changed.push((slice, kept)),
        }
    }
    // `swap_remove` is quick but shuffles; the order of names makes the outcome depend on the Pods alone.
    wanted.sort_keys();
    let mut left: Vec<Value> = wanted.into_values().rev().collect();
    let fill = |endpoints: &mut Vec<Value>, left: &mut Vec<Value>| {
        let room = max_endpoints.saturating_sub(endpoints.len()).min(left.len());
        endpoints.extend(left.drain(left.len() - room..).rev());
    };

    // The fullest first, so that slices fill up instead of all staying half empty.
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

/// A Service without endpoints keeps one empty slice, so that a watcher can tell it from one that nobody looked at yet.
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

/// Writes a new slice over one that would go, where there are both.
fn recycle(changes: &mut Changes<'_>) {
    let count = changes.create.len().min(changes.delete.len());
    let recycled = changes.delete.drain(..count).zip(changes.create.drain(..count));
    changes.update.extend(recycled);
}

fn key_of(endpoint: &Value) -> EndpointKey {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&endpoint["targetRef"]["uid"]), text(&endpoint["addresses"][0]))
}

/// A list's items; null and absent are empty.
fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
