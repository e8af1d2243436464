//! Members and their connections (section 4).

use serde_json::{Value, json};

use crate::support::{Client, Server, Token};

const CHANNEL: &str = "presence.room";

async fn join(server: &Server, uid: &str, umd: Value) -> Client {
    let mut client = Client::connect(server, &Token::of(uid).umd(umd)).await;
    client.subscribe(CHANNEL).await;
    client
}

/// The next event of `client`: its short name, the member's uid and umd.
async fn event(client: &mut Client) -> (String, String, Value) {
    let event = client.next_json().await;
    let member = &event["data"]["member"];
    (
        event["event"].as_str().unwrap().replace("hotsock.", ""),
        member["uid"].as_str().unwrap_or_default().to_owned(),
        member["umd"].clone(),
    )
}

fn is(event: &str, uid: &str, umd: Value) -> (String, String, Value) {
    (event.to_owned(), uid.to_owned(), umd)
}

#[tokio::test]
async fn two_tabs_of_one_user_are_one_member() {
    let server = Server::start();
    let mut watcher = join(&server, "Pam", Value::Null).await;
    let first = join(&server, "Jim", json!(1)).await;
    assert_eq!(
        event(&mut watcher).await,
        is("memberAdded", "Jim", json!(1))
    );
    let mut second = join(&server, "Jim", json!(1)).await;
    watcher.expect_silence().await;
    let info = server.channel(CHANNEL).await;
    assert_eq!(info["subscriptionsCount"], 3);
    assert_eq!(info["members"].as_array().unwrap().len(), 2);
    first.close().await;
    watcher.expect_silence().await;
    second.expect_silence().await;
    second.close().await;
    assert_eq!(
        event(&mut watcher).await,
        is("memberRemoved", "Jim", json!(1))
    );
    watcher.expect_silence().await;
}

#[tokio::test]
async fn a_member_shows_its_newest_tab_and_then_the_one_before() {
    let server = Server::start();
    let mut watcher = join(&server, "Pam", Value::Null).await;
    let mut first = join(&server, "Jim", json!("one")).await;
    assert_eq!(
        event(&mut watcher).await,
        is("memberAdded", "Jim", json!("one"))
    );
    let mut second = join(&server, "Jim", json!("two")).await;
    assert_eq!(
        event(&mut watcher).await,
        is("memberUpdated", "Jim", json!("two"))
    );
    assert_eq!(
        event(&mut first).await,
        is("memberUpdated", "Jim", json!("two"))
    );

    // The older tab updates: it is the newest now. Then its metadata are shown until it closes.
    first.update(&server, CHANNEL, json!("three")).await;
    for client in [&mut watcher, &mut first, &mut second] {
        assert_eq!(
            event(client).await,
            is("memberUpdated", "Jim", json!("three"))
        );
    }
    first.close().await;
    assert_eq!(
        event(&mut watcher).await,
        is("memberUpdated", "Jim", json!("two"))
    );
    assert_eq!(
        event(&mut second).await,
        is("memberUpdated", "Jim", json!("two"))
    );
    second.close().await;
    assert_eq!(
        event(&mut watcher).await,
        is("memberRemoved", "Jim", json!("two"))
    );
}

#[tokio::test]
async fn the_tab_that_is_not_shown_closes_in_silence() {
    let server = Server::start();
    let mut watcher = join(&server, "Pam", Value::Null).await;
    let first = join(&server, "Jim", json!("one")).await;
    event(&mut watcher).await;
    let mut second = join(&server, "Jim", json!("two")).await;
    event(&mut watcher).await;
    first.close().await;
    watcher.expect_silence().await;
    second.expect_silence().await;
}

#[tokio::test]
async fn metadata_that_is_equal_is_no_update() {
    let server = Server::start();
    let mut watcher = join(&server, "Pam", Value::Null).await;
    let mut jim = join(&server, "Jim", json!({"a": 1, "b": 2})).await;
    event(&mut watcher).await;
    // The same value, spelled in another order.
    jim.update(&server, CHANNEL, json!({"b": 2, "a": 1})).await;
    jim.expect_silence().await;
    watcher.expect_silence().await;
    jim.update(&server, CHANNEL, json!({"a": 1})).await;
    assert_eq!(
        event(&mut watcher).await,
        is("memberUpdated", "Jim", json!({"a": 1}))
    );
}

#[tokio::test]
async fn lists_are_in_joining_order_and_a_returning_member_is_last() {
    let server = Server::start();
    let mut watcher = join(&server, "a", Value::Null).await;
    let b = join(&server, "b", Value::Null).await;
    let _c = join(&server, "c", Value::Null).await;
    b.close().await;
    let _b = join(&server, "b", Value::Null).await;
    let uids = |event: &Value| {
        let members = event["data"]["members"].as_array().unwrap();
        let uids = members
            .iter()
            .map(|m| m["uid"].as_str().unwrap().to_owned());
        uids.collect::<String>()
    };
    for expected in ["ab", "abc", "ac", "acb"] {
        assert_eq!(uids(&watcher.next_json().await), expected);
    }
}

#[tokio::test]
async fn everybody_sees_the_same_events_in_the_same_order() {
    let server = Server::start();
    let mut watchers = Vec::new();
    for n in 0..4 {
        watchers.push(join(&server, &format!("watcher-{n}"), Value::Null).await);
    }
    for client in &mut watchers {
        client.until_pong().await;
    }
    // Comers and goers at the same time.
    let server = std::sync::Arc::new(server);
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let server = std::sync::Arc::clone(&server);
            tokio::spawn(async move {
                for round in 0..5 {
                    let client = join(&server, &format!("user-{n}"), json!(round)).await;
                    client.close().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut seen: Vec<Vec<String>> = Vec::new();
    for client in &mut watchers {
        let mut events = Vec::new();
        // Every join and every leave.
        while events.len() < 80 {
            events.push(client.next().await);
        }
        client.expect_silence().await;
        seen.push(events);
    }
    let first = &seen[0];
    assert!(seen.iter().all(|events| events == first));
    let mut members: Vec<Value> = (0..4)
        .map(|n| json!({"uid": format!("watcher-{n}"), "umd": null}))
        .collect();
    for event in first {
        let event: Value = serde_json::from_str(event).unwrap();
        let member = event["data"]["member"].clone();
        match event["event"].as_str().unwrap() {
            "hotsock.memberAdded" => members.push(member),
            "hotsock.memberRemoved" => members.retain(|m| *m != member),
            other => panic!("{other}"),
        }
        assert_eq!(
            event["data"]["members"],
            json!(members),
            "every list agrees"
        );
    }
}

#[tokio::test]
async fn presence_needs_a_uid() {
    let server = Server::start();
    let mut client = Client::connect(&server, &Token::anonymous()).await;
    let error = client
        .refused("presence.room", "PRESENCE_CHANNEL_USER_ID_REQUIRED")
        .await;
    assert_eq!(error["channel"], "presence.room");
}
