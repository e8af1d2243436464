//! What is read from the database: the membership at a start, what has been spent, and what has expired.

use super::records::{ChannelRecord, ConnectionRecord, SubscriptionRecord, decode};
use super::{Changes, Store, StoreError, keys, keys::tag};
use crate::protocol::{ConnectionId, MessageId};

/// The use of a name that can be used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// The message that it made, if it made one.
    pub message: Option<MessageId>,
}

impl Store {
    /// Reads all subscriptions, channel by channel and in order of their sequence, with each channel's stored totals.
    ///
    /// # Errors
    /// When the database or a record of it cannot be read.
    pub fn read_channels(
        &self,
        mut each: impl FnMut(&str, Option<ChannelRecord>, Vec<(u64, SubscriptionRecord)>),
    ) -> Result<(), StoreError> {
        let mut current: Option<(String, Vec<(u64, SubscriptionRecord)>)> = None;
        let mut finish = |current: Option<(String, Vec<_>)>| -> Result<(), StoreError> {
            if let Some((name, subscriptions)) = current {
                each(&name, self.channel(&name)?, subscriptions);
            }
            Ok(())
        };
        for entry in self.inner.engine.prefix(vec![tag::SUBSCRIPTION]) {
            let (key, value) = entry?;
            let Some((channel, sequence)) = keys::parse_subscription(&key) else {
                return Err(StoreError::Record {
                    keyspace: "subscription",
                    detail: "a key names no channel".to_owned(),
                });
            };
            let record = decode("subscription", &value)?;
            match &mut current {
                Some((name, subscriptions)) if name == channel => {
                    subscriptions.push((sequence, record));
                }
                other => {
                    let next = (channel.to_owned(), vec![(sequence, record)]);
                    finish(other.replace(next))?;
                }
            }
        }
        finish(current)
    }

    /// The names of channels that have totals stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn channel_names(&self) -> Result<Vec<String>, StoreError> {
        let entries = self.inner.engine.prefix(vec![tag::CHANNEL]);
        entries
            .map(|entry| {
                let name = entry?.0.get(1..).unwrap_or_default().to_vec();
                Ok(String::from_utf8_lossy(&name).into_owned())
            })
            .collect()
    }

    /// The ids of all stored connections.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn connection_ids(&self) -> Result<Vec<ConnectionId>, StoreError> {
        let mut ids = Vec::new();
        for entry in self.inner.engine.prefix(vec![tag::CONNECTION]) {
            if let Some(id) = entry?.0.get(1..).and_then(|id| id.try_into().ok()) {
                ids.push(ConnectionId::from_bytes(id));
            }
        }
        Ok(ids)
    }

    /// A connection.
    ///
    /// # Errors
    /// When the database or the record cannot be read.
    pub fn connection(&self, id: ConnectionId) -> Result<Option<ConnectionRecord>, StoreError> {
        let value = self.inner.engine.get(&keys::connection(id))?;
        value.map(|value| decode("connection", &value)).transpose()
    }

    /// Whether a name has been used, and not so long ago that it may be used again at `now` (Unix time in seconds); as far
    /// as commits have been applied.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn spent(&self, name: &[u8], now: u64) -> Result<Option<Spent>, StoreError> {
        let value = self.inner.engine.get(&keys::spent(name))?;
        Ok(value.and_then(|value| {
            let (until, message) = value.split_first_chunk()?;
            let message = message.try_into().ok().map(MessageId::from_bytes);
            (u64::from_be_bytes(*until) > now).then_some(Spent { message })
        }))
    }

    /// What has expired by `now` (Unix time in seconds), to be removed: a bounded number of entries; call again while
    /// there are any.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn expired(&self, now: u64) -> Result<Changes, StoreError> {
        let mut changes = Changes::new();
        let due = keys::expiry(0, &[])..keys::expiry(now.saturating_add(1), &[]);
        for entry in self.inner.engine.range(due) {
            if changes.len() >= Changes::AT_ONCE {
                break;
            }
            let (entry, _) = entry?;
            let Some((_, key)) = keys::parse_expiry(&entry) else {
                continue;
            };
            match key.first() {
                Some(&tag::MESSAGE) if !self.expire_message(key, &mut changes)? => continue,
                Some(&tag::MESSAGE) => changes.remove(key.to_vec()),
                // It may have been used again since: then it goes at its later time.
                Some(&tag::SPENT) if !self.is_used_again(key, now)? => {
                    changes.remove(key.to_vec());
                }
                // Of a later version, which knows what belongs to it.
                _ => {}
            }
            changes.remove(entry.to_vec());
        }
        Ok(changes)
    }

    /// Whether the record of a use lasts longer than until `now`.
    fn is_used_again(&self, key: &[u8], now: u64) -> Result<bool, StoreError> {
        let value = self.inner.engine.get(key)?;
        Ok(value.is_some_and(|value| {
            value
                .split_first_chunk()
                .is_some_and(|(until, _)| u64::from_be_bytes(*until) > now)
        }))
    }

    fn channel(&self, name: &str) -> Result<Option<ChannelRecord>, StoreError> {
        let value = self.inner.engine.get(&keys::channel(name))?;
        value.map(|value| decode("channel", &value)).transpose()
    }
}
