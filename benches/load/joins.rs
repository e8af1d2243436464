//! Joins and leaves committed per second: connections that are there already subscribe to many channels at once, and
//! leave them again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use crate::Result;
use crate::client::Client;
use crate::crowd;
use crate::figures::{figure, mebibytes, micros_each, per_second, title};
use crate::server::{Place, Server, Settings};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many connections there are.
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// How many channels each joins.
    #[arg(long, default_value_t = 100)]
    channels: usize,
    /// How many of them meet in a channel.
    #[arg(long, default_value_t = 1)]
    members: usize,
    /// How often.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

impl Options {
    /// As many as events out are measured with.
    pub(crate) fn small() -> Self {
        Self {
            connections: 200,
            channels: 20,
            members: 10,
            rounds: 5,
        }
    }
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    run_with(place, &options, &Settings::default(), "").await
}

/// The same with other settings; `with` says which.
pub(crate) async fn run_with(
    place: &Place,
    options: &Options,
    settings: &Settings,
    with: &str,
) -> Result<()> {
    let server = Arc::new(Server::start(place, settings)?);
    title(&format!(
        "{} times {} connections join {} channels, {} members in each {with}",
        options.rounds, options.connections, options.channels, options.members
    ));
    let mut clients = crowd::connect(&server, 0..options.connections, |_| Vec::new()).await?;
    let mut joins = Cost::default();
    let mut leaves = Cost::default();
    for _ in 0..options.rounds {
        let before = Moment::now(&server)?;
        clients = in_all(clients, options, Verb::Join).await?;
        joins.add(&server, before)?;
        let before = Moment::now(&server)?;
        clients = in_all(clients, options, Verb::Leave).await?;
        leaves.add(&server, before)?;
    }
    let count = (options.rounds * options.connections * options.channels) as u64;
    joins.print("joins", count, "≥ 10000 /s");
    leaves.print("leaves", count, "");
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Join,
    Leave,
}

/// Has every client join, or leave, all its channels, and gives the clients back.
async fn in_all(clients: Vec<Client>, options: &Options, verb: Verb) -> Result<Vec<Client>> {
    let tasks = clients.into_iter().enumerate().map(|(n, mut client)| {
        let group = n / options.members;
        let channels: Vec<_> = (0..options.channels)
            .map(|channel| format!("presence.group-{group}-{channel}"))
            .collect();
        async move {
            match verb {
                Verb::Join => client.subscribe(&channels).await?,
                Verb::Leave => client.unsubscribe(&channels).await?,
            }
            Ok(client)
        }
    });
    crowd::together(tasks).await
}

/// The clocks and counters at some time.
struct Moment {
    at: Instant,
    cpu: Duration,
    commits: u64,
    written: u64,
}

impl Moment {
    fn now(server: &Server) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            cpu: server.cpu(),
            commits: server.commits()?,
            written: server.written(),
        })
    }
}

/// What has been spent.
#[derive(Debug, Default)]
struct Cost {
    time: Duration,
    cpu: Duration,
    commits: u64,
    written: u64,
}

impl Cost {
    /// Adds what has been spent since `before`.
    fn add(&mut self, server: &Server, before: Moment) -> Result<()> {
        let now = Moment::now(server)?;
        self.time += now.at - before.at;
        self.cpu += now.cpu - before.cpu;
        self.commits += now.commits - before.commits;
        self.written += now.written - before.written;
        Ok(())
    }

    fn print(&self, what: &str, count: u64, target: &str) {
        figure(what, per_second(count, self.time), target);
        figure(
            &format!("{what}: server CPU each"),
            micros_each(self.cpu, count),
            "",
        );
        let each = count as f64 / self.commits as f64;
        figure(
            &format!("{what}: in a commit (one fdatasync)"),
            format!("{each:.0}"),
            "",
        );
        figure(
            &format!("{what}: written to the disk"),
            mebibytes(self.written),
            "",
        );
    }
}
