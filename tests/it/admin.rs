//! The admin socket and the operator's commands on it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use rollcall::EventId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{Client, Server, Setup, in_time, until};

fn start() -> Server {
    let server = Setup::new();
    server.operated().start()
}

#[tokio::test]
async fn status_tells_how_the_server_is_doing() {
    let server = start();
    let _jim = Client::join(&server, "Jim", "presence.a").await;
    let (status, shown) = server.status();
    assert_eq!(status["connections"], 1);
    assert_eq!(status["channels"], 1);
    assert_eq!(status["pid"], server.pid());
    assert_eq!(status["listen"], json!([server.address().to_string()]));
    assert!(status["databaseBytes"].as_u64() > Some(0));
    assert!(shown.contains("connections  1\n"), "{shown}");
}

#[tokio::test]
async fn events_are_shown_as_they_happen_and_those_that_are_kept() {
    let server = start();
    let mut follow = tokio::process::Command::from(server.operator(&["events", "--follow"]))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    // It follows once what it wants is being kept.
    let kept = || {
        server.status().0["outbox"]["kept"]
            .as_array()
            .unwrap()
            .len()
    };
    until("the feed", async || kept() >= 13).await;
    let (jim, _) = Client::join(&server, "Jim", "presence.a").await;
    jim.close().await;
    let (mut seen, mut ids) = (Vec::new(), Vec::new());
    while seen.len() < 8 {
        let line = in_time("an event", lines.next_line())
            .await
            .unwrap()
            .unwrap();
        // When, and which; then what.
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        assert!(
            parts[0].ends_with('Z') && parts[0].starts_with("20"),
            "{line}"
        );
        assert!(parts[1].parse::<EventId>().is_ok(), "{line}");
        ids.push(parts[1].to_owned());
        seen.push(parts[2].to_owned());
    }
    assert!(seen[0].starts_with("connected "), "{seen:?}");
    assert_eq!(
        seen[2],
        "memberAdded            presence.a uid=Jim members=1"
    );
    assert!(seen[5].contains("reason=disconnected"), "{seen:?}");
    let after = server.operate(&["events", "--after", &ids[6]]);
    assert!(after.trim_end().ends_with(&seen[7]), "{after}");
    assert_eq!(after.lines().count(), 1);
    let shown = server.operate(&["events", "--types", "memberRemoved", "--json"]);
    let event: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(event["type"], "hotsock.memberRemoved");
    assert_eq!(event["data"]["members"], json!([]));
    let wrong = server
        .operator(&["events", "--types", "nothing"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("hotsock.memberAdded"));
}

#[tokio::test]
async fn the_file_lets_in_its_owner_and_its_group_and_goes_with_the_server() {
    let mut server = start();
    let socket = server.folder().join("admin.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    // A server that was killed leaves its file; the next one takes its place.
    server.kill();
    assert!(socket.exists());
    let nobody = server.operator(&["status"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("not running"));
    server.run_again();
    server.operate(&["status"]);
    server.terminate();
    assert!(!socket.exists());
}

#[tokio::test]
async fn the_socket_of_another_server_is_left_to_it() {
    let mut server = start();
    server.terminate();
    let socket = server.folder().join("admin.sock");
    let other = UnixListener::bind(&socket).unwrap();
    server.refused(1, &["another server"]);
    drop(other);
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "a file").unwrap();
    server.refused(1, &[]);
    assert_eq!(std::fs::read(&socket).unwrap(), b"a file");
}
