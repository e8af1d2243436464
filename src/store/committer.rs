//! Group commit: a commit starts as soon as the one before is down, and takes what has gathered meanwhile.
//!
//! One thread owns the writing. What waits for a change (`T`, the hub's deliveries) is handed back in the order in which
//! the changes came, after they are durable: applied as one batch, flushed, and the log synced by a handle of our own,
//! because sled's flush ends in `sync_file_range`, which does not survive a power cut.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::contain::{contain, contain_store};
use super::open::Inner;
use super::outbox::Outbox;
use super::pages::SEGMENT_BYTES;
use super::records::{HeadRecord, encode};
use super::{Changes, Store, StoreError, keys};

/// How many changes one commit takes at the most. In larger batches sled leaves so much of its log in use behind pages that
/// came and went within one of them that the database grows without end (tried: joins and leaves, 1,000 at a time, keep 300
/// bytes each; up to 250 at a time they keep nothing).
const CHANGES_AT_ONCE: usize = 200;
/// How many records these may have together: four each. A change that alone has more goes alone.
const RECORDS_AT_ONCE: usize = 4 * CHANGES_AT_ONCE;
/// And how many bytes: less than a segment of the log. sled takes what is in one of its segments for durable as soon as the
/// next one begins, and may use again what that has replaced; but it is durable only when the commit is.
const BYTES_AT_ONCE: usize = SEGMENT_BYTES / 2;
/// In periodic durability, how long a commit may wait for the disk.
const PERIOD: Duration = Duration::from_millis(500);
/// How long a change that nobody waits for may wait for others to go along with.
const COMPANY: Duration = Duration::from_millis(50);

/// When a change counts as made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it is on disk: it survives a power cut.
    #[default]
    Commit,
    /// At once; it is on disk within half a second. A crash of the process loses up to that much, a power cut too.
    Periodic,
}

/// Takes changes, makes them durable in order, and releases what waits for them.
///
/// The queue has no bound of its own: whoever submits holds a permit of the hub's, and those are bounded.
#[derive(Debug)]
pub struct Committer<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Since when the oldest change waits that has been taken from here and may not be durable yet.
    taken: Option<Instant>,
    /// When all that had been taken from here was last durable.
    progress: Option<Instant>,
    /// When what waits is to be committed at the latest.
    due: Option<Instant>,
    closed: bool,
}

#[derive(Debug)]
struct Waiting<T> {
    work: Work,
    waits: T,
    since: Instant,
}

impl<T> Queue<T> {
    /// How many of what waits go into the next commit.
    fn next_commit(&self) -> usize {
        let (mut count, mut records, mut bytes) = (0, 0, 0);
        for waiting in &self.waiting {
            match &waiting.work {
                Work::Computed(_) => return count.max(1),
                Work::Changes(changes) => {
                    records += changes.len();
                    bytes += changes.bytes();
                }
            }
            let is_full =
                count == CHANGES_AT_ONCE || records > RECORDS_AT_ONCE || bytes > BYTES_AT_ONCE;
            if is_full && count > 0 {
                break;
            }
            count += 1;
        }
        count
    }
}

/// What is submitted.
enum Work {
    Changes(Changes),
    /// Changes that depend on what the database holds; see [`Committer::submit_computed`].
    Computed(Box<dyn FnOnce(&Store) -> Changes + Send>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changes(changes) => changes.fmt(f),
            Self::Computed(_) => f.write_str("Computed"),
        }
    }
}

