//! CPU time per receiver of a member frame, by its size. A channel's members watch one more come and go, a few times in
//! one go; the next changes come when everybody has those before. A line through the figures gives the cost of a frame
//! and that of a byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use serde_json::json;
use tokio::sync::Notify;

use crate::Result;
use crate::client::{Client, is};
use crate::figures::{figure, title};
use crate::server::{Place, Server, Settings};

/// The channel that everybody is in.
const CHANNEL: &str = "presence.roster";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many members watch.
    #[arg(long, default_value_t = 100)]
    receivers: usize,
    /// The sizes of the list, in bytes.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "4000,12000,30000,60000,100000"
    )]
    bytes: Vec<usize>,
    /// How many changes are made in one go: an even number, or one.
    #[arg(long, value_delimiter = ',', default_value = "8,1")]
    in_flight: Vec<u64>,
    /// How many changes there are with each size.
    #[arg(long, default_value_t = 400)]
    changes: u64,
}

/// Counts what has been received, and tells when it is as much as expected.
#[derive(Debug, Default)]
struct Received {
    frames: AtomicU64,
    bytes: AtomicU64,
    expected: AtomicU64,
    reached: Notify,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    title(&format!(
        "member frames to {} receivers, {} for each size",
        options.receivers, options.changes
    ));
    for &in_flight in &options.in_flight {
        let mut points = Vec::new();
        for &bytes in &options.bytes {
            let (size, micros) = measure(place, &options, in_flight, bytes).await?;
            figure(
                &format!("{in_flight} in flight: CPU per receiver of {size:.0} bytes"),
                format!("{micros:.2} µs"),
                &format!("≤ {:.1} µs", 3.0 + size / 1000.0),
            );
            points.push((size, micros));
        }
        let (base, slope) = line(&points);
        figure("of that, for a frame", format!("{base:.2} µs"), "≤ 3 µs");
        figure(
            "of that, for a byte",
            format!("{:.2} ns", slope * 1000.0),
            "≤ 1.0 ns",
        );
    }
    Ok(())
}

/// Returns the size of a frame, in bytes, and the CPU time per receiver, in µs.
async fn measure(
    place: &Place,
    options: &Options,
    in_flight: u64,
    bytes: usize,
) -> Result<(f64, f64)> {
    let server = Arc::new(Server::start(place, &Settings::default())?);
    let received = Arc::new(Received::default());
    // `{"uid":"user-100","umd":"…"},`: what is not metadata is 29 bytes.
    let umd = json!("x".repeat((bytes / options.receivers).saturating_sub(29).min(1_000)));
    let mut watching = tokio::task::JoinSet::new();
    for n in 0..options.receivers {
        let token = server.token(&format!("user-{}", 100 + n), &umd)?;
        let mut client = Client::connect(server.target(), &token).await?;
        client.subscribe(&[CHANNEL.to_owned()]).await?;
        watching.spawn(watch(client, Arc::clone(&received)));
    }
    let mut guest = server.client("guest").await?;
    // The others' coming was seen by those who were there.
    let before = (options.receivers * (options.receivers - 1) / 2) as u64;
    received.wait_for(before).await;
    let (cpu, bytes) = (server.cpu(), received.bytes.load(Ordering::Relaxed));
    let mut changes = 0;
    while changes < options.changes {
        // In turns: it joins, it leaves.
        let verbs = (changes..changes + in_flight).map(|change| {
            let verb = if change % 2 == 0 {
                "subscribe"
            } else {
                "unsubscribe"
            };
            format!(r#"{{"event":"hotsock.{verb}","channel":"{CHANNEL}"}}"#)
        });
        guest.send(&verbs.collect::<Vec<_>>()).await?;
        for change in changes..changes + in_flight {
            let answer = if change % 2 == 0 {
                "hotsock.subscribed"
            } else {
                "hotsock.unsubscribed"
            };
            guest.expect(answer).await?;
        }
        changes += in_flight;
        received
            .wait_for(before + changes * options.receivers as u64)
            .await;
    }
    let cpu = server.cpu() - cpu;
    let bytes = received.bytes.load(Ordering::Relaxed) - bytes;
    let count = (changes * options.receivers as u64) as f64;
    Ok((bytes as f64 / count, cpu.as_secs_f64() * 1e6 / count))
}

async fn watch(mut client: Client, received: Arc<Received>) -> Result<()> {
    loop {
        let text = client.text().await?;
        if !is(text, "hotsock.memberAdded") && !is(text, "hotsock.memberRemoved") {
            return Err(String::from_utf8_lossy(text).into());
        }
        let bytes = text.len() as u64;
        received.bytes.fetch_add(bytes, Ordering::Relaxed);
        let frames = received.frames.fetch_add(1, Ordering::AcqRel) + 1;
        if frames == received.expected.load(Ordering::Acquire) {
            received.reached.notify_one();
        }
    }
}

impl Received {
    async fn wait_for(&self, frames: u64) {
        self.expected.store(frames, Ordering::Release);
        while self.frames.load(Ordering::Acquire) < frames {
            // Looks again now and then, for a frame that came just before we began to wait.
            let _ = tokio::time::timeout(
                std::time::Duration::from_millis(20),
                self.reached.notified(),
            )
            .await;
        }
    }
}

/// The straight line with the least squares: its value at zero, and its slope.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let products: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let squares: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = products / squares;
    (y - slope * x, slope)
}
