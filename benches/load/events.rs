//! What events out cost: joins and leaves without a webhook and with one, and what one writes in a large channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::crowd;
use crate::figures::{figure, micros_each, per_second, title};
use crate::joins;
use crate::server::{Place, Server, Settings};

/// The channel with many members.
const CHANNEL: &str = "presence.large";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many members the large channel has.
    #[arg(long, default_value_t = 800)]
    members: usize,
    /// How many join it in a second, and leave it.
    #[arg(long, default_value_t = 200)]
    per_second: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    let receiver = Receiver::start().await?;
    for webhook in [None, Some(receiver.url.clone())] {
        let with = webhook.as_ref().map_or("no webhook", |_| "one webhook");
        let settings = Settings {
            webhook,
            ..Settings::default()
        };
        joins::run_with(place, &joins::Options::small(), &settings, with).await?;
    }
    large(place, &options, &receiver).await
}

/// The members are absent, so that what is measured is not the sending of their frames: they were there before a crash,
/// and the grace is long.
async fn large(place: &Place, options: &Options, receiver: &Receiver) -> Result<()> {
    let settings = Settings {
        webhook: Some(receiver.url.clone()),
        boot_grace: Duration::from_secs(3_600),
        queue_bytes: 1 << 30,
        ..Settings::default()
    };
    let mut server = Server::start(place, &settings)?;
    let shared = Arc::new(server);
    let members = crowd::connect(&shared, 0..options.members, |_| vec![CHANNEL.to_owned()]).await?;
    server = Arc::into_inner(shared).ok_or("the server is still in use")?;
    server.crash_and_start();
    drop(members);
    let mut joiner = server.client("a-joiner").await?;
    let channel = [CHANNEL.to_owned()];
    let received = receiver.events.load(Ordering::Relaxed);
    let (cpu, begun) = (server.cpu(), Instant::now());
    let mut tick = tokio::time::interval(Duration::from_secs(1) / options.per_second);
    let joins = u64::from(options.per_second * options.seconds);
    let (mut by_joins, mut by_leaves) = (0, 0);
    for _ in 0..joins {
        tick.tick().await;
        let before = server.written();
        joiner.subscribe(&channel).await?;
        let between = server.written();
        joiner.unsubscribe(&channel).await?;
        by_joins += between - before;
        by_leaves += server.written() - between;
    }
    let took = begun.elapsed();
    let cpu = server.cpu() - cpu;
    title(&format!(
        "one webhook, {} joins and leaves a second in a channel of {} members",
        options.per_second, options.members
    ));
    figure("joins", per_second(joins, took), "");
    figure(
        "server CPU for a join and a leave",
        micros_each(cpu, joins),
        "",
    );
    for (what, written, target) in [("joins", by_joins, "< 5 MB"), ("leaves", by_leaves, "")] {
        let each_second = written as f64 / took.as_secs_f64() / 1e6;
        figure(
            &format!("{what}: written to the disk a second"),
            format!("{each_second:.2} MB"),
            target,
        );
    }
    let received = receiver.events.load(Ordering::Relaxed) - received;
    figure("events that the receiver has had meanwhile", received, "");
    Ok(())
}

/// Takes every event.
struct Receiver {
    url: String,
    events: Arc<AtomicU64>,
}

impl Receiver {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let events = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&events);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&counted)));
            }
        });
        Ok(Self { url, events })
    }
}

async fn take(mut stream: TcpStream, events: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        while let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default());
            let length: usize = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or_default();
            let whole = end + 4 + length;
            while buffer.len() < whole {
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            buffer.drain(..whole);
            events.fetch_add(1, Ordering::Relaxed);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
