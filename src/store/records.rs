//! The values of the keyspaces, as MessagePack with named fields.
//!
//! A field may be added if it has a default, and is then unknown to older versions, which ignore it. Anything else is a
//! new schema version.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

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
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_alive: bool,
    /// The client's address.
    #[serde(default)]
    pub source_ip: String,
    /// What the client calls itself.
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
    #[serde(default, skip_serializing_if = "is_false")]
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
}

fn null() -> String {
    "null".to_owned()
}

fn is_null(json: &str) -> bool {
    json == "null"
}

fn is_false(flag: &bool) -> bool {
    !flag
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
                next: 0
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
