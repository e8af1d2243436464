//! The hub with a real database, without sockets: what is committed, and what back ends are told of it.

mod connections;
mod order;
mod reactions;
mod stopping;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::mpsc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::{Algorithm, SigningKey};
use crate::config::{Webhook, WebhookSecret};
use crate::events::EventSource as _;
use crate::protocol::ErrorCode;
use crate::protocol::{EventKind, EventKinds};
use crate::store::Options;

struct Room {
    hub: Arc<Hub>,
    key: SigningKey,
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.presence.boot_grace = Duration::from_secs(3_600);
    settings.presence.fanout_bytes_per_second = 1 << 40;
    settings.presence.fanout_burst_bytes = 1 << 40;
    settings.connection.max_lifetime = Duration::from_secs(3_600);
    settings.connection.max_connections = 1_000;
    settings.connection.max_subscriptions = 100;
    settings.connection.queue_bytes = 1 << 30;
    settings.events.retention = Duration::from_secs(3_600);
    settings.events.max_bytes = 1 << 30;
    settings.events.webhooks = vec![webhook(EventKinds::ALL)];
    settings
}

fn webhook(types: EventKinds) -> Webhook {
    Webhook {
        name: "app".to_owned(),
        url: "https://app.example/hooks".to_owned(),
        secret: WebhookSecret::new(vec![0; 32]),
        types,
        ca_file: None,
    }
}

