//! The Pods of a DaemonSet by node.

use crate::controllers::placement::{self, Node};
use crate::controllers::types::Pod;

use super::Observed;
use super::template::Template;

/// A node with the Pods of the set that are there or are meant for it, the oldest first.
pub struct OnNode<'a> {
    pub name: &'a str,
    pub wants_pod: bool,
    /// Whether a Pod that is there may stay.
    pub may_stay: bool,
    pub pods: Vec<&'a Pod>,
}

/// Sorts the Pods by node. Those whose node is gone come apart.
pub fn sort<'a>(observed: &'a Observed<'_>, template: &Template) -> (Vec<OnNode<'a>>, Vec<&'a Pod>) {
    let mut pods: Vec<&Pod> = observed.pods.iter().map(|pod| &**pod).collect();
    pods.sort_by_key(|pod| (pod.metadata.creation_timestamp.as_deref(), pod.metadata.name.as_str()));
    let on_node = |node: &'a Node| {
        let name = node.metadata.name.as_str();
        let is_meant = placement::is_meant_for(&template.spec, node);
        OnNode {
            name,
            wants_pod: is_meant && placement::tolerates(&template.spec, node),
            may_stay: is_meant && placement::may_stay(&template.spec, node),
            pods: pods.iter().copied().filter(|pod| node_of(pod) == Some(name)).collect(),
        }
    };
    let nodes: Vec<OnNode<'a>> = observed.nodes.iter().map(|node| on_node(node)).collect();
    let is_homeless = |pod: &&Pod| node_of(pod).is_none_or(|name| nodes.iter().all(|node| node.name != name));
    let homeless = pods.iter().copied().filter(is_homeless).collect();
    (nodes, homeless)
}

/// The node of a Pod, or the one that it is meant for.
fn node_of(pod: &Pod) -> Option<&str> {
    let node = pod.spec.node_name.as_deref().filter(|name| !name.is_empty());
    node.or_else(|| placement::only_node(&pod.spec))
}
