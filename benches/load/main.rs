//! The load generator: it starts the server itself, with TLS on, talks our protocol to it as many clients would, and
//! reads from `/proc` what that cost the server. Everything is on loopback and bounded in count and time.
//!
//! - `harness`: what it shares with the tests: servers, their processes and what these use, tokens, HTTP, frames
//! - `server`: one server that holds nobody back
//! - `client`: one WebSocket over TLS, as lean as it gets, because client and server share the machine
//! - `crowd`: many of them
//! - `figures`: how results are printed
//! - one file for each thing measured: `cycles`, `memory`, `joins`, `rosters`, `fanout`, `slow`, `boot`, `events`,
//!   `churn`, `history`, `expiry`
//!
//! What each figure means, and the latest ones, are in `benches/README.md`.

mod boot;
mod churn;
mod client;
mod crowd;
mod cycles;
mod events;
mod expiry;
mod fanout;
mod figures;
// What it shares with the tests ends the run where it cannot go on, as a test ends.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod harness;
mod history;
mod joins;
mod memory;
mod rosters;
mod server;
mod slow;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Whatever went wrong; the run is over then.
type Error = Box<dyn std::error::Error + Send + Sync>;
/// What comes of a step.
type Result<T> = std::result::Result<T, Error>;

/// Measures a Rollcall server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server's binary.
    #[arg(long, global = true, default_value = env!("CARGO_BIN_EXE_rollcall"))]
    server: PathBuf,
    /// Where the server keeps its database and keys; a folder for temporary files by default.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
    /// What `cargo bench` adds to every benchmark's arguments.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// CPU time per connect, token, join and leave.
    Cycles(cycles::Options),
    /// Resident memory per idle connection.
    Memory(memory::Options),
    /// Joins and leaves committed per second.
    Joins(joins::Options),
    /// CPU time per receiver of a member frame, by its size.
    Rosters(rosters::Options),
    /// CPU time and latency per delivered message.
    Fanout(fanout::Options),
    /// What one subscriber that does not read does to the others.
    Slow(slow::Options),
    /// The start with very many stale subscriptions.
    Boot(boot::Options),
    /// What events out cost.
    Events(events::Options),
    /// The database after very many joins and leaves.
    Churn(churn::Options),
    /// What a page of history costs, wherever it is.
    History(history::Options),
    /// The database while messages come and expire.
    Expiry(expiry::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    server::raise_descriptor_limit()?;
    let place = server::Place {
        binary: arguments.server,
        folder: arguments.folder,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.measure {
            Measure::Cycles(options) => cycles::run(&place, options).await,
            Measure::Memory(options) => memory::run(&place, options).await,
            Measure::Joins(options) => joins::run(&place, options).await,
            Measure::Rosters(options) => rosters::run(&place, options).await,
            Measure::Fanout(options) => fanout::run(&place, options).await,
            Measure::Slow(options) => slow::run(&place, options).await,
            Measure::Boot(options) => boot::run(&place, options).await,
            Measure::Events(options) => events::run(&place, options).await,
            Measure::Churn(options) => churn::run(&place, options).await,
            Measure::History(options) => history::run(&place, options).await,
            Measure::Expiry(options) => expiry::run(&place, options).await,
        }
    })
}
