//! `rollcall join`: a client that shows the members of a channel, sends messages, and prints frames.
//!
//! `target` is the server and the identity, `link` one connection, `view` what the client knows of the channel, `screen` the
//! output, and `backoff` the wait between tries.

mod backoff;
mod link;
mod screen;
mod target;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::protocol::Json;

use super::Failure;
use super::dev::DevDir;
use super::output::harmless;
use super::token::{parse_uid, parse_umd};
use backoff::Backoff;
use link::{Outcome, Session};
use screen::{Screen, Style};
use target::Target;
use view::View;

/// How many typed lines may wait to be sent. When they are full, reading from stdin stops.
const TYPED_AHEAD: usize = 16;

/// Join a channel, see who is here, and talk
///
/// Shows who comes and goes, sends each line that you type as an event, and comes back by itself when the connection is
/// lost. Ctrl-C leaves. On a terminal the list of who is here stays on top; into a pipe it prints one line an event.
///
/// Without --url it joins the development server of `rollcall serve --dev` in this directory, with a token that it signs
/// itself. For any other server give --url and --token (`rollcall token --key FILE` makes one).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The channel, such as presence.lobby
    channel: String,
    /// Who you are
    #[arg(long, value_name = "NAME", required_unless_present = "token", value_parser = parse_uid)]
    uid: Option<String>,
    /// What others see of you, as JSON, as in '{"name":"Jim"}'
    #[arg(long, value_name = "JSON", value_parser = parse_umd)]
    umd: Option<Json>,
    /// The server, as in wss://presence.example:8443 [default: the development server]
    #[arg(long, requires = "token")]
    url: Option<String>,
    /// The token to connect with, or @FILE to read it from a file; it says who you are, whatever --uid and --umd say
    #[arg(long, value_name = "JWT")]
    token: Option<String>,
    /// Trust the certificates in this PEM file [default: the system's authorities, or the development server's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The event that typed lines are sent as
    #[arg(long, value_name = "NAME", default_value = "chat")]
    event: String,
    /// Print the frames of the server, one a line, and nothing else
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    dev: DevDir,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let target = Target::new(&args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    let done = runtime.block_on(stay(&args, &target));
    match done {
        // The reader of our output has gone, and we have left the channel. That is no failure.
        Err(Failure::OutputClosed) => Ok(()),
        done => done,
    }
}

/// Connects again and again, until asked to leave or until trying again cannot help.
async fn stay(args: &Args, target: &Target) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("signals cannot be received: {error}"));
    let style = match args.raw {
        true => Style::Raw,
        false => terminal_size().map_or(Style::Lines, |(rows, columns)| Style::Terminal {
            rows,
            columns,
        }),
    };
    let screen = Screen::new(io::stdout(), style, &harmless(&args.channel))?;
    let mut session = Session {
        channel: args.channel.clone(),
        event: args.event.clone(),
        view: View::new(&args.channel),
        screen,
        typed: typed_lines(),
        leave: leave_signal().map_err(failed)?,
        resized: signal(SignalKind::window_change()).map_err(failed)?,
    };
    let mut backoff = Backoff::default();
    loop {
        let outcome = link::run(target, &target.token()?, &mut session).await?;
        session.view.forget();
        let (reason, asked) = match outcome {
            Outcome::Left => return Ok(()),
            Outcome::Lost {
                reason,
                asked,
                joined,
            } => {
                if joined {
                    backoff.reset();
                }
                (reason, asked)
            }
        };
        let wait = backoff.next(asked, dice());
        session.screen.status(&format!(
            "* {}; trying again in {:.1} s",
            harmless(&reason),
            wait.as_secs_f64()
        ))?;
        if session.sleep(wait).await? {
            return Ok(());
        }
    }
}

impl<W: io::Write> Session<W> {
    /// Waits. Returns true where it was asked to leave meanwhile.
    async fn sleep(&mut self, wait: Duration) -> Result<bool, Failure> {
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = asked_to_leave(&mut self.leave) => return Ok(true),
                () = &mut over => return Ok(false),
                _ = self.resized.recv() => self.resize()?,
            }
        }
    }
}

/// Completes when the client is to leave.
async fn asked_to_leave(leave: &mut watch::Receiver<bool>) {
    if leave.wait_for(|leave| *leave).await.is_err() {
        // The sender is gone: nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

/// Becomes true at Ctrl-C, SIGTERM or SIGHUP.
fn leave_signal() -> io::Result<watch::Receiver<bool>> {
    let (ask, asked) = watch::channel(false);
    let mut signals: [Signal; 3] = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    tokio::spawn(async move {
        let [interrupt, terminate, hangup] = &mut signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        // Without a receiver the client has left already.
        let _ = ask.send(true);
        // The sender stays: a receiver may wait on the channel again.
        std::future::pending::<()>().await;
    });
    Ok(asked)
}

/// The lines from stdin. Reading blocks, so it has a thread of its own, which ends with the process.
fn typed_lines() -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(TYPED_AHEAD);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if !line.trim().is_empty() && lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    typed
}

/// Rows and columns of the terminal that stdout is, if it is one.
fn terminal_size() -> Option<(u16, u16)> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// A random number for the backoff. Without randomness a fixed one does no harm.
fn dice() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
