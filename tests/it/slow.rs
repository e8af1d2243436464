//! Who does not read (sections 14 and 15): it is closed, delays nobody, and what waited for it is given back.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Server, Setup, Token, in_time, usage};

const CHANNEL: &str = "busy";
/// What a message carries beside its number, in bytes.
const PADDING: usize = 30_000;

fn setup(queue_bytes: usize) -> Setup {
    Setup::new()
        .set("connection", &format!("queue_bytes = {queue_bytes}"))
        .hasty()
        .terse()
}

/// Subscribes, and reads no more.
async fn slow_reader(server: &Server) -> Client {
    let mut slow = Client::with_small_buffer(server, &Token::of("slow")).await;
    slow.subscribe(CHANNEL).await;
    slow
}

/// Sends numbered messages, and is not in the channel.
struct Publisher {
    client: Client,
    sent: u64,
}

impl Publisher {
    async fn connect(server: &Server) -> Self {
        let directives = json!({"*": {"messages": {"*": {"broadcast": true}}}});
        let token = Token::of("publisher").channels(directives);
        Self {
            client: Client::connect(server, &token).await,
            sent: 0,
        }
    }

    /// Sends so many, and returns when the server has taken them all.
    async fn send(&mut self, count: u64) {
        let padding = "x".repeat(PADDING);
        for _ in 0..count {
            let data = [json!(self.sent), json!(padding)];
            let frame = json!({"channel": CHANNEL, "event": "tick", "data": data});
            self.client.send(&frame).await;
            self.sent += 1;
        }
        self.client.expect_silence().await;
    }
}

async fn expect_closed_as_slow(mut slow: Client) {
    let (code, reason) = slow.closed().await;
    assert_eq!((code, reason.as_str()), (1008, "slow consumer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_closed_while_fifty_others_get_everything_in_order() {
    const OTHERS: usize = 50;
    // Two of these fit into a queue; and nobody is sent the next ones before all have read these.
    const BATCH: u64 = 4;
    let server = setup(BATCH as usize * 2 * (PADDING + 200)).start();
    let (read, mut reads) = mpsc::unbounded_channel();
    let mut others = Vec::new();
    for n in 0..OTHERS {
        let (mut client, _) = Client::join(&server, &format!("user-{n}"), CHANNEL).await;
        let read = read.clone();
        others.push(tokio::spawn(async move {
            for expected in 0_u64.. {
                let frame = client.next_json().await;
                if frame["event"] == "end" {
                    return expected;
                }
                assert_eq!(frame["data"][0], expected, "user-{n}");
                read.send(n).unwrap();
            }
            unreachable!()
        }));
    }
    drop(read);
    let slow = slow_reader(&server).await;
    let mut publisher = Publisher::connect(&server).await;
    let mut publish_to_all = async |batches: usize| {
        for _ in 0..batches {
            publisher.send(BATCH).await;
            let mut missing: Vec<u64> = vec![BATCH; OTHERS];
            while missing.iter().any(|count| *count > 0) {
                let n = in_time("all others have read", reads.recv()).await;
                missing[n.expect("nobody has failed")] -= 1;
            }
        }
        publisher.sent
    };
    // The systems' own buffers hold some megabytes before the queue does.
    while server.subscriptions(CHANNEL).await != OTHERS {
        let sent = publish_to_all(4).await;
        assert!(sent < 4_000, "it is never closed");
    }
    expect_closed_as_slow(slow).await;
    let sent = publish_to_all(4).await;
    let end = json!({"channel": CHANNEL, "event": "end"});
    server.publish(end).await;
    let mut counts = BTreeSet::new();
    for other in others {
        counts.insert(in_time("the end", other).await.unwrap());
    }
    assert_eq!(counts, BTreeSet::from([sent]));
}

/// What is given back need not leave the process, but the next one must be able to use it: four slow readers, one after
/// the other, take no more memory than one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_a_slow_reader_is_given_back() {
    const QUEUE: u64 = 32 << 20;
    let server = setup(QUEUE as usize).start();
    let mut publisher = Publisher::connect(&server).await;
    publisher.send(10).await;
    let mut peaks = vec![usage::resident(server.pid())];
    for _ in 0..4 {
        let slow = slow_reader(&server).await;
        let begun = publisher.sent;
        while server.subscriptions(CHANNEL).await != 0 {
            publisher.send(100).await;
            assert!(publisher.sent < begun + 8_000, "it is never closed");
        }
        expect_closed_as_slow(slow).await;
        peaks.push(usage::peak(server.pid()));
    }
    let shown: Vec<String> = peaks.iter().map(|b| format!("{} MiB", b >> 20)).collect();
    assert!(peaks[1] > peaks[0] + QUEUE / 2, "nothing waited: {shown:?}");
    // Were nothing given back, this would be three queues more.
    assert!(peaks[4] < peaks[1] + QUEUE, "{shown:?}");
}

/// The pong cannot go out, and waiting for that is no work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_of_a_reader_that_is_behind_costs_nothing() {
    let server = setup(64 << 20).start();
    let mut slow = slow_reader(&server).await;
    let mut publisher = Publisher::connect(&server).await;
    // More than the systems' own buffers hold.
    publisher.send(400).await;
    let before = usage::cpu(server.pid());
    tokio::time::sleep(TIME).await;
    let blocked = usage::cpu(server.pid()) - before;
    slow.socket.send(Message::Ping("a".into())).await.unwrap();
    let before = usage::cpu(server.pid());
    tokio::time::sleep(TIME).await;
    let pinged = usage::cpu(server.pid()) - before;
    assert!(pinged < TIME.mul_f64(0.3), "{pinged:?}, before {blocked:?}");
    // It was behind all the while, and is not too late.
    for n in 0..400 {
        let frame = loop {
            match in_time("a message", slow.socket.next()).await {
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(Message::Pong(_))) => {}
                other => panic!("{other:?} in place of message {n}"),
            }
        };
        let frame: Value = serde_json::from_str(&frame).unwrap();
        assert_eq!(frame["data"][0], n);
    }
}

/// How long the server's work is watched.
const TIME: Duration = Duration::from_secs(2);
