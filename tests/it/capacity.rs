//! The capacity of a presence channel is exact (section 4).

use serde_json::json;

use crate::support::{Client, Setup, Token, subscribe};

/// A token whose member takes `bytes` bytes as `{"uid":…,"umd":…}`.
fn token(n: usize, bytes: usize) -> Token {
    let uid = format!("user-{n:04}");
    let frame = format!(r#"{{"uid":"{uid}","umd":""}}"#).len();
    Token::of(&uid).umd(json!("x".repeat(bytes - frame)))
}

#[tokio::test]
async fn eight_hundred_members_of_128_bytes_fit_and_the_next_byte_does_not() {
    // The clients do not read while they join, and every join is told to all.
    let server = Setup::new()
        .set("connection", "queue_bytes = \"256MiB\"")
        .start();
    let mut clients = Vec::new();
    for n in 0..800 {
        let mut client = Client::connect(&server, &token(n, 128)).await;
        client.send(subscribe("presence.full")).await;
        clients.push(client);
    }
    // Each has its own `subscribed` first; the last one has the full list.
    for client in &mut clients {
        let frame = client.next().await;
        assert!(
            frame.starts_with(r#"{"event":"hotsock.subscribed""#),
            "{frame}"
        );
    }
    let page = server.read("/channels").await;
    assert_eq!(page["channels"][0]["bytes"], 102_400);
    assert_eq!(page["channels"][0]["capacity"], 102_400);
    assert_eq!(page["channels"][0]["memberCount"], 800);

    let mut late = Client::connect(&server, &token(800, 128)).await;
    late.refused("presence.full", "PRESENCE_CHANNEL_CAPACITY_REACHED")
        .await;
    late.expect_silence().await;
    // Nor may anybody there grow by one byte; growing smaller is all right.
    let umd = "x".repeat(128 - r#"{"uid":"user-0000","umd":""}"#.len() + 1);
    let one = clients.last_mut().unwrap();
    one.update(&server, "presence.full", json!(umd)).await;
    loop {
        let frame = one.next_json().await;
        if frame["event"] == "hotsock.error" {
            assert_eq!(frame["error"]["code"], "PRESENCE_CHANNEL_CAPACITY_REACHED");
            break;
        }
    }
    // One goes, one comes.
    clients.swap_remove(0).close().await;
    late.subscribe("presence.full").await;
    let page = server.read("/channels").await;
    assert_eq!(page["channels"][0]["bytes"], 102_400);
}

#[tokio::test]
async fn a_refused_join_leaves_nothing_behind() {
    let server = Setup::new().set("presence", "channel_bytes = 100").start();
    let mut jim = Client::connect(&server, &token(1, 101)).await;
    jim.refused("presence.small", "PRESENCE_CHANNEL_CAPACITY_REACHED")
        .await;
    let page = server.read("/channels").await;
    assert_eq!(page["channels"], json!([]));
    let mut pam = Client::connect(&server, &token(2, 100)).await;
    pam.subscribe("presence.small").await;
    // The same uid in a second tab with larger metadata would show them.
    let mut tab = Client::connect(&server, &token(2, 101)).await;
    tab.refused("presence.small", "PRESENCE_CHANNEL_CAPACITY_REACHED")
        .await;
    pam.expect_silence().await;
}
