//! The log against what the lists really were, with a keeper that does what it is told and no more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::presence::{Change, Channel, Join, Subscription};
use crate::protocol::{ConnectionId, Json};

const CONNECTIONS: u8 = 8;

#[derive(Debug, Clone)]
enum Step {
    Join {
        connection: u8,
        uid: u8,
        umd: u8,
    },
    Leave {
        connection: u8,
    },
    Update {
        connection: u8,
        umd: u8,
    },
    EndAbsence {
        connection: u8,
    },
    /// From now on the lists of such changes are wanted: joins, updates, leaves.
    Want([bool; 3]),
    /// The oldest so many changes can be asked for no longer.
    Trim(usize),
    /// What the last so many changes wrote is lost, and everything is read again.
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let connection = 0..CONNECTIONS;
    let umd = 0..4u8;
    prop_oneof![
        12 => (connection.clone(), 0..5u8, umd.clone())
            .prop_map(|(connection, uid, umd)| Step::Join { connection, uid, umd }),
        6 => connection.clone().prop_map(|connection| Step::Leave { connection }),
        12 => (connection.clone(), umd).prop_map(|(connection, umd)| Step::Update { connection, umd }),
        3 => connection.prop_map(|connection| Step::EndAbsence { connection }),
        1 => any::<[bool; 3]>().prop_map(Step::Want),
        1 => Just(Step::Want([true; 3])),
        2 => (0..40usize).prop_map(Step::Trim),
        1 => (0..3usize).prop_map(Step::Crash),
    ]
}

fn id(n: u8) -> ConnectionId {
    ConnectionId::from_bytes([n; 16])
}

fn umd(n: u8) -> Json {
    let text = format!("\"{}\"", "x".repeat(usize::from(n) * 400));
    Json::parse(&text).unwrap()
}

/// A change that was told, or only what ended with it.
#[derive(Debug, Clone)]
struct Told {
    place: Option<Place>,
    list: Vec<u8>,
    ends: Vec<RunId>,
}

/// A run as it is kept: its base, and its edits with what they put.
type KeptRun = (Vec<u8>, Vec<(Edit, Vec<u8>)>);

/// What is kept on disk: the runs, the changes that can be asked for, and the channel.
#[derive(Debug, Clone, Default)]
struct Kept {
    runs: BTreeMap<RunId, KeptRun>,
    told: VecDeque<Told>,
    subscriptions: Vec<Subscription>,
    next: u64,
    run: Option<RunId>,
}

impl Kept {
    fn write(&mut self, entry: Entry<'_>, list: &[u8]) {
        match entry.record {
            Some(Record::Base { run, list }) => {
                let before = self.runs.insert(run, (list.to_vec(), Vec::new()));
                assert!(before.is_none(), "a run is new");
            }
            Some(Record::Edit { place, edit, put }) => {
                let (_, edits) = self.runs.get_mut(&place.run).unwrap();
                edits.push((edit, put.to_vec()));
                assert_eq!(edits.len(), place.edits as usize, "no edit is left out");
            }
            None => {}
        }
        if entry.place.is_some() || !entry.ends.is_empty() {
            self.told.push_back(Told {
                place: entry.place,
                list: list.to_vec(),
                ends: entry.ends,
            });
        }
    }

    fn trim(&mut self, count: usize) {
        for told in self.told.drain(..count.min(self.told.len())) {
            for run in told.ends {
                assert!(self.runs.remove(&run).is_some(), "a run ends once");
            }
        }
    }

    fn list(&self, place: Place) -> Vec<u8> {
        let (base, edits) = self.runs.get(&place.run).expect("the run is there");
        let mut list = base.clone();
        for (edit, put) in edits.get(..place.edits as usize).unwrap() {
            list.splice(edit.at..edit.at + edit.cut, put.iter().copied());
        }
        list
    }
}

/// The server.
struct Server {
    channel: Channel,
    log: ListLog,
    wanted: [bool; 3],
    /// Makes names of runs.
    count: u64,
}

impl Server {
    fn start(kept: &Kept, wanted: [bool; 3], count: u64) -> Self {
        let mut channel = Channel::new("presence.a");
        for subscription in &kept.subscriptions {
            channel.restore(subscription.clone());
        }
        channel.finish_restore(kept.next);
        Self {
            channel,
            log: ListLog::restored(kept.run),
            wanted,
            count,
        }
    }

