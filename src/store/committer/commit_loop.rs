//! The commits, one after the other and each in three stages: apply, make durable, release.
//!
//! No lock is held in any of them.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::super::contain::contain_store;
use super::super::engine::Batch;
use super::super::outbox::OutboxWriter;
use super::super::records::{HeadRecord, encode};
use super::super::{Changes, Store, StoreError, keys};
use super::Durability;
use super::queue::{Found, Queue, Waiting, Work};
use crate::world::clock::Instant;
use crate::world::tasks::Step;

/// In periodic durability, how long a commit may wait for the disk.
const PERIOD: Duration = Duration::from_millis(500);

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Changes were taken from the queue and applied.
    Applied,
    /// All that was applied became durable.
    Durable,
    /// What waited for the changes was released.
    Released,
    /// There is nothing to do until then, or until something is submitted.
    Idle {
        /// Without it, nothing is to be done at any time.
        until: Option<Instant>,
    },
    /// All is committed and nothing is to come, or the disk has failed.
    Over,
}

impl From<Stage> for Step {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Applied | Stage::Durable | Stage::Released => Self::Done,
            Stage::Idle { until } => Self::Idle(until),
            Stage::Over => Self::Over,
        }
    }
}

/// Whom the loop calls.
pub(super) struct Calls<T> {
    pub(super) before: Box<dyn FnMut(&mut Changes) + Send>,
    pub(super) release: Box<dyn FnMut(Vec<T>) + Send>,
    pub(super) failed: Option<Box<dyn FnOnce(StoreError) + Send>>,
}

/// What is to be done next.
#[derive(Debug)]
enum Next<T> {
    Take,
    MakeDurable(Vec<T>),
    Release(Vec<T>),
    Nothing,
}

/// Commits what a [`Committer`](super::Committer) takes, one stage a step.
pub(super) struct CommitLoop<T> {
    queue: Arc<Mutex<Queue<T>>>,
    store: Store,
    durability: Durability,
    calls: Calls<T>,
    next: Next<T>,
    /// The number of the last commit that was applied.
    commit: u64,
    outbox: OutboxWriter,
    /// Whether anything of this run is on disk. Before that nothing is released, in periodic durability either: after a
    /// crash the next start would give the same sequences to other events.
    has_begun: bool,
    /// The last sequence that is on disk.
    durable_event: u64,
    /// Since when something waits for the disk; in commit durability never for longer than one commit.
    unsynced: Option<Instant>,
}

impl<T> std::fmt::Debug for CommitLoop<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitLoop")
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}

impl<T> CommitLoop<T> {
    pub(super) fn new(
        queue: Arc<Mutex<Queue<T>>>,
        store: Store,
        durability: Durability,
        calls: Calls<T>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            commit: store.inner.last_commit,
            outbox: OutboxWriter::open(&*store.inner.engine)?,
            has_begun: false,
            durable_event: store.last_event(),
            unsynced: None,
            next: Next::Take,
            queue,
            store,
            durability,
            calls,
        })
    }

    /// Goes through one stage, if there is one to go through.
    pub(super) fn step(&mut self) -> Stage {
        // What panics here would otherwise leave everybody waiting for ever.
        contain_store(|| self.advance()).unwrap_or_else(|error| {
            let waiting = self.queue.lock().abandon();
            let stopped = mem::replace(&mut self.next, Next::Nothing);
            drop((waiting, stopped));
            if let Some(failed) = self.calls.failed.take() {
                failed(error);
            }
            Stage::Over
        })
    }

    fn advance(&mut self) -> Result<Stage, StoreError> {
        match mem::replace(&mut self.next, Next::Nothing) {
            Next::Take => self.take(),
            Next::MakeDurable(waiting) => {
                self.make_durable()?;
                self.next = Next::Release(waiting);
                Ok(Stage::Durable)
            }
            Next::Release(waiting) => {
                // Before what waits is released: it may read what it has been told.
                self.outbox.publish(&self.store.inner.outbox);
                (self.calls.release)(waiting);
                self.next = Next::Take;
                Ok(Stage::Released)
            }
            Next::Nothing => Ok(Stage::Over),
        }
    }

    /// Takes what goes into the next commit and applies it.
    fn take(&mut self) -> Result<Stage, StoreError> {
        let now = Instant::now();
        let found = {
            let mut queue = self.queue.lock();
            if self.unsynced.is_none() {
                queue.note_durable(now);
            }
            queue.take(now)
        };
        match found {
            Found::Work(work) => {
                let waiting = self.apply(work)?;
                self.next = match self.is_disk_due() {
                    true => Next::MakeDurable(waiting),
                    false => Next::Release(waiting),
                };
                Ok(Stage::Applied)
            }
            // Nothing came, but what came before is due on disk; at the end all of it is.
            Found::Nothing { .. } if self.is_disk_due() => {
                self.make_durable()?;
                self.next = Next::Take;
                Ok(Stage::Durable)
            }
            Found::Nothing { until } => {
                self.next = Next::Take;
                Ok(Stage::Idle {
                    until: self.earlier(until),
                })
            }
            Found::End if self.unsynced.is_some() => {
                self.make_durable()?;
                self.next = Next::Take;
                Ok(Stage::Durable)
            }
            Found::End => Ok(Stage::Over),
        }
    }

    fn apply(&mut self, work: Vec<Waiting<T>>) -> Result<Vec<T>, StoreError> {
        let mut batch = Batch::default();
        let mut waiting = Vec::with_capacity(work.len());
        let mut writes = false;
        for Waiting { work, waits, .. } in work {
            let changes = match work {
                Work::Changes(changes) => changes,
                Work::Computed(compute) => compute(&self.store),
            };
            writes |= !changes.is_empty();
            changes.apply_to(&mut batch, &mut self.outbox);
            waiting.push(waits);
        }
        if !writes {
            return Ok(waiting);
        }
        let mut changes = Changes::new();
        (self.calls.before)(&mut changes);
        changes.apply_to(&mut batch, &mut self.outbox);
        self.commit += 1;
        let head = HeadRecord {
            commit: self.commit,
            outbox: self.outbox.finish(&mut batch),
            periodic: self.durability == Durability::Periodic,
        };
        batch.put(keys::HEAD.to_vec(), encode(&head));
        let store = &self.store.inner;
        store.applied.store(self.commit, Ordering::Release);
        store.engine.apply(batch)?;
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(waiting)
    }

    /// Whether what is applied is to be made durable now.
    fn is_disk_due(&self) -> bool {
        self.unsynced.is_some_and(|since| {
            self.durability == Durability::Commit
                || !self.has_begun
                || Instant::now() >= since + PERIOD
                || self.outbox.is_far_from(self.durable_event)
        })
    }

    /// The earlier one of a time and when what is applied is due on disk.
    fn earlier(&self, until: Option<Instant>) -> Option<Instant> {
        let disk = self.unsynced.map(|since| since + PERIOD);
        [until, disk].into_iter().flatten().min()
    }

    fn make_durable(&mut self) -> Result<(), StoreError> {
        let store = &self.store.inner;
        store.engine.make_durable(self.commit)?;
        store.synced.store(self.commit, Ordering::Release);
        self.has_begun = true;
        self.durable_event = self.outbox.last();
        self.unsynced = None;
        Ok(())
    }
}
