//! The outbox against a model of it in memory, and with readers and trims at once; on a real database.

mod overtaken;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{Committer, Durability, Options, Store, keys};
use super::*;
use crate::protocol::{ConnectionId, RemovalReason, event_out};

/// An event, as its readers are to see it; a note of the outbox to itself has no kind.
#[derive(Debug, Clone)]
struct Known {
    sequence: u64,
    kind: Option<EventKind>,
    at: u64,
    body: Vec<u8>,
}

/// What is put into the outbox in one change.
#[derive(Debug, Clone)]
enum Put {
    Document { bytes: usize },
    Subscription { user: u8, kind: EventKind },
    Channel { count: u64 },
    Member { user: u8, run: RunStep },
    EndRun,
}

/// How the list of a member's event is kept.
#[derive(Debug, Clone)]
enum RunStep {
    New(usize),
    Edit { at: usize, cut: usize, put: usize },
}

#[derive(Debug, Clone)]
enum Step {
    /// Changes, each in a channel and so much later than the one before, that go into one commit if they are quick.
    Commit(Vec<(u8, u64, Vec<Put>)>),
    Read {
        position: u64,
        limit: usize,
        max_bytes: usize,
        kinds: u16,
    },
    /// Trims what is from before the last so many milliseconds.
    TrimOld(u64),
    /// Trims to so many percent of the bytes.
    TrimLarge(u64),
    Restart,
}

