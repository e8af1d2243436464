//! Pages of history: what one costs at the start, in the middle and at the end of very many stored messages, and what it
//! costs where there are few.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use hyper::Request;
use rollcall::MessageId;
use serde_json::{Value, json};

use crate::Result;
use crate::crowd;
use crate::figures::{Latencies, figure, mebibytes, micros_each, millis, per_second, title};
use crate::harness::{Requests, ask};
use crate::server::{Place, Server, Settings};

/// How many publish at once.
const PUBLISHERS: usize = 16;
/// How many messages one of them sends at a time.
const AT_A_TIME: usize = 50;
/// How many pages are read before the next place has its turn.
const TURN: usize = 50;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many messages the large channel has.
    #[arg(long, default_value_t = 200_000)]
    messages: usize,
    /// The size of a message's data, in bytes.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// How many pages are read at each place.
    #[arg(long, default_value_t = 1_000)]
    pages: usize,
}

/// Where a page is.
struct Spot {
    name: &'static str,
    body: Value,
    cpu: Duration,
    latencies: Latencies,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    let server = Arc::new(Server::start(place, &Settings::default())?);
    let begun = Instant::now();
    store(&server, "large", options.messages, options.bytes).await?;
    let took = begun.elapsed();
    store(&server, "small", 200, options.bytes).await?;
    title(&format!(
        "pages of 100 messages of {} bytes, of {}",
        options.bytes, options.messages
    ));
    figure("stored", per_second(options.messages as u64, took), "");
    figure("resident", mebibytes(server.resident()), "");
    let mut reader = server.client("reader").await?;
    reader
        .subscribe(&["large".to_owned(), "small".to_owned()])
        .await?;
    let uri = format!("/connection/listMessages?{}", reader.query()?);
    let mut requests = server.target().http().await?;
    let middle = middle(&mut requests, &uri).await?;
    let mut spots = [
        ("at the start", json!({"channel": "large"})),
        (
            "in the middle",
            json!({"channel": "large", "after": middle}),
        ),
        (
            "in the middle, back",
            json!({"channel": "large", "before": middle, "reverse": true}),
        ),
        ("at the end", json!({"channel": "large", "reverse": true})),
        ("at the start of 200", json!({"channel": "small"})),
    ]
    .map(|(name, body)| Spot {
        name,
        body,
        cpu: Duration::ZERO,
        latencies: Latencies::default(),
    });
    for _ in 0..options.pages.div_ceil(TURN) {
        for spot in &mut spots {
            let cpu = server.cpu();
            for _ in 0..TURN {
                let begun = Instant::now();
                let page = page(&mut requests, &uri, &spot.body).await?;
                spot.latencies.add(begun.elapsed());
                if page.matches(r#"{"id":"#).count() != 100 {
                    return Err("a page has not 100 messages".into());
                }
            }
            spot.cpu += server.cpu() - cpu;
        }
    }
    let count = (options.pages.div_ceil(TURN) * TURN) as u64;
    for spot in &mut spots {
        let name = spot.name;
        figure(
            &format!("{name}: server CPU"),
            micros_each(spot.cpu, count),
            "",
        );
        for (quantile, share) in [("p50", 0.5), ("p99", 0.99)] {
            let latency = millis(spot.latencies.quantile(share));
            figure(&format!("{name}: latency, {quantile}"), latency, "");
        }
    }
    Ok(())
}

/// Stores messages in a channel, and returns when all are on disk.
async fn store(server: &Arc<Server>, channel: &str, count: usize, bytes: usize) -> Result<()> {
    let data = "x".repeat(bytes.saturating_sub(2));
    let publish = format!(r#"{{"channel":"{channel}","event":"kept","data":"{data}"}}"#);
    let ping = r#"{"event":"hotsock.ping"}"#.to_owned();
    let publishers = (0..PUBLISHERS).map(|n| {
        let (server, publish, ping) = (Arc::clone(server), publish.clone(), ping.clone());
        let mine = count / PUBLISHERS + usize::from(n < count % PUBLISHERS);
        async move {
            let mut client = server.client(&format!("publisher-{n}")).await?;
            let mut left = mine;
            while left > 0 {
                let now = left.min(AT_A_TIME);
                left -= now;
                let mut texts = vec![publish.clone(); now];
                texts.push(ping.clone());
                client.send(&texts).await?;
                client.expect("hotsock.pong").await?;
            }
            client.close().await
        }
    });
    crowd::together(publishers).await?;
    Ok(())
}

/// The id of the message in the middle, by time: ids begin with it.
async fn middle(requests: &mut Requests, uri: &str) -> Result<String> {
    let mut ends = Vec::new();
    for reverse in [false, true] {
        let body = json!({"channel": "large", "reverse": reverse});
        let page: Value = serde_json::from_str(&page(requests, uri, &body).await?)?;
        let id = page["messages"][0]["id"].as_str().unwrap_or_default();
        ends.push(id.parse::<MessageId>()?.unix_millis());
    }
    let middle = ends.iter().sum::<u64>() / 2;
    Ok(MessageId::from_parts(middle, 0).to_string())
}

async fn page(requests: &mut Requests, uri: &str, body: &Value) -> Result<String> {
    let request = Request::post(uri).body(body.to_string())?;
    let answer = ask(requests, request).await?;
    match answer.status().as_u16() {
        200 => Ok(answer.into_body()),
        status => Err(format!("{status}: {}", answer.body()).into()),
    }
}
