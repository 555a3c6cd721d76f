//! Loops: the parts of the name space in which an upstream sends queries back to this server.
//!
//! A probe asks for a name with a random label that only this process knows, in each part of the name space that is asked for
//! elsewhere. If a query for that name arrives here, the upstream has sent it, directly or through others, and would send every
//! such query round for ever. In that part, and in no other, it is not asked until a probe is answered without coming back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::dns::name::{MAX_NAME, Name, strip_suffix};
use crate::dns::wire::RrType;
use crate::resolver::question::AskedElsewhere;
use crate::telemetry::metrics::UpstreamMetrics;

/// Octets of the label by which a probe is recognised: 64 random bits as text.
const TOKEN: usize = 16;

/// What is known of the loops of one upstream.
pub(in crate::resolver) struct Loops {
    upstream: Arc<str>,
    /// The random bits in the names of the latest probes; zero is none.
    token: AtomicU64,
    trees: Box<[Tree]>,
    metrics: Arc<UpstreamMetrics>,
}

/// A part of the name space: a name and all below it, but for what belongs to another tree.
struct Tree {
    apex: Name,
    is_looping: AtomicBool,
    /// Whether the latest probe has come back.
    came_back: AtomicBool,
}

impl Loops {
    pub fn new(upstream: Arc<str>, trees: &[Name], metrics: Arc<UpstreamMetrics>) -> Self {
        metrics.set_loops(0);
        let tree = |apex: &Name| Tree {
            apex: apex.clone(),
            is_looping: AtomicBool::new(false),
            came_back: AtomicBool::new(false),
        };
        Self { upstream, token: AtomicU64::new(0), trees: trees.iter().map(tree).collect(), metrics }
    }

    /// Whether queries for this name come back.
    pub fn covers(&self, name: &[u8]) -> bool {
        // Nearly always there is no loop anywhere.
        self.any() && self.tree_of(name).is_some_and(Tree::is_looping)
    }

    /// Whether any queries come back.
    pub fn any(&self) -> bool {
        self.trees.iter().any(Tree::is_looping)
    }

    /// Counts the loops for the metrics.
    fn count(&self) {
        self.metrics.set_loops(self.trees.iter().filter(|tree| tree.is_looping()).count());
    }

    /// The questions of new probes, one for each tree. Those of earlier ones are not recognised any more.
    pub fn probes(&self) -> Vec<AskedElsewhere> {
        let token = rand::random::<u64>().max(1);
        for tree in &self.trees {
            tree.came_back.store(false, Ordering::Relaxed);
        }
        self.token.store(token, Ordering::Relaxed);
        self.trees.iter().filter_map(|tree| question(token, &tree.apex)).collect()
    }

    /// No probe is on its way any more: a query for its name comes from somebody who has read it somewhere.
    pub fn end_probes(&self) {
        self.token.store(0, Ordering::Relaxed);
    }

    /// Whether the name of a query that arrived here is that of a probe. If so, there is a loop.
    pub fn is_probe(&self, name: &[u8]) -> bool {
        let Some(token) = token_of(name).filter(|token| *token == self.token.load(Ordering::Relaxed)) else {
            return false;
        };
        let tree = self.trees.iter().find(|tree| question(token, &tree.apex).is_some_and(|probe| probe.name() == name));
        let Some(tree) = tree else { return false };
        tree.came_back.store(true, Ordering::Relaxed);
        if !tree.is_looping.swap(true, Ordering::Relaxed) {
            self.count();
            tracing::error!(
                upstream = &*self.upstream,
                below = %tree.apex,
                "a loop: the upstream sends queries back to this server, and is not asked for these names; correct `forward`, \
                 or the forwarding of the upstream"
            );
        }
        true
    }

    /// A probe has been answered; if it has not come back, there is no loop.
    pub fn answered(&self, probe: &AskedElsewhere) {
        let Some(tree) = self.tree_of(probe.name()) else { return };
        if !tree.came_back.load(Ordering::Relaxed) && tree.is_looping.swap(false, Ordering::Relaxed) {
            self.count();
            tracing::info!(
                upstream = &*self.upstream,
                below = %tree.apex,
                "an upstream sends queries back no longer"
            );
        }
    }

    /// The smallest tree that a name is in.
    fn tree_of(&self, name: &[u8]) -> Option<&Tree> {
        let trees = self.trees.iter().filter(|tree| strip_suffix(name, tree.apex.as_wire()).is_some());
        trees.max_by_key(|tree| tree.apex.as_wire().len())
    }
}

impl Tree {
    fn is_looping(&self) -> bool {
        self.is_looping.load(Ordering::Relaxed)
    }
}

/// The question of a probe: two labels below the tree, because some forwarders keep names of one label to themselves.
fn question(token: u64, tree: &Name) -> Option<AskedElsewhere> {
    let label = [&[TOKEN as u8][..], format!("{token:0TOKEN$x}").as_bytes()].concat();
    let name = [&label[..], &label, tree.as_wire()].concat();
    (name.len() <= MAX_NAME).then(|| AskedElsewhere::plain(&name, RrType::A))
}

/// The random bits in a name, if it looks like one of a probe.
fn token_of(name: &[u8]) -> Option<u64> {
    let ([length, label @ ..], _) = name.split_first_chunk::<{ 1 + TOKEN }>()?;
    let text = str::from_utf8(label).ok().filter(|_| usize::from(*length) == TOKEN)?;
    u64::from_str_radix(text, 16).ok().filter(|token| *token != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn loops() -> Loops {
        let trees = [".", "pod.cluster.local", "in-addr.arpa"].map(|tree| Name::parse(tree).unwrap());
        Loops::new("10.0.0.1".into(), &trees, Metrics::new().register_upstream("10.0.0.1"))
    }

    fn name(text: &str) -> Vec<u8> {
        Name::parse(text).unwrap().as_wire().to_vec()
    }

    /// F7.
    #[test]
    fn a_loop_in_one_part_of_the_name_space_is_a_loop_there_alone() {
        let loops = loops();
        let probes = loops.probes();
        assert_eq!(probes.len(), 3);
        assert!(loops.is_probe(probes[1].name()));
        for (text, is_covered) in [
            ("a.db.pod.cluster.local", true),
            ("pod.cluster.local", true),
            ("www.example", false),
            ("1.10.in-addr.arpa", false),
        ] {
            assert_eq!(loops.covers(&name(text)), is_covered, "{text}");
        }
        probes.iter().for_each(|probe| loops.answered(probe));
        assert!(loops.any(), "the probe has come back");
        for probe in loops.probes() {
            loops.answered(&probe);
        }
        assert!(!loops.any());
    }

    /// F7.
    #[test]
    fn only_the_latest_probes_are_recognised_and_only_until_they_end() {
        let loops = loops();
        let (old, new) = (loops.probes(), loops.probes());
        assert!(!loops.is_probe(old[0].name()) && !loops.any());
        let other = [&new[0].name()[..17], &name("example")].concat();
        assert!(!loops.is_probe(&other) && !loops.any(), "the same label elsewhere");
        assert!(!loops.is_probe(&name("0000000000000000.0000000000000000")), "no token is none");
        loops.end_probes();
        assert!(!loops.is_probe(new[0].name()) && !loops.any());
    }
}
