//! What comes behind what: messages behind the changes of their senders, and everybody's in the order of their ids.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use super::*;
use crate::protocol::Json;

const CHANNEL: &str = "presence.room";

impl Room {
    /// Somebody whose messages are kept where their event is `kept`, and who gets a copy of each.
    async fn speaker(&self, uid: &str) -> Arc<Connection> {
        let messages = json!({
            "said": {"broadcast": true, "echo": true},
            "kept": {"broadcast": true, "echo": true, "store": 60},
        });
        self.connect_with(uid, Value::Null, messages).await
    }

    /// Waits until everything before is durable, and told in the channel.
    async fn settle_here(&self) {
        let passed = self.hub.rooms.passed(CHANNEL, Release::default());
        passed.await.unwrap();
    }

    async fn say(&self, speaker: &Arc<Connection>, event: &str, text: &str) {
        let frame = json!({"channel": CHANNEL, "event": event, "data": text});
        self.send(speaker, frame).await;
    }
}

/// What has come to a connection since it was last asked.
fn heard(connection: &Connection) -> Vec<Value> {
    let mut frames = VecDeque::new();
    let _ = connection
        .queue
        .poll_take(&Context::from_waker(Waker::noop()), &mut frames);
    frames
        .iter()
        .map(|frame| serde_json::from_str(frame.json()).unwrap())
        .collect()
}

/// The same in short: a message's data, or the event of anything else and the member that it is of.
fn told(connection: &Connection) -> Vec<String> {
    let short = |frame: Value| match (frame["id"].as_str(), frame["data"].as_str()) {
        (Some(_), Some(data)) => data.to_owned(),
        _ => {
            let event = frame["event"]
                .as_str()
                .unwrap()
                .trim_start_matches("hotsock.");
            let member = frame["data"]["member"]["uid"].as_str().unwrap_or_default();
            format!("{event} {member}").trim_end().to_owned()
        }
    };
    heard(connection).into_iter().map(short).collect()
}

fn ids(frames: &[Value]) -> Vec<String> {
    let id = |frame: &Value| frame["id"].as_str().map(str::to_owned);
    frames.iter().filter_map(id).collect()
}

#[tokio::test]
async fn a_message_follows_the_join_of_its_sender_and_nobody_else_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let (pam, jim) = (room.speaker("Pam").await, room.speaker("Jim").await);
    room.subscribe(&pam, CHANNEL).await;
    room.settle_here().await;
    told(&pam);
    told(&jim);
    let held = Held::new(&room).await;
    room.subscribe(&jim, CHANNEL).await;
    room.say(&jim, "said", "Jim 1").await;
    room.say(&jim, "said", "Jim 2").await;
    room.say(&pam, "said", "Pam").await;
    // What Jim said says who he is; and nobody has been told yet that he is here.
    assert_eq!(told(&pam), ["Pam"]);
    assert_eq!(told(&jim), [""; 0]);
    drop(held);
    room.settle_here().await;
    assert_eq!(told(&pam), ["memberAdded Jim", "Jim 1", "Jim 2"]);
    assert_eq!(told(&jim), ["subscribed", "Jim 1", "Jim 2"]);
    // And then it waits for nothing any more.
    room.say(&jim, "said", "Jim 3").await;
    assert_eq!(told(&pam), ["Jim 3"]);
    room.close().await;
}

#[tokio::test]
async fn a_message_says_of_its_sender_what_has_been_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let (pam, jim) = (room.speaker("Pam").await, room.speaker("Jim").await);
    room.subscribe(&pam, CHANNEL).await;
    room.subscribe(&jim, CHANNEL).await;
    room.settle_here().await;
    heard(&pam);
    let held = Held::new(&room).await;
    room.update(&jim, CHANNEL, json!("away")).await;
    room.say(&jim, "said", "I am away").await;
    assert_eq!(told(&pam), [""; 0]);
    drop(held);
    room.settle_here().await;
    let frames = heard(&pam);
    assert_eq!(frames[0]["event"], "hotsock.memberUpdated");
    assert_eq!(frames[1]["meta"], json!({"uid": "Jim", "umd": "away"}));
    // Who has left may still say something, where its token lets it; after it has left.
    let held = Held::new(&room).await;
    let leave = json!({"event": "hotsock.unsubscribe", "channel": CHANNEL});
    room.send(&jim, leave).await;
    room.say(&jim, "said", "goodbye").await;
    assert_eq!(told(&pam), [""; 0]);
    drop(held);
    room.settle_here().await;
    assert_eq!(told(&pam), ["memberRemoved Jim", "goodbye"]);
    room.close().await;
}

/// One connection by WebSocket and HTTP at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_updates_at_once_one_wins_in_the_list_and_in_the_messages() {
    let folder = tempfile::tempdir().unwrap();
    let room = Arc::new(Room::open(folder.path(), settings()).await);
    let jim = room.speaker("Jim").await;
    room.subscribe(&jim, CHANNEL).await;
    for round in 0..100 {
        let updates = [0, 1].map(|side| {
            let (room, jim) = (Arc::clone(&room), Arc::clone(&jim));
            tokio::spawn(async move {
                room.update(&jim, CHANNEL, json!([round, side])).await;
            })
        });
        for update in updates {
            update.await.unwrap();
        }
        room.settle_here().await;
        heard(&jim);
        room.say(&jim, "said", "who am I?").await;
        room.settle_here().await;
        let said = heard(&jim);
        let listed = room.members(CHANNEL)[0]["umd"].clone();
        assert_eq!(said[0]["meta"]["umd"], listed, "round {round}");
    }
    Arc::into_inner(room).unwrap().close().await;
}

