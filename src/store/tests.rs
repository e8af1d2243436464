//! The store with a real database in a temporary folder.

mod opening;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use serde_bytes::ByteArray;

use super::*;
use crate::protocol::{ConnectionId, EventKind, EventKinds, MessageId};
use crate::store::read::Spent;

fn options(folder: &Path) -> Options {
    Options {
        folder: folder.to_owned(),
        cache_bytes: 8 << 20,
    }
}

fn subscription(n: u64) -> SubscriptionRecord {
    SubscriptionRecord {
        connection: ByteArray::new(u128::from(n).to_be_bytes()),
        joined: n,
        stamp: n,
        uid: Some(format!("user-{n}")),
        umd: r#"{"status":"here, and with a little more to say than nothing"}"#.to_owned(),
        alias: None,
        uncounted: false,
    }
}

/// Commits what `fill` writes and closes the database.
fn commit(folder: &Path, fill: impl FnOnce(&Committer<u64>)) -> Vec<u64> {
    let store = Store::open(&options(folder)).unwrap();
    let (sender, released) = mpsc::channel();
    let committer = Committer::start(
        &store,
        Durability::Commit,
        |_| {},
        move |waiting| waiting.into_iter().for_each(|n| sender.send(n).unwrap()),
        |error| panic!("{error}"),
    )
    .unwrap();
    fill(&committer);
    committer.finish();
    released.into_iter().collect()
}

type All = Vec<(String, u64, SubscriptionRecord)>;

fn read(folder: &Path) -> Result<All, Box<dyn std::error::Error>> {
    let store = Store::open(&options(folder))?;
    let mut all = Vec::new();
    store.read_channels(|channel, _, subscriptions| {
        for (sequence, record) in subscriptions {
            all.push((channel.to_owned(), sequence, record));
        }
    })?;
    Ok(all)
}

fn fill(committer: &Committer<u64>, range: std::ops::Range<u64>) {
    for n in range {
        let mut changes = Changes::new();
        changes.put_subscription(&format!("presence.{}", n % 7), n, &subscription(n));
        committer.submit(changes, n);
    }
}

#[test]
fn what_is_released_is_in_the_database_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let released = commit(folder.path(), |committer| {
        fill(committer, 0..500);
        let mut changes = Changes::new();
        changes.remove_subscription("presence.0", 7);
        committer.submit(changes, 500);
    });
    assert_eq!(released, (0..=500).collect::<Vec<_>>());
    let all = read(folder.path()).unwrap();
    assert_eq!(all.len(), 499);
    let mut sorted = all.clone();
    sorted.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    assert_eq!(all, sorted, "channel by channel, by sequence");
    assert!(all.iter().all(|(_, n, record)| *record == subscription(*n)));
}

#[test]
fn periodic_durability_releases_at_once_and_syncs_when_finished() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&options(folder.path())).unwrap();
    let (sender, released) = mpsc::channel();
    let reader = store.clone();
    let committer = Committer::start(
        &store,
        Durability::Periodic,
        |_| {},
        move |_: Vec<u64>| sender.send(reader.is_durable()).unwrap(),
        |error| panic!("{error}"),
    )
    .unwrap();
    // Only the first commit of a start waits for the disk.
    fill(&committer, 0..1);
    assert_eq!(released.recv_timeout(Duration::from_secs(10)), Ok(true));
    fill(&committer, 1..2);
    assert_eq!(released.recv_timeout(Duration::from_secs(10)), Ok(false));
    committer.finish();
    assert!(store.is_durable());
    drop((committer, store));
    assert_eq!(read(folder.path()).unwrap().len(), 2);
}

#[test]
fn a_commit_that_fails_is_the_last_and_nobody_waits_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&options(folder.path())).unwrap();
    let (fail, failed) = mpsc::channel();
    let committer = Committer::start(
        &store,
        Durability::Commit,
        |_| {},
        |_: Vec<mpsc::Sender<()>>| panic!("on purpose"),
        move |error| fail.send(error).unwrap(),
    )
    .unwrap();
    let (waits, waiting) = mpsc::channel();
    for _ in 0..3 {
        committer.submit(Changes::new(), waits.clone());
    }
    let error = failed.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(matches!(error, StoreError::Panicked(_)), "{error}");
    committer.submit(Changes::new(), waits);
    let end = waiting.recv_timeout(Duration::from_secs(10));
    assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
    committer.finish();
}