/// Keeps everything from the disk until it is dropped.
struct Held(#[allow(dead_code, reason = "dropped, it ends")] mpsc::Sender<()>);

impl Held {
    async fn new(room: &Room) -> Self {
        let (release, released) = mpsc::channel();
        let (tell, told) = tokio::sync::oneshot::channel();
        room.hold_up(move || {
            let _ = tell.send(());
            let _ = released.recv();
        });
        told.await.unwrap();
        Self(release)
    }
}

impl Room {
    async fn open(folder: &Path, settings: Settings) -> Self {
        let secret = b"a secret that only this test knows and uses";
        let key = SigningKey::from_secret(Algorithm::HS256, None, secret).unwrap();
        let verifier = Verifier::new(vec![key.verification_key().unwrap()], None, None);
        let options = Options {
            folder: folder.to_owned(),
            cache_bytes: 8 << 20,
        };
        // Within one process the database's own threads may hold its file for a moment after it was closed.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let store = loop {
            match Store::open(&options) {
                Ok(store) => break store,
                Err(error) if std::time::Instant::now() > deadline => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let hub = Hub::start(settings, verifier, store, |error| panic!("{error}")).unwrap();
        hub.before_ready().await;
        Self { hub, key }
    }

    async fn connect(&self, uid: &str, umd: Value) -> Arc<Connection> {
        let messages = json!({"*": {
            "broadcast": true, "store": 60, "react": true, "emitPubSubEvent": true,
        }});
        self.connect_with(uid, umd, messages).await
    }

    async fn connect_with(&self, uid: &str, umd: Value, messages: Value) -> Arc<Connection> {
        let claims = json!({
            "exp": clock::now_seconds() + 60,
            "scope": "connect",
            "uid": uid,
            "umd": umd,
            "channels": {"*": {"subscribe": true, "messages": messages}},
        });
        let admission = self
            .hub
            .admit(&self.key.sign(&claims).unwrap())
            .await
            .unwrap();
        let client = ClientInfo {
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: Some("test".into()),
        };
        self.hub.connect(admission, client).await.unwrap()
    }

    async fn send(&self, connection: &Arc<Connection>, frame: Value) {
        self.hub.request(connection, &frame.to_string()).await;
    }

    async fn subscribe(&self, connection: &Arc<Connection>, channel: &str) {
        let frame = json!({"event": "hotsock.subscribe", "channel": channel});
        self.send(connection, frame).await;
    }

    /// Allows a connection to change its metadata, and those of its subscriptions.
    fn umd_token(&self, connection: &Connection, umd: Value) -> String {
        let claims = json!({
            "exp": clock::now_seconds() + 60,
            "scope": "umd",
            "connectionId": connection.id.to_string(),
            "umd": umd,
            "umdUpdate": true,
            "channels": {"*": {"umdUpdate": true}},
        });
        self.key.sign(&claims).unwrap()
    }

    async fn update(&self, connection: &Arc<Connection>, channel: &str, umd: Value) {
        let token = self.umd_token(connection, umd);
        let frame = json!({
            "event": "hotsock.umdUpdate", "channel": channel, "data": {"token": token},
        });
        self.send(connection, frame).await;
    }

    /// Waits until everything before is durable.
    async fn settle(&self) {
        self.hub.pipeline.settle().await.unwrap();
    }

    /// Has the committer wait for `wait`, when everything before has been told.
    fn hold_up(&self, wait: impl FnOnce() + Send + 'static) {
        self.hub.pipeline.submit_computed(
            move |_| {
                wait();
                Changes::new()
            },
            Release::default(),
        );
    }

    /// Everything in the outbox after `position`.
    async fn events_after(&self, mut position: u64) -> Vec<Value> {
        self.settle().await;
        let mut all = Vec::new();
        loop {
            let batch = self
                .hub
                .outbox()
                .read(position, EventKinds::ALL, 7)
                .unwrap();
            if batch.position == position {
                return all;
            }
            position = batch.position;
            for event in batch.events {
                let body: Value = serde_json::from_slice(&event.body).unwrap();
                assert_eq!(body["type"], event.kind.name());
                all.push(body);
            }
        }
    }

    fn members(&self, channel: &str) -> Value {
        let info = self.hub.channel_now(channel);
        serde_json::from_slice(&info.members.unwrap().list).unwrap()
    }

    async fn close(self) {
        self.hub.begin_stop();
        let hub = Arc::clone(&self.hub);
        tokio::task::spawn_blocking(move || hub.finish())
            .await
            .unwrap();
        // The database is open until the chores have let go of it.
        drop(self);
    }
}

/// What back ends know after these events: the members of each channel. Every list must follow from the one before.
fn replay(events: &[Value], known: &mut HashMap<String, Vec<Value>>) {
    for event in events {
        let kind = event["type"].as_str().unwrap();
        if !kind.starts_with("hotsock.member") {
            continue;
        }
        let channel = event["metadata"]["channel"].as_str().unwrap();
        let members = known.entry(channel.to_owned()).or_default();
        let member = json!({"uid": event["data"]["uid"], "umd": event["data"]["umd"]});
        let place = members.iter().position(|m| m["uid"] == member["uid"]);
        match (kind, place) {
            ("hotsock.memberAdded", None) => members.push(member),
            ("hotsock.memberUpdated", Some(place)) => members[place] = member,
            ("hotsock.memberRemoved", Some(place)) => {
                assert_eq!(members.remove(place), member);
            }
            _ => panic!("{event} does not follow from {members:?}"),
        }
        assert_eq!(event["data"]["members"], json!(members), "{event}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join { user: u8, channel: u8, umd: u8 },
    Leave(usize),
    Drop(usize),
    Update(usize, u8),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12u8, 0..3u8, 0..3u8)
            .prop_map(|(user, channel, umd)| Step::Join { user, channel, umd }),
        2 => any::<usize>().prop_map(Step::Leave),
        2 => any::<usize>().prop_map(Step::Drop),
        2 => (any::<usize>(), 0..4u8).prop_map(|(n, umd)| Step::Update(n, umd)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

fn umd(n: u8) -> Value {
    match n {
        0 => Value::Null,
        1 => json!({"b": 1, "a": "x".repeat(300)}),
        n => json!({"status": n}),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(future);
    drop(runtime);
    result
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Replaying the events gives the members, with every list exact; and what is stored is what it adds up to, which a
    /// restart checks.
    #[test]
    fn events_out_tell_of_every_change_exactly(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut known = HashMap::new();
        let mut position = 0;
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            let expected = block_on(async {
                let mut short = settings();
                short.presence.boot_grace = Duration::ZERO;
                let room = Room::open(folder.path(), short).await;
                let mut joined: Vec<(Arc<Connection>, String)> = Vec::new();
                for step in steps.by_ref() {
                    let pick = |n: usize| (!joined.is_empty()).then(|| n % joined.len());
                    match step {
                        Step::Restart => break,
                        Step::Join { user, channel, umd: n } => {
                            let channel = format!("presence.{channel}");
                            let connection = room.connect(&format!("user-{user}"), umd(n)).await;
                            room.subscribe(&connection, &channel).await;
                            joined.push((connection, channel));
                        }
                        Step::Leave(n) => if let Some(n) = pick(n) {
                            let (connection, channel) = joined.swap_remove(n);
                            let frame = json!({"event": "hotsock.unsubscribe", "channel": channel});
                            room.send(&connection, frame).await;
                            room.hub.disconnect(&connection).await;
                        },
                        Step::Drop(n) => if let Some(n) = pick(n) {
                            let (connection, _) = joined.swap_remove(n);
                            room.hub.disconnect(&connection).await;
                        },
                        Step::Update(n, to) => if let Some(n) = pick(n) {
                            let (connection, channel) = joined.get(n).unwrap();
                            room.update(connection, channel, umd(to)).await;
                        },
                    }
                }
                let events = room.events_after(position).await;
                replay(&events, &mut known);
                position = room.hub.outbox().state().last;
                let expected: BTreeMap<String, Value> = (0..3)
                    .map(|n| format!("presence.{n}"))
                    .map(|channel| (channel.clone(), room.members(&channel)))
                    .collect();
                drop(joined);
                room.close().await;
                expected
            });
            for (channel, members) in expected {
                let known = known.get(&channel).cloned().unwrap_or_default();
                prop_assert_eq!(members, json!(known));
            }
        }
    }
}

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

/// A channel that empties is made anew by the next to come: the end of the one must not reach the disk after the beginning
/// of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_channel_that_empties_and_fills_again_is_on_disk_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let room = Arc::new(Room::open(folder.path(), settings()).await);
    let mut there = room.connect("Jim", Value::Null).await;
    let mut away = room.connect("Pam", Value::Null).await;
    room.subscribe(&there, "presence.a").await;
    for round in 0..1_500 {
        // One goes as the other comes.
        let start = Arc::new(tokio::sync::Barrier::new(2));
        let going = {
            let (room, there, start) = (room.clone(), there.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let leave = json!({"event": "hotsock.unsubscribe", "channel": "presence.a"});
                room.send(&there, leave).await;
            })
        };
        let coming = {
            let (room, away) = (room.clone(), away.clone());
            tokio::spawn(async move {
                start.wait().await;
                room.subscribe(&away, "presence.a").await;
            })
        };
        going.await.unwrap();
        coming.await.unwrap();
        room.settle().await;
        let mut stored = Vec::new();
        let read = room
            .hub
            .pipeline
            .store()
            .read_channels(|name, totals, subscriptions| {
                stored.push((name.to_owned(), totals.is_some(), subscriptions.len()));
            });
        read.unwrap();
        assert_eq!(
            stored,
            [("presence.a".to_owned(), true, 1)],
            "round {round}"
        );
        std::mem::swap(&mut there, &mut away);
    }
}
