//! What back ends are told, what of it is kept, and for how long.

use super::*;

#[tokio::test]
async fn a_connections_life_is_told_in_order_and_in_the_protocols_words() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", json!({"a": 1})).await;
    room.subscribe(&jim, "presence.live-chat").await;
    let unsubscribe = json!({"event": "hotsock.unsubscribe", "channel": "presence.live-chat"});
    room.send(&jim, unsubscribe).await;
    room.hub.disconnect(&jim).await;
    let events = room.events_after(0).await;
    let types: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "hotsock.connected",
            "hotsock.subscribed",
            "hotsock.memberAdded",
            "hotsock.channelUpdated",
            "hotsock.unsubscribed",
            "hotsock.memberRemoved",
            "hotsock.channelUpdated",
            "hotsock.disconnected",
        ]
    );
    let id = jim.id.to_string();
    let [
        connected,
        subscribed,
        added,
        channel,
        _,
        removed,
        _,
        disconnected,
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(connected["source"], "hotsock.v1");
    assert_eq!(connected["dataType"], "connection");
    assert_eq!(connected["metadata"], json!({"hotsockVersion": "1.13.0"}));
    assert_eq!(connected["data"]["id"], id);
    assert_eq!(connected["data"]["sourceIp"], "127.0.0.1");
    assert_eq!(connected["data"]["disconnectedAt"], Value::Null);
    assert!(disconnected["data"]["disconnectedAt"].is_string());
    assert_eq!(
        subscribed["data"],
        json!({"channel": "presence.live-chat", "connectionId": id, "uid": "Jim", "umd": {"a": 1}})
    );
    assert_eq!(
        added["data"],
        json!({"uid": "Jim", "umd": {"a": 1}, "members": [{"uid": "Jim", "umd": {"a": 1}}]})
    );
    assert_eq!(
        channel["data"],
        json!({"name": "presence.live-chat", "subscriptionsCount": 1})
    );
    assert_eq!(
        removed["metadata"],
        json!({"channel": "presence.live-chat", "reason": "unsubscribed", "hotsockVersion": "1.13.0"})
    );
}

#[tokio::test]
async fn messages_and_reactions_are_told_where_the_token_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.subscribe(&jim, "chat").await;
    let message = json!({"channel": "chat", "event": "say", "data": "x".repeat(20_000)});
    room.send(&jim, message).await;
    let told = room.events_after(0).await;
    let published = told.last().unwrap();
    assert_eq!(published["type"], "hotsock.messagePublished");
    assert_eq!(published["metadata"]["trigger"], "client.websocket");
    assert_eq!(published["metadata"]["connectionId"], jim.id.to_string());
    assert_eq!(published["metadata"]["userAgent"], "test");
    assert_eq!(published["data"]["data"], "x".repeat(20_000));
    assert_eq!(
        published["data"]["meta"],
        json!({"uid": "Jim", "umd": null})
    );
    let reaction = json!({
        "event": "hotsock.messageReaction",
        "channel": "chat",
        "data": {"messageId": published["data"]["id"], "reaction": "thumbsup", "action": "add"},
    });
    room.send(&jim, reaction).await;
    let told = room.events_after(0).await;
    let reacted = told.last().unwrap();
    assert_eq!(reacted["type"], "hotsock.messageReactionAdded");
    assert_eq!(reacted["metadata"]["reaction"], "thumbsup");
    assert_eq!(reacted["data"]["messageId"], published["data"]["id"]);
    assert_eq!(reacted["data"]["uid"], "Jim");
    assert!(reacted["data"]["expiresAt"].is_string());
}

