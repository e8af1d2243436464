//! The outbox: events out that are kept for their readers, in the order of the commits that they came with.
//!
//! The committer's thread gives each event its sequence as it goes into a batch, so the order of sequences is the order
//! of the changes, and an event is there if and only if its change is.
//!
//! Most events are of a change in a channel, which makes several at once. They are one record, an *entry*, under the
//! sequence of the first, and it holds what happened and not the documents that tell of it: these are several times as
//! long, and sled writes a record more than once. The documents are made for whoever reads. Only what is seldom, or is
//! told only where it is asked for, is kept as its document.
//!
//! A member's event carries the whole list of members, which may have 100 KB, and its channel may have hundreds of them a
//! second. So a list is kept as a place in a log: a *run* begins with a whole list, and edits follow. Which of these a
//! change writes is decided above. Here they are stored, a list is made of them for whoever reads, and a run is removed
//! with the event that *ends* it.
//!
//! - `write`: how events get into a change; [`OutboxWriter`]: how they get into a batch
//! - `read`: events by position, and what may be trimmed; `lists`: member lists made anew

mod lists;
mod read;
#[cfg(test)]
mod tests;
mod write;

use parking_lot::Mutex;

use super::engine::{Batch, Engine};
use super::pages::PART;
use super::records::{EntryRecord, HeadRecord, KeptRecord, OutboxRecord, decode, encode};
use super::{Changes, StoreError, keys, pages};
use crate::protocol::{EventKind, EventKinds};

pub(super) use lists::Lists;
#[cfg(test)]
pub(super) use lists::edited;
pub use write::Occasion;

/// How many sequences a start leaves out after a run in periodic durability. What such a run told last may be lost with a
/// crash, and its sequences must not be used for other events.
const GAP: u64 = 1 << 17;
/// The kind of an event that tells nobody anything.
const NOTE: u8 = u8::MAX;

/// The name of a run.
pub type RunId = [u8; 16];

/// Where the list of a member's event is found.
#[derive(Debug, Clone, Copy)]
pub struct ListAt {
    /// The run.
    pub run: RunId,
    /// How many of the run's edits have been made.
    pub edits: u32,
}

/// The outbox as of the last durable commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxState {
    /// A random number, made with the database.
    pub id: u32,
    /// The last sequence given.
    pub last: u64,
    /// Everything up to here has been trimmed.
    pub trimmed: u64,
    /// What its records take, in bytes.
    pub bytes: u64,
    /// What of that are member lists. Those of channels that go on stay when all events are trimmed.
    pub lists: u64,
    /// For each kind that is kept: from which sequence on, and until when a feed wants it (Unix time in seconds).
    kept: Vec<(EventKind, u64, u64)>,
}

/// An event as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its sequence.
    pub sequence: u64,
    /// Its type.
    pub kind: EventKind,
    /// When it happened: Unix time in milliseconds.
    pub at: u64,
    /// The document.
    pub body: Vec<u8>,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Everything up to here has been looked at.
    pub position: u64,
    /// Whether some of what was asked for was trimmed before it could be read.
    pub overtaken: bool,
}

/// What a trim takes away.
#[derive(Debug)]
pub struct Trim {
    /// The removals.
    pub changes: Changes,
    /// How many events go.
    pub events: usize,
    /// How many of them were younger than they may become, and go because there is no room.
    pub early: usize,
}

/// What a change does to the outbox, besides records that it writes itself.
#[derive(Debug)]
pub(super) enum Operation {
    Put(Entry),
    Keep { kinds: EventKinds, until: u64 },
    Expire { wanted: EventKinds, now: u64 },
    Trim { up_to: u64, freed: Freed },
}

impl Operation {
    /// What it writes, about, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put(entry) => {
                entry.bytes
                    + entry
                        .rests
                        .iter()
                        .map(|(_, rest)| rest.len())
                        .sum::<usize>()
            }
            Self::Keep { .. } | Self::Expire { .. } | Self::Trim { .. } => 0,
        }
    }
}

/// What is no more after a trim, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Freed {
    /// All of it.
    bytes: u64,
    /// What of that were member lists.
    lists: u64,
}

/// An entry that has no sequence yet.
#[derive(Debug)]
pub(super) struct Entry {
    record: EntryRecord,
    /// What did not fit into the record: of which of its events, and the rest of that one's document.
    rests: Vec<(usize, Vec<u8>)>,
    /// About how many bytes it takes.
    bytes: usize,
}

impl OutboxState {
    /// The kinds of events that are kept.
    pub fn kept(&self) -> EventKinds {
        self.kept.iter().map(|(kind, ..)| *kind).collect()
    }

    /// The kinds that are kept for a feed that may still come back at `now` (Unix time in seconds).
    pub fn kept_for_feeds(&self, now: u64) -> EventKinds {
        self.kept
            .iter()
            .filter(|(.., until)| *until > now)
            .map(|(kind, ..)| *kind)
            .collect()
    }

    /// Whether it takes more than `max_bytes`. Member lists count for half of that at the most: those of channels that go on
    /// cannot be trimmed, and would leave no room for any event.
    pub fn is_larger_than(&self, max_bytes: u64) -> bool {
        let events = self.bytes.saturating_sub(self.lists);
        events + self.lists.min(max_bytes / 2) > max_bytes
    }

    fn free(&mut self, freed: Freed) {
        self.bytes = self.bytes.saturating_sub(freed.bytes);
        self.lists = self.lists.saturating_sub(freed.lists);
    }

