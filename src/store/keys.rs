//! Keys: a tag for the keyspace, then its parts. Channel names hold no control characters, so `\0` ends one.

use aws_lc_rs::digest::{SHA256, digest};

use crate::protocol::{ConnectionId, MessageId};

/// A keyspace's tag: the first byte of all its keys. They are part of the format and never change. `m` is taken by what
/// concerns the database itself.
pub(super) mod tag {
    pub(crate) const CONNECTION: u8 = b'c';
    pub(crate) const SUBSCRIPTION: u8 = b's';
    pub(crate) const CHANNEL: u8 = b'h';
    pub(crate) const MESSAGE: u8 = b'e';
    pub(crate) const MESSAGE_PART: u8 = b'p';
    pub(crate) const REACTION: u8 = b'r';
    pub(crate) const OUTBOX: u8 = b'o';
    pub(crate) const LIST: u8 = b'l';
    pub(crate) const CURSOR: u8 = b'w';
    pub(crate) const SPENT: u8 = b't';
    pub(crate) const EXPIRY: u8 = b'x';
}

pub(super) const SCHEMA: &[u8] = b"mschema";
pub(super) const HEAD: &[u8] = b"mhead";
pub(super) const KEPT: &[u8] = b"mkept";
pub(super) const ID_LEASE: &[u8] = b"mids";

pub(super) fn connection(id: ConnectionId) -> Vec<u8> {
    join(tag::CONNECTION, id.as_bytes(), &[])
}

pub(super) fn channel(name: &str) -> Vec<u8> {
    join(tag::CHANNEL, name.as_bytes(), &[])
}

