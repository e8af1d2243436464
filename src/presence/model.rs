//! The channel held against a naive model: a plain list of subscriptions from which everything is derived anew, by the
//! words of the protocol.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Channel, Join, JoinError, MemberChange, Subscription};
use crate::protocol::{ConnectionId, Json, MemberEvent, frame::member_json};

const CAPACITY: u64 = 200;

#[derive(Debug, Clone)]
enum Command {
    Join { connection: u8, uid: u8, umd: u8 },
    Leave { connection: u8 },
    Update { connection: u8, umd: u8 },
    KeepPlace { connection: u8 },
    EndAbsence { connection: u8 },
    Restart,
}

fn command() -> impl Strategy<Value = Command> {
    let connection = 0..12u8;
    let umd = 0..4u8;
    prop_oneof![
        6 => (connection.clone(), 0..5u8, umd.clone())
            .prop_map(|(connection, uid, umd)| Command::Join { connection, uid, umd }),
        3 => connection.clone().prop_map(|connection| Command::Leave { connection }),
        3 => (connection.clone(), umd).prop_map(|(connection, umd)| Command::Update { connection, umd }),
        2 => connection.clone().prop_map(|connection| Command::KeepPlace { connection }),
        2 => connection.prop_map(|connection| Command::EndAbsence { connection }),
        1 => Just(Command::Restart),
    ]
}

fn id(n: u8) -> ConnectionId {
    ConnectionId::from_bytes([n; 16])
}

fn uid(n: u8) -> Arc<str> {
    format!("user-{n}").into()
}

fn umd(n: u8) -> Json {
    let text = [
        "null",
        r#"{"s":"away"}"#,
        r#"{"s":"a much longer status than that"}"#,
        "7",
    ];
    Json::parse(text[usize::from(n)]).unwrap()
}

/// The model: subscriptions in order of sequence, nothing else.
#[derive(Debug, Clone, Default)]
struct Model {
    subscriptions: Vec<Subscription>,
    next: u64,
}

impl Model {
    fn of(&self, uid: &str) -> impl Iterator<Item = &Subscription> {
        self.subscriptions
            .iter()
            .filter(move |s| s.uid.as_deref() == Some(uid))
    }

    /// Uid and shown metadata of every member, in joining order.
    fn members(&self) -> Vec<(Arc<str>, Json)> {
        let mut joined: Vec<(u64, Arc<str>)> = self
            .subscriptions
            .iter()
            .map(|s| (s.joined, s.uid.clone().unwrap()))
            .collect();
        joined.sort();
        joined.dedup();
        joined
            .into_iter()
            .map(|(_, uid)| {
                let shown = self.of(&uid).max_by_key(|s| s.stamp).unwrap().umd.clone();
                (uid, shown)
            })
            .collect()
    }

    fn bytes(&self) -> u64 {
        self.members()
            .iter()
            .map(|(uid, umd)| member_json(uid, umd).len() as u64)
            .sum()
    }

    fn find(&self, connection: u8) -> Option<usize> {
        self.subscriptions
            .iter()
            .position(|s| s.connection == id(connection))
    }

    /// What the members must be told, from the lists before and after.
    fn event(before: &Self, after: &Self) -> Option<MemberChange> {
        let (old, new) = (before.members(), after.members());
        let change = |event, (uid, umd): &(Arc<str>, Json)| MemberChange {
            event,
            member: member_json(uid, umd),
        };
        let mut events: Vec<MemberChange> = Vec::new();
        for member in &new {
            match old.iter().find(|(uid, _)| *uid == member.0) {
                None => events.push(change(MemberEvent::Added, member)),
                Some((_, umd)) if *umd != member.1 => {
                    events.push(change(MemberEvent::Updated, member));
                }
                Some(_) => {}
            }
        }
        for member in &old {
            if !new.iter().any(|(uid, _)| *uid == member.0) {
                events.push(change(MemberEvent::Removed, member));
            }
        }
        assert!(events.len() <= 1, "one command, one event: {events:?}");
        events.pop()
    }
}

