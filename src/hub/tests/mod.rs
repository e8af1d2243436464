//! The hub with a real database, without sockets: what is committed, and what back ends are told of it.

mod connections;
mod events_out;
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
