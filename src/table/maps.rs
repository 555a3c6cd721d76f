//! The concurrent map that readers see.

use std::sync::Arc;

use foldhash::fast::RandomState;
use papaya::HashMap;
use seize::Collector;

pub(super) type SharedMap<K, V> = HashMap<K, V, RandomState>;

/// A map whose entries `collector` frees.
pub(super) fn new_map<K: Send + 'static, V: Send + 'static>(collector: &Arc<Collector>) -> SharedMap<K, V> {
    HashMap::builder().hasher(RandomState::default()).shared_collector(Arc::clone(collector)).build()
}
