//! Power cuts: what the disk holds at a moment, and nothing else, is what the next start gets.
//!
//! The server's data lie on a small ext4 file system of their own. Its disk is a file on an XFS file system, which can
//! share the blocks of one file with another: a copy that is made in one step, while the server writes on, is that disk
//! with the power cut at that moment. What the kernel had not written is not on it, and neither is what waited in the
//! journal of the file system for its commit, every five seconds.
//!
//! It takes root, `mkfs.xfs`, `mkfs.ext4` and loop devices; without them it says so and does nothing.
//! `POWER_CUTS` says how many cuts there are to be at the least, 12 without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    API_KEY, Client, Dice, Disk, Server, Setup, Token, ids, in_time, subscribe, unsubscribe, update,
};

const CHANNELS: u64 = 3;
const USERS: u64 = 8;
/// When the power is cut while a server starts, in milliseconds after its process was made,
const EARLY: [u64; 3] = [15, 50, 110];
/// and in milliseconds after it was ready.
const MOMENTS: [u64; 6] = [300, 700, 1_500, 3_000, 5_200, 8_000];
const TYPES: &str = "types=hotsock.memberAdded,hotsock.memberRemoved,hotsock.memberUpdated";

/// What may be true of a user in a channel: its metadata there, or that it is not there.
type Options = Vec<Option<Value>>;

/// What has been told, in order.
#[derive(Debug, Default, Clone)]
struct Told {
    /// By channel and user. More than one is possible while an answer is awaited.
    members: BTreeMap<(u64, u64), Vec<Options>>,
    /// Stored messages.
    messages: Vec<String>,
    /// Events out.
    events: BTreeSet<String>,
}

type Truth = Arc<Mutex<Told>>;

fn channel(n: u64) -> String {
    format!("presence.{n}")
}

/// One user's life until the server is gone.
async fn live(server: Arc<Server>, truth: Truth, user: u64, mut dice: Dice) {
    let token = Token::of(&format!("user-{user}")).umd(json!(0));
    let Some(mut client) = Client::unless_gone(&server, &token).await else {
        return;
    };
    let mut mine: BTreeMap<u64, Value> = BTreeMap::new();
    for step in 1.. {
        let n = dice.below(CHANNELS);
        let (frame, wanted) = match (mine.contains_key(&n), dice.below(3)) {
            (false, _) => (subscribe(&channel(n)), Some(json!(0))),
            (true, 0) => (unsubscribe(&channel(n)), None),
            (true, _) => {
                let umd = json!(step);
                let frame = update(&server, &client, &channel(n), umd.clone());
                (frame, Some(umd))
            }
        };
        let note = |add: Options| {
            let mut truth = truth.lock().unwrap();
            truth.members.entry((n, user)).or_default().push(add);
        };
        let before = {
            let truth = truth.lock().unwrap();
            let known = truth.members.get(&(n, user));
            known.and_then(|known| known.last().cloned())
        };
        let mut either = before.unwrap_or(vec![None]);
        either.push(wanted.clone());
        note(either);
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
        match &wanted {
            Some(umd) => drop(mine.insert(n, umd.clone())),
            None => drop(mine.remove(&n)),
        }
        note(vec![wanted]);
    }
}

/// Stores messages until the server is gone.
async fn publish(server: Arc<Server>, truth: Truth) {
    for n in 0.. {
        let data = "x".repeat(n * 37 % 9_000);
        let message = json!({"channel": "stored", "event": "e", "data": data, "store": 86_400,
            "eagerIdGeneration": true});
        let Some(answer) = server.publish_unless_gone(message).await else {
            return;
        };
        let id = answer["id"].as_str().unwrap().to_owned();
        truth.lock().unwrap().messages.push(id);
    }
}

