//! Both engines against a map, and what the one in memory does to what is written to it.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;
use rustix::io::Errno;

use super::memory::{Fault, Memory};
use super::sled::Sled;
use super::*;

type Entry = (Vec<u8>, Vec<u8>);

fn batch(entries: &[(&str, Option<&str>)]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in entries {
        match value {
            Some(value) => batch.put(key.as_bytes().to_vec(), value.as_bytes().to_vec()),
            None => batch.remove(key.as_bytes().to_vec()),
        }
    }
    batch
}

fn collected(scan: impl Iterator<Item = Result<(Bytes, Bytes), StoreError>>) -> Vec<Entry> {
    let entries = scan.map(|entry| entry.unwrap());
    entries
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Keys with bytes in which the ends of ranges and prefixes are easily wrong.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(0u8),
        Just(1),
        Just(b'a'),
        Just(b'b'),
        Just(254),
        Just(255)
    ];
    prop::collection::vec(byte, 0..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

type Steps = Vec<(
    Vec<(Vec<u8>, Option<u8>)>,
    (Bound<Vec<u8>>, Bound<Vec<u8>>),
    Vec<u8>,
)>;

fn steps() -> impl Strategy<Value = Steps> {
    let entries = prop::collection::vec((key(), prop::option::of(any::<u8>())), 0..8);
    prop::collection::vec((entries, (bound(), bound()), key()), 1..12)
}

fn is_within(key: &[u8], from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> bool {
    let begins = match from {
        Bound::Included(from) => key >= from.as_slice(),
        Bound::Excluded(from) => key > from.as_slice(),
        Bound::Unbounded => true,
    };
    let ends = match to {
        Bound::Included(to) => key <= to.as_slice(),
        Bound::Excluded(to) => key < to.as_slice(),
        Bound::Unbounded => true,
    };
    begins && ends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_engine_is_an_ordered_map(steps in steps()) {
        let config = ::sled::Config::new().temporary(true).flush_every_ms(None);
        let sled: Box<dyn Engine> = Box::new(Sled::new(config.open().unwrap()).unwrap());
        let memory: Box<dyn Engine> = Box::new(Memory::new());
        for (engine, mut map) in [(sled, BTreeMap::new()), (memory, BTreeMap::new())] {
            let schema = collected(engine.range(..));
            map.extend(schema);
            for (entries, (from, to), prefix) in &steps {
                let mut batch = Batch::default();
                for (key, value) in entries {
                    match value {
                        Some(value) => {
                            batch.put(key.clone(), vec![*value]);
                            map.insert(key.clone(), vec![*value]);
                        }
                        None => {
                            batch.remove(key.clone());
                            map.remove(key);
                        }
                    }
                }
                engine.apply(batch).unwrap();
                let within = map.iter().filter(|(key, _)| is_within(key, from, to));
                let mut expected: Vec<Entry> = within.map(|(k, v)| (k.clone(), v.clone())).collect();
                let range = || engine.range((from.clone(), to.clone()));
                prop_assert_eq!(collected(range()), expected.clone());
                // From both ends at once, an entry comes but once.
                let (mut scan, mut ends) = (range(), Vec::new());
                while let Some(first) = scan.next() {
                    ends.push(first);
                    ends.extend(scan.next_back());
                }
                let mut ends = collected(ends.into_iter());
                ends.sort();
                prop_assert_eq!(ends, expected.clone());
                expected.reverse();
                prop_assert_eq!(collected(range().rev()), expected);
                let prefixed = map.iter().filter(|(key, _)| key.starts_with(prefix));
                let prefixed: Vec<Entry> = prefixed.map(|(k, v)| (k.clone(), v.clone())).collect();
                prop_assert_eq!(collected(engine.prefix(prefix.clone())), prefixed);
                let value = engine.get(prefix).unwrap().map(|value| value.to_vec());
                prop_assert_eq!(value.as_ref(), map.get(prefix));
            }
        }
    }
}

/// Which of the keys `a` to `e` are there.
fn keys_of(memory: &Memory) -> String {
    let is_there = |key: &char| memory.get(key.to_string().as_bytes()).unwrap().is_some();
    ('a'..='e').filter(is_there).collect()
}

/// One durable batch, and three that are not.
fn disk() -> Memory {
    let memory = Memory::new();
    memory.apply(batch(&[("a", Some("1"))])).unwrap();
    memory.make_durable(1).unwrap();
    for key in ["b", "c", "d"] {
        memory.apply(batch(&[(key, Some("1"))])).unwrap();
    }
    memory
}

#[test]
fn a_kill_leaves_what_is_applied_and_a_power_cut_a_beginning_of_it() {
    for keep in 0..=4 {
        let memory = disk();
        assert_eq!((keys_of(&memory).as_str(), memory.pending()), ("abcd", 3));
        assert_eq!(keys_of(&memory.durable()), "a");
        // Another handle is of the same disk.
        memory.clone().power_cut(keep);
        assert_eq!(keys_of(&memory), &"abcd"[..=keep.min(3)]);
        assert_eq!(keys_of(&memory.durable()), keys_of(&memory));
        assert_eq!((memory.pending(), memory.noted()), (0, 1));
    }
    let memory = disk();
    memory.kill();
    assert_eq!((keys_of(&memory).as_str(), memory.pending()), ("abcd", 3));
    memory.power_cut(1);
    assert_eq!(keys_of(&memory), "ab");
}

#[test]
fn what_a_disk_refuses_is_not_there_and_what_it_cannot_sync_may_be() {
    let memory = disk();
    memory.fail(Fault::RefuseApply(Errno::NOSPC), 1);
    memory.apply(batch(&[("e", Some("1"))])).unwrap();
    let refused = memory.apply(batch(&[("e", None)])).unwrap_err();
    let refused = super::super::open_error::system_error(&refused).unwrap();
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::NOSPC));
    assert_eq!(keys_of(&memory), "abcde");
    memory.fail(Fault::RefuseSync(Errno::IO), 0);
    let refused = memory.make_durable(2).unwrap_err();
    assert!(matches!(refused, StoreError::Sync(_)), "{refused}");
    assert_eq!(keys_of(&memory.durable()), "a");
    memory.power_cut(2);
    assert_eq!((keys_of(&memory).as_str(), memory.noted()), ("abc", 1));
}

#[test]
fn a_disk_that_lies_is_found_out_by_a_crash_alone() {
    let two = [("d", Some("2")), ("e", Some("2"))];
    for (fault, left) in [(Fault::TornBatch, "ae"), (Fault::LostBatch, "a")] {
        let memory = Memory::new();
        memory.fail(fault, 1);
        memory.apply(batch(&[("a", Some("1"))])).unwrap();
        memory.apply(batch(&two)).unwrap();
        memory.make_durable(2).unwrap();
        assert_eq!(keys_of(&memory), "ade");
        memory.kill();
        assert_eq!(keys_of(&memory), left, "{fault:?}");
    }
}
