//! The database while messages come and expire, at the same pace: what is gone must give its place to what comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use crate::Result;
use crate::crowd;
use crate::figures::{figure, mebibytes, micros_each, per_second, title};
use crate::server::{KEPT_SECONDS, Place, Server, Settings};

/// How many publish at once.
const PUBLISHERS: usize = 4;
/// How often the database is looked at.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many messages are published in a second.
    #[arg(long, default_value_t = 400)]
    per_second: u32,
    /// The size of a message's data, in bytes.
    #[arg(long, default_value_t = 32_000)]
    bytes: usize,
    /// For how many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    title(&format!(
        "{} messages of {} bytes a second, kept for {KEPT_SECONDS} s",
        options.per_second, options.bytes
    ));
    let server = Arc::new(Server::start(place, &Settings::default())?);
    let (cpu, written) = (server.cpu(), server.written());
    let begun = Instant::now();
    let data = "x".repeat(options.bytes.saturating_sub(2));
    let texts = [
        format!(r#"{{"channel":"brief","event":"brief","data":"{data}"}}"#),
        r#"{"event":"hotsock.ping"}"#.to_owned(),
    ];
    let count = options.per_second * options.seconds / PUBLISHERS as u32;
    let pause = Duration::from_secs(PUBLISHERS as u64) / options.per_second;
    let publishers = (0..PUBLISHERS).map(|n| {
        let (server, texts) = (Arc::clone(&server), texts.clone());
        async move {
            let mut client = server.client(&format!("publisher-{n}")).await?;
            let mut tick = tokio::time::interval(pause);
            for _ in 0..count {
                tick.tick().await;
                client.send(&texts).await?;
                client.expect("hotsock.pong").await?;
            }
            client.close().await
        }
    });
    let publishing = tokio::spawn(crowd::together(publishers.collect::<Vec<_>>()));
    while !publishing.is_finished() {
        tokio::time::sleep(LOOK).await;
        let size = mebibytes(server.data_bytes()?);
        figure(
            &format!("size after {} s", begun.elapsed().as_secs()),
            size,
            "",
        );
    }
    publishing.await??;
    let messages = u64::from(count) * PUBLISHERS as u64;
    let took = begun.elapsed();
    figure("stored", per_second(messages, took), "");
    let cpu = server.cpu() - cpu;
    figure("server CPU each", micros_each(cpu, messages), "");
    let written = server.written() - written;
    figure("data", mebibytes(messages * options.bytes as u64), "");
    figure("written to the disk", mebibytes(written), "");
    Ok(())
}