impl<T: Send + 'static> Committer<T> {
    /// Starts the thread. `before` may add to each commit. `release` gets what waited for a commit, in order, once it is durable; `failed` is called
    /// once if the disk fails (or one of these panics): nothing is released from then on, because nothing can be promised
    /// any more.
    ///
    /// # Errors
    /// When the outbox cannot be read or the thread cannot be started.
    pub fn start(
        store: &Store,
        durability: Durability,
        before: impl FnMut(&mut Changes) + Send + 'static,
        release: impl FnMut(Vec<T>) + Send + 'static,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                taken: None,
                progress: None,
                due: None,
                closed: false,
            }),
            arrived: Condvar::new(),
        });
        let worker = Worker {
            shared: Arc::clone(&shared),
            store: Arc::clone(&store.inner),
            durability,
            commit: store.inner.last_commit,
            outbox: Outbox::open(&store.inner.tree)?,
            durable_event: store.last_event(),
            unsynced: None,
        };
        let closing = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || {
                // What panics here would otherwise leave everybody waiting for ever.
                let result = contain_store(|| worker.run(before, release));
                let mut queue = closing.queue.lock();
                queue.closed = true;
                queue.waiting.clear();
                drop(queue);
                if let Err(error) = result {
                    failed(error);
                }
            })
            .map_err(StoreError::Thread)?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Submits a change and what waits for it. Both are dropped after [`Committer::finish`] or a failure.
    pub fn submit(&self, changes: Changes, waiting: T) {
        self.enqueue(Work::Changes(changes), waiting, Duration::ZERO);
    }

    /// The same for a change that nobody waits for: it goes along with the next one, or makes a commit of its own after
    /// 50 ms. It keeps its place among the others.
    pub fn submit_in_company(&self, changes: Changes, waiting: T) {
        self.enqueue(Work::Changes(changes), waiting, COMPANY);
    }

    /// Submits changes that depend on what the database holds: `compute` is called on the committer's thread when all
    /// that was submitted before has been applied, and nothing comes in between. It delays every other commit, so it must
    /// be quick.
    pub fn submit_computed(
        &self,
        compute: impl FnOnce(&Store) -> Changes + Send + 'static,
        waiting: T,
    ) {
        self.enqueue(Work::Computed(Box::new(compute)), waiting, Duration::ZERO);
    }

    fn enqueue(&self, work: Work, waiting: T, patience: Duration) {
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            return;
        }
        let since = Instant::now();
        queue.waiting.push_back(Waiting {
            work,
            waits: waiting,
            since,
        });
        let due = since + patience;
        let is_sooner = queue.due.is_none_or(|before| due < before);
        if is_sooner {
            queue.due = Some(due);
        }
        drop(queue);
        if is_sooner {
            self.shared.arrived.notify_one();
        }
    }

    /// For how long the oldest change waits that is not durable yet; `None` where all of them are. The answer waits neither
    /// for the disk nor for a commit.
    pub fn oldest_waiting(&self) -> Option<Duration> {
        let queue = self.shared.queue.lock();
        // What has been taken was there first.
        let since = queue.taken.or_else(|| Some(queue.waiting.front()?.since))?;
        Some(since.elapsed())
    }

    /// For how long changes wait and none of them has become durable; `None` where none waits. Behind a disk that is only
    /// slow this stays short, however old the oldest of many changes becomes.
    pub fn stalled(&self) -> Option<Duration> {
        let oldest = self.oldest_waiting()?;
        let progress = self.shared.queue.lock().progress;
        Some(progress.map_or(oldest, |progress| oldest.min(progress.elapsed())))
    }

    /// Commits what was submitted and stops. Blocks until it is down.
    pub fn finish(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

struct Worker<T> {
    shared: Arc<Shared<T>>,
    store: Arc<Inner>,
    durability: Durability,
    commit: u64,
    outbox: Outbox,
    /// The last sequence that is on disk.
    durable_event: u64,
    /// Since when something waits for the disk; in commit durability never for longer than one commit.
    unsynced: Option<Instant>,
}

impl<T> Worker<T> {
    fn run(
        mut self,
        mut before: impl FnMut(&mut Changes),
        mut release: impl FnMut(Vec<T>),
    ) -> Result<(), StoreError> {
        let store = Store {
            inner: Arc::clone(&self.store),
        };
        while let Some(gathered) = self.gather() {
            let mut batch = sled::Batch::default();
            let mut waiting = Vec::with_capacity(gathered.len());
            let mut writes = false;
            for Waiting { work, waits, .. } in gathered {
                let changes = match work {
                    Work::Changes(changes) => changes,
                    Work::Computed(compute) => compute(&store),
                };
                writes |= !changes.is_empty();
                changes.apply_to(&mut batch, &mut self.outbox);
                waiting.push(waits);
            }
            if writes {
                let mut changes = Changes::new();
                before(&mut changes);
                changes.apply_to(&mut batch, &mut self.outbox);
                self.commit += 1;
                let head = HeadRecord {
                    commit: self.commit,
                    outbox: self.outbox.finish(&mut batch),
                    periodic: self.durability == Durability::Periodic,
                };
                batch.insert(keys::HEAD, encode(&head));
                self.store.applied.store(self.commit, Ordering::Release);
                contain(|| self.store.tree.apply_batch(batch))?;
                self.unsynced.get_or_insert_with(Instant::now);
            }
            if let Some(since) = self.unsynced
                && (self.durability == Durability::Commit
                    || since.elapsed() >= PERIOD
                    || self.outbox.is_far_from(self.durable_event))
            {
                self.sync()?;
            }
            // Before what waits is released: it may read what it has been told.
            self.outbox.publish(&self.store.outbox);
            release(waiting);
        }
        self.sync()
    }

    /// Waits for changes and takes all there are, up to the most that a commit takes; `None` when it is over. What is
    /// to be computed comes alone.
    fn gather(&mut self) -> Option<Vec<Waiting<T>>> {
        let mut queue = self.shared.queue.lock();
        if self.unsynced.is_none() {
            queue.taken = None;
            queue.progress = Some(Instant::now());
        }
        loop {
            let now = Instant::now();
            let is_due = queue.due.is_some_and(|due| due <= now);
            if is_due || (queue.closed && !queue.waiting.is_empty()) {
                let count = queue.next_commit();
                let gathered: Vec<_> = queue.waiting.drain(..count).collect();
                if queue.taken.is_none() {
                    queue.taken = gathered.first().map(|first| first.since);
                }
                queue.due = (!queue.waiting.is_empty()).then_some(now);
                return Some(gathered);
            }
            if queue.closed {
                return None;
            }
            let sync_due = self.unsynced.map(|since| since + PERIOD);
            let until = [queue.due, sync_due].into_iter().flatten().min();
            match until {
                None => self.shared.arrived.wait(&mut queue),
                Some(until) => {
                    let woken = self.shared.arrived.wait_until(&mut queue, until);
                    if woken.timed_out() && sync_due.is_some_and(|due| due <= Instant::now()) {
                        // Nothing came, but what came before is due on disk.
                        return Some(Vec::new());
                    }
                }
            }
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        contain(|| self.store.db.flush())?;
        self.store.log.sync_data().map_err(StoreError::Sync)?;
        self.store.synced.store(self.commit, Ordering::Release);
        self.store.tripwire.note(self.commit);
        self.durable_event = self.outbox.last();
        self.unsynced = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
