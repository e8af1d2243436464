//! The database: told means kept, and what cannot be trusted is refused and left as it is.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::{Client, Server, Setup, Token, has, subscribe, unsubscribe};

/// Everything in a folder but the files that only say who uses it.
pub(crate) fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                all.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_join_is_synced_before_it_is_confirmed_and_many_joins_share_a_sync() {
    if !has("strace") {
        return;
    }
    let trace = tempfile::NamedTempFile::new().unwrap();
    let path = trace.path().to_str().unwrap().to_owned();
    let mut server = Setup::new()
        .through(&[
            "strace",
            // Our child is the server; strace looks on from outside, and ends with it.
            "-D",
            "-f",
            "-y",
            "-s",
            "4096",
            "-e",
            "trace=pwrite64,fdatasync,write,writev,sendto",
            "-o",
            &path,
        ])
        .start();
    let (client, _) = Client::join(&server, "the-one-who-joins", "presence.traced").await;
    drop(client);
    let calls = |text: &str| text.lines().filter(|l| l.contains("fdatasync(")).count();
    let before = fs::read_to_string(&path).unwrap();
    // The record goes into the log, the log is synced, and only then does anything go out to the client again.
    let lines: Vec<&str> = before.lines().collect();
    let written = lines
        .iter()
        .position(|line| line.contains("pwrite64(") && line.contains("the-one-who-joins"))
        .expect("the join is written into the log");
    let thread = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let synced = lines[written..]
        .iter()
        .position(|line| line.contains("fdatasync(") && line.contains("/db/db>"))
        .expect("the log is synced")
        + written;
    let to_client = |line: &&str| line.contains("TCP:[") || line.contains("<socket:[");
    let wrote_at: Vec<usize> = (written..lines.len())
        .filter(|&n| to_client(&lines[n]) && thread(lines[n]) != thread(lines[written]))
        .collect();
    let confirmed = wrote_at.first().expect("the join is confirmed");
    assert!(
        synced < *confirmed,
        "{}",
        lines[written..=*confirmed].join("\n")
    );

    let joins = 400;
    let mut clients = Vec::new();
    for n in 0..8 {
        clients.push(Client::connect(&server, &Token::of(&format!("user-{n}"))).await);
    }
    for client in &mut clients {
        for n in 0..joins / 8 {
            let frame = subscribe(&format!("room-{n}"));
            client.send(&frame).await;
        }
    }
    for client in &mut clients {
        for _ in 0..joins / 8 {
            assert!(client.next().await.contains("hotsock.subscribed"));
        }
    }
    let syncs = calls(&fs::read_to_string(&path).unwrap()) - calls(&before);
    assert!(
        syncs > 0 && syncs < joins / 4,
        "{syncs} syncs for {joins} joins"
    );
    server.kill();
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_told_who_has_it() {
    let server = Server::start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    server.refused(1, &[&server.pid().to_string(), "in use"]);
    jim.expect_silence().await;
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let mut server = Server::start();
    for n in 0..40 {
        let (client, _) = Client::join(&server, &format!("user-{n}"), "presence.a").await;
        client.close().await;
    }
    server.terminate();
    let log = server.data_dir().join("db").join("db");
    let length = fs::metadata(&log).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    // Not the end, which may be torn, but the middle of what was durable.
    for at in (0..length.min(60_000)).step_by(512) {
        file.write_all_at(b"damage", at).unwrap();
    }
    drop(file);
    let before = contents(&server.data_dir());
    server.refused(2, &["damaged", "mv "]);
    let after = contents(&server.data_dir());
    let names = |all: &[(String, Vec<u8>)]| all.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        assert!(before == after, "{name} has changed");
    }
}

#[tokio::test]
async fn joins_and_leaves_leave_little_behind_and_nothing_in_files_that_are_never_synced() {
    let server = Server::start();
    let mut tasks = Vec::new();
    let server = std::sync::Arc::new(server);
    for n in 0..8 {
        let server = std::sync::Arc::clone(&server);
        tasks.push(tokio::spawn(async move {
            let token = Token::of(&format!("user-{n}")).umd(json!("x".repeat(900)));
            let mut client = Client::connect(&server, &token).await;
            for round in 0..100 {
                let channel = format!("presence.{}", (n * 7 + round) % 50);
                client.subscribe(&channel).await;
                client.send(unsubscribe(&channel)).await;
                while !client.next().await.contains("hotsock.unsubscribed") {}
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let db = server.data_dir().join("db");
    let blobs = fs::read_dir(db.join("blobs")).map_or(0, Iterator::count);
    assert_eq!(blobs, 0);
    let size: u64 = contents(&db).iter().map(|file| file.1.len() as u64).sum();
    assert!(size < 40 << 20, "{size} bytes");
}
