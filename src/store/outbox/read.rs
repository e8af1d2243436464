//! The outbox, read: by position for its readers, and from its beginning for whoever trims it.

use super::super::keys::{self, tag};
use super::super::records::{CursorRecord, EntryRecord, EventRecord, HeadRecord, decode};
use super::super::{Changes, Store, StoreError};
use super::{EventPage, Freed, NOTE, Operation, OutboxState, StoredEvent, Trim};
use crate::protocol::{ConnectionId, EventKind, EventKinds, RemovalReason, event_out};

/// How many records one read looks at, at the most, whether it wants them or not.
const LOOK_AT: usize = 4_096;

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
            position,
            ..EventPage::default()
        };
        if position >= last {
            return Ok(page);
        }
        self.fill(&mut page, last, kinds, limit, max_bytes)?;
        // A trim that came in between has taken some of what was to be read, or parts of it. It is seen here together with what
        // it took, whereas the outbox's state tells of it once it is durable.
        if let Some(value) = self.inner.engine.get(keys::HEAD)? {
            let head: HeadRecord = decode("meta", &value)?;
            let trimmed = head.outbox.trimmed;
            page.overtaken = position < trimmed;
            page.position = page.position.max(trimmed);
            page.events.retain(|event| event.sequence > trimmed);
        }
        Ok(page)
    }

    /// Reads on from the page's position, and leaves out what a trim is taking away.
    fn fill(
        &self,
        page: &mut EventPage,
        last: u64,
        kinds: EventKinds,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(), StoreError> {
        let mut bytes = 0;
        let range = self.entry_of(page.position + 1)?..keys::entry(last + 1);
        for (looked_at, item) in self.inner.engine.range(range).enumerate() {
            let (key, value) = item?;
            let Some(first) = keys::parse_entry(&key) else {
                continue;
            };
            if looked_at >= LOOK_AT {
                return Ok(());
            }
            let entry: EntryRecord = decode("outbox", &value)?;
            let mut body: &[u8] = &[];
            for (sequence, event) in (first..).zip(&entry.events) {
                if !event.body.is_empty() {
                    body = &event.body;
                }
                if sequence <= page.position {
                    continue;
                }
                if page.events.len() >= limit || (bytes >= max_bytes && bytes > 0) {
                    return Ok(());
                }
                if let Some(kind) = EventKind::ALL.get(usize::from(event.kind))
                    && kinds.contains(*kind)
                    && let Some(body) = self.document(*kind, sequence, &entry, event, body)?
                {
                    bytes += body.len();
                    page.events.push(StoredEvent {
                        sequence,
                        kind: *kind,
                        at: entry.at,
                        body,
                    });
                }
                page.position = sequence;
            }
        }
        // Everything has been looked at, numbers that were left out included.
        page.position = last;
        Ok(())
    }

    /// The key of the entry that holds the event of this sequence, or of a later one if there is none.
    fn entry_of(&self, sequence: u64) -> Result<Vec<u8>, StoreError> {
        let key = keys::entry(sequence);
        let before = self.inner.engine.range(vec![tag::OUTBOX]..=key.clone());
        for item in before.rev() {
            let (key, _) = item?;
            // What stands behind an entry are the parts of its documents.
            if keys::parse_entry(&key).is_some() {
                return Ok(key.to_vec());
            }
        }
        Ok(key)
    }

    /// What may go: events from before `before` (Unix time in milliseconds), and the oldest until the rest is no
    /// [larger](OutboxState::is_larger_than) than `max_bytes`. A bounded number of them; call again, after it is committed, while there are any.
    /// With the last event that goes a whole run of lists may go too: up to about 16 records for each KiB of a list.
    ///
    /// # Errors
    /// When the database or a record cannot be read.
    pub fn trim(&self, before: u64, max_bytes: u64) -> Result<Option<Trim>, StoreError> {
        let mut state = self.outbox();
        if state.trimmed >= state.last {
            return Ok(None);
        }
        let mut trim = Trim {
            changes: Changes::new(),
            events: 0,
            early: 0,
        };
        let (mut up_to, mut freed) = (state.trimmed, Freed::default());
        let mut free = |state: &mut OutboxState, more: Freed| {
            state.free(more);
            freed.bytes += more.bytes;
            freed.lists += more.lists;
        };
        let range = keys::entry(state.trimmed + 1)..keys::entry(state.last + 1);
        for item in self.inner.engine.range(range) {
            let (key, value) = item?;
            if let Some(first) = keys::parse_entry(&key) {
                let entry: EntryRecord = decode("outbox", &value)?;
                let is_early = entry.at >= before;
                if (is_early && !state.is_larger_than(max_bytes))
                    || trim.changes.len() >= Changes::AT_ONCE
                {
                    break;
                }
                for run in &entry.ends {
                    let run = keys::run(&entry.channel, run.into_array());
                    for item in self.inner.engine.prefix(run) {
                        let (key, value) = item?;
                        let bytes = (key.len() + value.len()) as u64;
                        free(
                            &mut state,
                            Freed {
                                bytes,
                                lists: bytes,
                            },
                        );
                        trim.changes.remove(key.to_vec());
                    }
                }
                up_to = first + entry.events.len() as u64 - 1;
                let events = entry.events.iter().filter(|event| event.kind != NOTE);
                let events = events.count();
                trim.events += events;
                trim.early += if is_early { events } else { 0 };
            }
            let bytes = (key.len() + value.len()) as u64;
            free(&mut state, Freed { bytes, lists: 0 });
            trim.changes.remove(key.to_vec());
        }
        if up_to == state.trimmed {
            return Ok(None);
        }
        trim.changes.outbox.push(Operation::Trim { up_to, freed });
        Ok(Some(trim))
    }

    /// How many records the outbox has: none when everything in it has been trimmed.
    #[cfg(test)]
    pub(crate) fn outbox_records(&self) -> Result<usize, StoreError> {
        let mut records = 0;
        for tag in [tag::OUTBOX, tag::LIST] {
            for entry in self.inner.engine.prefix(vec![tag]) {
                entry?;
                records += 1;
            }
        }
        Ok(records)
    }

    /// Where a webhook stands; `None` where it is new.
    ///
    /// # Errors
    /// When the database or the record cannot be read.
    pub fn cursor(&self, webhook: &str) -> Result<Option<CursorRecord>, StoreError> {
        let value = self.inner.engine.get(&keys::cursor(webhook))?;
        value.map(|value| decode("cursor", &value)).transpose()
    }

    /// The webhooks that stand somewhere.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn cursors(&self) -> Result<Vec<String>, StoreError> {
        let entries = self.inner.engine.prefix(vec![tag::CURSOR]);
        entries
            .map(|entry| {
                let name = entry?.0.get(1..).unwrap_or_default().to_vec();
                Ok(String::from_utf8_lossy(&name).into_owned())
            })
            .collect()
    }

    /// The document of an event whose body (its own, or that of the one before) is `body`; `None` if some of it is no
    /// more.
    fn document(
        &self,
        kind: EventKind,
        sequence: u64,
        entry: &EntryRecord,
        event: &EventRecord,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let channel = &entry.channel;
        if let Some(at) = &event.list {
            let reason = at.reason.as_deref().and_then(RemovalReason::from_name);
            let list = self.inner.list(channel, at)?;
            return Ok(list.map(|list| event_out::member(kind, channel, reason, body, &list.text)));
        }
        if let Some(connection) = &event.connection {
            let connection = ConnectionId::from_bytes(connection.into_array()).to_string();
            return Ok(Some(event_out::subscription(
                kind,
                channel,
                &connection,
                body,
            )));
        }
        if kind == EventKind::ChannelUpdated {
            return Ok(Some(event_out::channel(channel, event.count)));
        }
        let mut document = event.body.to_vec();
        for part in 1..=event.parts {
            match self.inner.engine.get(&keys::event_part(sequence, part))? {
                Some(bytes) => document.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
        Ok(Some(document))
    }
}