#[test]
fn a_spent_token_stays_spent_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    commit(folder.path(), |committer| {
        let mut changes = Changes::new();
        changes.spend(b"connect\0one", 100);
        changes.spend(b"connect\0two", 200);
        committer.submit(changes, 0);
    });
    let store = Store::open(&options(folder.path())).unwrap();
    assert!(store.spent(b"connect\0one", 50).unwrap().is_some());
    assert!(store.spent(b"connect\0three", 50).unwrap().is_none());
    assert!(store.expired(99).unwrap().is_empty());
    let due = store.expired(100).unwrap();
    drop(store);
    commit(folder.path(), |committer| committer.submit(due, 0));
    let store = Store::open(&options(folder.path())).unwrap();
    assert!(store.spent(b"connect\0one", 50).unwrap().is_none());
    assert!(store.spent(b"connect\0two", 50).unwrap().is_some());
    assert!(store.expired(150).unwrap().is_empty());
}

#[test]
fn what_is_used_again_is_remembered_for_as_long_as_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let message = MessageId::from_parts(7, 7);
    for until in [100, 400] {
        commit(folder.path(), |committer| {
            let mut changes = Changes::new();
            changes.spend_on(b"deduplication\0one", until, message);
            committer.submit(changes, 0);
        });
    }
    // The sweep of the first use comes late.
    let store = Store::open(&options(folder.path())).unwrap();
    let due = store.expired(150).unwrap();
    assert!(!due.is_empty());
    drop(store);
    commit(folder.path(), |committer| committer.submit(due, 0));
    let store = Store::open(&options(folder.path())).unwrap();
    let name = b"deduplication\0one";
    let spent = Spent {
        message: Some(message),
    };
    assert_eq!(store.spent(name, 150).unwrap(), Some(spent));
    assert_eq!(store.spent(name, 400).unwrap(), None);
    let due = store.expired(400).unwrap();
    assert_eq!(due.len(), 2, "the record and its time");
}

#[test]
fn what_nobody_waits_for_keeps_its_place_and_is_committed_without_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&options(folder.path())).unwrap();
    let (sender, released) = mpsc::channel();
    let committer = Committer::start(
        &store,
        Durability::Commit,
        |_| {},
        move |waiting: Vec<u64>| sender.send(waiting).unwrap(),
        |error| panic!("{error}"),
    )
    .unwrap();
    let mut expected = Vec::new();
    for n in 0..300 {
        let mut changes = Changes::new();
        changes.put_subscription("presence.a", n, &subscription(n));
        match n % 3 {
            0 => committer.submit(changes, n),
            _ => committer.submit_lazily(changes, n),
        }
        expected.push(n);
    }
    let mut all = Vec::new();
    while all.len() < 300 {
        all.extend(released.recv_timeout(Duration::from_secs(10)).unwrap());
    }
    assert_eq!(all, expected);
    // All by itself.
    committer.submit_lazily(Changes::new(), 300);
    let alone = released.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(alone, [300]);
    committer.finish();
}

#[test]
fn a_commit_takes_no_more_records_and_bytes_than_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&options(folder.path())).unwrap();
    let (sender, released) = mpsc::channel();
    let committer = Committer::start(
        &store,
        Durability::Commit,
        |_| {},
        move |waiting: Vec<u64>| sender.send(waiting).unwrap(),
        |error| panic!("{error}"),
    )
    .unwrap();
    let (many, large) = (0..100, 100..200);
    for n in many {
        let mut changes = Changes::new();
        for m in 0..100 {
            changes.put_subscription("presence.a", n * 100 + m, &subscription(n));
        }
        committer.submit_lazily(changes, n);
    }
    for n in large {
        let mut changes = Changes::new();
        let document = vec![b'x'; 100_000];
        changes.put_document(EventKind::MessagePublished, n, document);
        committer.submit_lazily(changes, n);
    }
    // More than a commit should have, by itself.
    let mut changes = Changes::new();
    for m in 0..2_000 {
        changes.remove_subscription("presence.a", m);
    }
    committer.submit_lazily(changes, 200);
    let mut all = Vec::new();
    while all.len() < 201 {
        let commit = released.recv_timeout(Duration::from_secs(10)).unwrap();
        let records: u64 = commit.iter().filter(|n| **n < 100).map(|_| 100).sum();
        let bytes: u64 = commit.iter().filter(|n| **n >= 100).map(|_| 100_000).sum();
        assert!(records <= 800 && bytes <= 1 << 20, "{commit:?}");
        assert!(!commit.contains(&200) || commit.len() == 1, "{commit:?}");
        all.extend(commit);
    }
    assert!(all.into_iter().eq(0..=200));
    committer.finish();
}

