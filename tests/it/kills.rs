//! A start that is killed at a system call: at each of those that change something on the disk, in turn. The next start
//! comes up with everything that was told, and leaves nothing of the one before behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, Strace, Token, copy_folder, has, ids};

const MEMBERS: u64 = 5;
const MESSAGES: u64 = 6;

/// Calls that change something, each with how often a thread of a start makes it at the most.
const CALLS: [(&str, u32); 9] = [
    ("?rename,?renameat,?renameat2", 4),
    ("?unlink,?unlinkat,?rmdir", 24),
    ("?mkdir,?mkdirat", 6),
    ("fsync", 12),
    ("fdatasync", 5),
    ("sync_file_range", 5),
    ("ftruncate", 3),
    ("pwrite64", 8),
    ("ioctl", 4),
];

/// What a server on these data tells.
async fn told(server: &Server) -> (Value, Vec<String>) {
    let members = server.members("presence.a").await;
    let mut reader = Client::connect(server, &Token::everything("reader")).await;
    reader.subscribe("stored").await;
    let messages = ids(&server.list(&reader, &json!({"channel": "stored"})).await);
    (members, messages)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Data with members and messages, left behind by a kill.
async fn filled() -> (Server, (Value, Vec<String>)) {
    let mut server = Setup::new().boot_grace("60s").start();
    let mut all = Vec::new();
    for n in 0..MEMBERS {
        all.push(Client::join(&server, &format!("user-{n}"), "presence.a").await);
    }
    for n in 0..MESSAGES {
        let message = json!({"channel": "stored", "event": "e", "data": n, "store": 86_400});
        server.publish(message).await;
    }
    server.crash();
    let told = told(&server).await;
    assert_eq!(told.0.as_array().unwrap().len(), MEMBERS as usize);
    assert_eq!(told.1.len(), MESSAGES as usize);
    server.kill();
    (server, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_killed_at_any_call_loses_nothing_and_the_next_one_comes_up() {
    if !has("strace") {
        return;
    }
    let (server, expected) = filled().await;
    let left = names(&server.data_dir());
    let mut kills = 0;
    for (call, most) in CALLS {
        for n in 1..=most {
            let cut = Setup::new()
                .boot_grace("60s")
                .through(&Strace::inject(call, &format!("signal=KILL:when={n}")).around())
                .prepare();
            copy_folder(&server.data_dir(), &cut.data_dir());
            let Some(said) = cut.died() else {
                // It came up: there are not so many of these calls.
                break;
            };
            kills += 1;
            let mut cut = cut.directly();
            cut.run_again();
            let found = told(&cut).await;
            assert_eq!(found, expected, "killed at {call} {n}:\n{said}");
            assert_eq!(names(&cut.data_dir()), left, "killed at {call} {n}");
        }
    }
    eprintln!("{kills} kills");
    assert!(kills >= 12, "only {kills} kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_at_any_call_does_not_stand_in_the_way_of_the_next() {
    if !has("strace") {
        return;
    }
    let mut kills = 0;
    for (call, most) in CALLS.into_iter().chain([("write", 12)]) {
        for n in 1..=most {
            let cut = Setup::new()
                .through(&Strace::inject(call, &format!("signal=KILL:when={n}")).around())
                .prepare();
            if cut.died().is_none() {
                break;
            }
            kills += 1;
            let mut cut = cut.directly();
            cut.run_again();
            let (client, _) = Client::join(&cut, "Jim", "presence.a").await;
            client.close().await;
        }
    }
    eprintln!("{kills} kills");
    assert!(kills >= 12, "only {kills} kills");
}
