//! sled as the engine.
//!
//! sled's own flush ends in `sync_file_range`, which does not survive a power cut. So the log is synced by a handle of
//! our own behind it.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;

use rustix::fs::{Advice, fadvise};

use super::super::StoreError;
use super::super::contain::contain;
use super::super::disk_space::{self, DiskGauge};
use super::super::tripwire::Tripwire;
use super::{Batch, Bytes, Engine, Scan};

/// The tree that holds everything.
const TREE: &[u8] = b"rollcall";

/// A database that sled has open.
#[derive(Debug)]
pub(in crate::store) struct Sled {
    tree: sled::Tree,
    db: sled::Db,
    /// None where nothing is told of what is written: in a copy, and in a database that is being made.
    files: Option<Files>,
}

/// What belongs to a database in use.
#[derive(Debug)]
pub(in crate::store) struct Files {
    /// The data folder.
    pub(in crate::store) folder: PathBuf,
    /// sled's log, by a handle of ours.
    pub(in crate::store) log: File,
    pub(in crate::store) tripwire: Tripwire,
    /// Held for as long as the database is open.
    pub(in crate::store) _lock: File,
}

impl Sled {
    /// Looks for our tree in an open database.
    pub(in crate::store) fn new(db: sled::Db) -> Result<Self, StoreError> {
        Ok(Self {
            tree: contain(|| db.open_tree(TREE))?,
            db,
            files: None,
        })
    }

    /// The same database, in use.
    pub(in crate::store) fn with(self, files: Files) -> Self {
        Self {
            files: Some(files),
            ..self
        }
    }
}

impl Engine for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        contain(|| self.tree.get(key))
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Scan {
        Box::new(Entries(self.tree.range((from, to))))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut writes = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        contain(|| self.tree.apply_batch(writes))
    }

    fn make_durable(&self, commit: u64) -> Result<(), StoreError> {
        let flushed = contain(|| self.db.flush());
        let Some(files) = &self.files else {
            return flushed.map(drop);
        };
        let durable = flushed.and_then(|_| files.log.sync_data().map_err(StoreError::Sync));
        match &durable {
            Ok(()) => files.tripwire.note(commit),
            // The system takes what it could not write for written, and would show it to the next start, which would tell of
            // it; the next power cut would take it back. What it forgets now is read from the disk itself.
            Err(_) => drop(fadvise(&files.log, 0, None, Advice::DontNeed)),
        }
        durable
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        contain(|| self.db.size_on_disk())
    }

    fn disk_gauge(&self) -> DiskGauge {
        let folder = self.files.as_ref().map(|files| files.folder.clone());
        DiskGauge::new(move || match &folder {
            Some(folder) => disk_space::look(folder),
            None => Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// sled's entries, which may panic as they are read.
struct Entries(sled::Iter);

impl Iterator for Entries {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        contain(|| self.0.next().transpose()).transpose()
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        contain(|| self.0.next_back().transpose()).transpose()
    }
}
