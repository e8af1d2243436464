//! What a database in memory holds, in neutral words, for the simulation.

use std::collections::BTreeMap;

use super::keys::{self, tag};
use super::records::{ChannelRecord, MessageRecord, ReactionRecord, SubscriptionRecord, decode};
use super::{Memory, Store, StoreError};
use crate::protocol::{ConnectionId, EventKinds, MessageId};

/// What a database holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the keyspaces")]
pub struct Kept {
    pub subscriptions: Vec<KeptSubscription>,
    pub channels: Vec<KeptChannel>,
    pub connections: Vec<String>,
    pub messages: Vec<KeptMessage>,
    pub reactions: Vec<KeptReaction>,
    /// How many single uses are remembered.
    pub spent: usize,
    /// Every event out that is still there, in order.
    pub events: Vec<Posted>,
    /// How many other records there are: member lists, expiry, positions, meta, parts.
    pub other_records: usize,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the record")]
pub struct KeptSubscription {
    pub channel: String,
    pub connection: String,
    pub uid: Option<String>,
    pub umd: String,
    pub counted: bool,
    pub sequence: u64,
}

/// A channel's totals.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the record")]
pub struct KeptChannel {
    pub name: String,
    pub bytes: u64,
    pub subscriptions_count: u64,
}

/// A stored message. 0 is no time: it does not expire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the record")]
pub struct KeptMessage {
    pub channel: String,
    pub id: String,
    pub event: String,
    pub data: String,
    pub expires_at: u64,
}

/// A reaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the record")]
pub struct KeptReaction {
    pub channel: String,
    pub message: String,
    pub reaction: String,
    pub uid: String,
}

/// An event out, as it is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Who took it; empty where nobody has yet.
    pub webhook: String,
    /// Its name: `<outbox>-<sequence>`.
    pub id: String,
    /// The document.
    pub body: String,
}

/// What is on this disk.
///
/// # Panics
/// When it cannot be read: the simulation is to fail then.
#[allow(clippy::expect_used, reason = "a simulation is to fail")]
pub(crate) fn of(disk: &Memory) -> Kept {
    read(disk).expect("the database can be read")
}

fn read(disk: &Memory) -> Result<Kept, StoreError> {
    let mut kept = Kept::default();
    let mut parts: BTreeMap<(String, MessageId), Vec<u8>> = BTreeMap::new();
    for (key, value) in disk.entries() {
        let text = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        match key.first().copied() {
            Some(tag::SUBSCRIPTION) => {
                let (channel, sequence) = keys::parse_subscription(&key).ok_or_else(unnamed)?;
                let record: SubscriptionRecord = decode("subscription", &value)?;
                let connection = ConnectionId::from_bytes(record.connection.into_array());
                kept.subscriptions.push(KeptSubscription {
                    channel: channel.to_owned(),
                    connection: connection.to_string(),
                    uid: record.uid,
                    umd: record.umd,
                    counted: !record.uncounted,
                    sequence,
                });
            }
            Some(tag::CHANNEL) => {
                let record: ChannelRecord = decode("channel", &value)?;
                kept.channels.push(KeptChannel {
                    name: text,
                    bytes: record.bytes,
                    subscriptions_count: record.subscriptions,
                });
            }
            Some(tag::CONNECTION) => {
                let id = key.get(1..).and_then(|id| id.try_into().ok());
                let id = ConnectionId::from_bytes(id.ok_or_else(unnamed)?);
                kept.connections.push(id.to_string());
            }
            Some(tag::MESSAGE) => {
                let (channel, id) = keys::parse_message(&key).ok_or_else(unnamed)?;
                let record: MessageRecord = decode("message", &value)?;
                kept.messages.push(KeptMessage {
                    channel: channel.to_owned(),
                    id: id.to_string(),
                    event: record.event,
                    data: String::from_utf8_lossy(&record.data).into_owned(),
                    expires_at: record.expires_at,
                });
            }
            Some(tag::MESSAGE_PART) => {
                let whole = key.len().checked_sub(2).and_then(|end| key.get(1..end));
                let name = [&[tag::MESSAGE], whole.unwrap_or_default()].concat();
                let (channel, id) = keys::parse_message(&name).ok_or_else(unnamed)?;
                let part = parts.entry((channel.to_owned(), id)).or_default();
                part.extend_from_slice(&value);
                kept.other_records += 1;
            }
            Some(tag::REACTION) => kept.reactions.push(reaction(&key, &value)?),
            Some(tag::SPENT) => kept.spent += 1,
            Some(tag::OUTBOX) => {}
            _ => kept.other_records += 1,
        }
    }
    for message in &mut kept.messages {
        let id = message.id.parse().map_err(|_| unnamed())?;
        if let Some(rest) = parts.get(&(message.channel.clone(), id)) {
            message.data.push_str(&String::from_utf8_lossy(rest));
        }
    }
    kept.events = events(disk)?;
    Ok(kept)
}

fn reaction(key: &[u8], value: &[u8]) -> Result<KeptReaction, StoreError> {
    let record: ReactionRecord = decode("reaction", value)?;
    let end = key.iter().position(|byte| *byte == 0).ok_or_else(unnamed)?;
    let name = key.get(..end + 17).ok_or_else(unnamed)?;
    let as_message = [&[tag::MESSAGE], name.get(1..).unwrap_or_default()].concat();
    let (channel, message) = keys::parse_message(&as_message).ok_or_else(unnamed)?;
    let rest = key.get(end + 17..).unwrap_or_default();
    let (reaction, uid) = keys::parse_reaction(rest).ok_or_else(unnamed)?;
    Ok(KeptReaction {
        channel: channel.to_owned(),
        message: message.to_string(),
        reaction: reaction.to_owned(),
        uid: uid.map(str::to_owned).or(record.uid).unwrap_or_default(),
    })
}

fn events(disk: &Memory) -> Result<Vec<Posted>, StoreError> {
    let store = Store::of_memory(disk.clone()).map_err(|detail| StoreError::Record {
        keyspace: "meta",
        detail,
    })?;
    let state = store.outbox();
    let (mut position, mut events) = (state.trimmed, Vec::new());
    loop {
        let page = store.events(position, EventKinds::ALL, usize::MAX, usize::MAX)?;
        for event in page.events {
            events.push(Posted {
                webhook: String::new(),
                id: format!("{:08x}-{}", state.id, event.sequence),
                body: String::from_utf8_lossy(&event.body).into_owned(),
            });
        }
        if page.position == position {
            return Ok(events);
        }
        position = page.position;
    }
}

fn unnamed() -> StoreError {
    StoreError::Record {
        keyspace: "?",
        detail: "a key names nothing".to_owned(),
    }
}
