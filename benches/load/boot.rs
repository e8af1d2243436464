//! The start with very many stale subscriptions: the server is killed with everybody in it, and nobody comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::Barrier;

use crate::Result;
use crate::client::Client;
use crate::crowd;
use crate::figures::{figure, mebibytes, millis, title};
use crate::server::{Place, Server, Settings};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many channels there are.
    #[arg(long, default_value_t = 1_000)]
    channels: usize,
    /// How many members each has.
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// How many channels a connection is in.
    #[arg(long, default_value_t = 100)]
    channels_each: usize,
    /// How long members may take to come back, in milliseconds.
    #[arg(long, default_value_t = 3_000)]
    grace: u64,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    let subscriptions = options.channels * options.members;
    title(&format!(
        "a start with {subscriptions} stale subscriptions in {} channels",
        options.channels
    ));
    let grace = Duration::from_millis(options.grace);
    let settings = Settings {
        boot_grace: grace,
        ..Settings::default()
    };
    let server = Arc::new(Server::start(place, &settings)?);
    let begun = Instant::now();
    let present = fill(&server, &options).await?;
    figure("filling it took", millis(begun.elapsed()), "");
    let mut server = Arc::into_inner(server).ok_or("somebody still uses the server")?;

    server.crash_and_start();
    drop(present);
    figure("until ready", millis(server.time_to_ready()), "≤ 2 s");
    figure("resident then", mebibytes(server.resident()), "");
    let cpu = server.cpu();
    let line = server.logged("roll call removed=");
    let at = Instant::now();
    let removed = line.split("removed=").nth(1).unwrap_or_default();
    let removed = removed.split(' ').next().unwrap_or_default();
    figure(
        "removed by the roll call",
        removed,
        &subscriptions.to_string(),
    );
    figure(
        "from the end of the grace until they were removed",
        millis(at.saturating_duration_since(server.ready_at() + grace)),
        "",
    );
    figure("CPU for that", millis(server.cpu() - cpu), "");
    figure(
        "the most that was resident",
        mebibytes(server.peak()),
        "< 400 MiB",
    );
    let left = server.get("/channels").await?;
    figure(
        "channels left",
        left["channels"].as_array().map_or(0, Vec::len),
        "0",
    );
    Ok(())
}

/// Has everybody join, all at the same pace.
async fn fill(server: &Arc<Server>, options: &Options) -> Result<Vec<Client>> {
    let groups = options.channels / options.channels_each;
    let connections = groups * options.members;
    let everybody = Arc::new(Barrier::new(connections));
    let clients = crowd::connect(server, 0..connections, |_| Vec::new()).await?;
    let tasks = clients.into_iter().enumerate().map(|(n, mut client)| {
        let everybody = Arc::clone(&everybody);
        let first = n % groups * options.channels_each;
        let channels = first..first + options.channels_each;
        async move {
            for channel in channels {
                client
                    .subscribe(&[format!("presence.stale-{channel}")])
                    .await?;
            }
            // Whoever is done reads what the others bring about, or it would be dropped.
            tokio::select! {
                _ = everybody.wait() => Ok(client),
                closed = async { loop { client.text().await.map(drop)? } } => closed,
            }
        }
    });
    crowd::together(tasks).await
}
