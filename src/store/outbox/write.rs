//! Events put into the outbox, and the runs of lists that they need.

use serde_bytes::{ByteArray, ByteBuf};

use super::super::pages::PART;
use super::super::records::{
    CursorRecord, EditRecord, EntryRecord, EventRecord, ListRecord, encode,
};
use super::super::{Changes, keys};
use super::{Entry, ListAt, NOTE, Operation, RunId};
use crate::protocol::{ConnectionId, EventKind, EventKinds, RemovalReason};

/// What an event takes besides its body, in bytes, about.
const EVENT_BYTES: usize = 64;

/// Where and when something happened: what the events of one entry have in common.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The channel.
    pub channel: &'a str,
    /// When: Unix time in milliseconds.
    pub at: u64,
}

impl Changes {
    /// Puts an event into the outbox as its document: its type, when it happened (Unix time in milliseconds), the text.
    pub fn put_document(&mut self, kind: EventKind, at: u64, mut document: Vec<u8>) {
        let rest = document.split_off(document.len().min(PART));
        let occasion = Occasion { channel: "", at };
        let mut event = EventRecord::new(kind as u8);
        event.parts = u16::try_from(rest.len().div_ceil(PART)).unwrap_or(u16::MAX);
        self.entry(occasion, document.len(), |entry| {
            event.body = ByteBuf::from(document);
            if !rest.is_empty() {
                entry.rests.push((entry.record.events.len(), rest));
            }
            entry.put(event);
        });
    }

    /// Puts `hotsock.subscribed` or `.unsubscribed` into the outbox. `who` is `{"uid":…,"umd":…}`.
    pub fn put_subscription_event(
        &mut self,
        kind: EventKind,
        occasion: Occasion<'_>,
        connection: ConnectionId,
        who: Vec<u8>,
    ) {
        let mut event = EventRecord::new(kind as u8);
        event.connection = Some(ByteArray::new(*connection.as_bytes()));
        self.entry(occasion, who.len(), |entry| entry.put_with(event, who));
    }

    /// Puts `hotsock.channelUpdated` into the outbox.
    pub fn put_channel_event(&mut self, occasion: Occasion<'_>, subscriptions: u64) {
        let mut event = EventRecord::new(EventKind::ChannelUpdated as u8);
        event.count = subscriptions;
        self.entry(occasion, 0, |entry| entry.put(event));
    }

    /// Puts a member's event into the outbox: `who` is `{"uid":…,"umd":…}`, `list` tells where the list is found, and
    /// the runs `ends` of the channel are not needed any more once this event is gone.
    pub fn put_member_event(
        &mut self,
        kind: EventKind,
        occasion: Occasion<'_>,
        reason: Option<RemovalReason>,
        who: Vec<u8>,
        list: ListAt,
        ends: &[RunId],
    ) {
        let mut event = EventRecord::new(kind as u8);
        event.list = Some(ListRecord {
            run: ByteArray::new(list.run),
            edits: list.edits,
            reason: reason.map(|reason| reason.name().to_owned()),
        });
        self.entry(occasion, who.len(), |entry| {
            entry.put_with(event, who);
            entry.end(ends);
        });
    }

    /// Ends runs without an event: nobody wants to hear of their channel's members any more.
    pub fn end_runs(&mut self, occasion: Occasion<'_>, runs: &[RunId]) {
        if !runs.is_empty() {
            self.entry(occasion, 0, |entry| {
                entry.put(EventRecord::new(NOTE));
                entry.end(runs);
            });
        }
    }

    /// Begins a run with this list.
    pub fn put_run(&mut self, channel: &str, run: RunId, list: &[u8]) {
        for (part, bytes) in (0..).zip(list.chunks(PART)) {
            self.put_list(keys::run_base(channel, run, part), bytes.to_vec());
        }
    }

    /// Notes an edit of a run's list: `cut` bytes at `at` (both in bytes) made way for `put`. `list.edits` counts this
    /// one.
    pub fn put_run_edit(&mut self, channel: &str, list: ListAt, at: usize, cut: usize, put: &[u8]) {
        let record = EditRecord {
            at: at as u64,
            cut: cut as u64,
            put: ByteBuf::from(put),
        };
        self.put_list(
            keys::run_edit(channel, list.run, list.edits),
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

    fn put_list(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.outbox_lists += (key.len() + value.len()) as u64;
        self.put(key, value);
    }

    /// Calls `put` with the entry that an event with `bytes` more bytes goes into: the last one, if it is of the same
    /// occasion and does not get too large.
    fn entry(&mut self, occasion: Occasion<'_>, bytes: usize, put: impl FnOnce(&mut Entry)) {
        let mut entry = match self.outbox.pop() {
            Some(Operation::Put(entry))
                if entry.record.at == occasion.at
                    && entry.record.channel == occasion.channel
                    && entry.bytes + bytes <= PART =>
            {
                entry
            }
            other => {
                self.outbox.extend(other);
                Entry::new(occasion)
            }
        };
        put(&mut entry);
        self.outbox.push(Operation::Put(entry));
    }
}

impl Entry {
    fn new(occasion: Occasion<'_>) -> Self {
        Self {
            record: EntryRecord {
                at: occasion.at,
                channel: occasion.channel.to_owned(),
                events: Vec::with_capacity(3),
                ends: Vec::new(),
            },
            rests: Vec::new(),
            bytes: 0,
        }
    }

    fn put(&mut self, event: EventRecord) {
        self.bytes += event.body.len() + EVENT_BYTES;
        self.record.events.push(event);
    }

    /// The same with a body, which is left out where the event before has the same: a join is told of twice.
    fn put_with(&mut self, mut event: EventRecord, body: Vec<u8>) {
        let before = self.record.events.iter().rfind(|e| !e.body.is_empty());
        if before.is_none_or(|before| *before.body != body) {
            event.body = ByteBuf::from(body);
        }
        self.put(event);
    }

    fn end(&mut self, runs: &[RunId]) {
        self.record
            .ends
            .extend(runs.iter().map(|run| ByteArray::new(*run)));
    }
}
