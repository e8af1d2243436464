//! The database's engine: one ordered map from keys to values, changed by atomic batches.
//!
//! - [`Engine`]: what the store asks of it
//! - `sled`: the engine of every server
//! - `memory`: one whose disk can be cut off, filled and made to lie, for tests and the simulation
//!
//! A batch is applied first, which every reader sees, and made durable later, together with those before it.

#[cfg(any(test, feature = "simulation"))]
pub(crate) mod memory;
pub(in crate::store) mod sled;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use super::StoreError;
use super::disk_space::DiskGauge;

/// A key or a value as an engine holds it: shared, not copied.
pub(crate) type Bytes = ::sled::IVec;

/// Entries in the order of their keys, from either end. What is changed meanwhile may or may not be among them.
pub(crate) type Scan = Box<dyn DoubleEndedIterator<Item = Result<(Bytes, Bytes), StoreError>>>;

/// What the store asks of a database.
pub(crate) trait Engine: Debug + Send + Sync + 'static {
    /// The value of a key, as of the last batch that was applied.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The entries between two bounds. An item is an error where an entry cannot be read.
    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Scan;

    /// Applies a batch: all of it, or nothing.
    ///
    /// # Errors
    /// When it is not certain that all of it is applied. The engine is not to be written to any more.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// Makes all that was applied survive a power cut, and notes that `commit` was the last of it.
    ///
    /// # Errors
    /// When that is not certain. The engine is not to be written to any more.
    fn make_durable(&self, commit: u64) -> Result<(), StoreError>;

    /// What it takes on the disk, in bytes.
    ///
    /// # Errors
    /// When that cannot be told.
    fn size_on_disk(&self) -> Result<u64, StoreError>;

    /// What looks at the disk that it is on.
    fn disk_gauge(&self) -> DiskGauge;
}

impl dyn Engine {
    /// The entries in a range of keys.
    pub(in crate::store) fn range(&self, keys: impl RangeBounds<Vec<u8>>) -> Scan {
        self.scan(keys.start_bound().cloned(), keys.end_bound().cloned())
    }

    /// The entries whose keys begin with `prefix`.
    pub(in crate::store) fn prefix(&self, prefix: Vec<u8>) -> Scan {
        let mut end = prefix.clone();
        // The first key behind them: the last byte that can grow does, and what follows it falls away.
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        let to = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        self.scan(Bound::Included(prefix), to)
    }
}

/// Writes and removals that are applied at once. Of two of the same key the later one wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    /// Key and value; no value removes the key.
    entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub(in crate::store) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.entries.push((key, Some(value)));
    }

    pub(in crate::store) fn remove(&mut self, key: Vec<u8>) {
        self.entries.push((key, None));
    }

    /// Adds the entries of another behind its own.
    pub(in crate::store) fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the keys and values take, in bytes.
    pub(in crate::store) fn bytes(&self) -> usize {
        let entries = self.entries.iter();
        let bytes = entries.map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
        bytes.sum()
    }
}

impl IntoIterator for Batch {
    type Item = (Vec<u8>, Option<Vec<u8>>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