#[tokio::test]
async fn ids_grow_for_everybody_whatever_waits_for_what() {
    let folder = tempfile::tempdir().unwrap();
    let room = Arc::new(Room::open(folder.path(), settings()).await);
    let (pam, jim) = (room.speaker("Pam").await, room.speaker("Jim").await);
    room.subscribe(&pam, CHANNEL).await;
    room.settle_here().await;
    heard(&pam);
    let held = Held::new(&room).await;
    room.subscribe(&jim, CHANNEL).await;
    // Behind his join, and before what Pam keeps; but he takes his place when his join is told.
    room.say(&jim, "said", "Jim said").await;
    room.say(&pam, "said", "Pam said").await;
    room.say(&pam, "kept", "Pam kept").await;
    room.say(&pam, "said", "Pam said more").await;
    let kept = {
        let room = Arc::clone(&room);
        tokio::spawn(async move { room.say(&jim, "kept", "Jim kept").await })
    };
    assert_eq!(told(&pam), ["Pam said"]);
    drop(held);
    kept.await.unwrap();
    room.settle_here().await;
    let frames = heard(&pam);
    assert_eq!(frames[0]["event"], "hotsock.memberAdded");
    let said: Vec<&str> = frames[1..]
        .iter()
        .map(|frame| frame["data"].as_str().unwrap())
        .collect();
    assert_eq!(
        said,
        ["Pam kept", "Pam said more", "Jim said", "Jim kept"],
        "by the order in which each had its id, and each one's in its own"
    );
    let ids = ids(&frames);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    Arc::into_inner(room).unwrap().close().await;
}

/// The change that a message follows is told, and the message is not yet: the next one waits behind it all the same.
#[tokio::test]
async fn a_senders_messages_keep_their_order_across_its_change() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let (pam, jim) = (room.speaker("Pam").await, room.speaker("Jim").await);
    room.subscribe(&pam, CHANNEL).await;
    room.settle_here().await;
    heard(&pam);
    let before = Held::new(&room).await;
    room.subscribe(&jim, CHANNEL).await;
    // Between the change and the message that follows it the disk is held again.
    let (release, released) = mpsc::channel::<()>();
    room.hold_up(move || {
        let _ = released.recv();
    });
    room.say(&jim, "said", "first").await;
    drop(before);
    let is_told = async {
        while jim.has_untold() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_told)
        .await
        .unwrap();
    room.say(&jim, "said", "second").await;
    drop(release);
    room.settle_here().await;
    assert_eq!(told(&pam), ["memberAdded Jim", "first", "second"]);
    room.close().await;
}

#[tokio::test]
async fn an_id_that_was_asked_for_is_that_of_the_message_that_followed() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.speaker("Jim").await;
    let held = Held::new(&room).await;
    room.subscribe(&jim, CHANNEL).await;
    let message = ClientMessage {
        channel: CHANNEL,
        event: "said",
        data: Json::parse("1").unwrap(),
    };
    let published = room.hub.publish_from(&jim, message, Origin::Socket).await;
    let (_, published) = published.unwrap();
    assert!(matches!(published, Published::Following(_)));
    drop(held);
    let id = published.settled().await.unwrap();
    assert_eq!(ids(&heard(&jim)), [id.to_string()]);
    room.close().await;
}

/// The end of a channel and its new beginning are told in the order in which they happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_ends_and_begins_anew_is_told_of_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::open(folder.path(), settings()).await;
    let jim = room.speaker("Jim").await;
    for n in 0..300 {
        // Another channel takes the place in memory that the one before had.
        let other = format!("presence.other-{n}");
        room.subscribe(&jim, CHANNEL).await;
        let leave = json!({"event": "hotsock.unsubscribe", "channel": CHANNEL});
        room.send(&jim, leave).await;
        if n % 3 == 0 && n < 90 {
            room.subscribe(&jim, &other).await;
        }
    }
    room.settle_here().await;
    let mut there = false;
    for frame in heard(&jim) {
        if frame["channel"] != CHANNEL {
            continue;
        }
        let expected = if there {
            "hotsock.unsubscribed"
        } else {
            "hotsock.subscribed"
        };
        assert_eq!(frame["event"], expected, "{frame}");
        there = !there;
    }
    room.close().await;
}

/// Whoever comes and goes all the time leaves nothing behind for as long as a grace may be.
#[tokio::test]
async fn a_client_that_drops_and_returns_has_one_absence_at_the_most() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.presence.disconnect_grace = Duration::from_secs(3_600);
    let room = Room::open(folder.path(), settings).await;
    room.hub.ready();
    for _ in 0..50 {
        let jim = room.connect("Jim", Value::Null).await;
        room.subscribe(&jim, CHANNEL).await;
        room.hub.disconnect(&jim).await;
        assert_eq!(room.hub.rooms.absences.len(), 1);
    }
    let jim = room.connect("Jim", Value::Null).await;
    room.subscribe(&jim, CHANNEL).await;
    assert_eq!(room.hub.rooms.absences.len(), 0);
    room.close().await;
}
