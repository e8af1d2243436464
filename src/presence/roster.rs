//! The members of a presence channel: in joining order, serialised, counted.
//!
//! The list is kept as the JSON that goes into frames and is edited in place: a join costs what the joiner's own entry
//! costs, and a frame that carries the list costs one copy of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::protocol::{ConnectionId, Json, frame::member_json};

/// One member and the subscriptions that make it one.
#[derive(Debug)]
pub(super) struct Member {
    /// The sequence at which it joined: its place in the list.
    pub(super) joined: u64,
    /// The connections of its subscriptions, live and absent; never empty.
    pub(super) connections: Vec<ConnectionId>,
    /// The bytes of its entry in the list.
    len: usize,
}

/// The members of one presence channel.
#[derive(Debug)]
pub struct Roster {
    /// In joining order.
    members: Vec<Member>,
    /// Each member's `joined`, which finds it in `members` by binary search.
    by_uid: HashMap<Arc<str>, u64>,
    /// `[{"uid":…,"umd":…},…]`
    list: Vec<u8>,
    /// The sum of the entries' bytes, without brackets and commas (section 4, capacity).
    bytes: u64,
    last_edit: Edit,
    edits: u64,
}

/// One change of the list's text: `cut` bytes at `at` made way for `put` others. Edits applied one after the other
/// rebuild a list exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edit {
    /// Where, in bytes.
    pub at: usize,
    /// How many bytes are gone from there.
    pub cut: usize,
    /// How many are there instead.
    pub put: usize,
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            by_uid: HashMap::new(),
            list: b"[]".to_vec(),
            bytes: 0,
            last_edit: Edit::default(),
            edits: 0,
        }
    }
}

impl Roster {
    /// The list as JSON.
    pub fn list(&self) -> &[u8] {
        &self.list
    }

    /// The sum over the members of the bytes of `{"uid":…,"umd":…}`.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often the list's text has changed.
    pub(super) fn edits(&self) -> u64 {
        self.edits
    }

    /// How it changed last, and what has been put there.
    pub(super) fn last_edit(&self) -> (Edit, &[u8]) {
        let Edit { at, put, .. } = self.last_edit;
        let put = self.list.get(at..at + put).unwrap_or_default();
        (self.last_edit, put)
    }