#[tokio::test]
async fn what_nobody_wants_is_not_kept_and_a_gap_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut quiet = settings();
    quiet.events.webhooks = vec![webhook([EventKind::MemberRemoved].into_iter().collect())];
    let room = Room::open(folder.path(), quiet).await;
    let (jim, dwight) = (
        room.connect("Jim", Value::Null).await,
        room.connect("Dwight", Value::Null).await,
    );
    room.subscribe(&jim, "presence.a").await;
    room.subscribe(&dwight, "presence.a").await;
    assert!(room.events_after(0).await.is_empty());
    room.hub.disconnect(&dwight).await;
    let told = room.events_after(0).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told[0]["data"]["members"],
        json!([{"uid": "Jim", "umd": null}])
    );
    let before = room.hub.outbox().state().last;

    let all = EventKinds::ALL;
    assert!(room.hub.outbox().read(before, all, 10).unwrap().missed);
    assert!(room.hub.keep_for_feed(all).await);
    let missed = room.hub.outbox().read(before, all, 10).unwrap();
    assert!(missed.missed, "what was not kept before is missed");
    assert!(
        !room
            .hub
            .outbox()
            .read(missed.position, all, 10)
            .unwrap()
            .missed
    );
    room.hub.disconnect(&jim).await;
    room.settle().await;
    let told = room.hub.outbox().read(missed.position, all, 10).unwrap();
    let kinds: Vec<EventKind> = told.events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Unsubscribed,
            EventKind::MemberRemoved,
            EventKind::ChannelUpdated,
            EventKind::Disconnected
        ]
    );
    assert!(
        room.hub.outbox().read(u64::MAX, all, 1).unwrap().missed,
        "of another database"
    );
}

#[tokio::test]
async fn the_outbox_is_trimmed_to_its_size_and_nothing_of_it_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = settings();
    small.events.max_bytes = 200_000;
    let room = Room::open(folder.path(), small).await;
    let long = json!("x".repeat(900));
    for round in 0..8 {
        let mut connections = Vec::new();
        for n in 0..60 {
            let connection = room.connect(&format!("{round}-{n}"), long.clone()).await;
            room.subscribe(&connection, "presence.a").await;
            connections.push(connection);
        }
        for connection in connections {
            room.hub.disconnect(&connection).await;
        }
    }
    room.settle().await;
    assert!(room.hub.outbox().state().bytes > 200_000);
    room.hub.outbox.trim(&room.hub.pipeline).await.unwrap();
    let state = room.hub.outbox().state();
    assert!(state.bytes <= 200_000, "{state:?}");
    assert!(state.trimmed > 0 && state.trimmed < state.last);
    let kept = room.events_after(state.trimmed).await;
    assert!(
        room.hub
            .outbox()
            .read(0, EventKinds::ALL, 1)
            .unwrap()
            .missed
    );
    let last = kept.last().unwrap();
    assert_eq!(last["type"], "hotsock.disconnected");
    for event in &kept {
        if event["type"] == "hotsock.memberAdded" {
            let members = event["data"]["members"].as_array().unwrap();
            assert_eq!(members.last().unwrap()["uid"], event["data"]["uid"]);
        }
    }
    // Everything is old now: all goes, the lists too.
    let trim_all = || room.hub.pipeline.store().trim(u64::MAX, u64::MAX).unwrap();
    while let Some(trim) = trim_all() {
        room.hub.pipeline.commit(trim.changes, ()).await.unwrap();
    }
    assert_eq!(room.hub.outbox().state().bytes, 0);
    assert_eq!(room.hub.pipeline.store().outbox_records().unwrap(), 0);
}

/// The lists of channels that go on stay; they are no reason to let go of every event.
#[tokio::test]
async fn many_lists_leave_room_for_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = settings();
    small.events.max_bytes = 100_000;
    let room = Room::open(folder.path(), small).await;
    let jim = room.connect("Jim", Value::Null).await;
    let channels: Vec<String> = (0..40).map(|n| format!("presence.{n}")).collect();
    for channel in &channels {
        room.subscribe(&jim, channel).await;
    }
    for _ in 0..25 {
        let pam = room.connect("Pam", Value::Null).await;
        for channel in &channels {
            room.subscribe(&pam, channel).await;
        }
        room.hub.disconnect(&pam).await;
    }
    room.settle().await;
    room.hub.outbox.trim(&room.hub.pipeline).await.unwrap();
    let state = room.hub.outbox().state();
    assert!(state.lists > 100_000, "{state:?}");
    assert!(state.bytes - state.lists <= 50_000, "{state:?}");
    let kept = room.events_after(state.trimmed).await;
    assert!(kept.len() > 100, "{}", kept.len());
    room.hub.outbox.trim(&room.hub.pipeline).await.unwrap();
    assert_eq!(room.events_after(state.trimmed).await, kept);
}
