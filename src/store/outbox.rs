//! The outbox: events out that are kept for their readers, in the order of the commits that they came with.
//!
//! The committer's thread gives each event its sequence as it goes into a batch, so the order of sequences is the order
//! of the changes, and an event is there if and only if its change is.
//!
//! A member's event carries the whole list of members, which may have 100 KB, and its channel may have hundreds of them a
//! second. So lists are kept as *runs*: a base, and the edits that were made to it since. An event names its run and how
//! many edits have gone before, which rebuilds its list exactly. A run that has grown as large as its base makes way for
//! a new one; the first event of the new one *ends* the old one, which means that it goes when that event is trimmed.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_bytes::{ByteArray, ByteBuf};

use super::keys::{self, tag};
use super::messages::PART;
use super::open::{Inner, contain_store};
use super::records::{
    CursorRecord, EditRecord, EndRecord, EventRecord, KeptRecord, ListRecord, OutboxRecord, decode,
    encode,
};
use super::{Changes, Store, StoreError};
use crate::protocol::{EventKind, EventKinds, RemovalReason, event_out};

/// How many records one read looks at, at the most, whether it wants them or not.
const LOOK_AT: usize = 4_096;
/// How many records one trim removes (and a few more with a run of lists), to keep its commit short.
const TRIM: usize = 1_000;
/// How many bytes of rebuilt lists are kept at hand for the readers.
const LISTS_AT_HAND: usize = 8 << 20;
/// The kind of a record that tells nobody anything.
const NOTE: u8 = u8::MAX;

/// The name of a run.
pub type RunId = [u8; 16];

/// Where the list of a member's event is found.
#[derive(Debug, Clone, Copy)]
pub struct ListAt<'a> {
    /// The channel.
    pub channel: &'a str,
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
    Event { record: EventRecord, rest: Vec<u8> },
    Keep { kinds: EventKinds, until: u64 },
    Expire { wanted: EventKinds, now: u64 },
    Trim { up_to: u64, freed: u64 },
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

impl Changes {
    /// Puts an event into the outbox: its type, when it happened (Unix time in milliseconds), its document.
    pub fn put_event(&mut self, kind: EventKind, at: u64, body: Vec<u8>) {
        let mut body = body;
        let rest = body.split_off(body.len().min(PART));
        self.outbox.push(Operation::Event {
            record: EventRecord {
                kind: kind as u8,
                at,
                body: ByteBuf::from(body),
                parts: 0,
                list: None,
                ends: Vec::new(),
            },
            rest,
        });
    }

    /// Puts a member's event into the outbox: `entry` is `{"uid":…,"umd":…}`, `list` tells where the list is found, and
    /// the runs `ends` of the channel are not needed any more once this event is gone.
    pub fn put_member_event(
        &mut self,
        kind: EventKind,
        at: u64,
        reason: Option<RemovalReason>,
        entry: &[u8],
        list: ListAt<'_>,
        ends: &[RunId],
    ) {
        self.outbox.push(Operation::Event {
            record: EventRecord {
                kind: kind as u8,
                at,
                body: ByteBuf::from(entry),
                parts: 0,
                list: Some(ListRecord {
                    channel: list.channel.to_owned(),
                    run: ByteArray::new(list.run),
                    edits: list.edits,
                    reason: reason.map(|reason| reason.name().to_owned()),
                }),
                ends: ends
                    .iter()
                    .map(|run| EndRecord::new(list.channel, *run))
                    .collect(),
            },
            rest: Vec::new(),
        });
    }

    /// Ends a run without an event: nobody wants to hear of its channel's members any more.
    pub fn end_run(&mut self, channel: &str, at: u64, run: RunId) {
        self.outbox.push(Operation::Event {
            record: EventRecord {
                kind: NOTE,
                at,
                body: ByteBuf::new(),
                parts: 0,
                list: None,
                ends: vec![EndRecord::new(channel, run)],
            },
            rest: Vec::new(),
        });
    }

    /// Begins a run with this list.
    pub fn put_run(&mut self, channel: &str, run: RunId, list: &[u8]) {
        for (part, bytes) in (0..).zip(list.chunks(PART)) {
            self.put_counted(keys::run_base(channel, run, part), bytes.to_vec());
        }
    }

