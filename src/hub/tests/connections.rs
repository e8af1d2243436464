//! What is on disk of connections, and what back ends are told of them, whatever comes in between.

use tokio::time::timeout;

use std::sync::atomic::AtomicBool;

use super::*;
use crate::protocol::{MessageId, Reaction, ReactionEvent};

/// Long enough for anything that nothing holds up.
const DEADLINE: Duration = Duration::from_secs(10);
/// What has not happened by then is held up.
const HELD_UP: Duration = Duration::from_millis(100);

impl Room {
    fn is_recorded(&self, connection: &Connection) -> bool {
        let record = self.hub.pipeline.store().connection(connection.id);
        record.unwrap().is_some()
    }

    async fn types_after(&self, position: u64) -> Vec<String> {
        let events = self.events_after(position).await;
        let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
        events.iter().map(kind).collect()
    }
}

/// A request over HTTP may still be on its way when the socket is closed.
#[tokio::test]
async fn a_connection_that_is_over_is_not_recorded_again() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.subscribe(&jim, "presence.a").await;
    let token = room.umd_token(&jim, json!({"a": 1}));
    room.settle().await;
    assert!(room.is_recorded(&jim));
    room.hub.disconnect(&jim).await;
    let before = room.hub.outbox().state().last;
    // Each is told what is true of it.
    let late = room.hub.update_metadata(&jim, None, &token).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::ConnectionUnknown);
    let late = room.hub.unsubscribe(&jim, "presence.a").await;
    assert_eq!(late.unwrap_err().code, ErrorCode::NotSubscribed);
    let told = room.types_after(before).await;
    assert!(!told.iter().any(|t| t == "hotsock.connectionUpdated"));
    assert!(!room.is_recorded(&jim));
}

#[tokio::test]
async fn metadata_changed_over_http_are_on_disk_when_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.subscribe(&jim, "presence.a").await;
    room.settle().await;
    for channel in [None, Some("presence.a")] {
        let held = Held::new(&room).await;
        let token = room.umd_token(&jim, json!({"channel": channel}));
        let mut update = std::pin::pin!(room.hub.update_metadata(&jim, channel, &token));
        let early = timeout(HELD_UP, &mut update).await;
        assert!(early.is_err(), "{channel:?}");
        drop(held);
        timeout(DEADLINE, update).await.unwrap().unwrap();
    }
}

/// A back end that is told of a member must hear of its end, and nobody hears of the end of what never was on disk.
#[tokio::test]
async fn members_that_are_told_of_are_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.settle().await;
    let held = Held::new(&room).await;
    room.subscribe(&jim, "presence.a").await;
    let mut info = std::pin::pin!(room.hub.channel_info("presence.a"));
    let mut page = std::pin::pin!(room.hub.channel_page("", ""));
    assert!(timeout(HELD_UP, &mut info).await.is_err());
    assert!(timeout(HELD_UP, &mut page).await.is_err());
    drop(held);
    let info = timeout(DEADLINE, info).await.unwrap().unwrap();
    assert_eq!(info.members.unwrap().count, 1);
    let page = timeout(DEADLINE, page).await.unwrap().unwrap();
    assert_eq!(page.len(), 1);
}

#[tokio::test]
async fn whoever_hears_of_ends_hears_of_that_of_a_connection_from_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut quiet = settings();
    quiet.events.webhooks.clear();
    let room = Room::open(folder.path(), quiet).await;
    let (jim, dwight) = (
        room.connect("Jim", Value::Null).await,
        room.connect("Dwight", Value::Null).await,
    );
    room.subscribe(&jim, "a").await;
    let ends = [EventKind::Disconnected].into_iter().collect();
    assert!(room.hub.keep_for_feed(ends).await);
    let before = room.hub.outbox().state().last;
    room.hub.disconnect(&jim).await;
    room.hub.disconnect(&dwight).await;
    let told = room.events_after(before).await;
    let uids: Vec<_> = told.iter().map(|e| e["data"]["uid"].clone()).collect();
    assert_eq!(uids, ["Jim", "Dwight"]);
}

