//! The server around the hub: listeners, TLS, HTTP, WebSocket sessions, signals, start and stop.
//!
//! - `listener`: from TCP through TLS to HTTP. `entrance` bounds how many are on that way, `waiting_room` decides who
//!   gives way, `origin` groups clients by address, `arrival` reports a client's progress, `tally` counts for the log, and
//!   `descriptors` keeps file descriptors in reserve
//! - `tls`: the certificate and its reload
//! - `http`: the routes. `strict` refuses ambiguous requests before. `upgrade` opens a WebSocket; `client_api` and
//!   `server_api` are the HTTP APIs; `body` reads requests and `answer` makes responses; `feed` streams events out;
//!   `openapi` describes both APIs
//! - `admin`: the routes of the Unix socket, for the operator's commands
//! - `socket`: one WebSocket on the wire
//! - `session`: one connection's life. `deadlines` says when it must act unasked, `liveness` whether the client is still
//!   there, and `line` what the kernel knows of the TCP connection
//! - `pressure`: drops slow readers when memory is short
//! - `starts`: the pause before a start that follows failed ones
//! - `systemd`: socket activation and status messages

mod admin;
mod answer;
mod arrival;
mod body;
#[cfg(test)]
mod bytes;
mod client_api;
mod deadlines;
mod descriptors;
mod entrance;
mod feed;
mod http;
mod line;
mod listener;
mod liveness;
mod openapi;
mod origin;
mod pressure;
mod server_api;
mod session;
mod socket;
mod starts;
mod strict;
mod systemd;
mod tally;
mod tls;
mod upgrade;
mod waiting_room;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info};

use crate::auth::Verifier;
use crate::config::{self, ApiKey, Config};
use crate::events::{self, EventSource, WebhookError, Webhooks};
use crate::hub::{Hub, Settings, StartError};
use crate::store::{self, OpenError, Store, StoreError};
use crate::tls::{Pair, TlsError};
use crate::world::clock;
use admin::AdminError;
use entrance::Entrance;

pub(crate) use starts::Starts;
pub(crate) use systemd::Sockets;

/// How long a stop waits for connections to end.
const DRAIN: Duration = Duration::from_secs(5);

/// What all connections share.
#[derive(Debug)]
struct Shared {
    hub: Arc<Hub>,
    tls: Arc<tls::Tls>,
    limits: session::Limits,
    allowed_origins: Vec<String>,
    api_keys: Vec<ApiKey>,
    webhooks: Webhooks,
    entrance: Arc<Entrance>,
    begun: Instant,
    /// The addresses listened on; empty until then.
    addresses: OnceLock<Vec<SocketAddr>>,
    openapi: Bytes,
}

/// Why the server did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(
        "the clock shows a time before 1970, in which the database cannot be opened: set the clock, or wait until the network has"
    )]
    Clock,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: SocketAddr,
        error: std::io::Error,
    },
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error("the system does not give what the server needs: {0}")]
    System(#[from] std::io::Error),
    /// The disk failed while the server ran.
    #[error(
        "the database failed and nothing more can be promised: {0}. What was acknowledged is on disk; mend the disk (is it full?) and start again"
    )]
    Database(StoreError),
}

impl Error {
    /// Whether only a person can mend it. In doubt it is not: systemd never starts a server again that gave up, and a try a
    /// minute costs nothing.
    pub(crate) fn is_for_a_person(&self) -> bool {
        match self {
            Self::Open(error) => error.is_for_a_person(),
            Self::Start(StartError::Store(error)) => matches!(error, StoreError::Record { .. }),
            Self::Tls(error) => error.is_for_a_person(),
            Self::Webhook(error) => error.is_for_a_person(),
            Self::Start(StartError::System(_))
            | Self::Clock
            | Self::Listen { .. }
            | Self::Admin(_)
            | Self::System(_)
            | Self::Database(_) => false,
        }
    }
}

/// The files that a valid configuration names and that a start could not use: what is wrong with each, and whether only a
/// person can mend it.
pub(crate) fn problems(config: &Config) -> Vec<(String, bool)> {
    let mut wrong = Vec::new();
    if let Err(error) = Pair::read(&config.tls.certificate, &config.tls.private_key) {
        wrong.push((format!("tls: {error}"), error.is_for_a_person()));
    }
    for webhook in &config.events.webhooks {
        if let Err(error) = events::check(webhook) {
            wrong.push((format!("events.webhooks: {error}"), error.is_for_a_person()));
        }
    }
    wrong
}

