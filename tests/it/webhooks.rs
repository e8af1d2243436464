//! Webhooks over the network (section 13): signed, in order, at least once, whatever the receiver does.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Mood, Received, Receiver, Setup};

#[tokio::test]
async fn events_are_signed_and_come_in_order() {
    let mut receiver = Receiver::start().await;
    let server = receiver.configure(Setup::new(), "app", "[]").start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    jim.unsubscribe("presence.a").await;
    jim.close().await;
    let mut kinds = Vec::new();
    let mut ids = HashSet::new();
    for _ in 0..8 {
        let event = receiver.next().await;
        event.expect_signed();
        assert!(ids.insert(event.id.clone()));
        kinds.push(event.kind());
    }
    assert_eq!(
        kinds,
        [
            "connected",
            "subscribed",
            "memberAdded",
            "channelUpdated",
            "unsubscribed",
            "memberRemoved",
            "channelUpdated",
            "disconnected",
        ]
    );
    let log = server.log();
    assert!(!log.contains("secret-in-the-url") && !log.contains("whsec_"));
}

#[tokio::test]
async fn one_that_fails_delays_neither_itself_for_ever_nor_the_other() {
    let mut brisk = Receiver::start().await;
    let mut ailing = Receiver::start().await;
    let setup = brisk.configure(Setup::new(), "brisk", r#"["hotsock.memberAdded"]"#);
    let server = ailing
        .configure(
            setup,
            "ailing",
            r#"["hotsock.memberAdded", "hotsock.memberRemoved"]"#,
        )
        .start();
    ailing.will(&[
        Mood::Answer(500),
        Mood::Close,
        Mood::Answer(302),
        Mood::BreakOff,
    ]);
    let mut clients = Vec::new();
    for n in 0..5 {
        let begun = Instant::now();
        clients.push(
            Client::join(&server, &format!("user-{n}"), "presence.a")
                .await
                .0,
        );
        let event = brisk.next().await;
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "the other is current"
        );
        assert_eq!(event.json()["data"]["uid"], format!("user-{n}"));
    }
    // The first event four times in vain, each with the same id; then each once.
    let first = ailing.next().await;
    for _ in 0..4 {
        let again = ailing.next().await;
        assert_eq!((&again.id, &again.body), (&first.id, &first.body));
    }
    for n in 1..5 {
        assert_eq!(
            ailing.next().await.json()["data"]["uid"],
            format!("user-{n}")
        );
    }
    server.wait_for_log("takes events again");
}

#[tokio::test]
async fn one_that_hangs_does_not_hold_up_anything() {
    let mut hanging = Receiver::start().await;
    let mut brisk = Receiver::start().await;
    let setup = hanging.configure(Setup::new(), "hanging", "[]");
    let mut server = brisk
        .configure(setup, "brisk", r#"["hotsock.memberAdded"]"#)
        .start();
    hanging.will(&[Mood::Hang]);
    let _jim = Client::join(&server, "Jim", "presence.a").await;
    hanging.next().await;
    assert_eq!(brisk.next().await.json()["data"]["uid"], "Jim");
    // Not even a stop.
    let begun = Instant::now();
    server.terminate();
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_410_is_the_end_also_after_a_restart() {
    let mut receiver = Receiver::start().await;
    let mut server = receiver
        .configure(Setup::new(), "app", r#"["hotsock.memberAdded"]"#)
        .start();
    receiver.will(&[Mood::Answer(410)]);
    let _jim = Client::join(&server, "Jim", "presence.a").await;
    receiver.next().await;
    server.wait_for_log("(410)");
    server.restart();
    server.wait_for_log("(410)");
    let _pam = Client::join(&server, "Pam", "presence.b").await;
    assert!(!receiver.hears_more().await);
}

#[tokio::test]
async fn the_roll_call_reaches_back_ends_that_were_told_of_the_joins() {
    let mut receiver = Receiver::start().await;
    let setup = Setup::new().boot_grace("300ms");
    let mut server = receiver.configure(setup, "app", "[]").start();
    let jim = Client::join(&server, "Jim", "presence.a").await;
    for _ in 0..4 {
        receiver.next().await;
    }
    server.kill();
    drop(jim);
    server.run_again();
    let mut rest = Vec::new();
    while !rest.iter().any(|e: &Received| e.kind() == "disconnected") {
        rest.push(receiver.next().await);
    }
    let removed = rest.iter().find(|e| e.kind() == "memberRemoved").unwrap();
    let removed = removed.json();
    assert_eq!(removed["metadata"]["reason"], "reconciled");
    assert_eq!(
        removed["data"],
        json!({"uid": "Jim", "umd": null, "members": []})
    );
    assert!(rest.iter().any(|e| e.kind() == "unsubscribed"));
}