    /// Notes an edit of a run's list: `cut` bytes at `at` (both in bytes) made way for `put`. `list.edits` counts this
    /// one.
    pub fn put_run_edit(&mut self, list: ListAt<'_>, at: usize, cut: usize, put: &[u8]) {
        let record = EditRecord {
            at: at as u64,
            cut: cut as u64,
            put: ByteBuf::from(put),
        };
        self.put_counted(
            keys::run_edit(list.channel, list.run, list.edits),
            encode(&record),
        );
    }

    /// Keeps events of these kinds from now on; for feeds at least until `until` (Unix time in seconds; 0 where only
    /// webhooks want them).
    pub fn keep_events(&mut self, kinds: EventKinds, until: u64) {
        self.outbox.push(Operation::Keep { kinds, until });
    }

    /// Keeps no events any more that neither a webhook (`wanted`) nor, at `now`, a feed wants.
    pub fn expire_kept_events(&mut self, wanted: EventKinds, now: u64) {
        self.outbox.push(Operation::Expire { wanted, now });
    }

    /// Notes where a webhook stands.
    pub fn put_cursor(&mut self, webhook: &str, record: &CursorRecord) {
        self.put(keys::cursor(webhook), encode(record));
    }

    /// Forgets a webhook.
    pub fn remove_cursor(&mut self, webhook: &str) {
        self.remove(keys::cursor(webhook));
    }

    fn put_counted(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.outbox_bytes += (key.len() + value.len()) as u64;
        self.put(key, value);
    }
}

/// The outbox on its way into batches; the committer's own.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    record: OutboxRecord,
    kept: Vec<KeptRecord>,
    changed: bool,
    kept_changed: bool,
}

