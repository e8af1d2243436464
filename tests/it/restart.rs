//! Restarts and brief drops (section 4): whoever returns in time was never away.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, Token, uids};

const CHANNEL: &str = "presence.room";

async fn join(server: &Server, uid: &str, umd: Value) -> (Client, Value) {
    Client::join_with(server, uid, umd, CHANNEL).await
}

/// Stops the server in one of the two ways that must not differ.
fn stop(server: &mut Server, kill: bool) {
    if kill {
        server.kill();
    } else {
        server.terminate();
    }
}

async fn who_returns_was_never_away(kill: bool) {
    let mut server = Setup::new().boot_grace("3s").start();
    let (_jim, _) = join(&server, "Jim", Value::Null).await;
    let (_pam, _) = join(&server, "Pam", json!("first")).await;
    let (_dwight, _) = join(&server, "Dwight", Value::Null).await;
    stop(&mut server, kill);
    server.run_again();

    let (mut jim, answer) = join(&server, "Jim", Value::Null).await;
    assert_eq!(
        uids(&answer["data"]),
        ["Jim", "Pam", "Dwight"],
        "all are known still"
    );
    jim.expect_silence().await;
    let (mut pam, _) = join(&server, "Pam", json!("second")).await;
    // Other metadata is an update, as ever; her own `subscribed` shows it already.
    let updated = jim.expect_event("hotsock.memberUpdated").await;
    assert_eq!(
        updated["data"]["member"],
        json!({"uid": "Pam", "umd": "second"})
    );
    assert_eq!(uids(&updated["data"]), ["Jim", "Pam", "Dwight"]);

    // Dwight does not return: he goes once, when the grace is over.
    for client in [&mut jim, &mut pam] {
        let removed = client.expect_event("hotsock.memberRemoved").await;
        assert_eq!(
            removed["data"]["member"],
            json!({"uid": "Dwight", "umd": null})
        );
        assert_eq!(uids(&removed["data"]), ["Jim", "Pam"]);
    }
    server.wait_for_log("roll call removed=1 returned=2");
    jim.expect_silence().await;
    pam.expect_silence().await;
    assert_eq!(uids(&server.channel(CHANNEL).await), ["Jim", "Pam"]);
    assert_eq!(server.subscriptions(CHANNEL).await, 2);
}

#[tokio::test]
async fn after_a_kill_who_returns_was_never_away() {
    who_returns_was_never_away(true).await;
}

#[tokio::test]
async fn after_a_stop_who_returns_was_never_away() {
    who_returns_was_never_away(false).await;
}

#[tokio::test]
async fn a_stop_closes_with_1001_and_a_second_start_within_the_grace_shows_nobody_leaving() {
    let mut server = Setup::new().boot_grace("60s").start();
    let (mut jim, mut pam) = Client::jim_and_pam(&server, CHANNEL).await;
    server.terminate();
    jim.expect_closed(1001).await;
    pam.expect_closed(1001).await;
    server.run_again();
    server.restart();
    let (mut jim, answer) = join(&server, "Jim", Value::Null).await;
    assert_eq!(uids(&answer["data"]), ["Jim", "Pam"]);
    // Two tabs come back for one: one takes the place over, the other is a second subscription.
    let (mut tab, _) = join(&server, "Jim", Value::Null).await;
    let (mut pam, _) = join(&server, "Pam", Value::Null).await;
    for client in [&mut jim, &mut tab, &mut pam] {
        client.expect_silence().await;
    }
    let info = server.channel(CHANNEL).await;
    assert_eq!(info["subscriptionsCount"], 3);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_has_said_goodbye() {
    let mut server = Setup::new().boot_grace("60s").start();
    let (mut jim, _) = join(&server, "Jim", Value::Null).await;
    server.signal(Signal::TERM);
    jim.expect_closed(1001).await;
    jim.close().await;
    let begun = Instant::now();
    server.terminate();
    // It would wait five seconds for who does not answer.
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn without_a_grace_the_roll_call_comes_before_anybody_can_connect() {
    let mut server = Setup::new().boot_grace("0s").start();
    let (_jim, _) = join(&server, "Jim", Value::Null).await;
    server.crash();
    assert_eq!(server.members(CHANNEL).await, json!([]));
    let (mut pam, answer) = join(&server, "Pam", Value::Null).await;
    assert_eq!(uids(&answer["data"]), ["Pam"]);
    pam.expect_silence().await;
}

#[tokio::test]
async fn absent_members_count_and_can_be_full() {
    let mut server = Setup::new()
        .boot_grace("60s")
        .set("presence", "channel_bytes = 64")
        .start();
    let (_jim, _) = join(&server, "Jim", json!("x".repeat(20))).await;
    server.crash();
    let mut pam = Client::connect(&server, &Token::of("Pam").umd(json!("x".repeat(30)))).await;
    pam.refused("presence.room", "PRESENCE_CHANNEL_CAPACITY_REACHED")
        .await;
}

#[tokio::test]
async fn who_unsubscribed_before_the_stop_is_not_back_after_it() {
    let mut server = Setup::new().boot_grace("60s").start();
    let (_jim, mut pam) = Client::jim_and_pam(&server, CHANNEL).await;
    pam.unsubscribe(CHANNEL).await;
    server.crash();
    assert_eq!(uids(&server.channel(CHANNEL).await), ["Jim"]);
}

#[tokio::test]
async fn a_brief_drop_does_not_show_but_an_unsubscribe_does() {
    let server = Server::with("presence", "disconnect_grace = \"60s\"");
    let (mut jim, pam) = Client::jim_and_pam(&server, CHANNEL).await;
    pam.close().await;
    jim.expect_silence().await;
    let (mut pam, answer) = join(&server, "Pam", Value::Null).await;
    assert_eq!(uids(&answer["data"]), ["Jim", "Pam"]);
    jim.expect_silence().await;
    pam.unsubscribe(CHANNEL).await;
    jim.expect_event("hotsock.memberRemoved").await;
}

#[tokio::test]
async fn a_drop_that_lasts_shows_once() {
    let server = Server::with("presence", "disconnect_grace = \"500ms\"");
    let (mut jim, pam) = Client::jim_and_pam(&server, CHANNEL).await;
    pam.close().await;
    jim.expect_member("Removed", "Pam").await;
    jim.expect_silence().await;
}

#[tokio::test]
async fn a_dropped_member_is_absent_for_the_roll_call_too() {
    let mut server = Setup::new()
        .boot_grace("60s")
        .set("presence", "disconnect_grace = \"60s\"")
        .start();
    let (_jim, pam) = Client::jim_and_pam(&server, CHANNEL).await;
    pam.close().await;
    server.crash();
    assert_eq!(uids(&server.channel(CHANNEL).await), ["Jim", "Pam"]);
}