fn put() -> impl Strategy<Value = Put> {
    let run = prop_oneof![
        1 => (1..9_000usize).prop_map(RunStep::New),
        4 => (any::<usize>(), 0..300usize, 0..300usize)
            .prop_map(|(at, cut, put)| RunStep::Edit { at, cut, put }),
    ];
    prop_oneof![
        2 => prop_oneof![0..2_000usize, 4_000..14_000usize]
            .prop_map(|bytes| Put::Document { bytes }),
        4 => (0..3u8, prop::bool::ANY).prop_map(|(user, joins)| Put::Subscription {
            user,
            kind: if joins { EventKind::Subscribed } else { EventKind::Unsubscribed },
        }),
        4 => any::<u64>().prop_map(|count| Put::Channel { count }),
        4 => (0..3u8, run).prop_map(|(user, run)| Put::Member { user, run }),
        1 => Just(Put::EndRun),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = (
        0..3u8,
        prop_oneof![Just(0), 1..10u64],
        prop::collection::vec(put(), 1..8),
    );
    let limit = prop_oneof![1..4usize, Just(usize::MAX)];
    let max_bytes = prop_oneof![0..3_000usize, Just(usize::MAX)];
    let kinds = prop_oneof![any::<u16>(), Just(u16::MAX)];
    let step = prop_oneof![
        5 => prop::collection::vec(changes, 1..6).prop_map(Step::Commit),
        8 => (any::<u64>(), limit, max_bytes, kinds).prop_map(|(position, limit, max_bytes, kinds)| {
            Step::Read { position, limit, max_bytes, kinds }
        }),
        1 => (0..60u64).prop_map(Step::TrimOld),
        1 => (0..100u64).prop_map(Step::TrimLarge),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// A database, and the committer that is open on it.
struct Room {
    store: Store,
    committer: Committer<()>,
    released: Mutex<mpsc::Receiver<usize>>,
}

impl Room {
    fn open(folder: &Path) -> Self {
        let options = Options {
            folder: folder.to_owned(),
            cache_bytes: 8 << 20,
        };
        Self::on(Store::open(&options).unwrap())
    }

    fn on(store: Store) -> Self {
        let (sender, released) = mpsc::channel();
        let committer = Committer::start(
            &store,
            // In periodic durability a start leaves sequences out.
            Durability::Commit,
            |_| {},
            move |waiting: Vec<()>| {
                let _ = sender.send(waiting.len());
            },
            |error| panic!("{error}"),
        )
        .unwrap();
        Self {
            store,
            committer,
            released: Mutex::new(released),
        }
    }

    fn commit(&self, all: Vec<Changes>) {
        let released = self.released.lock();
        let mut waiting = all.len();
        for changes in all {
            self.committer.submit(changes, ());
        }
        while waiting > 0 {
            waiting -= released.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }

    fn trim(&self, before: u64, max_bytes: u64) {
        while let Some(trim) = self.store.trim(before, max_bytes).unwrap() {
            self.commit(vec![trim.changes]);
        }
    }

    /// What the outbox's records really take, in bytes, and what of that are lists.
    fn bytes(&self) -> [u64; 2] {
        let bytes = |tag| -> u64 {
            let items = self.store.inner.engine.prefix(vec![tag]);
            items
                .map(|item| item.map_or(0, |(key, value)| (key.len() + value.len()) as u64))
                .sum()
        };
        let lists = bytes(keys::tag::LIST);
        [bytes(keys::tag::OUTBOX) + lists, lists]
    }
}

#[derive(Default)]
struct Model {
    events: Vec<Known>,
    last: u64,
    now: u64,
    runs: [Option<(ListAt, Vec<u8>)>; 3],
    /// Makes names and texts that are told apart.
    count: u64,
}

impl Model {
    fn know(&mut self, kind: Option<EventKind>, body: Vec<u8>) {
        self.last += 1;
        self.events.push(Known {
            sequence: self.last,
            kind,
            at: self.now,
            body,
        });
    }

    fn text(&mut self, bytes: usize) -> Vec<u8> {
        self.count += 1;
        let text = format!("{}:", self.count).into_bytes();
        text.into_iter().cycle().take(bytes).collect()
    }

    fn change(&mut self, channel: u8, puts: Vec<Put>) -> Changes {
        let mut changes = Changes::new();
        let at = self.now;
        let name = format!("presence.{channel}");
        let occasion = Occasion { channel: &name, at };
        let who = |user| format!(r#"{{"uid":"user-{user}","umd":null}}"#).into_bytes();
        let connection = ConnectionId::from_bytes([7; 16]);
        for put in puts {
            match put {
                Put::Document { bytes } => {
                    let document = self.text(bytes);
                    let kind = EventKind::MessagePublished;
                    changes.put_document(kind, at, document.clone());
                    self.know(Some(kind), document);
                }
                Put::Subscription { user, kind } => {
                    let who = who(user);
                    let body = event_out::subscription(kind, &name, &connection.to_string(), &who);
                    changes.put_subscription_event(kind, occasion, connection, who);
                    self.know(Some(kind), body);
                }
                Put::Channel { count } => {
                    changes.put_channel_event(occasion, count);
                    let body = event_out::channel(&name, count);
                    self.know(Some(EventKind::ChannelUpdated), body);
                }
                Put::Member { user, run } => {
                    let before = self.runs[usize::from(channel)].take();
                    let (list, ends) = self.step(&name, before, run, &mut changes);
                    let (kind, reason) = match user {
                        0 => (EventKind::MemberAdded, None),
                        _ => (EventKind::MemberRemoved, Some(RemovalReason::Disconnected)),
                    };
                    let who = who(user);
                    let body = event_out::member(kind, &name, reason, &who, &list.1);
                    changes.put_member_event(kind, occasion, reason, who, list.0, &ends);
                    self.runs[usize::from(channel)] = Some(list);
                    self.know(Some(kind), body);
                }
                Put::EndRun => {
                    if let Some((at, _)) = self.runs[usize::from(channel)].take() {
                        changes.end_runs(occasion, &[at.run]);
                        self.know(None, Vec::new());
                    }
                }
            }
        }
        changes
    }

    fn step(
        &mut self,
        channel: &str,
        before: Option<(ListAt, Vec<u8>)>,
        step: RunStep,
        changes: &mut Changes,
    ) -> ((ListAt, Vec<u8>), Vec<RunId>) {
        match (before, step) {
            (Some((mut list, mut text)), RunStep::Edit { at, cut, put }) => {
                let at = at % (text.len() + 1);
                let cut = cut.min(text.len() - at);
                let put = self.text(put);
                list.edits += 1;
                changes.put_run_edit(channel, list, at, cut, &put);
                text.splice(at..at + cut, put);
                ((list, text), Vec::new())
            }
            (before, step) => {
                let bytes = match step {
                    RunStep::New(bytes) => bytes,
                    RunStep::Edit { .. } => 1,
                };
                let text = self.text(bytes);
                let list = ListAt {
                    run: u128::from(self.count).to_be_bytes(),
                    edits: 0,
                };
                changes.put_run(channel, list.run, &text);
                let ends = before.iter().map(|(list, _)| list.run).collect();
                ((list, text), ends)
            }
        }
    }

    fn trimmed(&self) -> u64 {
        self.events.first().map_or(self.last, |e| e.sequence - 1)
    }

    /// What is to be read.
    fn page(&self, position: u64, kinds: EventKinds, limit: usize, max_bytes: usize) -> EventPage {
        let mut page = EventPage {
            position,
            overtaken: position < self.trimmed(),
            ..EventPage::default()
        };
        let mut bytes = 0;
        for known in &self.events {
            if known.sequence <= position {
                continue;
            }
            if page.events.len() >= limit || (bytes >= max_bytes && bytes > 0) {
                return page;
            }
            page.position = known.sequence;
            if let Some(kind) = known.kind
                && kinds.contains(kind)
            {
                bytes += known.body.len();
                page.events.push(StoredEvent {
                    sequence: known.sequence,
                    kind,
                    at: known.at,
                    body: known.body.clone(),
                });
            }
        }
        page.position = page.position.max(self.last);
        page
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    /// Whatever was put, whatever was trimmed, and wherever a reader stands, it reads what it wants of what is left; the
    /// bytes are counted exactly; and when all is trimmed, nothing is left.
    #[test]
    fn it_is_what_a_list_in_memory_would_be(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut room = Room::open(folder.path());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Commit(all) => {
                    let mut changes = Vec::new();
                    for (channel, later, puts) in all {
                        model.now += later;
                        changes.push(model.change(channel, puts));
                    }
                    room.commit(changes);
                }
                Step::Read { position, limit, max_bytes, kinds } => {
                    let position = position % (model.last + 2);
                    let kinds = EventKinds::from_bits(kinds);
                    let page = room.store.events(position, kinds, limit, max_bytes).unwrap();
                    prop_assert_eq!(page, model.page(position, kinds, limit, max_bytes));
                }
                Step::TrimOld(age) => {
                    let before = model.now.saturating_sub(age);
                    room.trim(before, u64::MAX);
                    model.events.retain(|known| known.at >= before);
                }
                Step::TrimLarge(percent) => {
                    let max_bytes = room.store.outbox().bytes * percent / 100;
                    room.trim(0, max_bytes);
                    let state = room.store.outbox();
                    prop_assert!(!state.is_larger_than(max_bytes) || state.trimmed == state.last);
                    model.events.retain(|known| known.sequence > state.trimmed);
                }
                Step::Restart => {
                    room.committer.finish();
                    drop(room);
                    room = Room::open(folder.path());
                }
            }
            let state = room.store.outbox();
            prop_assert_eq!(state.last, model.last);
            prop_assert_eq!(state.trimmed, model.trimmed());
            prop_assert_eq!([state.bytes, state.lists], room.bytes());
        }
        let ends = (0..3).map(|channel| model.change(channel, vec![Put::EndRun])).collect();
        room.commit(ends);
        room.trim(u64::MAX, u64::MAX);
        prop_assert_eq!(room.store.outbox().bytes, 0);
        prop_assert_eq!(room.store.outbox_records().unwrap(), 0);
    }
}

/// Events are read one after the other, or the reader is told that a trim was quicker: none is missing in silence.
#[test]
fn a_reader_that_is_overtaken_by_a_trim_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path());
    let mut overtaken = 0;
    let mut model = Model::default();
    for _ in 0..60 {
        let mut all = Vec::new();
        for n in 0..40 {
            model.now += 1;
            let edit = RunStep::Edit {
                at: n,
                cut: 1,
                put: 1,
            };
            let puts = vec![
                Put::Member { user: 0, run: edit },
                Put::Document { bytes: 6_000 },
            ];
            all.push(model.change(0, puts));
        }
        all.push(model.change(0, vec![Put::EndRun]));
        let position = model.last - 81;
        room.commit(all);
        let store = room.store.clone();
        let last = model.last;
        let reader = std::thread::spawn(move || {
            let (mut position, mut overtaken) = (position, 0);
            while position < last {
                let page = store.events(position, EventKinds::ALL, 5, usize::MAX);
                let page = page.unwrap();
                let sequences = page.events.iter().map(|e| e.sequence);
                // The last one of a round is a note.
                let end = page.position.min(last - 1);
                if page.overtaken {
                    overtaken += 1;
                } else {
                    assert!(sequences.eq(position + 1..=end), "{page:?}");
                }
                position = page.position;
            }
            overtaken
        });
        room.trim(model.now - 10, u64::MAX);
        room.trim(u64::MAX, u64::MAX);
        overtaken += reader.join().unwrap();
    }
    println!("overtaken {overtaken} times");
}
