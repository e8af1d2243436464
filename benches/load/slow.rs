//! One subscriber that does not read, among many that do: their latency before, while it hangs there, and after it has
//! been dropped; and the server's memory all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use crate::Result;
use crate::client::{Client, Frame};
use crate::fanout::{CHANNEL, Load, Subscribers, play};
use crate::figures::{figure, mebibytes, title};
use crate::harness::usage;
use crate::server::{Place, Server, Settings};

/// How long after the last message it may take to be dropped.
const DROPPED_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many read.
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// How many messages are on their way at a time.
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
    /// The size of a message's data, in bytes.
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
    /// How many messages are published in each of the three parts.
    #[arg(long, default_value_t = 6_000)]
    messages: usize,
    /// How much may wait for one connection, in bytes.
    #[arg(long, default_value_t = 1 << 20)]
    queue_bytes: u64,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    title(&format!(
        "one subscriber that does not read, among {}; {} messages of {} bytes in each part",
        options.subscribers, options.messages, options.bytes
    ));
    let settings = Settings {
        queue_bytes: options.queue_bytes,
        ..Settings::default()
    };
    let server = Arc::new(Server::start(place, &settings)?);
    let load = Load {
        bytes: options.bytes,
        in_flight: options.in_flight,
        messages: options.messages,
    };
    let mut publisher = server.client("publisher").await?;
    let subscribers = Subscribers::connect(&server, options.subscribers).await?;
    let warm_up = Load {
        messages: options.messages / 10,
        ..load
    };
    let (subscribers, _) = play(subscribers, &mut publisher, warm_up).await?;

    let before = server.resident();
    figure("before: resident", mebibytes(before), "");
    let (subscribers, mut outcome) = play(subscribers, &mut publisher, load).await?;
    outcome.print_latencies();

    let slow = not_reading(&server).await?;
    let farewell = tokio::spawn(farewell(slow, Arc::clone(&server), options.subscribers));
    let peak = Peak::watch(server.pid());
    let (subscribers, mut outcome) = play(subscribers, &mut publisher, load).await?;
    figure(
        "while it hangs there: most resident",
        mebibytes(peak.end()),
        "",
    );
    outcome.print_latencies();
    let farewell = timeout(DROPPED_WITHIN, farewell)
        .await
        .map_err(|_| "it was not dropped; publish more, or let less wait")???;
    figure(
        "what it found when it read at last",
        farewell,
        "closed with 1008",
    );

    let (_subscribers, mut outcome) = play(subscribers, &mut publisher, load).await?;
    figure(
        "after it was dropped: resident",
        mebibytes(server.resident()),
        "",
    );
    outcome.print_latencies();
    Ok(())
}

/// A subscriber with a small buffer in the system, that reads no more once it is subscribed.
async fn not_reading(server: &Server) -> Result<Client> {
    let mut target = server.target().clone();
    target.receive_buffer = Some(16 << 10);
    let token = server.token("slow", &serde_json::Value::Null)?;
    let mut client = Client::connect(&target, &token).await?;
    client.subscribe(&[CHANNEL.to_owned()]).await?;
    Ok(client)
}

/// Waits until the server has dropped the subscriber, and then has it read on to the end.
async fn farewell(mut client: Client, server: Arc<Server>, others: usize) -> Result<String> {
    loop {
        let channel = server.get(&format!("/channels/{CHANNEL}")).await?;
        if channel["subscriptionsCount"].as_u64() == Some(others as u64) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        match client.next().await {
            Ok(Frame::Text(_)) => {}
            Ok(Frame::Close(code)) => return Ok(format!("closed with {code}")),
            Err(_) => return Ok("cut off".to_owned()),
        }
    }
}

/// The most memory that was resident while it watched.
struct Peak {
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Peak {
    fn watch(pid: u32) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (most_seen, ended) = (Arc::clone(&most), Arc::clone(&over));
        tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                most_seen.fetch_max(usage::resident(pid), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { most, over }
    }

    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.most.load(Ordering::Relaxed)
    }
}
