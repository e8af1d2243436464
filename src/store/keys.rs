//! Keys: a tag for the keyspace, then its parts. Channel names hold no control characters, so `\0` ends one.

use crate::protocol::ConnectionId;

/// A keyspace's tag: the first byte of all its keys. They are part of the format and never change.
pub(super) mod tag {
    pub(crate) const META: u8 = b'm';
    pub(crate) const CONNECTION: u8 = b'c';
    pub(crate) const SUBSCRIPTION: u8 = b's';
    pub(crate) const CHANNEL: u8 = b'h';
    pub(crate) const SPENT: u8 = b't';
    pub(crate) const EXPIRY: u8 = b'x';
}

pub(super) const SCHEMA: &[u8] = b"mschema";
pub(super) const COMMIT: &[u8] = b"mcommit";

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

fn join(tag: u8, name: &[u8], end: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len() + end.len() + 8);
    key.push(tag);
    key.extend_from_slice(name);
    key.extend_from_slice(end);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        fn expiry_entries_sort_by_time(x: u64, y: u64, key: Vec<u8>) {
            let (one, two) = (expiry(x, &key), expiry(y, &key));
            prop_assert_eq!(parse_expiry(&one), Some((x, key.as_slice())));
            prop_assert_eq!(one.cmp(&two), x.cmp(&y));
        }
    }
}
