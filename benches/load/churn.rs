//! The database after very many joins and leaves, with a thousand members present all the while.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use crate::Result;
use crate::crowd;
use crate::figures::{figure, mebibytes, millis, per_second, title};
use crate::server::{Place, Server, Settings};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many joins there are, and how many leaves.
    #[arg(long, default_value_t = 1_000_000)]
    pairs: usize,
    /// How many members are present all the while, in channels of ten.
    #[arg(long, default_value_t = 1_000)]
    present: usize,
    /// How many connections come and go.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// How many channels each joins at once before it leaves them again, at once.
    #[arg(long, default_value_t = 1)]
    channels: usize,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    title(&format!(
        "{} joins and as many leaves, with {} members present",
        options.pairs, options.present
    ));
    let server = Arc::new(Server::start(place, &Settings::default())?);
    let _present = crowd::connect(&server, 0..options.present, |n| {
        vec![format!("presence.present-{}", n / 10)]
    })
    .await?;
    let written = server.written();
    let churning = crowd::connect(
        &server,
        options.present..options.present + options.connections,
        |_| Vec::new(),
    )
    .await?;
    let begun = Instant::now();
    let rounds = options.pairs / (options.connections * options.channels);
    let tasks = churning.into_iter().enumerate().map(|(n, mut client)| {
        let channels: Vec<_> = (0..options.channels)
            .map(|channel| format!("presence.churn-{n}-{channel}"))
            .collect();
        async move {
            for _ in 0..rounds {
                client.subscribe(&channels).await?;
                client.unsubscribe(&channels).await?;
            }
            Ok(())
        }
    });
    let churn = tokio::spawn(crowd::together(tasks.collect::<Vec<_>>()));
    let mut largest = 0;
    while !churn.is_finished() {
        largest = largest.max(server.data_bytes()?);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    churn.await??;
    let took = begun.elapsed();
    let changes = 2 * (rounds * options.connections * options.channels) as u64;
    figure("joins and leaves", per_second(changes, took), "");
    figure(
        "written to the disk",
        mebibytes(server.written() - written),
        "",
    );
    figure(
        "size of the data folder",
        mebibytes(server.data_bytes()?),
        "tens of MiB",
    );
    figure("the most it was", mebibytes(largest), "");
    figure("files in blobs", blobs(&server.data())?, "0");
    let mut server = Arc::into_inner(server).ok_or("somebody still uses the server")?;
    server.crash_and_start();
    figure(
        "until ready after a crash",
        millis(server.time_to_ready()),
        "",
    );
    Ok(())
}

fn blobs(data: &Path) -> Result<usize> {
    Ok(fs::read_dir(data.join("db").join("blobs"))?.count())
}
