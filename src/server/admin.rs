//! The admin socket: a Unix socket for the operator's commands, which speaks HTTP/1.1.
//!
//! Its routes are those of the server HTTP API, and `/status`. The file's permissions (0660: owner and group) are the
//! authentication.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use serde::Serialize;
use tokio::net::UnixListener;
use tracing::debug;

use super::answer::{Answer, method_not_allowed, not_found, value};
use super::listener::EXHAUSTED_PAUSE;
use super::{Shared, server_api};
use crate::hub::rfc3339;
use crate::protocol::EventKind;
use crate::tls::Validity;
use crate::world::clock;

const MODE: u32 = 0o660;
/// How many commands may wait to be accepted.
const BACKLOG: i32 = 16;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(
        "the admin socket {} belongs to another server that runs: stop that one, or give this one an admin.socket of its own",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error("the admin socket {} cannot be made: a file that is no socket is there; move it away", path.display())]
    NoSocket { path: PathBuf },
    #[error("the admin socket {} cannot be made: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// The listening socket. Dropping it removes its file.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The file's device and inode: another server may have replaced it by its own.
    file: (u64, u64),
}

impl AdminSocket {
    /// Makes the socket. It replaces one that a server left behind which runs no more.
    pub(super) fn open(path: &Path) -> Result<Self, AdminError> {
        let io = |error| AdminError::Io {
            path: path.to_owned(),
            error,
        };
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(AdminError::NoSocket {
                    path: path.to_owned(),
                });
            }
            Ok(_) => match StdStream::connect(path) {
                // Nobody listens on it any more.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(io)?;
                }
                Err(error) => return Err(io(error)),
                Ok(_) => {
                    return Err(AdminError::InUse {
                        path: path.to_owned(),
                    });
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let listener = listen_on(path).map_err(io)?;
        let file = fs::symlink_metadata(path).map_err(io)?;
        Ok(Self {
            listener: UnixListener::from_std(listener).map_err(io)?,
            path: path.to_owned(),
            file: (file.dev(), file.ino()),
        })
    }

    /// Serves commands for ever.
    pub(super) async fn serve(self, shared: Arc<Shared>) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    shared.entrance.not_accepted(&error);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    continue;
                }
            };
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(|request| route(Arc::clone(&shared), request));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    debug!(%error, "a command's connection failed");
                }
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == self.file);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens. At no moment does the file allow more than the mode: it takes the mode of the socket when it is bound, less the
/// umask.
fn listen_on(path: &Path) -> io::Result<StdListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let uri = request.uri().clone();
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    Ok(match path.as_slice() {
        ["status"] => match *request.method() {
            Method::GET => value(StatusCode::OK, &status(&shared).await),
            _ => method_not_allowed("GET"),
        },
        _ if server_api::has(&path) => server_api::act(&shared, None, &path, request).await,
        _ => not_found("the admin socket has the routes of the server HTTP API, and /status"),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version: &'static str,
    pid: u32,
    uptime_seconds: u64,
    listen: Vec<String>,
    connections: usize,
    /// How many were dropped since the start because they gave no sign of life.
    silent: u64,
    channels: usize,
    /// `awaited` while members known from before the start may still come back, then `held`.
    roll_call: &'static str,
    /// `null` where the disk does not answer.
    database_bytes: Option<u64>,
    /// How long the oldest change has waited for the disk. `null` where none waits.
    oldest_waiting_seconds: Option<f64>,
    /// `null` where the certificate states no validity.
    certificate: Option<Certificate>,
    disk_free_bytes: Option<u64>,
    warnings: Vec<String>,
    outbox: OutboxStatus,
    webhooks: Vec<Webhook>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    /// `valid`, `endsSoon`, `expired` or `notYetValid`.
    state: &'static str,
    /// The same for a person.
    says: String,
    /// Negative once it has expired.
    days_left: i64,
    not_before: String,
    not_after: String,
}

impl Certificate {
    fn at(validity: Validity, now: u64) -> Self {
        let standing = validity.standing(now);
        let moment = |unix: i64| rfc3339(u64::try_from(unix).unwrap_or_default());
        Self {
            state: standing.name(),
            says: standing.to_string(),
            days_left: validity.days_left(now),
            not_before: moment(validity.not_before),
            not_after: moment(validity.not_after),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutboxStatus {
    /// The sequence of the last event.
    last: u64,
    /// The sequence of the last event that was trimmed.
    trimmed: u64,
    bytes: u64,
    max_bytes: u64,
    kept: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    host: String,
    position: u64,
    behind: u64,
    delivered_at: Option<String>,
    failures: u32,
    last_error: Option<String>,
    gone: bool,
}

async fn status(shared: &Shared) -> Status {
    let hub = &shared.hub;
    let outbox = hub.outbox().state();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: shared.begun.elapsed().as_secs(),
        listen: shared
            .addresses
            .get()
            .map(|all| all.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        connections: hub.connection_count(),
        silent: hub.silent_count(),
        channels: hub.channel_count(),
        roll_call: if hub.is_roll_call_held() {
            "held"
        } else {
            "awaited"
        },
        database_bytes: hub.disk().database_bytes().await,
        oldest_waiting_seconds: hub.disk().oldest_waiting().map(|age| age.as_secs_f64()),
        certificate: shared
            .tls
            .validity()
            .map(|validity| Certificate::at(validity, clock::now_seconds())),
        disk_free_bytes: hub.disk_space().free(),
        warnings: hub.disk_space().warnings(),
        webhooks: shared
            .webhooks
            .status()
            .into_iter()
            .map(|webhook| Webhook {
                behind: outbox.last.saturating_sub(webhook.position),
                name: webhook.name,
                host: webhook.host,
                position: webhook.position,
                delivered_at: webhook.delivered_at.map(rfc3339),
                failures: webhook.failures,
                last_error: webhook.last_error,
                gone: webhook.gone,
            })
            .collect(),
        outbox: OutboxStatus {
            last: outbox.last,
            trimmed: outbox.trimmed,
            bytes: outbox.bytes,
            max_bytes: hub.outbox().max_bytes(),
            kept: outbox.kept().iter().map(EventKind::name).collect(),
        },
    }
}