    /// Whether a reader of `kinds` that has dealt with everything up to `position` may miss something: it was trimmed,
    /// or was not kept when it happened, or the position is of another outbox.
    pub fn misses(&self, position: u64, kinds: EventKinds) -> bool {
        position < self.trimmed
            || position > self.last
            || kinds.iter().any(|kind| {
                self.kept
                    .iter()
                    .find(|(kept, ..)| *kept == kind)
                    .is_none_or(|(_, since, _)| position + 1 < *since)
            })
    }
}

/// The outbox on its way into batches; the committer's own.
#[derive(Debug)]
pub(super) struct OutboxWriter {
    record: OutboxRecord,
    kept: Vec<KeptRecord>,
    changed: bool,
    kept_changed: bool,
}

impl OutboxWriter {
    /// What the record of the last commit says, or an empty one; and which kinds are kept.
    pub(super) fn open(engine: &dyn Engine) -> Result<Self, StoreError> {
        let record = match engine.get(keys::HEAD)? {
            Some(value) => {
                let head: HeadRecord = decode("meta", &value)?;
                let mut outbox = head.outbox;
                if head.periodic {
                    outbox.last += GAP;
                }
                outbox
            }
            None => {
                let mut id = [0; 4];
                // Without randomness the outbox is still in order; only another database's events look like ours.
                let _ = crate::world::random::fill(&mut id);
                OutboxRecord {
                    id: u32::from_be_bytes(id),
                    ..OutboxRecord::default()
                }
            }
        };
        let kept = match engine.get(keys::KEPT)? {
            Some(value) => decode("meta", &value)?,
            None => Vec::new(),
        };
        Ok(Self {
            record,
            kept,
            changed: false,
            kept_changed: false,
        })
    }

    /// Whether so many sequences have been given since this one that what gets lost with a crash must not become more.
    pub(super) fn is_far_from(&self, durable: u64) -> bool {
        self.record.last.saturating_sub(durable) >= GAP / 2
    }

    /// The last sequence given.
    pub(super) fn last(&self) -> u64 {
        self.record.last
    }

    pub(super) fn state(&self) -> OutboxState {
        OutboxState {
            id: self.record.id,
            last: self.record.last,
            trimmed: self.record.trimmed,
            bytes: self.record.bytes,
            lists: self.record.lists,
            kept: self
                .kept
                .iter()
                .filter_map(|kept| {
                    let kind = EventKind::ALL.get(usize::from(kept.kind))?;
                    Some((*kind, kept.since, kept.until))
                })
                .collect(),
        }
    }

    /// Puts what a change does to the outbox into the batch. The change writes member lists of `lists` bytes itself.
    pub(super) fn apply(&mut self, operations: Vec<Operation>, lists: u64, batch: &mut Batch) {
        self.changed |= lists > 0 || !operations.is_empty();
        self.record.bytes += lists;
        self.record.lists += lists;
        for operation in operations {
            match operation {
                Operation::Put(entry) => self.put(entry, batch),
                Operation::Keep { kinds, until } => self.keep(kinds, until),
                Operation::Expire { wanted, now } => {
                    let before = self.kept.len();
                    self.kept.retain(|kept| {
                        kept.until > now
                            || EventKinds::from_bits(1 << kept.kind)
                                .without(wanted)
                                .is_empty()
                    });
                    self.kept_changed |= before != self.kept.len();
                }
                Operation::Trim { up_to, freed } => {
                    self.record.trimmed = self.record.trimmed.max(up_to);
                    self.record.bytes = self.record.bytes.saturating_sub(freed.bytes);
                    self.record.lists = self.record.lists.saturating_sub(freed.lists);
                }
            }
        }
    }

    /// The outbox as a whole, for the commit's own record. Which kinds are kept goes into the batch by itself, where it has
    /// changed.
    pub(super) fn finish(&mut self, batch: &mut Batch) -> OutboxRecord {
        if self.kept_changed {
            batch.put(keys::KEPT.to_vec(), encode(&self.kept));
        }
        self.record
    }

    /// What has changed of it is durable: its readers may know.
    pub(super) fn publish(&mut self, readers: &Mutex<OutboxState>) {
        if std::mem::take(&mut self.changed) | std::mem::take(&mut self.kept_changed) {
            *readers.lock() = self.state();
        }
    }

    fn put(&mut self, entry: Entry, batch: &mut Batch) {
        let first = self.record.last + 1;
        self.record.last += entry.record.events.len() as u64;
        for (place, rest) in entry.rests {
            for (part, bytes) in (1..).zip(rest.chunks(PART)) {
                let key = keys::event_part(first + place as u64, part);
                self.record.bytes += (key.len() + bytes.len()) as u64;
                batch.put(key, bytes.to_vec());
            }
        }
        let (key, value) = (keys::entry(first), encode(&entry.record));
        pages::check(&key, &value);
        self.record.bytes += (key.len() + value.len()) as u64;
        batch.put(key, value);
    }

    fn keep(&mut self, kinds: EventKinds, until: u64) {
        let mut new = kinds;
        for kept in &mut self.kept {
            let this = EventKinds::from_bits(1 << kept.kind);
            if !this.without(kinds).is_empty() {
                continue;
            }
            new = new.without(this);
            self.kept_changed |= kept.until < until;
            kept.until = kept.until.max(until);
        }
        if new.is_empty() {
            return;
        }
        // A sequence is left out, so that whoever has read everything up to now is still told that it has missed what
        // was not kept.
        self.record.last += u64::from(self.record.last > 0);
        self.changed = true;
        self.kept_changed = true;
        self.kept.extend(new.iter().map(|kind| KeptRecord {
            kind: kind as u8,
            since: self.record.last + 1,
            until,
        }));
    }
}
