//! The values of the keyspaces, as MessagePack with named fields.
//!
//! A field may be added if it has a default, and is then unknown to older versions, which ignore it. Anything else is a
//! new schema version.

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use super::StoreError;

/// A connection that has subscriptions, so that the roll call can tell who is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// The start of the server that it belongs to.
    pub boot: ByteArray<16>,
    /// Who, where the token said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Their metadata, as JSON.
    #[serde(default = "null", skip_serializing_if = "is_null")]
    pub umd: String,
    /// When it was made: Unix time in milliseconds.
    #[serde(default)]
    pub connected_at: u64,
    /// Whether the server keeps it alive.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep_alive: bool,
    /// The client's address.
    #[serde(default)]
    pub source_ip: String,
    /// What the client calls itself, or its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// A connection in a channel. The channel and the join sequence are its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRecord {
    /// The connection's id.
    pub connection: ByteArray<16>,
    /// The sequence at which its member joined.
    pub joined: u64,
    /// When it last joined or changed, on the channel's sequence.
    pub stamp: u64,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Their metadata, as JSON.
    #[serde(default = "null", skip_serializing_if = "is_null")]
    pub umd: String,
    /// The alias that the client calls the channel by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Whether it is left out of `subscriptionsCount`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uncounted: bool,
}

/// A channel's totals, written in the same batch as every change of its membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// The members' bytes (presence channels).
    #[serde(default)]
    pub bytes: u64,
    /// Its subscriptions.
    #[serde(default)]
    pub subscriptions: u64,
    /// The next sequence to hand out.
    #[serde(default)]
    pub next: u64,
    /// The run of member lists that its events out are in, if they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<ByteArray<16>>,
}

/// A stored message. The channel and the id are its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Its event.
    pub event: String,
    /// Its data, as JSON; of a large message the beginning.
    pub data: ByteBuf,
    /// How many further parts the data has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parts: u16,
    /// Whether a client sent it: then it has a `meta`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has_meta: bool,
    /// Who sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Their metadata, as JSON.
    #[serde(default = "null", skip_serializing_if = "is_null")]
    pub umd: String,
    /// When it expires: Unix time in seconds, 0 for never.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expires_at: u64,
}

/// A user's reaction to a message. The channel, the message, the reaction and the uid (or its digest) are its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionRecord {
    /// The id of the event that told of it.
    pub id: ByteArray<16>,
    /// The user's metadata then, as JSON.
    #[serde(default = "null", skip_serializing_if = "is_null")]
    pub umd: String,
    /// Their uid, where it is too long for the key. Set as the record is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The request that made it; what tells of its end tells of that. Versions before this field did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginRecord>,
}

/// Whose request something was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRecord {
    /// The request's id.
    pub request: ByteArray<16>,
    /// How it came in, as events out call it.
    pub trigger: String,
    /// The client's connection, where it was a client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// What the program that sent it calls itself, or its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// The events out of one change. The sequence of the first is its key, and the others follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryRecord {
    /// When it happened: Unix time in milliseconds.
    pub(super) at: u64,
    /// The channel, where they are of one and are not documents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) channel: String,
    /// The events.
    pub(super) events: Vec<EventRecord>,
    /// Runs of the channel's lists that nobody needs once these events are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ends: Vec<ByteArray<16>>,
}

/// An event out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventRecord {
    /// Its type, as a place in `EventKind::ALL`; beyond its end, a note of the outbox to itself.
    pub(super) kind: u8,
    /// Of a member's or a subscription's event `{"uid":…,"umd":…}`, or nothing where the event before has the same; of
    /// others the document, or its beginning.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) body: ByteBuf,
    /// How many further parts the document has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) parts: u16,
    /// Of a subscription's event: the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<ByteArray<16>>,
    /// Of a channel's event: its subscriptions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) count: u64,
    /// Of a member's event: where its list is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<ListRecord>,
}

impl EventRecord {
    pub(super) fn new(kind: u8) -> Self {
        Self {
            kind,
            body: ByteBuf::new(),
            parts: 0,
            connection: None,
            count: 0,
            list: None,
        }
    }
}

/// Where the list of a member's event is found: after `edits` edits of a run of its channel's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListRecord {
    /// The run.
    pub(super) run: ByteArray<16>,
    /// How many of its edits.
    pub(super) edits: u32,
    /// Why the member was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// One edit of a member list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EditRecord {
    /// Where, in bytes.
    pub(super) at: u64,
    /// How many bytes go.
    pub(super) cut: u64,
    /// What comes instead.
    pub(super) put: ByteBuf,
}

/// What every commit writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct HeadRecord {
    /// The number of the commit.
    pub(super) commit: u64,
    /// The outbox.
    pub(super) outbox: OutboxRecord,
    /// Whether commits were told before they were on disk.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) periodic: bool,
}

/// The outbox as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct OutboxRecord {
    /// A random number that tells its events from those of another database.
    pub(super) id: u32,
    /// The last sequence given.
    #[serde(default)]
    pub(super) last: u64,
    /// Everything up to this sequence has been trimmed.
    #[serde(default)]
    pub(super) trimmed: u64,
    /// What its records take, in bytes.
    #[serde(default)]
    pub(super) bytes: u64,
    /// What of that are member lists.
    #[serde(default)]
    pub(super) lists: u64,
}

/// A type of events that is kept. All of them are one record, written when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptRecord {
    /// Its place in `EventKind::ALL`.
    pub(super) kind: u8,
    /// From which sequence on all of them are there.
    pub(super) since: u64,
    /// Until when a feed wants them (Unix time in seconds); 0 where only webhooks do.
    pub(super) until: u64,
}

/// Where a webhook stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRecord {
    /// The last event that was dealt with.
    pub position: u64,
    /// The URL that said that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
}

/// Whether a field is what it is read as where it is missing.
fn is_default<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

fn null() -> String {
    "null".to_owned()
}

fn is_null(json: &str) -> bool {
    json == "null"
}

/// Writes a record.
pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    // Invariant: our records hold nothing that MessagePack cannot say, and a Vec takes every write.
    rmp_serde::to_vec_named(record).unwrap_or_default()
}

/// Reads a record of a keyspace.
pub(super) fn decode<'a, T: Deserialize<'a>>(
    keyspace: &'static str,
    value: &'a [u8],
) -> Result<T, StoreError> {
    rmp_serde::from_slice(value).map_err(|error| StoreError::Record {
        keyspace,
        detail: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_ignored_and_a_missing_one_has_a_default() {
        #[derive(Serialize)]
        struct Newer {
            bytes: u64,
            colour: &'static str,
        }
        let value = encode(&Newer {
            bytes: 7,
            colour: "blue",
        });
        let record: ChannelRecord = decode("channel", &value).unwrap();
        assert_eq!(
            record,
            ChannelRecord {
                bytes: 7,
                subscriptions: 0,
                next: 0,
                run: None,
            }
        );
    }

    #[test]
    fn records_come_back_as_they_went() {
        let record = SubscriptionRecord {
            connection: ByteArray::new([7; 16]),
            joined: 1,
            stamp: 2,
            uid: Some("Jim".into()),
            umd: r#"{"a":1}"#.into(),
            alias: None,
            uncounted: false,
        };
        let value = encode(&record);
        assert_eq!(
            decode::<SubscriptionRecord>("subscription", &value).unwrap(),
            record
        );
        assert!(decode::<SubscriptionRecord>("subscription", b"\xc1").is_err());
    }
}
