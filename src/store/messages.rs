//! Stored messages and reactions.
//!
//! A message stands under its channel and id, so a page of history is a range. Data over a few KiB is split, so that no page
//! of the database gets too large (`pages`).

use std::ops::Bound;

use serde_bytes::ByteBuf;

use super::pages::PART;
use super::records::{MessageRecord, ReactionRecord, decode, encode};
use super::{Changes, Store, StoreError, keys};
use crate::protocol::MessageId;

/// How long, in seconds, a message that has expired stays in the database. Nobody can read it any more, but whoever was
/// permitted to react to it while it was there may still be on the way to the disk, and must not be left without it.
const LINGER: u64 = 10;

/// A message as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub id: MessageId,
    /// The record, with all of its data.
    pub record: MessageRecord,
}

impl Changes {
    /// Writes a message; it cannot be read any more when it has expired, and goes some seconds later.
    pub fn put_message(&mut self, channel: &str, id: MessageId, mut record: MessageRecord) {
        let key = keys::message(channel, id);
        if record.expires_at > 0 {
            let sweep_at = record.expires_at.saturating_add(LINGER);
            self.put(keys::expiry(sweep_at, &key), Vec::new());
        }
        if record.data.len() > PART {
            let rest = record.data.split_off(PART);
            for (n, part) in rest.chunks(PART).enumerate() {
                record.parts = u16::try_from(n + 1).unwrap_or(u16::MAX);
                self.put(keys::message_part(channel, id, record.parts), part.to_vec());
            }
        }
        self.put(key, encode(&record));
    }

    /// Writes a reaction.
    pub fn put_reaction(
        &mut self,
        channel: &str,
        message: MessageId,
        reaction: &str,
        uid: &str,
        record: &ReactionRecord,
    ) {
        let mut record = record.clone();
        record.uid = keys::is_too_long(uid).then(|| uid.to_owned());
        self.put(
            keys::reaction(channel, message, reaction, uid),
            encode(&record),
        );
    }

    /// Removes a reaction.
    pub fn remove_reaction(
        &mut self,
        channel: &str,
        message: MessageId,
        reaction: &str,
        uid: &str,
    ) {
        self.remove(keys::reaction(channel, message, reaction, uid));
    }

    /// Notes up to which time ids may have been issued (Unix, in milliseconds).
    pub fn put_id_lease(&mut self, lease: u64) {
        self.put(keys::ID_LEASE.to_vec(), encode(&lease));
    }
}