/// Runs the server until SIGTERM or SIGINT. It listens on `sockets` or, where there are none, on the addresses of the
/// configuration. A start that follows failed `starts` waits first. `on_ready` is called once, when clients can connect,
/// with the addresses listened on.
pub(crate) async fn run(
    config: Config,
    sockets: Sockets,
    starts: Starts,
    on_ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    if let Some(pause) = starts.pause() {
        systemd::pausing(pause, starts.failed());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = terminate.recv() => return give_up(&starts),
            _ = interrupt.recv() => return give_up(&starts),
        }
    }
    let begun = Instant::now();
    if !clock::is_sane() {
        return Err(Error::Clock);
    }
    descriptors::raise_limit(config.connection.max_connections + entrance::PLACES);
    // Two of the largest frames may wait for a reader that keeps up: one is being sent, the next has come.
    let largest = config
        .presence
        .channel_bytes
        .max(config.limits.data_bytes as u64);
    let queue_bytes = usize::try_from(largest.saturating_mul(2)).unwrap_or(usize::MAX);
    let tls = Arc::new(tls::Tls::load(
        &config.tls.certificate,
        &config.tls.private_key,
    )?);
    let store = Store::open(&store::Options {
        folder: config.data_dir.clone(),
        cache_bytes: config.store.cache_bytes,
    })?;
    let settings = Settings {
        limits: config.limits,
        presence: config.presence,
        connection: config.connection.clone(),
        store: config.store,
        events: config.events.clone(),
    };
    let (fail, mut failed) = oneshot::channel();
    let hub = Hub::start(
        settings,
        Verifier::new(config.auth.keys, config.auth.audience, config.auth.issuer)
            .with_limits(config.limits),
        store,
        move |error| drop(fail.send(error)),
    )?;
    let outbox: Arc<dyn EventSource> = Arc::clone(hub.outbox()) as _;
    let webhooks = Webhooks::start(config.events.webhooks, &outbox)?;
    hub.before_ready().await;
    let shared = Arc::new(Shared {
        hub: Arc::clone(&hub),
        tls: Arc::clone(&tls),
        limits: session::Limits {
            times: deadlines::Times {
                max_lifetime: config.connection.max_lifetime,
                idle_timeout: config.connection.idle_timeout,
                ping: ping(&config.connection),
            },
            frame_bytes: config.connection.frame_bytes,
            frames_per_second: config.connection.frames_per_second,
        },
        allowed_origins: config.connection.allowed_origins,
        api_keys: config.api.keys,
        webhooks,
        entrance: Entrance::new(),
        begun,
        addresses: OnceLock::new(),
        openapi: openapi::document(&config.limits).into(),
    });
    let mut addresses = Vec::new();
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listener::all(sockets, &config.listen)? {
        addresses.push(listener.local_addr()?);
        accepting.spawn(listener::accept(Arc::clone(&shared), listener));
    }
    if let Some(path) = &config.admin.socket {
        accepting.spawn(admin::AdminSocket::open(path)?.serve(Arc::clone(&shared)));
    }
    let _ = shared.addresses.set(addresses.clone());
    accepting.spawn(Arc::clone(&shared.entrance).report());
    accepting.spawn(Arc::clone(&tls).watch());
    accepting.spawn(systemd::keep_told(Arc::clone(&hub)));
    pressure::watch(&hub, queue_bytes)?;
    accepting.spawn(starts.clone().prove());
    hub.ready();
    for address in &addresses {
        info!(
            listen = %address,
            version = env!("CARGO_PKG_VERSION"),
            channels = hub.channel_count(),
            took_ms = begun.elapsed().as_millis() as u64,
            "ready"
        );
    }
    systemd::ready(&hub);
    on_ready(&addresses);

    let outcome = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok("SIGTERM"),
            _ = interrupt.recv() => break Ok("SIGINT"),
            _ = hangup.recv() => systemd::reloading(&hub, || tls.reload()),
            // Without a failure the sender is dropped only when the committer has finished.
            Ok(failure) = &mut failed => break Err(failure),
        }
    };
    match outcome {
        Ok(signal) => {
            info!(signal, connections = hub.connection_count(), "stopping");
            systemd::stopping(&hub);
            accepting.abort_all();
            stop(&hub).await;
            starts.forget();
            info!("stopped");
            Ok(())
        }
        Err(failure) => {
            error!(error = %failure, "the database failed");
            Err(Error::Database(failure))
        }
    }
}

/// Stops during the pause before the start.
fn give_up(starts: &Starts) -> Result<(), Error> {
    starts.forget();
    info!("stopped before it was ready");
    Ok(())
}

/// Closes the connections, waits for at most [`DRAIN`], and commits what is pending. The next start relies on nothing done
/// here: it is the same after a crash.
async fn stop(hub: &Arc<Hub>) {
    let deadline = Instant::now() + DRAIN;
    hub.begin_stop();
    while hub.connection_count() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let hub = Arc::clone(hub);
    let _ = tokio::task::spawn_blocking(move || hub.finish()).await;
}

/// `None` where an interval or timeout of zero turns pings off.
fn ping(connection: &config::Connection) -> Option<liveness::Terms> {
    let (interval, timeout) = (connection.ping_interval, connection.ping_timeout);
    (!interval.is_zero() && !timeout.is_zero()).then_some(liveness::Terms { interval, timeout })
}