    /// How many members there are, absent ones included.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member's entry as it stands in the list.
    pub fn entry(&self, uid: &str) -> Option<&[u8]> {
        let index = self.index(uid)?;
        self.list.get(self.range(index))
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Member> {
        self.members.get(self.index(uid)?)
    }

    pub(super) fn get_mut(&mut self, uid: &str) -> Option<&mut Member> {
        let index = self.index(uid)?;
        self.members.get_mut(index)
    }

    /// Adds a member at the place that `joined` gives it (the end, for everyone but the members known before a start).
    pub(super) fn insert(&mut self, uid: Arc<str>, joined: u64, umd: &Json, first: ConnectionId) {
        let entry = member_json(&uid, umd);
        let index = self.members.partition_point(|m| m.joined < joined);
        let at = self.offset(index);
        if self.members.is_empty() {
            self.edit(at..at, &[&entry]);
        } else if index == self.members.len() {
            // Behind the last entry: the comma goes in front. `at` points past where that comma goes.
            self.edit(at - 1..at - 1, &[b",", &entry]);
        } else {
            self.edit(at..at, &[&entry, b","]);
        }
        self.bytes += entry.len() as u64;
        self.by_uid.insert(uid, joined);
        self.members.insert(
            index,
            Member {
                joined,
                connections: vec![first],
                len: entry.len(),
            },
        );
    }

    /// Changes what a member shows. Returns its new entry.
    pub(super) fn show(&mut self, uid: &str, umd: &Json) -> Vec<u8> {
        let entry = member_json(uid, umd);
        if let Some(index) = self.index(uid) {
            let range = self.range(index);
            self.bytes = self.bytes - range.len() as u64 + entry.len() as u64;
            if self.list.get(range.clone()) != Some(&entry) {
                self.edit(range, &[&entry]);
            }
            if let Some(member) = self.members.get_mut(index) {
                member.len = entry.len();
            }
        }
        entry
    }

    /// Takes a member out. Returns the entry it had.
    pub(super) fn remove(&mut self, uid: &str) -> Option<Vec<u8>> {
        let index = self.index(uid)?;
        let range = self.range(index);
        let entry = self.list.get(range.clone())?.to_vec();
        // With its entry goes one comma: the one behind it or, for the last, the one before it.
        let with_comma = if index + 1 < self.members.len() {
            range.start..range.end + 1
        } else if index > 0 {
            range.start - 1..range.end
        } else {
            range
        };
        self.edit(with_comma, &[]);
        self.bytes -= entry.len() as u64;
        self.by_uid.remove(uid);
        self.members.remove(index);
        if self.list.capacity() > 4 * self.list.len().max(1024) {
            self.list.shrink_to(2 * self.list.len());
        }
        Some(entry)
    }

    /// What the byte total would be if `uid` (a member or not) showed `umd`.
    pub(super) fn bytes_with(&self, uid: &str, umd: &Json) -> u64 {
        let old = self.get(uid).map_or(0, |member| member.len as u64);
        self.bytes - old + member_json(uid, umd).len() as u64
    }

    fn edit(&mut self, range: Range<usize>, put: &[&[u8]]) {
        self.last_edit = Edit {
            at: range.start,
            cut: range.len(),
            put: put.iter().map(|part| part.len()).sum(),
        };
        self.edits += 1;
        let put = put.iter().flat_map(|part| part.iter().copied());
        self.list.splice(range, put);
    }

    fn index(&self, uid: &str) -> Option<usize> {
        let joined = self.by_uid.get(uid)?;
        self.members.binary_search_by_key(joined, |m| m.joined).ok()
    }

    /// Where entry `index` begins in the list (or, past the last entry, one byte past its end).
    fn offset(&self, index: usize) -> usize {
        // Entries are added up from the nearer end: most changes concern recent members.
        let len = self.members.len();
        if index * 2 > len {
            let behind: usize = self.members.iter().skip(index).map(|m| m.len + 1).sum();
            self.list.len() - behind
        } else {
            let before: usize = self.members.iter().take(index).map(|m| m.len + 1).sum();
            1 + before
        }
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = self.offset(index);
        start..start + self.members.get(index).map_or(0, |m| m.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ConnectionId {
        ConnectionId::from_bytes([n; 16])
    }

    fn text(roster: &Roster) -> &str {
        std::str::from_utf8(roster.list()).unwrap()
    }

    #[test]
    fn entries_come_and_go_at_every_place() {
        let mut roster = Roster::default();
        assert_eq!(text(&roster), "[]");
        let null = Json::null();
        let mut copy = roster.list().to_vec();
        let mut follow = |roster: &Roster| {
            let (edit, put) = roster.last_edit();
            copy.splice(edit.at..edit.at + edit.cut, put.iter().copied());
            assert_eq!(copy, roster.list(), "the edits rebuild the list");
        };
        for (n, uid) in ["a", "b", "c", "d"].into_iter().enumerate() {
            roster.insert(uid.into(), 10 * n as u64, &null, id(n as u8));
            follow(&roster);
        }
        roster.insert("x".into(), 15, &null, id(9));
        follow(&roster);
        let uids = |roster: &Roster| {
            let list: Vec<serde_json::Value> = serde_json::from_slice(roster.list()).unwrap();
            list.iter()
                .map(|m| m["uid"].as_str().unwrap().to_owned())
                .collect::<String>()
        };
        assert_eq!(uids(&roster), "abxcd");
        assert_eq!(roster.bytes(), 5 * r#"{"uid":"a","umd":null}"#.len() as u64);
        roster.show("x", &Json::parse(r#"{"n":1}"#).unwrap());
        follow(&roster);
        assert_eq!(roster.entry("x").unwrap(), br#"{"uid":"x","umd":{"n":1}}"#);
        for (gone, rest) in [
            ("a", "bxcd"),
            ("d", "bxc"),
            ("x", "bc"),
            ("c", "b"),
            ("b", ""),
        ] {
            assert!(roster.remove(gone).is_some());
            follow(&roster);
            assert_eq!(uids(&roster), rest);
        }
        assert_eq!(text(&roster), "[]");
        assert_eq!(roster.bytes(), 0);
        assert!(roster.remove("a").is_none());
    }
}
