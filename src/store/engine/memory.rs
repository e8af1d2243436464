//! An engine in memory, on a disk that can be cut off, filled and made to lie.
//!
//! The disk has two halves. What is durable survives anything. What was applied since is kept batch by batch: a kill
//! leaves all of it, a power cut the first few. All handles are of the same disk, so whoever keeps one opens the database
//! again after a crash.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::super::disk_space::{DiskGauge, DiskSpace};
use super::super::judge::SCHEMA_VERSION;
use super::super::records::encode;
use super::super::{StoreError, keys};
use super::{Batch, Bytes, Engine, Scan};

/// What a disk can be told to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A batch is refused with this error, and nothing of it is applied.
    RefuseApply(Errno),
    /// Nothing is made durable, and this error says so.
    RefuseSync(Errno),
    /// Of a batch only the second half outlasts a crash. No engine may do so: it is there to be found.
    TornBatch,
    /// Of a batch nothing outlasts a crash. No engine may do so: it is there to be found.
    LostBatch,
}

/// A disk with a database.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    disk: Arc<Mutex<Disk>>,
}

type Entries = BTreeMap<Bytes, Bytes>;

#[derive(Debug)]
struct Disk {
    /// As the running process sees it.
    applied: Entries,
    durable: Entries,
    /// What of each batch outlasts a kill, of those that are applied and not durable.
    pending: Vec<Batch>,
    /// The last commit that is known to have been durable.
    noted: u64,
    /// Each with how many calls of its kind go well before.
    faults: Vec<(usize, Fault)>,
    /// How many bytes the disk has left.
    free: u64,
}

impl Memory {
    /// A disk with an empty database.
    pub(crate) fn new() -> Self {
        let mut schema = Batch::default();
        schema.put(keys::SCHEMA.to_vec(), encode(&SCHEMA_VERSION));
        let mut durable = Entries::new();
        write(&mut durable, schema);
        Self {
            disk: Arc::new(Mutex::new(Disk {
                applied: durable.clone(),
                durable,
                pending: Vec::new(),
                noted: 0,
                faults: Vec::new(),
                free: 1 << 40,
            })),
        }
    }

    /// The process is killed: what it applied stays, and is no more durable than it was. Faults that have not happened are
    /// forgotten.
    pub(crate) fn kill(&self) {
        let mut disk = self.disk.lock();
        let mut applied = disk.durable.clone();
        for batch in disk.pending.iter().cloned() {
            write(&mut applied, batch);
        }
        disk.applied = applied;
        disk.faults.clear();
    }

    /// The power fails: what is durable stays, and of the batches that were applied since the first `keep`. Faults that
    /// have not happened are forgotten.
    pub(crate) fn power_cut(&self, keep: usize) {
        let mut disk = self.disk.lock();
        let pending = std::mem::take(&mut disk.pending);
        for batch in pending.into_iter().take(keep) {
            write(&mut disk.durable, batch);
        }
        disk.applied = disk.durable.clone();
        disk.faults.clear();
    }

    /// What a start finds is on the disk before anything is derived from it, as it is with the log of a real one.
    #[cfg(feature = "simulation")]
    pub(crate) fn tidy(&self) {
        let mut disk = self.disk.lock();
        for batch in std::mem::take(&mut disk.pending) {
            write(&mut disk.durable, batch);
        }
    }

    /// How many batches are applied and not durable.
    pub(crate) fn pending(&self) -> usize {
        self.disk.lock().pending.len()
    }

    /// Has a fault happen at a later call of its kind, `after` calls that go well.
    pub(crate) fn fail(&self, fault: Fault, after: usize) {
        self.disk.lock().faults.push((after, fault));
    }

    /// Says how many bytes the disk has left. It takes what is written all the same: see [`Fault::RefuseApply`].
    #[cfg(feature = "simulation")]
    pub(crate) fn set_free(&self, bytes: u64) {
        self.disk.lock().free = bytes;
    }

