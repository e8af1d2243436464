//! Where the channels and connections are found: maps split over several locks, so that lookups seldom meet.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;

use crate::world::random::HashKeys;

/// How many locks share the entries.
const SHARDS: usize = 64;

/// The entries under one lock.
type Shard<K, V> = Mutex<IndexMap<K, Arc<V>>>;

/// A map from `K` to shared values, split over several locks.
#[derive(Debug)]
pub(super) struct Registry<K, V> {
    shards: Box<[Shard<K, V>]>,
    hasher: HashKeys,
}

impl<K: Hash + Eq + Clone, V> Registry<K, V> {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: HashKeys::new(),
        }
    }

    pub(super) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shard(key)?.lock().get(key).cloned()
    }

    /// The value of this key, made where there is none.
    pub(super) fn get_or_insert<Q>(&self, key: &Q, make: impl FnOnce() -> (K, Arc<V>)) -> Arc<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Some(shard) = self.shard(key) else {
            return make().1;
        };
        let mut shard = shard.lock();
        if let Some(value) = shard.get(key) {
            return Arc::clone(value);
        }
        let (key, value) = make();
        shard.insert(key, Arc::clone(&value));
        value
    }

    pub(super) fn insert(&self, key: K, value: Arc<V>) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().insert(key, value);
        }
    }

    pub(super) fn remove<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(shard) = self.shard(key) {
            let mut shard = shard.lock();
            shard.swap_remove(key);
            if shard.capacity() > 4 * shard.len().max(16) {
                let keep = 2 * shard.len();
                shard.shrink_to(keep);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Calls `each` for every value. A shard is locked meanwhile: be brief.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Arc<V>)) {
        for shard in &self.shards {
            shard.lock().values().for_each(&mut each);
        }
    }

    /// `None` never happens: the index is below the number of shards.
    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&Shard<K, V>> {
        let hash = self.hasher.hash_one(key);
        self.shards.get(hash as usize % SHARDS)
    }
}
