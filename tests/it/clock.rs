//! A clock that is wrong, by libfaketime: nothing panics, and everything is served.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Client, Process, Receiver, Server, Setup, Token, ids, skipped};

/// 2121, which is later than both clocks.
const FAR: u64 = 4_765_000_000;

/// The library that lies about the time, where it is installed.
fn library() -> Option<String> {
    let triplet = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let found = ["/usr/lib64", "/usr/lib", &triplet]
        .map(|folder| format!("{folder}/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        skipped("libfaketime is not installed");
    }
    found
}

fn at(setup: Setup, library: &str, time: &str) -> Setup {
    setup
        .env("LD_PRELOAD", library)
        .env("FAKETIME", &format!("@{time} 00:00:00"))
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "UTC")
}

/// Everything that asks what time it is.
async fn play(mut server: Server, mut receiver: Receiver) {
    let token = |uid: &str| Token::everything(uid).claim("exp", json!(FAR));
    for round in 0..2 {
        let mut jim = Client::connect(&server, &token("Jim")).await;
        jim.subscribe("presence.a").await;
        let frame = json!({"event": "chat", "channel": "presence.a", "data": 1});
        jim.send(&frame).await;
        jim.expect_event("chat").await;
        let page = server.list(&jim, &json!({"channel": "presence.a"})).await;
        assert_eq!(ids(&page).len(), round + 1, "{page}");
        let single =
            json!({"channel": "presence.b", "event": "x", "deduplicationId": "once", "store": 60});
        server.publish(single).await;
        assert_eq!(server.subscriptions("presence.a").await, 1);
        assert_eq!(server.api("GET", "/readyz", "").await.status, 200);
        while receiver.next().await.kind() != "memberAdded" {}
        server.check(0, &[]);
        jim.close().await;
        while receiver.next().await.kind() != "disconnected" {}
        if round == 0 {
            server.restart();
        }
    }
    server.signal(Signal::HUP);
    server.wait_for_log("certificate reloaded");
    server.terminate();
}

async fn play_at(time: &str) {
    let Some(library) = library() else { return };
    let receiver = Receiver::start().await;
    let setup = receiver.configure(at(Setup::new(), &library, time), "app", "[]");
    let server = setup.start();
    play(server, receiver).await;
}

#[tokio::test]
async fn at_the_beginning_of_time_everything_works() {
    // Where a board without a battery begins.
    play_at("1970-01-01").await;
}

#[tokio::test]
async fn in_2100_everything_works() {
    play_at("2100-01-01").await;
}

#[test]
fn of_a_certificate_that_ends_a_word_is_said_each_day() {
    let Some(library) = library() else { return };
    // 2030-01-01, and half a day a second from there.
    let begun = 1_893_456_000;
    let day = 86_400;
    let setup =
        at(Setup::new(), &library, "2030-01-01").valid(begun - day, begun + 2 * day + day / 2);
    let server = setup.env("FAKETIME", "@2030-01-01 00:00:00 x43200").start();
    for words in [
        "certificate valid for less than a day; renew it in time",
        "certificate expired less than a day ago; clients that look at it will refuse",
        "certificate expired 2 days ago",
    ] {
        let said = server.wait_for_log(words);
        assert!(said.contains("WARN"), "{said}");
    }
    let log = server.log();
    for words in ["valid for less than a day", "expired 2 days ago"] {
        assert!(log.matches(words).count() <= 1, "once a day: {log}");
    }
}

#[test]
fn before_1970_a_start_says_so_and_everything_else_works() {
    let Some(library) = library() else { return };
    let server = at(Setup::new(), &library, "1960-01-01").prepare();
    // It passes when the network tells the time.
    let said = server.refused(1, &["clock", "1970"]);
    assert!(!said.contains("panicked"), "{said}");
    server.check(0, &["not valid yet"]);
    let folder = tempfile::TempDir::new().unwrap();
    for words in [
        "keygen --tls --host localhost",
        "keygen",
        "token --uid Jim --subscribe a --key jwt-private.pem --algorithm ES256",
    ] {
        let mut command = liar(&library, "1960-01-01", folder.path());
        let output = command.args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// A command under a clock of its own.
fn liar(library: &str, time: &str, folder: &std::path::Path) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.current_dir(folder).env("LD_PRELOAD", library);
    command.env("FAKETIME", format!("@{time} 00:00:00"));
    command
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "UTC");
    command
}

#[test]
fn a_development_certificate_that_is_over_is_made_anew() {
    let Some(library) = library() else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let file = |name: &str| std::fs::read(folder.path().join("rollcall-dev").join(name)).unwrap();
    let mut before: Option<(Vec<u8>, Vec<u8>)> = None;
    // Each has expired, or has not begun, under the next clock.
    for time in ["1970-01-01", "2100-01-01", "2020-01-01"] {
        let mut command = liar(&library, time, folder.path());
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]);
        let server = Process::start(&mut command);
        server.wait_for("Ctrl-C stops the server");
        server.signal(Signal::TERM);
        let (status, said) = server.ended();
        assert!(status.success(), "{said}");
        assert!(!said.contains("WARN rollcall::server::tls"), "{said}");
        let made = (file("tls-cert.pem"), file("tls-key.pem"));
        if let Some((certificate, key)) = before {
            assert_ne!(certificate, made.0, "{time}: it is another one");
            assert_eq!(key, made.1, "{time}: for the same key");
            assert!(said.contains("has been replaced by a new one"), "{said}");
        }
        before = Some(made);
    }
}
