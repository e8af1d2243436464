//! systemd: the sockets that it hands over, and what it is told in return. Without systemd nothing here does anything.
//!
//! It is told when the server is ready, reloads or stops, how many it serves, and, where the unit has a watchdog, that
//! the server is alive: that its runtime still runs tasks, that no lock of the registries is held for good, and that the
//! disk takes what is to be kept.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use sd_notify::NotifyState;
use tracing::warn;

use crate::hub::{Hub, MAX_DISK_WAIT};

/// How often the status is brought up to date.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// How long a start may take after its pause: the unit's `TimeoutStartSec`, which systemd counts from the pause's beginning.
const START: Duration = Duration::from_secs(5 * 60);

/// The listening sockets that systemd handed over; none if it handed over nothing.
#[derive(Debug, Default)]
pub struct Sockets(Vec<TcpListener>);

/// A socket that was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the socket {number} ({name}) that systemd handed over cannot be used: {error}. The socket unit must have ListenStream= with a port, and no Accept=yes"
)]
pub struct SocketError {
    /// Which one, from 1 on.
    number: usize,
    /// What the socket unit calls it.
    name: String,
    /// What is wrong.
    error: io::Error,
}

impl Sockets {
    /// Takes what was handed over by way of `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`. To be called once and before
    /// any thread is started: the variables are removed from the environment, which threads share.
    ///
    /// # Errors
    /// When a descriptor is something else than a listening TCP socket.
    pub fn from_environment() -> Result<Self, SocketError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut handed_over = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..handed_over.len() {
            let name = names.next().unwrap_or_else(|| "unnamed".into());
            let socket = handed_over
                .take_tcp_listener(index)
                .and_then(|socket| match socket {
                    Some(socket) if socket_acceptconn(&socket)? => Ok(socket),
                    _ => Err(io::Error::other("it does not listen")),
                })
                .and_then(|socket| {
                    socket.set_nonblocking(true)?;
                    Ok(socket)
                })
                .map_err(|error| SocketError {
                    number: index + 1,
                    name,
                    error,
                })?;
            sockets.push(socket);
        }
        Ok(Self(sockets))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Sockets {
    type Item = TcpListener;
    type IntoIter = std::vec::IntoIter<TcpListener>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A start waits before it works, because those before it failed.
pub(super) fn pausing(pause: Duration, failed: u32) {
    let seconds = pause.as_secs();
    let starts = if failed == 1 { "start" } else { "starts" };
    let status = format!("Waiting {seconds} s, after {failed} {starts} that failed");
    warn!(
        seconds,
        failed, "waiting before this start, because those before it failed"
    );
    let until = u32::try_from((pause + START).as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::ExtendTimeoutUsec(until),
        NotifyState::Status(&status),
    ]);
}

/// Clients can connect.
pub(super) fn ready(hub: &Hub) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(hub))]);
}

/// Does what SIGHUP asks for; systemd waits for the end of it.
pub(super) fn reloading(hub: &Hub, reload: impl FnOnce()) {
    // The moment tells systemd 253 and later which of several requests this answers.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
    reload();
    ready(hub);
}

/// The server is on its way down.
pub(super) fn stopping(hub: &Hub) {
    let status = format!("Closing {} connections", hub.connection_count());
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// Keeps the status up to date and the watchdog quiet, for ever.
pub(super) async fn keep_told(hub: Arc<Hub>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
    // Twice within the limit, as sd_watchdog_enabled(3) advises.
    let pause = watchdog.map_or(STATUS_INTERVAL, |limit| (limit / 2).min(STATUS_INTERVAL));
    // A disk may hang for a while, or be slow: as long as anything gets there, all is well. Two thirds of the limit, and the
    // limit itself after the last word, are more than it takes one that comes back by itself; for another one only a new
    // start, or whoever hears of it, can do something.
    let longest = watchdog.map_or(Duration::MAX, |limit| limit / 3 * 2);
    let mut told = String::new();
    loop {
        tokio::time::sleep(pause).await;
        let is_well = watchdog.is_some()
            && hub
                .disk()
                .stalled()
                .is_none_or(|stalled| stalled <= longest);
        let now = match hub.disk().oldest_waiting() {
            Some(age) if age > longest.min(MAX_DISK_WAIT) => {
                let serving = status(&hub);
                format!("Waiting for the disk for {} s. {serving}", age.as_secs())
            }
            _ => status(&hub),
        };
        let changed = now != told;
        if !changed && !is_well {
            continue;
        }
        told.clone_from(&now);
        // Sending waits while systemd is busy; clients must not.
        let sent = tokio::task::spawn_blocking(move || {
            let mut news = Vec::new();
            if changed {
                news.push(NotifyState::Status(&now));
            }
            if is_well {
                news.push(NotifyState::Watchdog);
            }
            tell(&news);
        });
        let _ = sent.await;
    }
}

/// Counting takes every lock of the registries in turn.
fn status(hub: &Hub) -> String {
    format!(
        "Serving {} connections in {} channels",
        hub.connection_count(),
        hub.channel_count()
    )
}

fn tell(news: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(news) {
        warn!(%error, "cannot tell systemd");
    }
}