impl Outbox {
    /// Reads it, or makes an empty one.
    pub(super) fn open(tree: &sled::Tree) -> Result<Self, StoreError> {
        let record = match tree.get(keys::OUTBOX)? {
            Some(value) => decode("meta", &value)?,
            None => {
                let mut id = [0; 4];
                // Without randomness the outbox is still in order; only another database's events look like ours.
                let _ = getrandom::fill(&mut id);
                OutboxRecord {
                    id: u32::from_be_bytes(id),
                    ..OutboxRecord::default()
                }
            }
        };
        let kept = match tree.get(keys::KEPT)? {
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

    pub(super) fn state(&self) -> OutboxState {
        OutboxState {
            id: self.record.id,
            last: self.record.last,
            trimmed: self.record.trimmed,
            bytes: self.record.bytes,
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

    /// Puts what a change does to the outbox into the batch.
    pub(super) fn apply(
        &mut self,
        operations: Vec<Operation>,
        bytes: u64,
        batch: &mut sled::Batch,
    ) {
        self.changed |= bytes > 0 || !operations.is_empty();
        self.record.bytes += bytes;
        for operation in operations {
            match operation {
                Operation::Event { record, rest } => self.put(record, &rest, batch),
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
                    self.record.bytes = self.record.bytes.saturating_sub(freed);
                }
            }
        }
    }

    /// Puts what has changed of the outbox as a whole into the batch.
    pub(super) fn finish(&mut self, batch: &mut sled::Batch) {
        if self.changed {
            batch.insert(keys::OUTBOX, encode(&self.record));
        }
        if self.kept_changed {
            batch.insert(keys::KEPT, encode(&self.kept));
        }
    }

    /// What has changed of it is durable: its readers may know.
    pub(super) fn publish(&mut self, readers: &Mutex<OutboxState>) {
        if std::mem::take(&mut self.changed) | std::mem::take(&mut self.kept_changed) {
            *readers.lock() = self.state();
        }
    }

    fn put(&mut self, mut record: EventRecord, rest: &[u8], batch: &mut sled::Batch) {
        self.record.last += 1;
        let sequence = self.record.last;
        for (part, bytes) in (1..).zip(rest.chunks(PART)) {
            record.parts = part;
            let key = keys::event_part(sequence, part);
            self.record.bytes += (key.len() + bytes.len()) as u64;
            batch.insert(key, bytes);
        }
        let (key, value) = (keys::event(sequence), encode(&record));
        self.record.bytes += (key.len() + value.len()) as u64;
        batch.insert(key, value);
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

impl Store {
    /// The outbox, as far as it is durable.
    pub fn outbox(&self) -> OutboxState {
        self.inner.outbox.lock().clone()
    }

    /// The last durable sequence.
    pub fn last_event(&self) -> u64 {
        self.inner.outbox.lock().last
    }

    /// Reads durable events of `kinds` after `position`, in order: at most `limit`, and no more once they have
    /// `max_bytes` bytes. It looks at a bounded number of events; read on from the page's position.
    ///
    /// # Errors
    /// When the database or a record cannot be read.
    pub fn events(
        &self,
        position: u64,
        kinds: EventKinds,
        limit: usize,
        max_bytes: usize,
    ) -> Result<EventPage, StoreError> {
        let last = self.inner.outbox.lock().last;
        let mut page = EventPage {
            events: Vec::new(),
            position,
        };
        if position >= last {
            return Ok(page);
        }
        contain_store(|| {
            let mut bytes = 0;
            let range = keys::event(position + 1)..keys::event(last + 1);
            for entry in self.inner.tree.range(range).take(LOOK_AT) {
                let (key, value) = entry?;
                let Some(sequence) = keys::parse_event(&key) else {
                    continue;
                };
                if page.events.len() >= limit || (bytes >= max_bytes && bytes > 0) {
                    return Ok(page);
                }
                let record: EventRecord = decode("outbox", &value)?;
                if let Some(kind) = EventKind::ALL.get(usize::from(record.kind))
                    && kinds.contains(*kind)
                {
                    // Whoever trims may come in between; then this one is no more.
                    if let Some(body) = self.body(*kind, sequence, &record)? {
                        bytes += body.len();
                        page.events.push(StoredEvent {
                            sequence,
                            kind: *kind,
                            at: record.at,
                            body,
                        });
                    }
                }
                page.position = sequence;
            }
            // Everything has been looked at, numbers that were left out included; or LOOK_AT was reached.
            if self
                .inner
                .tree
                .range(keys::event(page.position + 1)..keys::event(last + 1))
                .next()
                .is_none()
            {
                page.position = last;
            }
            Ok(page)
        })
    }

    /// What may go: events from before `before` (Unix time in milliseconds), and the oldest until the rest takes no
    /// more than `max_bytes`. A bounded number of them; call again, after it is committed, while there are any.
    ///
    /// # Errors
    /// When the database or a record cannot be read.
    pub fn trim(&self, before: u64, max_bytes: u64) -> Result<Option<Trim>, StoreError> {
        let state = self.outbox();
        if state.trimmed >= state.last {
            return Ok(None);
        }
        contain_store(|| {
            let mut trim = Trim {
                changes: Changes::new(),
                events: 0,
                early: 0,
            };
            let (mut up_to, mut freed) = (state.trimmed, 0);
            let range = keys::event(state.trimmed + 1)..keys::event(state.last + 1);
            for entry in self.inner.tree.range(range) {
                let (key, value) = entry?;
                if let Some(sequence) = keys::parse_event(&key) {
                    let record: EventRecord = decode("outbox", &value)?;
                    let is_early = record.at >= before;
                    if (is_early && state.bytes.saturating_sub(freed) <= max_bytes)
                        || trim.changes.len() >= TRIM
                    {
                        break;
                    }
                    for end in &record.ends {
                        let run = keys::run(&end.channel, end.run.into_array());
                        for entry in self.inner.tree.scan_prefix(run) {
                            let (key, value) = entry?;
                            freed += (key.len() + value.len()) as u64;
                            trim.changes.remove(key.to_vec());
                        }
                    }
                    up_to = sequence;
                    trim.events += usize::from(record.kind != NOTE);
                    trim.early += usize::from(is_early && record.kind != NOTE);
                }
                freed += (key.len() + value.len()) as u64;
                trim.changes.remove(key.to_vec());
            }
            if up_to == state.trimmed {
                return Ok(None);
            }
            trim.changes.outbox.push(Operation::Trim { up_to, freed });
            Ok(Some(trim))
        })
    }

    /// How many records the outbox has: none when everything in it has been trimmed.
    #[cfg(test)]
    pub(crate) fn outbox_records(&self) -> Result<usize, StoreError> {
        contain_store(|| {
            let mut records = 0;
            for tag in [tag::OUTBOX, tag::LIST] {
                for entry in self.inner.tree.scan_prefix([tag]) {
                    entry?;
                    records += 1;
                }
            }
            Ok(records)
        })
    }

    /// Where a webhook stands; `None` where it is new.
    ///
    /// # Errors
    /// When the database or the record cannot be read.
    pub fn cursor(&self, webhook: &str) -> Result<Option<CursorRecord>, StoreError> {
        contain_store(|| {
            let value = self.inner.tree.get(keys::cursor(webhook))?;
            value.map(|value| decode("cursor", &value)).transpose()
        })
    }

    /// The webhooks that stand somewhere.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn cursors(&self) -> Result<Vec<String>, StoreError> {
        contain_store(|| {
            let keys = self.inner.tree.scan_prefix([tag::CURSOR]).keys();
            keys.map(|key| {
                let name = key?.get(1..).unwrap_or_default().to_vec();
                Ok(String::from_utf8_lossy(&name).into_owned())
            })
            .collect()
        })
    }

    /// The document of an event; `None` if some of it is no more.
    fn body(
        &self,
        kind: EventKind,
        sequence: u64,
        record: &EventRecord,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(at) = &record.list {
            let reason = at.reason.as_deref().and_then(RemovalReason::from_name);
            return self.inner.with_list(at, |list| {
                event_out::member(kind, &at.channel, reason, &record.body, list)
            });
        }
        let mut body = record.body.to_vec();
        for part in 1..=record.parts {
            match self.inner.tree.get(keys::event_part(sequence, part))? {
                Some(bytes) => body.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
        Ok(Some(body))
    }
}

/// Lists that were rebuilt for a reader and will soon be wanted by another, or with the next edit made.
#[derive(Debug, Default)]
pub(super) struct Lists {
    by_run: HashMap<RunId, Rebuilt>,
    bytes: usize,
    /// Counts uses, to tell which list has not been wanted for longest.
    uses: u64,
}

#[derive(Debug, Clone, Default)]
struct Rebuilt {
    list: Vec<u8>,
    edits: u32,
    used: u64,
}

impl Inner {
    /// Calls `with` with the list at a place of a run; `None` if some of it is no more.
    fn with_list<T>(
        &self,
        at: &ListRecord,
        with: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let run = at.run.into_array();
        let mut lists = self.lists.lock();
        let cached = lists.by_run.remove(&run);
        lists.bytes -= cached.as_ref().map_or(0, |rebuilt| rebuilt.list.len());
        let (start, ahead) = match cached {
            Some(rebuilt) if rebuilt.edits <= at.edits => (Some(rebuilt), None),
            // A reader that is behind does not take from the others what they will need next.
            other => (None, other),
        };
        let rebuilt = match self.rebuild(at, start)? {
            Some(rebuilt) => rebuilt,
            None => return Ok(None),
        };
        let result = with(&rebuilt.list);
        lists.put(run, ahead.unwrap_or(rebuilt));
        Ok(Some(result))
    }

    fn rebuild(
        &self,
        at: &ListRecord,
        start: Option<Rebuilt>,
    ) -> Result<Option<Rebuilt>, StoreError> {
        let run = at.run.into_array();
        let mut rebuilt = match start {
            Some(rebuilt) => rebuilt,
            None => {
                let mut list = Vec::new();
                let base = keys::run_base(&at.channel, run, 0)..keys::run_edit(&at.channel, run, 1);
                for entry in self.tree.range(base) {
                    list.extend_from_slice(&entry?.1);
                }
                if list.is_empty() {
                    return Ok(None);
                }
                Rebuilt {
                    list,
                    ..Rebuilt::default()
                }
            }
        };
        if rebuilt.edits < at.edits {
            let edits = keys::run_edit(&at.channel, run, rebuilt.edits + 1)
                ..=keys::run_edit(&at.channel, run, at.edits);
            for entry in self.tree.range(edits) {
                let edit: EditRecord = decode("list", &entry?.1)?;
                let (from, cut) = (edit.at as usize, edit.cut as usize);
                if from + cut > rebuilt.list.len() {
                    return Err(StoreError::Record {
                        keyspace: "list",
                        detail: format!("an edit of `{}` does not fit", at.channel),
                    });
                }
                rebuilt.list.splice(from..from + cut, edit.put.into_vec());
                rebuilt.edits += 1;
            }
        }
        Ok((rebuilt.edits == at.edits).then_some(rebuilt))
    }
}

impl Lists {
    fn put(&mut self, run: RunId, mut rebuilt: Rebuilt) {
        self.uses += 1;
        rebuilt.used = self.uses;
        self.bytes += rebuilt.list.len();
        self.by_run.insert(run, rebuilt);
        while self.bytes > LISTS_AT_HAND {
            let oldest = self.by_run.iter().min_by_key(|(_, rebuilt)| rebuilt.used);
            let Some(oldest) = oldest.map(|(run, _)| *run) else {
                return;
            };
            if let Some(gone) = self.by_run.remove(&oldest) {
                self.bytes -= gone.list.len();
            }
        }
    }
}