fn run(commands: &[Command]) {
    let mut channel = Channel::new("presence.x");
    let mut model = Model {
        next: 1,
        ..Model::default()
    };
    for command in commands {
        let before = model.clone();
        let event = match *command {
            Command::Join {
                connection,
                uid: who,
                umd: what,
            } => {
                let (who, what) = (uid(who), umd(what));
                let result = channel.join(
                    Join {
                        connection: id(connection),
                        uid: Some(who.clone()),
                        umd: what.clone(),
                        alias: None,
                        counted: true,
                    },
                    CAPACITY,
                );
                if model.find(connection).is_some() {
                    assert_eq!(result, Err(JoinError::AlreadySubscribed));
                    continue;
                }
                let mut absent: Vec<Subscription> =
                    model.of(&who).filter(|s| s.absent).cloned().collect();
                absent.sort_by_key(|s| (s.umd == what, s.stamp));
                let place = absent.pop();
                let next = model.next;
                let joined = model.of(&who).next().map_or(next, |s| s.joined);
                if let Some(place) = &place {
                    model
                        .subscriptions
                        .retain(|s| s.connection != place.connection);
                }
                model.subscriptions.push(Subscription {
                    connection: id(connection),
                    sequence: next,
                    joined,
                    stamp: place.filter(|p| p.umd == what).map_or(next, |p| p.stamp),
                    uid: Some(who),
                    umd: what,
                    alias: None,
                    counted: true,
                    absent: false,
                });
                model.next += 1;
                if model.bytes() > CAPACITY && model.bytes() > before.bytes() {
                    assert!(matches!(result, Err(JoinError::CapacityReached(_))));
                    model = before.clone();
                    None
                } else {
                    result.unwrap().event
                }
            }
            Command::Leave { connection } => {
                let change = channel.leave(id(connection));
                let known = model.find(connection);
                assert_eq!(change.is_some(), known.is_some());
                if let Some(at) = known {
                    model.subscriptions.remove(at);
                }
                change.and_then(|change| change.event)
            }
            Command::Update {
                connection,
                umd: what,
            } => {
                let what = umd(what);
                let result = channel.update(id(connection), &what, CAPACITY);
                match model.find(connection) {
                    Some(at) if model.subscriptions[at].umd != what => {
                        model.subscriptions[at].umd = what;
                        model.subscriptions[at].stamp = model.next;
                        model.next += 1;
                        if model.bytes() > CAPACITY && model.bytes() > before.bytes() {
                            assert!(result.is_err());
                            model = before.clone();
                            None
                        } else {
                            result.unwrap().unwrap().event
                        }
                    }
                    _ => {
                        assert_eq!(result, Ok(None));
                        None
                    }
                }
            }
            Command::KeepPlace { connection } => {
                let kept = channel.keep_place(id(connection));
                let known = model.find(connection);
                assert_eq!(kept, known.is_some());
                if let Some(at) = known {
                    model.subscriptions[at].absent = true;
                }
                None
            }
            Command::EndAbsence { connection } => {
                let change = channel.end_absence(id(connection));
                let known = model
                    .find(connection)
                    .filter(|at| model.subscriptions[*at].absent);
                assert_eq!(change.is_some(), known.is_some());
                if let Some(at) = known {
                    model.subscriptions.remove(at);
                }
                change.and_then(|change| change.event)
            }
            Command::Restart => {
                let next = channel.next_sequence();
                channel = Channel::new("presence.x");
                for subscription in &mut model.subscriptions {
                    subscription.absent = true;
                    channel.restore(subscription.clone());
                }
                channel.finish_restore(next);
                None
            }
        };
        assert_eq!(event, Model::event(&before, &model), "{command:?}");
        let roster = channel.roster().unwrap();
        let list: Vec<serde_json::Value> = model
            .members()
            .iter()
            .map(|(uid, umd)| serde_json::from_slice(&member_json(uid, umd)).unwrap())
            .collect();
        assert_eq!(
            std::str::from_utf8(roster.list()).unwrap(),
            serde_json::Value::Array(list).to_string()
        );
        assert_eq!(roster.bytes(), model.bytes());
        assert_eq!(roster.len(), model.members().len());
        assert_eq!(
            channel.subscriptions_count(),
            model.subscriptions.len() as u64
        );
        assert_eq!(channel.is_empty(), model.subscriptions.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_channel_does_what_the_model_does(commands in prop::collection::vec(command(), 1..60)) {
        run(&commands);
    }
}

#[test]
fn exactly_the_capacity_is_allowed() {
    let mut channel = Channel::new("presence.x");
    let join = |connection, name: &str| Join {
        connection: id(connection),
        uid: Some(name.into()),
        umd: Json::null(),
        alias: None,
        counted: true,
    };
    let size = member_json("Jim", &Json::null()).len() as u64;
    assert!(channel.join(join(1, "Jim"), 2 * size).is_ok());
    assert!(channel.join(join(2, "Pam"), 2 * size).is_ok());
    assert!(matches!(
        channel.join(join(3, "Bob"), 2 * size),
        Err(JoinError::CapacityReached(_))
    ));
    // A second tab of a member takes no room.
    assert!(channel.join(join(4, "Jim"), 2 * size).is_ok());
    assert!(channel.leave(id(2)).is_some());
    assert!(channel.join(join(3, "Bob"), 2 * size).is_ok());
}

#[test]
fn a_presence_channel_needs_a_uid_and_a_standard_one_does_not() {
    let anonymous = |connection| Join {
        connection: id(connection),
        uid: None,
        umd: Json::null(),
        alias: None,
        counted: true,
    };
    let mut presence = Channel::new("presence.x");
    assert_eq!(
        presence.join(anonymous(1), CAPACITY),
        Err(JoinError::UserIdRequired)
    );
    assert!(presence.is_empty());
    let mut standard = Channel::new("x");
    let change = standard.join(anonymous(1), CAPACITY).unwrap();
    assert_eq!(change.event, None);
    assert!(change.written.is_some());
    assert_eq!(standard.subscriptions_count(), 1);
    assert!(!standard.keep_place(id(1)));
}
