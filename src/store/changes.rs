//! What one change writes and removes.

use super::engine::Batch;
use super::outbox::{Operation, OutboxWriter};
use super::records::{ChannelRecord, ConnectionRecord, SubscriptionRecord, encode};
use super::{keys, pages};
use crate::protocol::{ConnectionId, MessageId};

/// The writes of one change: all of them become durable at once, or none does.
#[derive(Debug, Default)]
pub struct Changes {
    records: Batch,
    /// What happens to the outbox.
    pub(super) outbox: Vec<Operation>,
    /// How many bytes of the records are member lists of the outbox.
    pub(super) outbox_lists: u64,
}

impl Changes {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.outbox.is_empty()
    }

    /// How many records one change should have, about. What has more to do makes several changes of it.
    pub const AT_ONCE: usize = 400;

    /// How many records change.
    pub fn len(&self) -> usize {
        self.records.len() + self.outbox.len()
    }

    /// What they take, about, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.records.bytes() + self.outbox.iter().map(Operation::bytes).sum::<usize>()
    }

    /// Writes a connection.
    pub fn put_connection(&mut self, id: ConnectionId, record: &ConnectionRecord) {
        self.put(keys::connection(id), encode(record));
    }

    /// Removes a connection.
    pub fn remove_connection(&mut self, id: ConnectionId) {
        self.remove(keys::connection(id));
    }

    /// Writes a subscription.
    pub fn put_subscription(&mut self, channel: &str, sequence: u64, record: &SubscriptionRecord) {
        self.put(keys::subscription(channel, sequence), encode(record));
    }

    /// Removes a subscription.
    pub fn remove_subscription(&mut self, channel: &str, sequence: u64) {
        self.remove(keys::subscription(channel, sequence));
    }

    /// Writes a channel's totals.
    pub fn put_channel(&mut self, name: &str, record: &ChannelRecord) {
        self.put(keys::channel(name), encode(record));
    }

    /// Removes a channel.
    pub fn remove_channel(&mut self, name: &str) {
        self.remove(keys::channel(name));
    }

    /// Marks a single-use token as spent until it expires (Unix time in seconds).
    pub fn spend(&mut self, token: &[u8], until: u64) {
        self.put_spent(token, until, until.to_be_bytes().to_vec());
    }

    /// The same for what made a message, which is remembered with it.
    pub fn spend_on(&mut self, name: &[u8], until: u64, message: MessageId) {
        let value = [&until.to_be_bytes()[..], &message.to_bytes()].concat();
        self.put_spent(name, until, value);
    }

    fn put_spent(&mut self, name: &[u8], until: u64, value: Vec<u8>) {
        let key = keys::spent(name);
        self.put(keys::expiry(until, &key), Vec::new());
        self.put(key, value);
    }

    /// Adds the writes to a batch, in order.
    pub(super) fn apply_to(self, batch: &mut Batch, outbox: &mut OutboxWriter) {
        batch.append(self.records);
        outbox.apply(self.outbox, self.outbox_lists, batch);
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        pages::check(&key, &value);
        self.records.put(key, value);
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.records.remove(key);
    }
}
