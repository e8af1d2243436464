//! A reader between whose reads of the database a trim comes.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::super::super::disk_space::DiskGauge;
use super::super::super::engine::memory::Memory;
use super::super::super::engine::{Batch, Bytes, Engine, Scan};
use super::*;

/// A database in which something happens in the midst of the scans: once so many entries have been scanned.
#[derive(Debug)]
struct Interrupted {
    memory: Memory,
    interruption: Arc<Interruption>,
}

#[derive(Default)]
struct Interruption {
    after: AtomicUsize,
    happens: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Interruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interruption")
    }
}

impl Engine for Interrupted {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.memory.get(key)
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Scan {
        let interruption = Arc::clone(&self.interruption);
        let scan = self.memory.scan(from, to);
        Box::new(Interruptible { scan, interruption })
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.memory.apply(batch)
    }

    fn make_durable(&self, commit: u64) -> Result<(), StoreError> {
        self.memory.make_durable(commit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.memory.size_on_disk()
    }

    fn disk_gauge(&self) -> DiskGauge {
        self.memory.disk_gauge()
    }
}

struct Interruptible {
    scan: Scan,
    interruption: Arc<Interruption>,
}

impl Iterator for Interruptible {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.interruption.after.fetch_sub(1, Ordering::Relaxed) == 0 {
            let happens = self.interruption.happens.lock().take();
            if let Some(happens) = happens {
                happens();
            }
        }
        self.scan.next()
    }
}

impl DoubleEndedIterator for Interruptible {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.scan.next_back()
    }
}

/// Whenever the trim comes, an event that is read has all of its list, and one that is not is said to be missed.
#[test]
fn no_list_is_cut_short_by_a_trim() {
    let mut overtaken = 0;
    for after in 0..12 {
        let interruption = Arc::new(Interruption::default());
        let engine = Interrupted {
            memory: Memory::new(),
            interruption: Arc::clone(&interruption),
        };
        let room = Arc::new(Room::on(Store::on(Arc::new(engine), 0).unwrap()));
        let mut model = Model::default();
        let base = Put::Member {
            user: 0,
            run: RunStep::New(3 * pages::PART),
        };
        let all = vec![
            model.change(0, vec![base]),
            model.change(0, vec![Put::EndRun]),
        ];
        room.commit(all);
        let trimming = Arc::clone(&room);
        *interruption.happens.lock() = Some(Box::new(move || trimming.trim(u64::MAX, u64::MAX)));
        interruption.after.store(after, Ordering::Relaxed);
        let page = room.store.events(0, EventKinds::ALL, 1, usize::MAX);
        let page = page.unwrap();
        overtaken += usize::from(page.overtaken);
        if !page.events.is_empty() || !page.overtaken {
            let whole = model.page(0, EventKinds::ALL, 1, usize::MAX).events;
            assert!(page.events == whole, "after {after}");
        }
        interruption.happens.lock().take();
    }
    assert!(overtaken > 3, "{overtaken}");
}