impl Store {
    /// The lease on ids that the run before left; 0 where there was none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn id_lease(&self) -> Result<u64, StoreError> {
        let value = self.inner.engine.get(keys::ID_LEASE)?;
        value.map_or(Ok(0), |value| decode("meta", &value))
    }

    /// A message, if it is there and has not expired by `now` (Unix time in seconds).
    ///
    /// # Errors
    /// When the database or the record cannot be read.
    pub fn message(
        &self,
        channel: &str,
        id: MessageId,
        now: u64,
    ) -> Result<Option<StoredMessage>, StoreError> {
        match self.inner.engine.get(&keys::message(channel, id))? {
            Some(value) => self.assemble(channel, id, &value, now),
            None => Ok(None),
        }
    }

    /// Calls `each` with a channel's messages from `from` up to and not including `to`, as long as it says `true`. It
    /// costs what is read, wherever that is.
    ///
    /// # Errors
    /// When the database or a record cannot be read; and those of `each`.
    pub fn messages(
        &self,
        channel: &str,
        from: MessageId,
        to: Option<MessageId>,
        reverse: bool,
        now: u64,
        mut each: impl FnMut(StoredMessage) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let start = keys::message(channel, from);
        // Without a bound, up to the last possible id; the key after it belongs to another channel.
        let mut end = keys::message(channel, to.unwrap_or(MessageId::MAX));
        if to.is_none() {
            end.push(0);
        }
        if start >= end {
            return Ok(());
        }
        let mut range = self.inner.engine.range(start..end);
        while let Some(entry) = if reverse {
            range.next_back()
        } else {
            range.next()
        } {
            let (key, value) = entry?;
            let Some((_, id)) = keys::parse_message(&key) else {
                return Err(unreadable("a key names no message"));
            };
            // One that has expired stands there until the sweep comes by.
            if let Some(message) = self.assemble(channel, id, &value, now)?
                && !each(message)?
            {
                break;
            }
        }
        Ok(())
    }

    /// This user's reaction, if there is one.
    ///
    /// # Errors
    /// When the database or the record cannot be read.
    pub fn reaction(
        &self,
        channel: &str,
        message: MessageId,
        reaction: &str,
        uid: &str,
    ) -> Result<Option<ReactionRecord>, StoreError> {
        let key = keys::reaction(channel, message, reaction, uid);
        let value = self.inner.engine.get(&key)?;
        value.map(|value| decode("reaction", &value)).transpose()
    }

    /// Calls `each` with the reactions to a message (reaction, uid, and what reads the record), by reaction and uid, after
    /// the one given, as long as it says `true`. Those of one reaction stand together, shorter reactions first, and behind the
    /// others those whose uid is too long for a key, in no order that means anything.
    ///
    /// # Errors
    /// When the database or a record cannot be read; and those of `each`.
    pub fn reactions(
        &self,
        channel: &str,
        message: MessageId,
        after: Option<(&str, &str)>,
        mut each: impl FnMut(
            &str,
            &str,
            &dyn Fn() -> Result<ReactionRecord, StoreError>,
        ) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let prefix = keys::reactions(channel, message);
        let start = match after {
            Some((reaction, uid)) => keys::reaction(channel, message, reaction, uid),
            None => prefix.clone(),
        };
        let range = (Bound::Excluded(start), Bound::Unbounded);
        for entry in self.inner.engine.range(range) {
            let (key, value) = entry?;
            let Some(rest) = key.strip_prefix(prefix.as_slice()) else {
                break;
            };
            let Some((reaction, uid)) = keys::parse_reaction(rest) else {
                return Err(unreadable("a key names no reaction"));
            };
            let record = || decode::<ReactionRecord>("reaction", &value);
            let go_on = match uid {
                Some(uid) => each(reaction, uid, &record)?,
                None => {
                    let uid = record()?.uid;
                    let uid = uid.ok_or_else(|| unreadable("a reaction has no uid"))?;
                    each(reaction, &uid, &record)?
                }
            };
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// What goes with an expired message: its parts, and its reactions as far as one commit may take. Returns whether
    /// that is all, so that the message itself can go.
    pub(super) fn expire_message(
        &self,
        key: &[u8],
        changes: &mut Changes,
    ) -> Result<bool, StoreError> {
        let Some((channel, id)) = keys::parse_message(key) else {
            return Ok(true);
        };
        let mut reactions = self.inner.engine.prefix(keys::reactions(channel, id));
        for reaction in reactions.by_ref().take(Changes::AT_ONCE) {
            changes.remove(reaction?.0.to_vec());
        }
        if reactions.next().is_some() {
            return Ok(false);
        }
        if let Some(value) = self.inner.engine.get(key)? {
            let record: MessageRecord = decode("message", &value)?;
            for part in 1..=record.parts {
                changes.remove(keys::message_part(channel, id, part));
            }
        }
        Ok(true)
    }

    fn assemble(
        &self,
        channel: &str,
        id: MessageId,
        value: &[u8],
        now: u64,
    ) -> Result<Option<StoredMessage>, StoreError> {
        let mut record: MessageRecord = decode("message", value)?;
        if record.expires_at > 0 && record.expires_at <= now {
            return Ok(None);
        }
        let mut data = std::mem::take(&mut record.data).into_vec();
        for part in 1..=record.parts {
            match self
                .inner
                .engine
                .get(&keys::message_part(channel, id, part))?
            {
                Some(bytes) => data.extend_from_slice(&bytes),
                // The sweep that removes an expired message may come in between.
                None => return Ok(None),
            }
        }
        record.data = ByteBuf::from(data);
        Ok(Some(StoredMessage { id, record }))
    }
}

fn unreadable(detail: &str) -> StoreError {
    StoreError::Record {
        keyspace: "message",
        detail: detail.to_owned(),
    }
}
