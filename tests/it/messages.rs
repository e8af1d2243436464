//! Messages: what they look like, and that everybody gets them in the order of their ids (section 5).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Server, Setup, Token};

/// A token whose messages on every channel have these directives.
fn token(uid: &str, directives: Value) -> Token {
    Token::of(uid).channels(json!({"*": {"subscribe": true, "messages": {"*": directives}}}))
}

#[tokio::test]
async fn a_message_reaches_the_others_with_its_id_and_sender() {
    let server = Server::start();
    let (mut pam, _) = Client::join(&server, "Pam", "game.123").await;
    let token = token("Jim", json!({"publish": true})).umd(json!({"a": 1}));
    let mut jim = Client::connect(&server, &token).await;
    jim.subscribe("game.123").await;
    jim.send(r#"{"channel":"game.123","event":"move","data":{"x":1,"b":[2,3]}}"#)
        .await;
    let frame = pam.next().await;
    let id = serde_json::from_str::<Value>(&frame).unwrap()["id"].clone();
    assert_eq!(id.as_str().unwrap().len(), 26);
    assert_eq!(
        frame,
        format!(
            r#"{{"id":{id},"event":"move","channel":"game.123","data":{{"x":1,"b":[2,3]}},"meta":{{"uid":"Jim","umd":{{"a":1}}}}}}"#
        )
    );
    jim.send(r#"{"event":"move","channel":"game.123"}"#).await;
    let second = pam.next_json().await;
    assert_eq!(second["data"], Value::Null);
    assert!(second["id"].as_str() > id.as_str());
    jim.expect_silence().await;
}

#[tokio::test]
async fn data_has_a_limit() {
    let server = Server::start();
    let mut jim = Client::connect(&server, &token("Jim", json!({"broadcast": true}))).await;
    for (bytes, fits) in [(32 * 1024, true), (32 * 1024 + 1, false)] {
        let data = "x".repeat(bytes - 2);
        jim.send(json!({"channel": "c", "event": "say", "data": data}))
            .await;
        if fits {
            jim.expect_silence().await;
        } else {
            jim.expect_error("DATA_TOO_LARGE").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_get_five_thousand_messages_once_and_in_one_order() {
    const SUBSCRIBERS: usize = 1_000;
    const MESSAGES: usize = 5_000;
    let server = Arc::new(
        Setup::new()
            .hasty()
            .set("connection", "queue_bytes = 67108864")
            .terse()
            .start(),
    );
    let mut readers = Vec::new();
    for n in 0..SUBSCRIBERS {
        let (mut client, _) = Client::join(&server, &format!("reader-{n}"), "busy").await;
        readers.push(tokio::spawn(async move {
            // Only what tells messages apart is looked at: `{"id":"…26…","event":…`.
            let mut ids = Vec::with_capacity(MESSAGES);
            while ids.len() < MESSAGES {
                match client.socket.next().await {
                    Some(Ok(Message::Text(text))) => ids.push(text.as_str()[7..33].to_owned()),
                    other => panic!("{other:?} after {} messages", ids.len()),
                }
            }
            client.expect_silence().await;
            ids
        }));
    }
    let publishers: Vec<_> = (0..3)
        .map(|n| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let directives = json!({"broadcast": true, "store": i32::from(n == 2) * 60});
                let token = token(&format!("publisher-{n}"), directives);
                let mut client = Client::connect(&server, &token).await;
                let count = if n == 2 { 1_666 } else { 1_667 };
                for message in 0..count {
                    let data = json!({"channel": "busy", "event": "tick", "data": [n, message]});
                    client.send(&data).await;
                }
                client.until_pong().await;
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let mut first: Option<Vec<String>> = None;
    for reader in readers {
        let ids = tokio::time::timeout(Duration::from_secs(120), reader)
            .await
            .expect("all messages in time")
            .unwrap();
        match &first {
            None => {
                assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "ids increase");
                assert_eq!(ids.iter().collect::<HashSet<_>>().len(), MESSAGES);
                first = Some(ids);
            }
            Some(first) => assert!(*first == ids, "everybody has the same order"),
        }
    }
}

#[tokio::test]
async fn ids_grow_across_restarts() {
    let mut server = Server::start();
    let mut last = String::new();
    for round in 0..4 {
        for _ in 0..3 {
            let body =
                json!({"channel": "c", "event": "e", "store": 60, "eagerIdGeneration": true});
            let id = server.publish(body).await["id"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        if round % 2 == 0 {
            server.kill();
        } else {
            server.terminate();
        }
        server.run_again();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_keeps_every_stored_message_that_was_acknowledged() {
    let mut server = Arc::new(Server::start());
    let publishers: Vec<_> = (0..6)
        .map(|n| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let mut told = Vec::new();
                for message in 0.. {
                    let body = json!({
                        "channel": "c", "event": "e", "store": -1, "eagerIdGeneration": true,
                        // Some are larger than one record.
                        "data": [n, message, "x".repeat(if message % 5 == 0 { 20_000 } else { 10 })],
                    });
                    match server.publish_unless_gone(body).await {
                        Some(answer) => told.push(answer["id"].as_str().unwrap().to_owned()),
                        None => return told,
                    }
                }
                told
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let told = Server::end_under(&mut server, Signal::KILL, publishers).await;
    let told: Vec<String> = told.into_iter().flatten().collect();
    assert!(told.len() > 20, "{}", told.len());
    let token = Token::of("Jim").channels(json!({"c": {"subscribe": true, "historyStart": 0}}));
    let mut jim = Client::connect(&server, &token).await;
    jim.subscribe("c").await;
    let mut listed: Vec<String> = Vec::new();
    loop {
        let mut body = json!({"channel": "c"});
        if let Some(last) = listed.last() {
            body["after"] = json!(last);
        }
        let answer = server.list(&jim, &body).await;
        let page = answer["messages"].as_array().unwrap();
        if page.is_empty() {
            break;
        }
        for message in page {
            let data = message["data"].as_array().unwrap();
            let whole = if data[1].as_u64().unwrap() % 5 == 0 {
                20_000
            } else {
                10
            };
            assert_eq!(data[2].as_str().unwrap().len(), whole, "none is half there");
            listed.push(message["id"].as_str().unwrap().to_owned());
        }
    }
    assert!(
        listed.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, each once"
    );
    let listed: HashSet<&String> = listed.iter().collect();
    let lost: Vec<_> = told.iter().filter(|id| !listed.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
