//! What waits for a commit, in order, and how much of it one commit takes.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::pages::SEGMENT_BYTES;
use super::super::{Changes, Store};
use crate::world::clock::Instant;

/// How many changes one commit takes at the most. In larger batches sled leaves so much of its log in use behind pages that
/// came and went within one of them that the database grows without end (tried: joins and leaves, 1,000 at a time, keep 300
/// bytes each; up to 250 at a time they keep nothing).
const CHANGES_AT_ONCE: usize = 200;
/// How many records these may have together: four each. A change that alone has more goes alone.
const RECORDS_AT_ONCE: usize = 4 * CHANGES_AT_ONCE;
/// And how many bytes: less than a segment of the log. sled takes what is in one of its segments for durable as soon as the
/// next one begins, and may use again what that has replaced; but it is durable only when the commit is.
const BYTES_AT_ONCE: usize = SEGMENT_BYTES / 2;

/// What is submitted.
pub(super) enum Work {
    Changes(Changes),
    /// Changes that depend on what the database holds; see [`Committer::submit_computed`](super::Committer::submit_computed).
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

/// A change, and what waits for it.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) work: Work,
    pub(super) waits: T,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Since when the oldest change waits that has been taken from here and may not be durable yet.
    taken: Option<Instant>,
    /// When all that had been taken from here was last durable.
    progress: Option<Instant>,
    /// When what waits is to be committed at the latest.
    due: Option<Instant>,
    closed: bool,
}

/// What the commit loop finds.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// What goes into the next commit.
    Work(Vec<Waiting<T>>),
    /// Nothing until then, or until something is submitted.
    Nothing { until: Option<Instant> },
    /// Nothing, and nothing is to come.
    End,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            taken: None,
            progress: None,
            due: None,
            closed: false,
        }
    }

    /// Puts a change that may wait for others for so long behind all others. Returns whether it is due before them; once
    /// the queue is closed, what was to be put.
    pub(super) fn put(
        &mut self,
        work: Work,
        waits: T,
        now: Instant,
        company: Duration,
    ) -> Result<bool, (Work, T)> {
        if self.closed {
            return Err((work, waits));
        }
        let due = now + company;
        self.waiting.push_back(Waiting {
            work,
            waits,
            since: now,
        });
        let is_sooner = self.due.is_none_or(|before| due < before);
        if is_sooner {
            self.due = Some(due);
        }
        Ok(is_sooner)
    }

    /// Takes what goes into the next commit, if it is due.
    pub(super) fn take(&mut self, now: Instant) -> Found<T> {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due || (self.closed && !self.waiting.is_empty()) {
            let count = self.next_commit();
            let work: Vec<_> = self.waiting.drain(..count).collect();
            if self.taken.is_none() {
                self.taken = work.first().map(|first| first.since);
            }
            self.due = (!self.waiting.is_empty()).then_some(now);
            return Found::Work(work);
        }
        match self.closed {
            true => Found::End,
            false => Found::Nothing { until: self.due },
        }
    }

    /// All that was taken is durable.
    pub(super) fn note_durable(&mut self, now: Instant) {
        self.taken = None;
        self.progress = Some(now);
    }

    /// Takes nothing more. What waits is still to be committed.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Takes nothing more, and gives back what waits: it is not to be committed.
    pub(super) fn abandon(&mut self) -> VecDeque<Waiting<T>> {
        self.closed = true;
        std::mem::take(&mut self.waiting)
    }

    /// Since when the oldest change waits that is not durable.
    pub(super) fn oldest(&self) -> Option<Instant> {
        // What has been taken was there first.
        self.taken
            .or_else(|| self.waiting.front().map(|first| first.since))
    }

    /// When all that had been taken was last durable.
    pub(super) fn progress(&self) -> Option<Instant> {
        self.progress
    }

    /// How many of what waits go into the next commit. What is to be computed goes alone.
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
