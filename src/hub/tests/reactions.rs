//! Reactions that were kept before it was kept whose request made them.

use serde_bytes::ByteArray;

use super::*;
use crate::hub::NewReaction;
use crate::protocol::event_out::{Trigger, Via};
use crate::protocol::{Json, MessageId, Reaction, ReactionEvent};
use crate::store::ReactionRecord;

#[tokio::test]
async fn the_end_of_a_reaction_of_an_earlier_version_tells_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.subscribe(&jim, "chat").await;
    let message = json!({"channel": "chat", "event": "say", "data": 1});
    room.send(&jim, message).await;
    let told = room.events_after(0).await;
    let message = told.last().unwrap()["data"]["id"].as_str().unwrap();
    let message: MessageId = message.parse().unwrap();
    let made = MessageId::from_parts(1_700_000_000_000, 7);
    let mut changes = Changes::new();
    let record = ReactionRecord {
        id: ByteArray::new(made.to_bytes()),
        umd: r#"{"then":1}"#.to_owned(),
        uid: None,
        origin: None,
    };
    changes.put_reaction("chat", message, "thumbsup", "Pam", &record);
    room.hub.pipeline.submit(changes, Release::default());
    room.settle().await;
    let before = room.hub.outbox().state().last;
    let new = NewReaction {
        channel: "chat",
        uid: "Pam",
        umd: &Json::parse(r#"{"now":2}"#).unwrap(),
        reaction: &Reaction {
            message,
            reaction: "thumbsup".into(),
            event: ReactionEvent::Removed,
        },
        trigger: Trigger {
            via: Via::ServerHttp,
            connection_id: None,
            source_ip: Some("192.0.2.1".to_owned()),
            user_agent: None,
        },
        deduplication_id: None,
        sender: None,
    };
    room.hub.react(new, |_| Some(true)).await.unwrap();
    let events = room.events_after(before).await;
    let [event] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(event["type"], "hotsock.messageReactionRemoved");
    assert_eq!(event["data"]["id"], made.to_string());
    assert_eq!(event["data"]["umd"], json!({"then": 1}));
    assert_eq!(event["data"]["createdAt"], "2023-11-14T22:13:20Z");
    // Whose request made it was not kept: then it is told who ended it.
    assert_eq!(event["metadata"]["trigger"], "server.http");
    assert_eq!(event["metadata"]["sourceIp"], "192.0.2.1");
    room.close().await;
}
