//! Arbitrary bytes against the readers of the database: records, keys and the log itself.

use std::fs;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteArray, ByteBuf};

use super::keys;
use super::records::{
    EditRecord, EntryRecord, EventRecord, HeadRecord, KeptRecord, ListRecord, OutboxRecord, decode,
    encode,
};
use super::*;
use crate::bytes::Trial;
use crate::protocol::{ConnectionId, MessageId};

/// What MessagePack is made of that is one byte long, names of fields, and lengths that nothing is behind.
const RECORD_WORDS: &[&str] = &[
    "\u{0}",
    "\u{1}",
    "\u{7f}",
    "\u{a3}uid",
    "umd",
    "\u{a3}umd",
    "commit",
    "outbox",
    "events",
    "body",
    "null",
    "{}",
];

fn id() -> MessageId {
    MessageId::from_parts(1_700_000_000_000, 7)
}

fn connection() -> ConnectionRecord {
    ConnectionRecord {
        boot: ByteArray::new([7; 16]),
        uid: Some("Jim".into()),
        umd: r#"{"a":1}"#.into(),
        connected_at: 1_700_000_000_000,
        keep_alive: true,
        source_ip: "192.0.2.1".into(),
        user_agent: Some("agent/1".into()),
    }
}

fn subscription() -> SubscriptionRecord {
    SubscriptionRecord {
        connection: ByteArray::new([9; 16]),
        joined: 1,
        stamp: 300,
        uid: Some("Jim".into()),
        umd: r#"{"a":[1.10,"é"]}"#.into(),
        alias: Some("user".into()),
        uncounted: true,
    }
}

fn channel() -> ChannelRecord {
    ChannelRecord {
        bytes: 70_000,
        subscriptions: 3,
        next: u64::MAX,
        run: Some(ByteArray::new([1; 16])),
    }
}

