//! How large a record may be.
//!
//! sled writes a page of its tree in one piece. One that takes more than a quarter of a segment it writes to a file of its
//! own under `blobs/`, which it never syncs: what is in it does not survive a power cut. So no page may get that large,
//! whatever the records in it are, and this is the arithmetic (of sled 0.34.7: `should_split` and `should_merge` in its
//! `node.rs`, `reserve_inner` in `pagecache/logger.rs`).
//!
//! A page of records is split when it is next visited with more than 16 in it; so it is written with 17. One that has 3 is
//! merged into the one before it, which may have 17. A page of keys (the ends of pages below it) is split with more than
//! 256 in it, and merged with fewer than 64. Of a key that ends a page of records sled leaves out what does not tell it from
//! the one before, and of all keys in a page what they begin with alike, up to 255 bytes; neither is certain to save
//! anything. A page also has its own two ends.
//!
//! What is not bounded by the protocol is cut into parts (the data of a message, an event out, a member list). What is left
//! are the limits of section 15: [`Limits::MOST`](crate::protocol::Limits::MOST) has been chosen for this.

/// The size of a segment of the log. A database keeps the one that it was made with: this is part of the format.
pub(super) const SEGMENT_BYTES: usize = 2 << 20;
/// The largest page that is no blob: a quarter of a segment, without the segment's own header.
const PAGE_BYTES: usize = SEGMENT_BYTES / 4 - 20;
/// What a page has besides its entries and ends: its own header and that of the message in the log (at most 32 bytes).
const PAGE_OVERHEAD: usize = 128;
/// What an entry has besides its key and value: their lengths, or the length and a page's number.
const ENTRY_OVERHEAD: usize = 12;
/// The most records in a page.
const RECORDS: usize = 17 + 3;
/// The most keys in a page.
const KEYS: usize = 257 + 63;

/// The longest key of a record, in bytes.
pub(super) const KEY_BYTES: usize = 1_600;
/// The largest record, key and value together, in bytes.
pub(super) const RECORD_BYTES: usize = 26_000;
/// The size of the parts that long data is cut into, in bytes.
pub(super) const PART: usize = 4_096;

const fn page(entries: usize, entry_bytes: usize) -> usize {
    entries * (entry_bytes + ENTRY_OVERHEAD) + 2 * (KEY_BYTES + ENTRY_OVERHEAD) + PAGE_OVERHEAD
}

const _: () = assert!(page(KEYS, KEY_BYTES) <= PAGE_BYTES);
const _: () = assert!(page(RECORDS, RECORD_BYTES) <= PAGE_BYTES);
const _: () = assert!(KEY_BYTES + PART <= RECORD_BYTES);