/// The order of one connection's events is that of what happened, also where everything happens while the disk is busy, and
/// where the process ends before the connection does.
#[tokio::test]
async fn a_short_life_is_told_in_order_and_its_record_goes() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    room.settle().await;
    let held = Held::new(&room).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.subscribe(&jim, "a").await;
    room.hub.disconnect(&jim).await;
    let short = room.connect("Pam", Value::Null).await;
    room.hub.disconnect(&short).await;
    let stays = room.connect("Dwight", Value::Null).await;
    room.subscribe(&stays, "a").await;
    drop(held);
    let names = |types: &[&str]| -> Vec<String> {
        types.iter().map(|name| format!("hotsock.{name}")).collect()
    };
    assert_eq!(
        room.types_after(0).await,
        names(&[
            "connected",
            "subscribed",
            "channelUpdated",
            "unsubscribed",
            "channelUpdated",
            "disconnected",
            "connected",
            "disconnected",
            "connected",
            "subscribed",
            "channelUpdated",
        ])
    );
    let left = [&jim, &short, &stays].map(|connection| room.is_recorded(connection));
    assert_eq!(left, [false, false, true]);
    let before = room.hub.outbox().state().last;
    let id = stays.id;
    drop((jim, short, stays));
    room.close().await;

    // A start that is stopped again before the roll call leaves it to the next.
    let room = Room::open(folder.path(), settings()).await;
    room.hub.begin_stop();
    room.hub.hold_roll_call().await;
    assert!(room.hub.pipeline.store().connection(id).unwrap().is_some());
    room.close().await;

    let room = Room::open(folder.path(), settings()).await;
    room.hub.hold_roll_call().await;
    assert_eq!(
        room.types_after(before).await,
        names(&["unsubscribed", "channelUpdated", "disconnected"])
    );
    assert_eq!(room.hub.pipeline.store().connection_ids().unwrap(), []);
}

/// A back end that gives up on a request and makes it again reacts once.
#[tokio::test]
async fn a_reaction_whose_request_is_given_up_is_not_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.connect("Jim", Value::Null).await;
    room.subscribe(&jim, "chat").await;
    let message = json!({"channel": "chat", "event": "say", "data": 1});
    room.send(&jim, message).await;
    let told = room.events_after(0).await;
    let id = told.last().unwrap()["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let message: MessageId = id.parse().unwrap();
    let reaction = Reaction {
        message,
        reaction: "thumbsup".into(),
        event: ReactionEvent::Added,
    };
    let umd = crate::protocol::Json::default();
    let react = || {
        let new = crate::hub::NewReaction {
            channel: "chat",
            uid: "Pam",
            umd: &umd,
            reaction: &reaction,
            trigger: crate::protocol::event_out::Trigger {
                via: crate::protocol::event_out::Via::ServerHttp,
                connection_id: None,
                source_ip: None,
                user_agent: None,
            },
            deduplication_id: None,
            sender: None,
        };
        room.hub.react(new, |_| Some(true))
    };
    let before = room.hub.outbox().state().last;
    let held = Held::new(&room).await;
    assert!(timeout(HELD_UP, react()).await.is_err());
    let mut again = std::pin::pin!(react());
    assert!(timeout(HELD_UP, &mut again).await.is_err());
    drop(held);
    timeout(DEADLINE, again).await.unwrap().unwrap();
    assert_eq!(
        room.types_after(before).await,
        ["hotsock.messageReactionAdded"]
    );
}

/// What was delivered to a subscriber can be listed by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn history_begins_no_later_than_what_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let room = Arc::new(Room::open(folder.path(), settings()).await);
    let sender = room.connect("Jim", Value::Null).await;
    let over = Arc::new(AtomicBool::new(false));
    let sending = {
        let (room, over) = (Arc::clone(&room), Arc::clone(&over));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                for _ in 0..16 {
                    let message = json!({"channel": "chat", "event": "say", "data": 1});
                    room.send(&sender, message).await;
                }
                room.settle().await;
            }
        })
    };
    for _ in 0..300 {
        let pam = room.connect("Pam", Value::Null).await;
        room.subscribe(&pam, "chat").await;
        room.settle().await;
        let mut frames = std::collections::VecDeque::new();
        let mut first = None;
        while first.is_none() {
            let take = std::future::poll_fn(|cx| pam.queue.poll_take(cx, &mut frames));
            timeout(DEADLINE, take).await.unwrap();
            for frame in frames.drain(..) {
                let text: Value = serde_json::from_str(frame.json()).unwrap();
                let id = text["id"].as_str().map(|id| id.parse().unwrap());
                first = first.or(id);
            }
        }
        let first: MessageId = first.unwrap();
        let request = PageRequest {
            channel: "chat",
            after: None,
            before: None,
            reverse: false,
            expand: false,
        };
        let (_, page) = room.hub.list_messages(&pam, &request).await.unwrap();
        assert!(page[0].message.id <= first);
        room.hub.disconnect(&pam).await;
    }
    over.store(true, Ordering::Relaxed);
    sending.await.unwrap();
}