fn message() -> MessageRecord {
    MessageRecord {
        event: "move".into(),
        data: ByteBuf::from(r#"{"x":1}"#),
        parts: 2,
        has_meta: true,
        uid: Some("Jim".into()),
        umd: "null".into(),
        expires_at: 1_700_000_060,
    }
}

fn reaction() -> ReactionRecord {
    ReactionRecord {
        id: ByteArray::new(id().to_bytes()),
        umd: "[]".into(),
        uid: Some("a long one".into()),
        origin: Some(OriginRecord {
            request: ByteArray::new([3; 16]),
            trigger: "client.http".into(),
            connection_id: Some("WlpaWlpaWlpaWlpaWlpaWg".into()),
            source_ip: None,
            user_agent: Some("agent/1".into()),
        }),
    }
}

fn entry() -> EntryRecord {
    let mut removed = EventRecord::new(7);
    removed.body = ByteBuf::from(r#"{"uid":"Jim","umd":null}"#);
    removed.list = Some(ListRecord {
        run: ByteArray::new([1; 16]),
        edits: 4,
        reason: Some("reconciled".into()),
    });
    let mut left = EventRecord::new(4);
    left.connection = Some(ByteArray::new([9; 16]));
    left.parts = 1;
    left.count = 70_000;
    EntryRecord {
        at: 1_700_000_000_000,
        channel: "presence.a".into(),
        events: vec![removed, left, EventRecord::new(u8::MAX)],
        ends: vec![ByteArray::new([2; 16])],
    }
}

fn edit() -> EditRecord {
    EditRecord {
        at: 1,
        cut: 24,
        put: ByteBuf::from(r#"{"uid":"Pam","umd":null}"#),
    }
}

fn head(commit: u64) -> HeadRecord {
    HeadRecord {
        commit,
        outbox: OutboxRecord {
            id: 0x5f0c_9a31,
            last: 42,
            trimmed: 7,
            bytes: 10_000,
            lists: 5_000,
        },
        periodic: true,
    }
}

/// What a record says when it is read, it says again when it has been written.
fn comes_back<T>(samples: &[T])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    // For a list serde takes what its length says, up to 1 MiB, before it reads the first entry.
    let trial = Trial::of(samples.iter().map(encode), RECORD_WORDS).memory(2 << 20, 64);
    trial.run(|value| {
        let Ok(record) = decode::<T>("it", value) else {
            return false;
        };
        assert_eq!(decode::<T>("it", &encode(&record)).unwrap(), record);
        true
    });
}

#[test]
fn records_of_members() {
    comes_back(&[connection()]);
    comes_back(&[subscription()]);
    comes_back(&[channel()]);
}

#[test]
fn records_of_messages() {
    comes_back(&[message()]);
    comes_back(&[reaction()]);
}

#[test]
fn records_of_the_outbox() {
    comes_back(&[entry()]);
    comes_back(&[edit()]);
    comes_back(&[head(9)]);
    comes_back(&[vec![KeptRecord {
        kind: 3,
        since: 8,
        until: u64::MAX,
    }]]);
    comes_back(&[CursorRecord {
        position: 5,
        gone: Some("https://app.example/hooks".into()),
    }]);
}

/// Keys and their values, one after the other.
fn database() -> Vec<(Vec<u8>, Vec<u8>)> {
    let connection_id = ConnectionId::from_bytes([9; 16]);
    let message_key = keys::message("presence.a", id());
    vec![
        (keys::SCHEMA.to_vec(), encode(&1_u32)),
        (keys::HEAD.to_vec(), encode(&head(9))),
        (keys::ID_LEASE.to_vec(), encode(&7_u64)),
        (keys::connection(connection_id), encode(&connection())),
        (keys::subscription("presence.a", 1), encode(&subscription())),
        (keys::channel("presence.a"), encode(&channel())),
        (message_key.clone(), encode(&message())),
        (keys::message_part("presence.a", id(), 1), b"more".to_vec()),
        (
            keys::reaction("presence.a", id(), "up", "Jim"),
            encode(&reaction()),
        ),
        (
            keys::reaction("presence.a", id(), "up", &"J".repeat(500)),
            encode(&reaction()),
        ),
        (keys::entry(1), encode(&entry())),
        (keys::event_part(1, 2), b"more".to_vec()),
        (keys::run_edit("presence.a", [1; 16], 3), encode(&edit())),
        (keys::run_base("presence.a", [1; 16], 0), b"[]".to_vec()),
        (
            keys::cursor("app"),
            encode(&CursorRecord {
                position: 5,
                gone: None,
            }),
        ),
        (keys::spent(b"jti"), Vec::new()),
        (keys::expiry(1_700_000_060, &message_key), Vec::new()),
    ]
}

#[test]
fn keys_of_every_keyspace() {
    let all = database().into_iter().map(|(key, _)| key);
    Trial::of(
        all,
        &["\u{0}", "\u{0}\u{0}", "s", "e", "o", "x", "l", "presence.a"],
    )
    .run(|key| {
        if let Some((channel, sequence)) = keys::parse_subscription(key) {
            assert_eq!(keys::subscription(channel, sequence), key);
        }
        if let Some((channel, id)) = keys::parse_message(key) {
            assert_eq!(keys::message(channel, id), key);
        }
        if let Some(sequence) = keys::parse_entry(key) {
            assert_eq!(keys::entry(sequence), key);
        }
        if let Some((at, what)) = keys::parse_expiry(key) {
            assert_eq!(keys::expiry(at, what), key);
        }
        let front = keys::reactions("presence.a", id());
        if let Some((reaction, Some(uid))) =
            key.strip_prefix(&*front).and_then(keys::parse_reaction)
            && !keys::is_too_long(uid)
        {
            assert_eq!(keys::reaction("presence.a", id(), reaction, uid), key);
        }
        let _ = keys::is_run_edit(key);
        true
    });
}

#[test]
fn a_record_and_its_key() {
    // A length stands before the key; whoever damages it damages what is key and what is value.
    let all = database().into_iter().map(|(key, value)| {
        let length = u16::try_from(key.len()).unwrap().to_be_bytes();
        [length.as_slice(), &key, &value].concat()
    });
    Trial::of(all, RECORD_WORDS)
        .memory(2 << 20, 64)
        .run(|bytes| {
            let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
                return false;
            };
            let (key, value) =
                rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
            judge::read(key, value).is_ok()
        });
}

/// Messages of a log: what each says, behind a length of two bytes.
fn messages(commits: &[u64]) -> Vec<u8> {
    let mut all = Vec::new();
    for commit in commits {
        let value = [
            b"padding".as_slice(),
            &encode(&head(*commit)),
            b"\xa6commit",
        ]
        .concat();
        all.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        all.extend_from_slice(&value);
    }
    all
}

/// A segment of these messages, with checksums that are right: damage behind a wrong one is not looked at.
fn segment(mut messages: &[u8]) -> Vec<u8> {
    let mut segment = log::sealed(&[], &[7; 16]);
    while let Some((length, rest)) = messages.split_first_chunk::<2>() {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
        messages = rest;
        // The length as sled writes one of up to 8 bytes.
        let length = (body.len() as u64).to_le_bytes();
        let header = [[1, 255].as_slice(), &length, &[0, 0]].concat();
        segment.extend(log::sealed(body, &header));
        segment.extend_from_slice(body);
    }
    segment
}

#[test]
fn a_log_of_whole_messages() {
    let samples = [messages(&[1]), messages(&[3, 70_000, 5, u64::MAX])];
    assert_eq!(log::last_commit(&segment(&messages(&[3, 9, 5]))), Some(9));
    Trial::of(samples, &["\u{0}", "commit", "outbox", "\u{7f}"])
        .memory(1 << 20, 64)
        .run(|messages| log::last_commit(&segment(messages)).is_some_and(|commit| commit > 0));
}

#[test]
fn a_log_as_it_comes() {
    let folder = tempfile::TempDir::new().unwrap();
    let options = Options {
        folder: folder.path().to_owned(),
        cache_bytes: 8 << 20,
    };
    drop(Store::open(&options).unwrap());
    // All that sled has written of it, and a little of what it has not.
    let log = fs::read(folder.path().join("db/db")).unwrap();
    let written = log.iter().rposition(|byte| *byte != 0).unwrap_or_default();
    let sample = log.get(..written.min(60_000) + 64).unwrap().to_vec();
    Trial::of(
        [sample, segment(&messages(&[1, 2]))],
        &["\u{0}", "\u{1}", "\u{7f}"],
    )
    .run(|bytes| log::last_commit(bytes).is_some());
}

#[test]
fn edits_of_a_list() {
    let far = EditRecord {
        at: u64::MAX,
        cut: 1,
        put: ByteBuf::new(),
    };
    let list = br#"[{"uid":"Jim","umd":null}]"#;
    assert!(!outbox::edited(&mut list.to_vec(), far));
    Trial::of([encode(&edit())], RECORD_WORDS).run(|value| {
        decode::<EditRecord>("list", value)
            .is_ok_and(|edit| outbox::edited(&mut list.to_vec(), edit))
    });
}
