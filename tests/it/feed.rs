//! `GET /events` (section 13).

use crate::support::{Client, Server, Setup};

#[tokio::test]
async fn a_feed_goes_on_where_its_reader_left_off_also_across_a_kill() {
    let mut server = Setup::new().boot_grace("0s").start();
    let read = async |server: &Server, query: &str, last: Option<&str>| {
        let target = format!("/events?follow=false&{query}");
        let last = ("last-event-id", last.unwrap_or_default());
        let answer = server.api_with("GET", &target, last, "").await;
        answer.expect(200);
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        let field = |event: &str, name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        let events = answer
            .text
            .split("\n\n")
            .filter(|event| event.contains("event: "));
        events
            .map(|event| (field(event, "id: "), field(event, "event: ")))
            .collect::<Vec<(String, String)>>()
    };
    // Nobody has asked yet, so nothing is kept; from now on it is.
    assert_eq!(
        read(
            &server,
            "types=hotsock.memberAdded,hotsock.memberRemoved",
            None
        )
        .await,
        []
    );
    let jim = Client::join(&server, "Jim", "presence.a").await;
    let types = "types=hotsock.memberAdded,hotsock.memberRemoved&after=0";
    let events = read(&server, types, None).await;
    assert_eq!(events.len(), 1, "{events:?}");
    let (first, kind) = &events[0];
    assert_eq!(kind, "hotsock.memberAdded");
    server.kill();
    drop(jim);
    server.run_again();
    let events = read(&server, types, Some(first)).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].1, "hotsock.memberRemoved");
    // Of another database, or of a type that was not kept: the gap is told.
    let events = read(&server, types, Some("00000000-1")).await;
    assert_eq!(events[0].1, "rollcall.gap");
    let events = read(&server, "types=hotsock.connected", Some(first)).await;
    assert_eq!(events[0].1, "rollcall.gap");
}

/// In periodic durability a crash may undo what has been told; its name is not given to anything else.
#[tokio::test]
async fn no_id_of_an_event_is_ever_used_again_by_another() {
    let mut server = Setup::new()
        .set("store", "durability = \"periodic\"")
        .boot_grace("0s")
        .start();
    let types = "types=hotsock.memberAdded";
    let read = async |server: &Server| {
        let target = format!("/events?follow=false&{types}&after=0");
        let answer = server.api("GET", &target, "").await;
        let mut events = Vec::new();
        let mut id = String::new();
        for line in answer.text.lines() {
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                let event: serde_json::Value = serde_json::from_str(data).unwrap();
                events.push((id.clone(), event["data"]["uid"].clone()));
            }
        }
        events
    };
    read(&server).await;
    let mut told = std::collections::BTreeMap::new();
    for round in 0..6 {
        for n in 0..4 {
            let uid = format!("user-{round}-{n}");
            let (client, _) = Client::join(&server, &uid, "presence.a").await;
            for (id, uid) in read(&server).await {
                let before = told.insert(id.clone(), uid.clone());
                assert!(
                    before.is_none_or(|before| before == uid),
                    "{id} is {uid} too"
                );
            }
            drop(client);
        }
        server.crash();
    }
    assert!(told.len() >= 20, "{told:?}");
}
