//! Power cuts, as far as a process can have them: killed at a random moment, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Dice, Server, Setup, Token, subscribe, unsubscribe, update};

const CHANNELS: u64 = 3;
const USERS: u64 = 12;

/// What a user knows of its place in a channel.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    /// It was told that it is in, with this metadata.
    In(Value),
    /// It was told that it is out.
    Out,
    /// It has asked for something and was told nothing: any of these is right.
    Either(Vec<Option<Value>>),
}

/// By channel and user.
type Truth = Arc<Mutex<BTreeMap<(u64, u64), Known>>>;

fn channel(n: u64) -> String {
    format!("presence.{n}")
}

/// One user's life until the server is gone: it joins, leaves and updates, and notes what it was told.
async fn live(server: Arc<Server>, truth: Truth, user: u64, mut dice: Dice) {
    let token = Token::of(&format!("user-{user}")).umd(json!(0));
    let Some(mut client) = Client::unless_gone(&server, &token).await else {
        return;
    };
    let mut mine: BTreeMap<u64, Value> = BTreeMap::new();
    for step in 1.. {
        let n = dice.below(CHANNELS);
        let note = |known: Known| truth.lock().unwrap().insert((n, user), known);
        let current = mine.get(&n).cloned();
        let (frame, wanted) = match (&current, dice.below(3)) {
            (None, _) => (subscribe(&channel(n)), Some(json!(0))),
            (Some(_), 0) => (unsubscribe(&channel(n)), None),
            (Some(_), _) => {
                let umd = json!(step);
                let frame = update(&server, &client, &channel(n), umd.clone());
                (frame, Some(umd))
            }
        };
        note(Known::Either(vec![current, wanted.clone()]));
        let me = json!({"uid": format!("user-{user}"), "umd": wanted});
        let is_answer = |event: &Value| {
            event["channel"] == channel(n)
                && match event["event"].as_str().unwrap() {
                    "hotsock.subscribed" | "hotsock.unsubscribed" => true,
                    "hotsock.memberUpdated" => event["data"]["member"] == me,
                    "hotsock.error" => panic!("{event}"),
                    _ => false,
                }
        };
        if client.ask(&frame, is_answer).await.is_none() {
            return;
        }
        match wanted {
            Some(umd) => {
                mine.insert(n, umd.clone());
                note(Known::In(umd));
            }
            None => {
                mine.remove(&n);
                note(Known::Out);
            }
        }
    }
}

/// The members of every channel, as the server tells them.
async fn members(server: &Server) -> Vec<BTreeMap<String, Value>> {
    let mut all = Vec::new();
    for n in 0..CHANNELS {
        let info = server.channel(&channel(n)).await;
        let members = info["members"].as_array().unwrap();
        let map: BTreeMap<String, Value> = members
            .iter()
            .map(|m| (m["uid"].as_str().unwrap().to_owned(), m["umd"].clone()))
            .collect();
        assert_eq!(map.len(), members.len(), "nobody is there twice");
        all.push(map);
    }
    all
}

/// The totals that the server keeps must be the sums over its members.
async fn totals_equal_sums(server: &Server) {
    let page = server.read("/channels").await;
    for entry in page["channels"].as_array().unwrap() {
        let info = server.channel(entry["name"].as_str().unwrap()).await;
        let members = info["members"].as_array().unwrap();
        let sum: usize = members.iter().map(|m| m.to_string().len()).sum();
        assert_eq!(entry["bytes"], sum, "{entry} {info}");
        assert_eq!(entry["memberCount"], members.len());
    }
}

async fn rounds(rounds: u64, seed: u64, signal: Signal) {
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let mut server = Arc::new(Setup::new().boot_grace("700ms").start());
    for round in 0..rounds {
        let truth = Truth::default();
        let tasks: Vec<_> = (0..USERS)
            .map(|user| {
                let dice = Dice(dice.below(u64::MAX >> 1));
                tokio::spawn(live(Arc::clone(&server), Arc::clone(&truth), user, dice))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60 + dice.below(250))).await;
        Server::end_under(&mut server, signal, tasks).await;

        // What had been acknowledged is there, and what had been acknowledged as gone is not.
        let found = members(&server).await;
        let truth = truth.lock().unwrap().clone();
        for ((n, user), known) in &truth {
            let there = found[*n as usize].get(&format!("user-{user}"));
            let right = match known {
                Known::In(umd) => there == Some(umd),
                Known::Out => there.is_none(),
                Known::Either(all) => all.iter().any(|one| there == one.as_ref()),
            };
            assert!(
                right,
                "round {round}, channel {n}, user {user}: {known:?}, found {there:?}"
            );
        }
        totals_equal_sums(&server).await;

        // Some return in time, and see nothing but the going of those who do not.
        let mut returned = Vec::new();
        for n in 0..CHANNELS {
            let uids: Vec<&String> = found[n as usize].keys().collect();
            if let Some(uid) = uids.get(dice.below(USERS) as usize) {
                let umd = found[n as usize][*uid].clone();
                let mut client = Client::connect(&server, &Token::of(uid).umd(umd)).await;
                client.subscribe(&channel(n)).await;
                returned.push((n, (*uid).clone(), client));
            }
        }
        server.wait_for_log("roll call removed=");
        let left = members(&server).await;
        for (n, uid, client) in &mut returned {
            let expected: BTreeSet<String> = found[*n as usize]
                .keys()
                .filter(|one| *one != uid)
                .cloned()
                .collect();
            let mut gone = BTreeSet::new();
            while gone.len() < expected.len() {
                let event = client.expect_event("hotsock.memberRemoved").await;
                let who = event["data"]["member"]["uid"].as_str().unwrap().to_owned();
                assert!(gone.insert(who.clone()), "{who} is removed twice");
            }
            assert_eq!(gone, expected, "round {round}");
            client.expect_silence().await;
            assert_eq!(left[*n as usize].keys().collect::<Vec<_>>(), [&*uid]);
        }
        totals_equal_sums(&server).await;
        for (_, _, client) in returned {
            client.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_kills_lose_nothing_that_was_acknowledged() {
    rounds(60, 20_260_101, Signal::KILL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_ten_stops() {
    rounds(10, 20_260_102, Signal::TERM).await;
}