    /// All that is applied.
    #[cfg(feature = "simulation")]
    pub(in crate::store) fn entries(&self) -> Vec<(Bytes, Bytes)> {
        let disk = self.disk.lock();
        let entries = disk.applied.iter();
        entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The last commit that was made durable, as a start wants to know it.
    pub(crate) fn noted(&self) -> u64 {
        self.disk.lock().noted
    }

    /// A database with what is durable, on a disk of its own.
    pub(crate) fn durable(&self) -> Self {
        let disk = self.disk.lock();
        Self {
            disk: Arc::new(Mutex::new(Disk {
                applied: disk.durable.clone(),
                durable: disk.durable.clone(),
                pending: Vec::new(),
                noted: disk.noted,
                faults: Vec::new(),
                free: disk.free,
            })),
        }
    }
}

impl Disk {
    /// The fault that happens at this call, if there is one.
    fn fault(&mut self, is_of_kind: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut due = None;
        for (n, (after, fault)) in self.faults.iter_mut().enumerate() {
            if is_of_kind(*fault) {
                match after.checked_sub(1) {
                    Some(left) => *after = left,
                    None => due = due.or(Some(n)),
                }
            }
        }
        due.map(|n| self.faults.remove(n).1)
    }
}

impl Engine for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.disk.lock().applied.get(key).cloned())
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Scan {
        Box::new(Cursor {
            disk: Arc::clone(&self.disk),
            from: from.map(Bytes::from),
            to: to.map(Bytes::from),
        })
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        let fault = disk.fault(|fault| !matches!(fault, Fault::RefuseSync(_)));
        let outlasts = match fault {
            Some(Fault::RefuseApply(errno)) => {
                return Err(sled::Error::Io(errno.into()).into());
            }
            Some(Fault::LostBatch) => Batch::default(),
            Some(Fault::TornBatch) => Batch {
                entries: batch.entries[batch.len() / 2..].to_vec(),
            },
            _ => batch.clone(),
        };
        write(&mut disk.applied, batch);
        disk.pending.push(outlasts);
        Ok(())
    }

    fn make_durable(&self, commit: u64) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        let fault = disk.fault(|fault| matches!(fault, Fault::RefuseSync(_)));
        if let Some(Fault::RefuseSync(errno)) = fault {
            return Err(StoreError::Sync(errno.into()));
        }
        for batch in std::mem::take(&mut disk.pending) {
            write(&mut disk.durable, batch);
        }
        disk.noted = commit;
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        let disk = self.disk.lock();
        let bytes = disk
            .applied
            .iter()
            .map(|(key, value)| key.len() + value.len());
        Ok(bytes.sum::<usize>() as u64)
    }

    fn disk_gauge(&self) -> DiskGauge {
        let memory = self.clone();
        DiskGauge::new(move || {
            let database = memory.size_on_disk().unwrap_or_default();
            let free = memory.disk.lock().free;
            Ok(DiskSpace {
                free,
                total: 1 << 41,
                database,
            })
        })
    }
}

fn write(entries: &mut Entries, batch: Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => entries.insert(key.into(), value.into()),
            None => entries.remove(key.as_slice()),
        };
    }
}

/// A scan on its way. It looks each entry up when it is asked for, so no lock is held in between.
struct Cursor {
    disk: Arc<Mutex<Disk>>,
    from: Bound<Bytes>,
    to: Bound<Bytes>,
}

impl Cursor {
    fn look(&self, from_the_end: bool) -> Option<(Bytes, Bytes)> {
        let bounds = (self.from.as_ref(), self.to.as_ref());
        // The map panics at bounds that are the wrong way round.
        if let (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) = bounds
            && (from > to || (from == to && bounds != (Bound::Included(from), Bound::Included(to))))
        {
            return None;
        }
        let disk = self.disk.lock();
        let mut range = disk.applied.range::<Bytes, _>(bounds);
        let entry = match from_the_end {
            true => range.next_back(),
            false => range.next(),
        };
        entry.map(|(key, value)| (key.clone(), value.clone()))
    }
}

impl Iterator for Cursor {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.look(false)?;
        self.from = Bound::Excluded(entry.0.clone());
        Some(Ok(entry))
    }
}

impl DoubleEndedIterator for Cursor {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.look(true)?;
        self.to = Bound::Excluded(entry.0.clone());
        Some(Ok(entry))
    }
}