    fn act(&mut self, step: &Step) -> Option<(usize, Change)> {
        match step {
            Step::Join {
                connection,
                uid,
                umd: n,
            } => {
                let join = Join {
                    connection: id(*connection),
                    uid: Some(Arc::from(format!("user-{uid}"))),
                    umd: umd(*n),
                    alias: None,
                    counted: true,
                };
                Some((0, self.channel.join(join, u64::MAX).ok()?))
            }
            Step::Update { connection, umd: n } => {
                let change = self.channel.update(id(*connection), &umd(*n), u64::MAX);
                Some((1, change.ok()??))
            }
            Step::Leave { connection } => Some((2, self.channel.leave(id(*connection))?)),
            Step::EndAbsence { connection } => {
                Some((2, self.channel.end_absence(id(*connection))?))
            }
            Step::Want(_) | Step::Trim(_) | Step::Crash(_) => None,
        }
    }

    /// Makes a change and writes down what there is to write.
    fn change(&mut self, step: &Step, kept: &mut Kept) {
        let Some((kind, change)) = self.act(step) else {
            return;
        };
        if change.event.is_some() {
            let wanted = match self.wanted {
                wanted if wanted[kind] => Wanted::This,
                [false, false, false] => Wanted::None,
                _ => Wanted::Later,
            };
            self.count += 1;
            let run = u128::from(self.count).to_be_bytes();
            let roster = self.channel.roster().unwrap();
            let entry = self.log.note(roster, wanted, || run);
            assert_eq!(entry.place.is_some(), wanted == Wanted::This);
            kept.write(entry, roster.list());
        }
        let subscriptions = (0..CONNECTIONS).filter_map(|n| self.channel.subscription(id(n)));
        kept.subscriptions = subscriptions.cloned().collect();
        kept.next = self.channel.next_sequence();
        kept.run = self.log.run();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever comes, whatever is wanted, lost or trimmed: each change that can be asked for has exactly the list of its
    /// moment, a channel has at most one run that has not ended, and in the end nothing is left.
    #[test]
    fn every_change_has_the_list_of_its_moment(steps in prop::collection::vec(step(), 1..160)) {
        let mut history = vec![Kept::default()];
        let mut server = Server::start(&history[0], [true; 3], 0);
        for step in &steps {
            let mut kept = history.last().unwrap().clone();
            match step {
                Step::Want(wanted) => server.wanted = *wanted,
                Step::Trim(count) => kept.trim(*count),
                Step::Crash(lost) => {
                    history.truncate((history.len() - lost.min(&(history.len() - 1))).max(1));
                    kept = history.last().unwrap().clone();
                    server = Server::start(&kept, server.wanted, server.count);
                }
                step => server.change(step, &mut kept),
            }
            for told in &kept.told {
                if let Some(place) = told.place {
                    prop_assert_eq!(kept.list(place), told.list.clone());
                }
            }
            let mut ended: Vec<RunId> = kept.told.iter().flat_map(|told| told.ends.clone()).collect();
            ended.extend(kept.run);
            ended.sort_unstable();
            prop_assert!(kept.runs.keys().copied().eq(ended), "each run ends, or is the channel's");
            history.push(kept);
        }
        let mut kept = history.pop().unwrap();
        for connection in 0..CONNECTIONS {
            server.change(&Step::EndAbsence { connection }, &mut kept);
            server.change(&Step::Leave { connection }, &mut kept);
        }
        kept.trim(usize::MAX);
        prop_assert_eq!(kept.runs.len(), 0);
    }
}

#[test]
fn a_run_makes_way_when_its_edits_have_outgrown_it() {
    let mut server = Server::start(&Kept::default(), [true; 3], 0);
    let mut kept = Kept::default();
    for n in 0..400 {
        let (connection, umd) = (0, n % 4);
        let step = match n {
            0 => Step::Join {
                connection,
                uid: 0,
                umd: 0,
            },
            _ => Step::Update {
                connection,
                umd: umd as u8,
            },
        };
        server.change(&step, &mut kept);
    }
    let bytes = |(base, edits): &KeptRun| {
        assert!(base.len() < 2_000);
        edits
            .iter()
            .map(|(_, put)| put.len() + EDIT_OVERHEAD)
            .sum::<usize>()
    };
    let mut runs: Vec<usize> = kept.runs.values().map(bytes).collect();
    runs.pop();
    assert!(runs.len() > 10);
    assert!(
        runs.iter()
            .all(|bytes| (EDITS_BYTES..EDITS_BYTES + 2_000).contains(bytes))
    );
}