#[test]
fn what_is_computed_sees_all_that_came_before_and_nothing_that_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let released = commit(folder.path(), |committer| {
        for n in 0..400 {
            let mut changes = Changes::new();
            changes.put_subscription("presence.a", n, &subscription(n));
            committer.submit(changes, n * 2);
            let remove_all = move |store: &Store| {
                let mut changes = Changes::new();
                store
                    .read_channels(|channel, _, subscriptions| {
                        assert_eq!(subscriptions.len(), 1, "those before are gone");
                        assert_eq!(subscriptions[0].0, n);
                        changes.remove_subscription(channel, n);
                    })
                    .unwrap();
                changes
            };
            committer.submit_computed(remove_all, n * 2 + 1);
        }
    });
    assert_eq!(released, (0..800).collect::<Vec<_>>());
    assert_eq!(read(folder.path()).unwrap(), []);
}

#[test]
fn events_are_read_alike_from_every_position_and_in_any_portion() {
    let folder = tempfile::tempdir().unwrap();
    let connection = ConnectionId::from_bytes([7; 16]);
    let who = |n: u64| format!(r#"{{"uid":"user-{n}","umd":null}}"#).into_bytes();
    commit(folder.path(), |committer| {
        let mut changes = Changes::new();
        changes.keep_events(EventKinds::ALL, 0);
        committer.submit(changes, 0);
        for n in 1..200 {
            let channel = format!("presence.{}", n % 3);
            let occasion = Occasion {
                channel: &channel,
                at: n / 5,
            };
            let mut changes = Changes::new();
            if n % 7 == 0 {
                let document = format!(r#"{{"n":{n},"long":"{}"}}"#, "x".repeat(n as usize * 60));
                changes.put_document(EventKind::MessagePublished, n, document.into_bytes());
            }
            changes.put_subscription_event(EventKind::Subscribed, occasion, connection, who(n));
            let list = ListAt {
                run: u128::from(n).to_be_bytes(),
                edits: 0,
            };
            changes.put_run(&channel, list.run, &[b"[", &who(n)[..], b"]"].concat());
            let kind = EventKind::MemberAdded;
            changes.put_member_event(kind, occasion, None, who(n), list, &[]);
            // Many events at once are more than one entry.
            for count in 0..n {
                changes.put_channel_event(occasion, count);
            }
            committer.submit(changes, n);
        }
    });
    let store = Store::open(&options(folder.path())).unwrap();
    let last = store.last_event();
    let read_all = |kinds, limit, max_bytes| {
        let (mut all, mut position) = (Vec::new(), 0);
        while position < last {
            let page = store.events(position, kinds, limit, max_bytes).unwrap();
            assert!(page.position > position && page.events.len() <= limit);
            all.extend(page.events);
            position = page.position;
        }
        all
    };
    let all = read_all(EventKinds::ALL, usize::MAX, usize::MAX);
    assert!(all.iter().map(|e| e.sequence).eq(1..=last));
    let long = all.iter().find(|e| e.body.starts_with(br#"{"n":196"#));
    assert!(long.unwrap().body.len() > 2 * 4_096);
    for event in &all {
        let document: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        match event.kind {
            EventKind::Subscribed | EventKind::MemberAdded => {
                let uid = document["data"]["uid"].as_str().unwrap();
                assert!(uid.starts_with("user-"), "{document}");
                if event.kind == EventKind::MemberAdded {
                    assert_eq!(document["data"]["members"][0]["uid"], uid);
                }
            }
            EventKind::ChannelUpdated => {
                assert!(document["data"]["subscriptionsCount"].is_u64());
            }
            kind => assert_eq!(kind, EventKind::MessagePublished),
        }
    }
    for (limit, max_bytes) in [(1, usize::MAX), (3, usize::MAX), (1_000, 2_000)] {
        assert_eq!(read_all(EventKinds::ALL, limit, max_bytes), all);
    }
    let members: EventKinds = [EventKind::MemberAdded].into_iter().collect();
    let some = all.iter().filter(|e| e.kind == EventKind::MemberAdded);
    assert!(read_all(members, 2, usize::MAX).iter().eq(some));
}
