//! CPU time per cycle: TCP and TLS handshake (a full one), upgrade with a token, join, leave, goodbye. The membership is
//! committed both times: the client waits for `subscribed` and `unsubscribed`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rollcall::Algorithm;

use crate::Result;
use crate::crowd;
use crate::figures::{figure, micros_each, per_second, title};
use crate::server::{Place, Server, Settings};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many cycles are measured.
    #[arg(long, default_value_t = 6_000)]
    count: usize,
    /// How many go on at once.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// What tokens are signed with.
    #[arg(long, default_value = "ES256")]
    algorithm: Algorithm,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    let settings = Settings {
        algorithm: options.algorithm,
        ..Settings::default()
    };
    let server = Arc::new(Server::start(place, &settings)?);
    title(&format!(
        "{} cycles of connect, token ({}), join, leave, {} at once",
        options.count, options.algorithm, options.at_once
    ));
    cycle(&server, options.count / 10, options.at_once).await?;
    let (cpu, commits, begun) = (server.cpu(), server.commits()?, Instant::now());
    cycle(&server, options.count, options.at_once).await?;
    let took = begun.elapsed();
    // The last goodbyes.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let cpu = server.cpu() - cpu;
    let count = options.count as u64;
    figure("server CPU per cycle", micros_each(cpu, count), "≤ 300 µs");
    figure("cycles", per_second(count, took), "");
    figure(
        "cycles in a commit",
        format!("{:.2}", count as f64 / (server.commits()? - commits) as f64),
        "",
    );
    Ok(())
}

async fn cycle(server: &Arc<Server>, count: usize, at_once: usize) -> Result<()> {
    crowd::together((0..at_once).map(|worker| {
        let server = Arc::clone(server);
        async move {
            let channel = [format!("presence.cycle-{worker}")];
            for n in (worker..count).step_by(at_once) {
                let mut client = server.client(&format!("user-{n}")).await?;
                client.subscribe(&channel).await?;
                client.unsubscribe(&channel).await?;
                client.close().await?;
            }
            Ok(())
        }
    }))
    .await?;
    Ok(())
}