pub(super) fn subscription(channel: &str, sequence: u64) -> Vec<u8> {
    let mut key = join(tag::SUBSCRIPTION, channel.as_bytes(), &[0]);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The channel and sequence that a subscription's key names.
pub(super) fn parse_subscription(key: &[u8]) -> Option<(&str, u64)> {
    let rest = key.strip_prefix(&[tag::SUBSCRIPTION])?;
    let (rest, sequence) = rest.split_last_chunk::<8>()?;
    let channel = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((channel, u64::from_be_bytes(*sequence)))
}

/// The messages of a channel stand in order of their ids.
pub(super) fn message(channel: &str, id: MessageId) -> Vec<u8> {
    of_message(tag::MESSAGE, channel, id)
}

/// The channel and id that a message's key names.
pub(super) fn parse_message(key: &[u8]) -> Option<(&str, MessageId)> {
    let rest = key.strip_prefix(&[tag::MESSAGE])?;
    let (rest, id) = rest.split_last_chunk::<16>()?;
    let channel = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((channel, MessageId::from_bytes(*id)))
}

/// The parts of a large message.
pub(super) fn message_part(channel: &str, id: MessageId, part: u16) -> Vec<u8> {
    let mut key = of_message(tag::MESSAGE_PART, channel, id);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// All reactions to a message begin with this.
pub(super) fn reactions(channel: &str, id: MessageId) -> Vec<u8> {
    of_message(tag::REACTION, channel, id)
}

/// The longest uid that stands in a key as it is, in bytes; it is part of the format. What comes before it may take 1,143, and
/// all of it no more than `pages` allows.
const PLAIN_UID_BYTES: usize = 448;
/// What comes before the digest of a longer one. No text has this byte.
const DIGEST_MARK: u8 = 0xff;

/// Whether a uid is too long for a key, which then has its digest (SHA-256).
pub(super) fn is_too_long(uid: &str) -> bool {
    uid.len() > PLAIN_UID_BYTES
}

/// One user's reaction. A reaction may hold any character but `#`, so its length (at most 100) comes before it.
pub(super) fn reaction(channel: &str, id: MessageId, reaction: &str, uid: &str) -> Vec<u8> {
    let mut key = reactions(channel, id);
    key.push(u8::try_from(reaction.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(reaction.as_bytes());
    if is_too_long(uid) {
        key.push(DIGEST_MARK);
        key.extend_from_slice(digest(&SHA256, uid.as_bytes()).as_ref());
    } else {
        key.extend_from_slice(uid.as_bytes());
    }
    key
}

/// The reaction and the uid, of what follows [`reactions`] in a key; no uid where only its digest is there.
pub(super) fn parse_reaction(rest: &[u8]) -> Option<(&str, Option<&str>)> {
    let (length, rest) = rest.split_first()?;
    let (reaction, uid) = rest.split_at_checked(usize::from(*length))?;
    let reaction = std::str::from_utf8(reaction).ok()?;
    match uid.first() {
        Some(&DIGEST_MARK) => Some((reaction, None)),
        _ => Some((reaction, Some(std::str::from_utf8(uid).ok()?))),
    }
}

/// Entries of the outbox stand in order of the sequence of their first event.
pub(super) fn entry(sequence: u64) -> Vec<u8> {
    join(tag::OUTBOX, &sequence.to_be_bytes(), &[])
}

/// The parts of a large event stand behind it.
pub(super) fn event_part(sequence: u64, part: u16) -> Vec<u8> {
    join(tag::OUTBOX, &sequence.to_be_bytes(), &part.to_be_bytes())
}

/// The sequence that an entry's key names; `None` for a part's.
pub(super) fn parse_entry(key: &[u8]) -> Option<u64> {
    let sequence = key.strip_prefix(&[tag::OUTBOX])?.try_into().ok()?;
    Some(u64::from_be_bytes(sequence))
}

/// A run of a channel's member lists: all of its records begin with this.
pub(super) fn run(channel: &str, run: [u8; 16]) -> Vec<u8> {
    let mut key = join(tag::LIST, channel.as_bytes(), &[0]);
    key.extend_from_slice(&run);
    key
}

/// What a run begins with, in parts.
pub(super) fn run_base(channel: &str, run: [u8; 16], part: u16) -> Vec<u8> {
    let mut key = run_edit(channel, run, 0);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// An edit of a run, from 1 on; they stand behind its base and in order.
pub(super) fn run_edit(channel: &str, run: [u8; 16], n: u32) -> Vec<u8> {
    let mut key = self::run(channel, run);
    key.extend_from_slice(&n.to_be_bytes());
    key
}

/// Whether a key of a run is that of an edit, and not of a part of its base.
pub(super) fn is_run_edit(key: &[u8]) -> bool {
    let name = key.iter().position(|&byte| byte == 0);
    name.is_some_and(|end| key.len() == end + 1 + 16 + 4)
}

/// Where a webhook stands.
pub(super) fn cursor(webhook: &str) -> Vec<u8> {
    join(tag::CURSOR, webhook.as_bytes(), &[])
}

pub(super) fn spent(name: &[u8]) -> Vec<u8> {
    join(tag::SPENT, name, &[])
}

/// Entries of the expiry keyspace sort by time; what follows is the key to remove then.
pub(super) fn expiry(at: u64, key: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(9 + key.len());
    entry.push(tag::EXPIRY);
    entry.extend_from_slice(&at.to_be_bytes());
    entry.extend_from_slice(key);
    entry
}

/// The time and the key of an expiry entry.
pub(super) fn parse_expiry(entry: &[u8]) -> Option<(u64, &[u8])> {
    let (at, key) = entry
        .strip_prefix(&[tag::EXPIRY])?
        .split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*at), key))
}

fn of_message(tag: u8, channel: &str, id: MessageId) -> Vec<u8> {
    let mut key = join(tag, channel.as_bytes(), &[0]);
    key.extend_from_slice(&id.to_bytes());
    key
}

fn join(tag: u8, name: &[u8], end: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len() + end.len() + 18);
    key.push(tag);
    key.extend_from_slice(name);
    key.extend_from_slice(end);
    key
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_page_on_the_format_has_every_tag_and_no_other() {
        const PAGE: &str = include_str!("FORMAT.md");
        let tags = [
            (b'm', "meta"),
            (tag::CONNECTION, "connection"),
            (tag::SUBSCRIPTION, "subscription"),
            (tag::CHANNEL, "channel"),
            (tag::MESSAGE, "message"),
            (tag::MESSAGE_PART, "message part"),
            (tag::REACTION, "reaction"),
            (tag::OUTBOX, "outbox"),
            (tag::LIST, "list"),
            (tag::CURSOR, "cursor"),
            (tag::SPENT, "spent"),
            (tag::EXPIRY, "expiry"),
        ];
        let row = |(tag, name): (u8, &str)| format!("| `{}` | {name} |", char::from(tag));
        let known: BTreeSet<String> = tags.into_iter().map(row).collect();
        let rows = PAGE
            .lines()
            .filter(|line| line.starts_with("| `") && line.as_bytes().get(4) == Some(&b'`'));
        let told: BTreeSet<String> = rows
            .map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" | ") + " |")
            .collect();
        assert_eq!(told, known);
        for key in [SCHEMA, HEAD, KEPT, ID_LEASE] {
            let name = String::from_utf8_lossy(&key[1..]);
            assert!(PAGE.contains(&format!("| `{name}` |")), "{name}");
        }
    }

    proptest! {
        #[test]
        fn keys_of_a_channel_stand_together_and_in_order(
            a in "[^\\p{Cc}]{1,20}", b in "[^\\p{Cc}]{1,20}", x: u64, y: u64
        ) {
            let (one, two) = (subscription(&a, x), subscription(&b, y));
            prop_assert_eq!(parse_subscription(&one), Some((a.as_str(), x)));
            prop_assert_eq!(one.cmp(&two), (&a, x).cmp(&(&b, y)));
        }

        #[test]
        fn keys_of_messages_and_reactions_come_back(
            channel in "[^\\p{Cc}]{1,20}", bytes: [u8; 16], reaction in "[^#]{1,20}", uid in ".{1,20}"
        ) {
            let id = MessageId::from_bytes(bytes);
            let key = message(&channel, id);
            prop_assert_eq!(parse_message(&key), Some((channel.as_str(), id)));
            let prefix = reactions(&channel, id);
            let key = super::reaction(&channel, id, &reaction, &uid);
            prop_assert_eq!(
                key.strip_prefix(prefix.as_slice()).and_then(parse_reaction),
                Some((reaction.as_str(), Some(uid.as_str())))
            );
            let long = uid.repeat(PLAIN_UID_BYTES + 1);
            let key = super::reaction(&channel, id, &reaction, &long);
            let rest = key.strip_prefix(prefix.as_slice()).unwrap();
            prop_assert_eq!(parse_reaction(rest), Some((reaction.as_str(), None)));
            prop_assert_ne!(super::reaction(&channel, id, &reaction, &(long + "x")), key);
        }

        #[test]
        fn events_stand_in_order_with_their_parts_behind_them(x: u64, y: u64, part: u16) {
            prop_assert_eq!(parse_entry(&entry(x)), Some(x));
            prop_assert_eq!(parse_entry(&event_part(x, part)), None);
            prop_assert!(entry(x) < event_part(x, part));
            prop_assert_eq!(entry(x).cmp(&entry(y)), x.cmp(&y));
            if x < y {
                prop_assert!(event_part(x, part) < entry(y));
            }
        }

        #[test]
        fn a_run_begins_with_its_base(
            channel in "[^\\p{Cc}]{1,20}", id: [u8; 16], part: u16, n in 1..u32::MAX
        ) {
            prop_assert!(run_base(&channel, id, part).starts_with(&run(&channel, id)));
            prop_assert!(is_run_edit(&run_edit(&channel, id, n)));
            prop_assert!(!is_run_edit(&run_base(&channel, id, part)));
            prop_assert!(run_base(&channel, id, part) < run_edit(&channel, id, n));
            prop_assert!(run_edit(&channel, id, n) < run_edit(&channel, id, n + 1));
        }

        #[test]
        fn expiry_entries_sort_by_time(x: u64, y: u64, key: Vec<u8>) {
            let (one, two) = (expiry(x, &key), expiry(y, &key));
            prop_assert_eq!(parse_expiry(&one), Some((x, key.as_slice())));
            prop_assert_eq!(one.cmp(&two), x.cmp(&y));
        }
    }
}