/// Sees to it in debug builds, and so in every test, that a record is not too large.
pub(super) fn check(key: &[u8], value: &[u8]) {
    debug_assert!(
        key.len() <= KEY_BYTES && key.len() + value.len() <= RECORD_BYTES,
        "a key of {} bytes and a value of {} are too large for a page",
        key.len(),
        value.len()
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_bytes::{ByteArray, ByteBuf};

    use super::super::*;
    use super::*;
    use crate::protocol::{ConnectionId, EventKind, Limits, MessageId, RemovalReason};

    const MOST: Limits = Limits::MOST;

    /// A text of so many characters, as long as characters can be, that is followed by others of its kind.
    fn long(characters: usize, n: u64) -> String {
        let digits = format!("{n:06}");
        "\u{10ffff}".repeat(characters - digits.len()) + &digits
    }

    fn umd() -> String {
        format!("\"{}\"", "x".repeat(MOST.umd_bytes - 2))
    }

    /// A uid that takes six bytes a character as JSON.
    fn entry(n: u64) -> Vec<u8> {
        let uid = "\u{1}".repeat(MOST.uid_characters - 6) + &format!("{n:06}");
        let umd = crate::protocol::Json::parse(&umd()).unwrap();
        crate::protocol::frame::member_json(&uid, &umd)
    }

    /// As much as there can be of every kind of record, for the `n`th of them.
    fn everything(n: u64, channel: &str) -> Changes {
        let mut changes = Changes::new();
        let connection = ConnectionId::from_bytes(u128::from(n).to_be_bytes());
        let message = MessageId::from_parts(1_700_000_000_000 + n, 0);
        let uid = long(MOST.uid_characters, n);
        changes.put_connection(
            connection,
            &ConnectionRecord {
                boot: ByteArray::new([7; 16]),
                uid: Some(uid.clone()),
                umd: umd(),
                connected_at: u64::MAX,
                keep_alive: true,
                source_ip: "x".repeat(45),
                user_agent: Some("x".repeat(1_024)),
            },
        );
        changes.put_subscription(
            channel,
            n,
            &SubscriptionRecord {
                connection: ByteArray::new([7; 16]),
                joined: u64::MAX,
                stamp: u64::MAX,
                uid: Some(uid.clone()),
                umd: umd(),
                alias: Some(long(256, n)),
                uncounted: true,
            },
        );
        changes.put_message(
            channel,
            message,
            MessageRecord {
                event: long(128, n),
                data: ByteBuf::from(vec![b'x'; 2 * PART + 1]),
                parts: 0,
                has_meta: true,
                uid: Some(uid.clone()),
                umd: umd(),
                expires_at: u64::MAX,
            },
        );
        let reaction = ReactionRecord {
            id: ByteArray::new([7; 16]),
            umd: umd(),
            uid: None,
            origin: Some(OriginRecord {
                request: ByteArray::new([7; 16]),
                trigger: "client.websocket".to_owned(),
                connection_id: Some("x".repeat(22)),
                source_ip: Some("x".repeat(45)),
                user_agent: Some("x".repeat(1_024)),
            }),
        };
        // The longest uid, which stands in the record, and the longest that stands in the key.
        for uid in [uid, format!("{n:0448}")] {
            changes.put_reaction(channel, message, &"x".repeat(100), &uid, &reaction);
        }
        changes.spend(format!("subscribe\0{}", long(256, n)).as_bytes(), u64::MAX);
        let occasion = Occasion {
            channel,
            at: u64::MAX,
        };
        let list = ListAt {
            run: [7; 16],
            edits: u32::try_from(n).unwrap() + 1,
        };
        let who = entry(n);
        let by = Some(RemovalReason::Disconnected);
        let ends = [[7; 16], [8; 16]];
        changes.put_subscription_event(EventKind::Unsubscribed, occasion, connection, who.clone());
        changes.put_member_event(
            EventKind::MemberRemoved,
            occasion,
            by,
            who.clone(),
            list,
            &ends,
        );
        changes.put_channel_event(occasion, u64::MAX);
        changes.put_document(EventKind::Connected, u64::MAX, vec![b'x'; 2 * PART + 1]);
        changes.put_run_edit(
            channel,
            list,
            usize::MAX,
            usize::MAX,
            &[&who[..], b","].concat(),
        );
        changes
    }

    fn blobs(folder: &Path) -> usize {
        fs::read_dir(folder.join("db/blobs")).map_or(0, Iterator::count)
    }

    fn with_store(act: impl FnOnce(&Path, &Store, &Committer<()>)) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Options {
            folder: folder.path().to_owned(),
            cache_bytes: 8 << 20,
        })
        .unwrap();
        let committer = Committer::start(
            &store,
            Durability::Periodic,
            |_| {},
            |_| {},
            |error| panic!("{error}"),
        )
        .unwrap();
        act(folder.path(), &store, &committer);
    }

    #[test]
    fn the_largest_records_of_every_kind_fit_their_pages() {
        with_store(|folder, store, committer| {
            for n in 0..60 {
                committer.submit(everything(n, &long(256, 0)), ());
            }
            committer.finish();
            let mut largest = (0, 0);
            for item in store.inner.engine.range(..) {
                let (key, value) = item.unwrap();
                largest.0 = largest.0.max(key.len());
                largest.1 = largest.1.max(key.len() + value.len());
                assert!(key.len() <= KEY_BYTES, "{} {key:?}", key.len());
                let bytes = key.len() + value.len();
                assert!(bytes <= RECORD_BYTES, "{bytes} {:?}", &key[..20]);
            }
            // They are what the bounds are there for.
            assert!(largest.0 > KEY_BYTES - 100, "{largest:?}");
            assert!(largest.1 > RECORD_BYTES - 3_000, "{largest:?}");
            assert_eq!(blobs(folder), 0);
        });
    }

    /// The worst that keys can be to sled: nothing that they begin with is alike in a page of keys, and at the end of a page of
    /// records all of a key is needed to tell it from the one before. In ascending order a page of records is split behind
    /// its ninth, so that is in the midst of a channel's.
    #[test]
    fn the_longest_keys_fit_their_pages_however_they_come_and_go() {
        const CHANNELS: u32 = 1_000;
        const PER_CHANNEL: u8 = 9;
        let message = MessageId::from_parts(1_700_000_000_000, 0);
        let channel = |n: u32| {
            let first = char::from_u32(0x1_0000 + n).unwrap();
            format!("{first}{}", "\u{10ffff}".repeat(255))
        };
        // Not shortened in a key; they differ in their last byte.
        let uid = |n: u8| format!("{}{}", "x".repeat(447), char::from(b'a' + n));
        let reaction = "x".repeat(100);
        let record = ReactionRecord {
            id: ByteArray::new([7; 16]),
            umd: "null".to_owned(),
            uid: None,
            origin: None,
        };
        with_store(|folder, store, committer| {
            let put = |channels: &mut dyn Iterator<Item = u32>, uids: std::ops::Range<u8>| {
                for n in channels {
                    let mut changes = Changes::new();
                    for m in uids.clone() {
                        changes.put_reaction(&channel(n), message, &reaction, &uid(m), &record);
                    }
                    committer.submit(changes, ());
                }
            };
            put(&mut (0..1), 0..PER_CHANNEL / 2);
            put(&mut (1..CHANNELS), 0..PER_CHANNEL);
            // Half as many pages again, in the midst of pages of keys that have room.
            put(&mut (1..CHANNELS), PER_CHANNEL..2 * PER_CHANNEL);
            // Pages of keys that are nearly empty are merged into fuller ones.
            for n in (0..CHANNELS).filter(|n| n % 200 > 60) {
                let mut changes = Changes::new();
                for m in 0..2 * PER_CHANNEL {
                    changes.remove_reaction(&channel(n), message, &reaction, &uid(m));
                }
                committer.submit(changes, ());
            }
            committer.finish();
            let longest = store
                .inner
                .engine
                .range(..)
                .map(|item| item.unwrap().0.len());
            assert!(longest.max().unwrap() > KEY_BYTES - 20);
            assert_eq!(blobs(folder), 0);
        });
    }
}
