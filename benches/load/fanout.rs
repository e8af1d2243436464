//! Messages of one publisher to many subscribers: CPU time per delivery, deliveries per second, latency.
//!
//! A fixed number of messages is on its way at a time; the next one is published when all subscribers have the oldest.
//! With one on its way there is nothing to batch; with several the server may write many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Result;
use crate::client::{Client, Frame};
use crate::crowd;
use crate::figures::{Latencies, figure, micros_each, millis, per_second, title};
use crate::server::{Place, Server, Settings};

/// The channel that everybody is in.
pub(crate) const CHANNEL: &str = "fanout";
/// How long one message may take to reach everybody.
const DELIVERED_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many subscribe.
    #[arg(long, default_value_t = 500)]
    subscribers: usize,
    /// How many messages are on their way at a time.
    #[arg(long, value_delimiter = ',', default_value = "8,1")]
    in_flight: Vec<usize>,
    /// The size of a message's data, in bytes.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// How many messages are published.
    #[arg(long, default_value_t = 8_000)]
    messages: usize,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    title(&format!(
        "{} messages of {} bytes to {} subscribers",
        options.messages, options.bytes, options.subscribers
    ));
    let server = Arc::new(Server::start(place, &Settings::default())?);
    let mut subscribers = Subscribers::connect(&server, options.subscribers).await?;
    let mut publisher = server.client("publisher").await?;
    for in_flight in options.in_flight {
        let load = |messages| Load {
            bytes: options.bytes,
            in_flight,
            messages,
        };
        let (warmed, _) = play(subscribers, &mut publisher, load(options.messages / 10)).await?;
        let cpu = server.cpu();
        let (played, mut outcome) = play(warmed, &mut publisher, load(options.messages)).await?;
        let cpu = server.cpu() - cpu;
        subscribers = played;
        let target = if in_flight == 1 {
            "≤ 7 µs"
        } else {
            "≤ 2.0 µs"
        };
        figure(
            &format!("{in_flight} in flight: server CPU per delivery"),
            micros_each(cpu, outcome.deliveries),
            target,
        );
        figure(
            "deliveries",
            per_second(outcome.deliveries, outcome.took),
            "",
        );
        outcome.print_latencies();
    }
    Ok(())
}

/// What is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
    pub(crate) messages: usize,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) deliveries: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Latencies,
}

impl Outcome {
    pub(crate) fn print_latencies(&mut self) {
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("most", 1.0)] {
            figure(
                &format!("latency, {name}"),
                millis(self.latencies.quantile(share)),
                "",
            );
        }
    }
}

/// Those who receive.
pub(crate) struct Subscribers(Vec<Client>);

impl Subscribers {
    pub(crate) async fn connect(server: &Arc<Server>, count: usize) -> Result<Self> {
        let clients = crowd::connect(server, 0..count, |_| vec![CHANNEL.to_owned()]);
        Ok(Self(clients.await?))
    }
}

/// The messages on their way.
struct Flight {
    begun: Instant,
    slots: Vec<Slot>,
    /// One for each message that may be published now.
    room: Semaphore,
}

/// Every so-manieth message.
#[derive(Debug, Default)]
struct Slot {
    /// When the latest was published, in ns since the beginning.
    published: AtomicU64,
    /// How often all of them were received.
    received: AtomicU64,
}

/// Publishes and receives.
pub(crate) async fn play(
    subscribers: Subscribers,
    publisher: &mut Client,
    load: Load,
) -> Result<(Subscribers, Outcome)> {
    let flight = Arc::new(Flight {
        begun: Instant::now(),
        slots: (0..load.in_flight).map(|_| Slot::default()).collect(),
        room: Semaphore::new(load.in_flight),
    });
    let count = subscribers.0.len() as u64;
    let mut receiving = JoinSet::new();
    for client in subscribers.0 {
        receiving.spawn(receive(client, Arc::clone(&flight), load.messages, count));
    }
    let data = "x".repeat(load.bytes.saturating_sub(2));
    let text = [format!(
        r#"{{"channel":"{CHANNEL}","event":"move","data":"{data}"}}"#
    )];
    for slot in flight.slots.iter().cycle().take(load.messages) {
        match timeout(DELIVERED_WITHIN, flight.room.acquire()).await {
            Ok(permit) => permit?.forget(),
            // If the server has said why, say it.
            Err(_) => match timeout(Duration::from_secs(1), publisher.text()).await {
                Ok(text) => return Err(String::from_utf8_lossy(text?).into()),
                Err(_) => return Err("a message did not reach everybody".into()),
            },
        }
        slot.published
            .store(nanos(flight.begun.elapsed()), Ordering::Release);
        publisher.send(&text).await?;
    }
    let mut subscribers = Vec::new();
    let mut latencies = Latencies::default();
    while let Some(received) = receiving.join_next().await {
        let (client, own) = received??;
        subscribers.push(client);
        latencies.merge(own);
    }
    let outcome = Outcome {
        deliveries: count * load.messages as u64,
        took: flight.begun.elapsed(),
        latencies,
    };
    Ok((Subscribers(subscribers), outcome))
}

/// One subscriber. It gets every message once and in order, so counting tells which one it has.
async fn receive(
    mut client: Client,
    flight: Arc<Flight>,
    messages: usize,
    subscribers: u64,
) -> Result<(Client, Latencies)> {
    let mut latencies = Latencies::default();
    for slot in flight.slots.iter().cycle().take(messages) {
        match client.next().await? {
            Frame::Text(text) if text.starts_with(br#"{"id":"#) => {}
            other => return Err(format!("no message: {other:?}").into()),
        }
        let published = Duration::from_nanos(slot.published.load(Ordering::Acquire));
        latencies.add(flight.begun.elapsed().saturating_sub(published));
        let received = slot.received.fetch_add(1, Ordering::AcqRel) + 1;
        if received % subscribers == 0 {
            flight.room.add_permits(1);
        }
    }
    Ok((client, latencies))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
