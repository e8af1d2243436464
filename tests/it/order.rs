//! Told means kept, by way of messages as well: what a message says of its sender has been told of it before (sections 4
//! and 5).

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Server, Setup, Token, burst, subscribe, unsubscribe, update};

const CHANNEL: &str = "presence.room";

/// Somebody who may say anything anywhere, and gets a copy.
async fn speaker(server: &Server, uid: &str) -> Client {
    let token = Token::saying(uid, json!({"broadcast": true, "echo": true}));
    Client::connect(server, &token).await
}

#[tokio::test]
async fn whoever_joins_speaks_and_leaves_at_once_is_told_of_in_that_order() {
    let server = Setup::new().hasty().start();
    let (mut pam, _) = Client::join(&server, "Pam", CHANNEL).await;
    let mut jim = speaker(&server, "Jim").await;
    for round in 0..50 {
        let said = json!({"event": "said", "channel": CHANNEL, "data": round});
        let frames = [subscribe(CHANNEL), said.clone(), unsubscribe(CHANNEL), said];
        burst(&mut jim, &frames).await;
        for expected in [
            "hotsock.memberAdded",
            "said",
            "hotsock.memberRemoved",
            "said",
        ] {
            let frame = pam.next_json().await;
            assert_eq!(frame["event"], expected, "round {round}: {frame}");
        }
        // Who speaks has been told that it is there, and gets its copy then.
        for expected in ["hotsock.subscribed", "said", "hotsock.unsubscribed"] {
            let frame = jim.next_json().await;
            assert_eq!(frame["event"], expected, "round {round}: {frame}");
        }
    }
}

#[tokio::test]
async fn no_message_has_metadata_that_a_power_cut_could_take_back() {
    let mut server = Setup::new().hasty().start();
    let (mut pam, _) = Client::join(&server, "Pam", CHANNEL).await;
    let mut jim = speaker(&server, "Jim").await;
    jim.subscribe(CHANNEL).await;
    pam.next().await;
    for round in 0..50 {
        let update = update(&server, &jim, CHANNEL, json!(round));
        let said = json!({"event": "said", "channel": CHANNEL});
        burst(&mut jim, [update, said]).await;
        let frame = pam.next_json().await;
        assert_eq!(
            frame["event"], "hotsock.memberUpdated",
            "round {round}: {frame}"
        );
        let frame = pam.next_json().await;
        assert_eq!(frame["meta"]["umd"], round, "{frame}");
    }
    // What the last message said of him is what is there after a kill.
    server.crash();
    let members = server.members(CHANNEL).await;
    assert_eq!(members[1], json!({"uid": "Jim", "umd": 49}));
}

/// A kill at any moment: whatever anybody has seen on a message is there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_takes_back_nothing_that_a_message_has_said() {
    for _ in 0..5 {
        let mut server = Arc::new(Setup::new().hasty().start());
        let (mut pam, _) = Client::join(&server, "Pam", CHANNEL).await;
        let mut jim = speaker(&server, "Jim").await;
        jim.subscribe(CHANNEL).await;
        let talk = {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                for n in 0.. {
                    let update = update(&server, &jim, CHANNEL, json!(n));
                    let said = json!({"event": "said", "channel": CHANNEL});
                    let is_copy = |frame: &Value| frame["event"] == "said";
                    // Neither waits for the other, and the copy comes last.
                    let update = Message::text(update.to_string());
                    if jim.socket.send(update).await.is_err()
                        || jim.ask(&said, is_copy).await.is_none()
                    {
                        return 0;
                    }
                }
                0
            })
        };
        // The last metadata that Pam saw on a message.
        let (first, seen_first) = tokio::sync::oneshot::channel();
        let listen = tokio::spawn(async move {
            let (mut seen, mut first) = (0, Some(first));
            while let Some(Ok(message)) = pam.socket.next().await {
                let Ok(text) = message.into_text() else { break };
                let Ok(frame) = serde_json::from_str::<Value>(&text) else {
                    break;
                };
                if frame["event"] == "said" {
                    seen = frame["meta"]["umd"].as_i64().unwrap();
                    if seen == 20
                        && let Some(first) = first.take()
                    {
                        let _ = first.send(());
                    }
                }
            }
            seen
        });
        seen_first.await.unwrap();
        let seen = Server::end_under(&mut server, Signal::KILL, vec![talk, listen]).await[1];
        let members = server.members(CHANNEL).await;
        let kept = members[1]["umd"].as_i64().unwrap();
        assert!(kept >= seen, "{kept} is there, but {seen} has been told");
    }
}

/// Every subscription's end and beginning, in the order in which they were asked for, also where the channel is gone in
/// between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_ends_and_begins_anew_keeps_its_order() {
    let server = Setup::new().hasty().start();
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    let pair = [subscribe(CHANNEL), unsubscribe(CHANNEL)];
    for _ in 0..20 {
        burst(&mut jim, pair.iter().cycle().take(200)).await;
        for n in 0..200 {
            let frame = jim.next_json().await;
            let expected = ["hotsock.subscribed", "hotsock.unsubscribed"][n % 2];
            assert_eq!(frame["event"], expected, "frame {n}: {frame}");
        }
    }
}
