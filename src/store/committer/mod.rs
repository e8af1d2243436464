//! Group commit: a commit starts as soon as the one before is down, and takes what has gathered meanwhile.
//!
//! - [`Committer`]: takes changes, each with what waits for it (`T`, the hub's deliveries)
//! - `queue`: what waits, in order
//! - [`CommitLoop`]: the writing, stage by stage; in a server a thread of its own goes through them
//!
//! What waits for a change is handed back in the order in which the changes came, after they are durable.

mod commit_loop;
mod queue;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Changes, Store, StoreError};
use crate::world::clock::Instant;
use crate::world::tasks::Thread;

use commit_loop::{Calls, CommitLoop};
use queue::{Queue, Work};

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

/// Takes changes, has them made durable in order, and has what waits for them released.
///
/// The queue has no bound of its own: whoever submits holds a permit of the hub's, and those are bounded.
#[derive(Debug)]
pub struct Committer<T> {
    queue: Arc<Mutex<Queue<T>>>,
    /// The thread of the commit loop; none where somebody else goes through its stages, or has ended it.
    thread: Mutex<Option<Thread>>,
}

impl<T: Send + 'static> Committer<T> {
    /// Starts a thread that commits. `before` may add to each commit. `release` gets what waited for a commit, in order,
    /// once it is durable. `failed` is called once if the disk fails (or one of these panics): nothing is released from then
    /// on, because nothing can be promised any more.
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
        let calls = Calls {
            before: Box::new(before),
            release: Box::new(release),
            failed: Some(Box::new(failed)),
        };
        let (mut committer, mut commit_loop) = Self::new(store, durability, calls)?;
        let thread = Thread::start("commit", move || commit_loop.step().into());
        committer.thread = Mutex::new(Some(thread.map_err(StoreError::Thread)?));
        Ok(committer)
    }
}

impl<T> Committer<T> {
    /// A committer, and the loop that commits what it takes once somebody goes through its stages.
    fn new(
        store: &Store,
        durability: Durability,
        calls: Calls<T>,
    ) -> Result<(Self, CommitLoop<T>), StoreError> {
        let queue = Arc::new(Mutex::new(Queue::new()));
        let commit_loop = CommitLoop::new(Arc::clone(&queue), store.clone(), durability, calls)?;
        let committer = Self {
            queue,
            thread: Mutex::new(None),
        };
        Ok((committer, commit_loop))
    }

    /// Submits a change, which is committed as soon as the disk is free. `waits` is released once it is durable; both are
    /// dropped after [`Committer::finish`] or a failure.
    pub fn submit(&self, changes: Changes, waits: T) {
        self.enqueue(Work::Changes(changes), waits, Duration::ZERO);
    }

    /// The same for a change that is in no hurry: it waits up to 50 ms for another one to go along with. It keeps its
    /// place among the others.
    pub fn submit_lazily(&self, changes: Changes, waits: T) {
        self.enqueue(Work::Changes(changes), waits, COMPANY);
    }

    /// Submits changes that depend on what the database holds: `compute` is called on the committer's thread when all
    /// that was submitted before has been applied, and nothing comes in between. It delays every other commit, so it must
    /// be quick.
    pub fn submit_computed(
        &self,
        compute: impl FnOnce(&Store) -> Changes + Send + 'static,
        waits: T,
    ) {
        self.enqueue(Work::Computed(Box::new(compute)), waits, Duration::ZERO);
    }

    fn enqueue(&self, work: Work, waits: T, company: Duration) {
        let put = self.queue.lock().put(work, waits, Instant::now(), company);
        // What is refused is dropped here, and not under the lock: whoever waits for it may submit something else then.
        if let Ok(true) = put {
            self.wake();
        }
    }

    /// For how long the oldest change waits that is not durable yet; `None` where all of them are. The answer waits neither
    /// for the disk nor for a commit.
    pub fn oldest_waiting(&self) -> Option<Duration> {
        let oldest = self.queue.lock().oldest()?;
        Some(oldest.elapsed())
    }

    /// For how long changes wait and none of them has become durable; `None` where none waits. Behind a disk that is only
    /// slow this stays short, however old the oldest of many changes becomes.
    pub fn stalled(&self) -> Option<Duration> {
        let (oldest, progress) = {
            let queue = self.queue.lock();
            (queue.oldest()?, queue.progress())
        };
        let since = progress.map_or(oldest, |progress| oldest.max(progress));
        Some(since.elapsed())
    }

    /// Takes nothing more. What was submitted is committed; where that is done by a thread, this blocks until it is.
    pub fn finish(&self) {
        self.queue.lock().close();
        self.wake();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.join();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.wake();
        }
    }
}
