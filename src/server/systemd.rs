//! systemd: socket activation, status messages and the watchdog. Without systemd all this does nothing.
//!
//! systemd learns when the server is ready, reloads or stops, and how many it serves. Where the unit has a watchdog, it also
//! learns that the server is alive: its runtime runs tasks, no lock of the registries is held for good, and the disk takes
//! what is to be kept.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use sd_notify::NotifyState;
use tracing::warn;

use crate::hub::{Hub, MAX_DISK_WAIT};

const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// How long a start may take after its pause: the unit's `TimeoutStartSec`, which systemd counts from the pause's beginning.
const START: Duration = Duration::from_secs(5 * 60);

/// The listening sockets that systemd handed over, if any.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Vec<TcpListener>);

#[derive(Debug, thiserror::Error)]
#[error(
    "the socket {number} ({name}) that systemd handed over cannot be used: {error}. The socket unit must have ListenStream= with a port, and no Accept=yes"
)]
pub(crate) struct SocketError {
    /// Counted from 1.
    number: usize,
    /// The socket unit's `FileDescriptorName=`.
    name: String,
    error: io::Error,
}

impl Sockets {
    /// Takes the sockets that `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` name. Call it once, and before any thread is
    /// started: it removes the variables from the environment, which threads share.
    ///
    /// # Errors
    /// When a descriptor is not a listening TCP socket.
    pub(crate) fn from_environment() -> Result<Self, SocketError> {
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

    pub(super) fn is_empty(&self) -> bool {
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

/// Reports that this start waits, because those before it failed.
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

pub(super) fn ready(hub: &Hub) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(hub))]);
}

/// Reloads. systemd waits for the `READY=1` at its end.
pub(super) fn reloading(hub: &Hub, reload: impl FnOnce()) {
    // By the time, systemd 253 and later knows which of several requests this answers.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
    reload();
    ready(hub);
}

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
    // A slow disk is no fault as long as writes complete. A disk that has stalled for two thirds of the limit gets no more
    // watchdog messages, so that systemd restarts the server one limit later. A disk that recovers by itself does so sooner.
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
        // Sending blocks while systemd is busy.
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

/// Takes every lock of the registries in turn, so a lock that is held for good stops the watchdog messages.
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