/// Reads events out until the server is gone.
async fn follow(server: Arc<Server>, truth: Truth) {
    let mut last = String::new();
    while let Some(events) = events(&server, &last).await {
        last = events.last().cloned().unwrap_or(last);
        truth.lock().unwrap().events.extend(events);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The ids of the events after this one; `None` where the server is gone.
async fn events(server: &Server, after: &str) -> Option<Vec<String>> {
    let mut request = hyper::Request::builder()
        .uri(format!("/events?follow=false&after=0&{TYPES}"))
        .header("authorization", format!("Bearer {API_KEY}"));
    if !after.is_empty() {
        request = request.header("last-event-id", after);
    }
    let answer = server.http_unless_gone(request.body(String::new()).unwrap());
    let answer = answer.await?;
    assert!(!answer.text.contains("rollcall.gap"), "{}", answer.text);
    let lines = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "));
    Some(lines.map(str::to_owned).collect())
}

/// All stored messages.
async fn stored(server: &Server) -> BTreeSet<String> {
    let mut reader = Client::connect(server, &Token::everything("reader")).await;
    reader.subscribe("stored").await;
    let mut all = BTreeSet::new();
    let mut body = json!({"channel": "stored"});
    loop {
        let page = ids(&server.list(&reader, &body).await);
        let Some(last) = page.last() else {
            return all;
        };
        body["after"] = json!(last);
        all.extend(page);
    }
}

/// What one cut left: what had been told when the copy began, and when it was whole.
struct Cut {
    name: String,
    before: Told,
    after: Told,
}

/// Starts a server on what is left; everything told must be there.
async fn compare(disk: &Disk, cut: &Cut) {
    let left = disk.mount_copy(&cut.name);
    let server = setup(left.path()).start();
    for n in 0..CHANNELS {
        let info = server.channel(&channel(n)).await;
        let members = info["members"].as_array().unwrap();
        let found: BTreeMap<&str, &Value> = members
            .iter()
            .map(|m| (m["uid"].as_str().unwrap(), &m["umd"]))
            .collect();
        assert_eq!(found.len(), members.len(), "nobody is there twice");
        for user in 0..USERS {
            let key = (n, user);
            let known = cut.after.members.get(&key).map_or(&[][..], Vec::as_slice);
            let told = cut.before.members.get(&key).map_or(0, Vec::len);
            let mut right: Options = known[told.saturating_sub(1)..].concat();
            if told == 0 {
                right.push(None);
            }
            let there = found.get(&*format!("user-{user}")).map(|&umd| umd.clone());
            assert!(
                right.contains(&there),
                "{}, channel {n}, user {user}: {right:?}, found {there:?}",
                cut.name
            );
        }
    }
    let messages = stored(&server).await;
    for id in &cut.before.messages {
        assert!(messages.contains(id), "{}: message {id} is lost", cut.name);
    }
    let mut all = BTreeSet::new();
    let mut last = String::new();
    loop {
        let more = events(&server, &last).await.unwrap();
        let Some(newest) = more.last() else { break };
        last.clone_from(newest);
        all.extend(more);
    }
    for id in &cut.before.events {
        assert!(all.contains(id), "{}: event {id} is lost", cut.name);
    }
    eprintln!(
        "{}: {} members' places, {} messages and {} events told, all there",
        cut.name,
        cut.before.members.len(),
        cut.before.messages.len(),
        cut.before.events.len(),
    );
}

/// Cuts the power.
fn cut(disk: &Disk, truth: &Truth, name: String) -> Cut {
    let before = truth.lock().unwrap().clone();
    disk.copy(&name);
    let after = truth.lock().unwrap().clone();
    Cut {
        name,
        before,
        after,
    }
}

fn setup(data_dir: &std::path::Path) -> Setup {
    Setup::new()
        .boot_grace("120s")
        .set("", &format!("data_dir = {:?}", data_dir.join("data")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_moment_loses_nothing_that_was_told() {
    let Some(disk) = Disk::make(256) else {
        return;
    };
    let cuts = std::env::var("POWER_CUTS");
    let cuts: usize = cuts.map_or(12, |cuts| cuts.parse().unwrap());
    let truth = Truth::default();
    let mut dice = Dice(20_260_110);
    let mut server = Arc::new(setup(disk.path()).start());
    // From now on events are kept.
    events(&server, "").await.unwrap();
    let mut done = 0;
    let mut made: Vec<Cut> = Vec::new();
    for round in 0.. {
        let mut tasks: Vec<_> = (0..USERS)
            .map(|user| {
                let dice = Dice(dice.below(u64::MAX >> 1));
                tokio::spawn(live(Arc::clone(&server), Arc::clone(&truth), user, dice))
            })
            .collect();
        tasks.push(tokio::spawn(publish(
            Arc::clone(&server),
            Arc::clone(&truth),
        )));
        tasks.push(tokio::spawn(follow(
            Arc::clone(&server),
            Arc::clone(&truth),
        )));
        let begun = Instant::now();
        for moment in MOMENTS {
            let moment = moment + dice.below(200);
            // What is tried here are moments of the clock, those of the file system's journal among them.
            tokio::time::sleep_until(begun + Duration::from_millis(moment)).await;
            made.push(cut(
                &disk,
                &truth,
                format!("start {round}, {moment} ms after it was ready"),
            ));
        }
        server.signal(Signal::KILL);
        for task in tasks {
            in_time("the end of a task", task).await.unwrap();
        }
        for cut in made.drain(..) {
            compare(&disk, &cut).await;
            disk.remove_copy(&cut.name);
            done += 1;
        }
        if done >= cuts {
            break;
        }
        let server = Arc::get_mut(&mut server).expect("nobody else has it");
        server.kill();
        std::thread::scope(|scope| {
            let early = scope.spawn(|| {
                EARLY.map(|moment| {
                    std::thread::sleep(Duration::from_millis(moment));
                    let name = format!("start {}, about {moment} ms after it began", round + 1);
                    cut(&disk, &truth, name)
                })
            });
            server.run_again();
            made.extend(early.join().unwrap());
        });
    }
    eprintln!("{done} power cuts");
}

#[tokio::test]
async fn where_files_can_share_their_blocks_a_start_reads_a_copy_that_does() {
    let Some(disk) = Disk::make(64) else {
        return;
    };
    let mut server = setup(disk.pool()).start();
    let _jim = Client::join(&server, "Jim", "presence.a").await;
    server.crash();
    let line = server.wait_for_log("the database is sound");
    assert!(line.contains("Shared"), "{line}");
    assert_eq!(server.members("presence.a").await[0]["uid"], "Jim");
    server.kill();
}
