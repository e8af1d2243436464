//! File, environment and flags into one checked [`Config`]. Checking is strict and complete: an unknown key, a bad
//! value or an unreadable file stops the start, and all that is wrong is said at once, each with its place and its mend.
//!
//! `source` lays the layers over each other, `reader` reads one table strictly, `findings` gathers what is wrong,
//! `sections` knows the keys, their defaults and their bounds, `keys` turns key files into keys, `units` knows how
//! durations and sizes are written.
//!
//! Flags override the environment (`ROLLCALL_DATA_DIR`, `ROLLCALL_PRESENCE__BOOT_GRACE`: a double underscore for the
//! dot; lists as TOML or between commas), which overrides the file. A relative path in the file starts from the file's
//! directory, any other from the working directory. `${CREDENTIALS_DIRECTORY}` is expanded in paths. Durations are a
//! number and a unit (`500ms`, `10s`, `5m`, `2h`, `1d`); sizes are bytes, or text such as `"32MiB"`.

mod error;
mod findings;
mod keys;
mod reader;
mod sections;
mod source;
#[cfg(test)]
mod tests;
mod units;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::VerificationKey;
use crate::protocol::{EventKinds, Limits};

pub use error::{ConfigError, Origin, Problem};
pub use sections::SOCKET_PATH_BYTES;
pub use source::{ENV_PREFIX, File, Flag, FlagValue, Sources};
pub use units::{DURATION_FORM, base64, duration, show_duration, show_size};

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_FILE: &str = "/etc/rollcall/rollcall.toml";

/// Every key with its default, its bounds and a word on what it does, as a configuration file.
pub const REFERENCE: &str = include_str!("reference.toml");

/// A complete, checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Addresses to listen on, as `ADDRESS:PORT`. Default `["0.0.0.0:8443"]`; port 0 takes any free port. Ignored when
    /// systemd hands over a socket.
    pub listen: Vec<SocketAddr>,
    /// The directory of the database. Required. Made, with mode 0700, if it does not exist.
    pub data_dir: PathBuf,
    /// `[tls]`: what the server shows to clients.
    pub tls: Tls,
    /// `[auth]`: whose tokens are accepted.
    pub auth: Auth,
    /// `[api]`: who may use the server HTTP API.
    pub api: Api,
    /// `[limits]`: how much a uid (`uid_characters`), its metadata (`umd_bytes`) and the data of a message or storage value
    /// (`data_bytes`) may be; from [`Limits::LEAST`] to [`Limits::MOST`].
    pub limits: Limits,
    /// `[presence]`: the rules of presence channels.
    pub presence: Presence,
    /// `[connection]`: the limits of one connection, and of all.
    pub connection: Connection,
    /// `[store]`: the database.
    pub store: Store,
    /// `[events]`: events out to back ends.
    pub events: Events,
    /// `[admin]`: the doors for the operator.
    pub admin: Admin,
    /// `[log]`: what is logged, and how.
    pub log: Log,
}

/// `[tls]`. Both files are required, and are read again on SIGHUP and when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the server's certificate, followed by the intermediate certificates if there are any.
    pub certificate: PathBuf,
    /// PEM file with the certificate's private key (PKCS#8, or the older EC and RSA forms), unencrypted.
    pub private_key: PathBuf,
}

/// `[auth]`.
#[derive(Debug)]
pub struct Auth {
    /// The audience that a token's `aud` must name. Default: none, and `aud` is not looked at.
    pub audience: Option<String>,
    /// The issuer that a token's `iss` must name. Default: none, and `iss` is not looked at.
    pub issuer: Option<String>,
    /// `[[auth.keys]]`: the keys that tokens are verified with; at least one. Each has an `algorithm`, an optional `id`
    /// (the `kid` of the tokens it accepts) and, for HS256, HS384 and HS512, a `secret` (Base64, at least 32 bytes) or
    /// `secret_file` (the same text in a file), for all others a `public_key` (PEM) or `public_key_file`. With
    /// `allow_short = true` (default false) a secret may be shorter; each start warns of one that is.
    pub keys: Vec<VerificationKey>,
}

/// `[api]`.
#[derive(Debug, Clone, Default)]
pub struct Api {
    /// The API keys, from `keys` and from `keys_file` (one a line; empty lines and lines that begin with `#` are
    /// skipped). Each has 32 to 512 printable ASCII characters without spaces. Default: none, and every request to the
    /// server HTTP API is refused.
    pub keys: Vec<ApiKey>,
}

/// An API key. It shows itself only when asked to.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// `[presence]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// What the members of one channel may add up to, in bytes of `{"uid":…,"umd":…}`. Default 102400; 64 to 16 MiB.
    pub channel_bytes: u64,
    /// How long after a start those who were present before may take their places over before they are removed.
    /// Default 30s; 0s (removed before listening) to 1h. It must be longer than the clients' longest wait between two tries,
    /// or members who are on their way back are seen to go and come.
    pub boot_grace: Duration,
    /// How long a member that dropped without unsubscribing stays a member. Default 0s; 0s to 1h.
    pub disconnect_grace: Duration,
    /// How many bytes a second the changes of one connection, and of one uid, may make others receive, on average.
    /// Whoever changes more waits with its next change. Default 8388608; 64 KiB to 1024 GiB.
    pub fanout_bytes_per_second: u64,
    /// How many bytes that may be in a burst; one change may exceed it. Default 67108864; 64 KiB to 1024 GiB.
    pub fanout_burst_bytes: u64,
}

/// `[connection]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// How long a connection lives at most. Default 2h; 1s to 7d.
    pub max_lifetime: Duration,
    /// How long a connection may go without a frame in either direction. Default 10m; 1s to 1d.
    pub idle_timeout: Duration,
    /// How long a client may send nothing before it gets a WebSocket ping. Default 25s; 1s to 1h, or 0s: no pings.
    pub ping_interval: Duration,
    /// How long it may give no sign of life after that before it is dropped. Default 20s; 1s to 1h, or 0s: no pings.
    pub ping_timeout: Duration,
    /// How many connections there may be at once. Default 100000; 1 to 1000000.
    pub max_connections: usize,
    /// How many channels one connection may be subscribed to. Default 1000; 1 to 100000.
    pub max_subscriptions: usize,
    /// The largest frame that a client may send, in bytes. Default 131072; 4 KiB to 16 MiB, and at least what a frame
    /// with `limits.data_bytes` of data, or with a token for `limits.umd_bytes` of metadata, can take.
    pub frame_bytes: usize,
    /// How many frames a client may send in a second, on average; twice as many in a burst. Default 100; 1 to 1000000.
    pub frames_per_second: u32,
    /// How many bytes may wait for one connection before it is closed as too slow. Default 8388608; 64 KiB to 1 GiB,
    /// and at least twice `presence.channel_bytes` and twice `limits.data_bytes`.
    pub queue_bytes: usize,
    /// The web origins that browsers may connect from, as in `https://app.example`. Default empty: any.
    pub allowed_origins: Vec<String>,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `"commit"` (default): what anybody was told is on disk first. `"periodic"`: it is on disk soon after, which is
    /// faster on slow flash, and a power cut can lose the last moment.
    pub durability: Durability,
    /// The memory that the database may use as its cache, in bytes. Default 33554432; 1 MiB to 64 GiB.
    pub cache_bytes: u64,
}

/// When a change is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before anybody is told.
    Commit,
    /// Soon after.
    Periodic,
}

/// `[events]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// How long an event out that could not be delivered is kept and tried again. Default 72h; 1m to 90d.
    pub retention: Duration,
    /// What all events that are kept may take, in bytes. Default 268435456 (256 MiB); 1 MiB to 1024 GiB.
    /// Member lists count for half of it at the most: those of channels that go on stay.
    pub max_bytes: u64,
    /// `[[events.webhooks]]`: where events are sent. Default: nowhere.
    pub webhooks: Vec<Webhook>,
}

/// One of `[[events.webhooks]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// What it is called in logs and on the command line. Required: 1 to 64 letters, digits, `-`, `_` or `.`, unique.
    pub name: String,
    /// Where events are posted to: an `https://` URL, or `http://` on this machine. Required.
    pub url: String,
    /// The Standard Webhooks secret, `whsec_` and the Base64 of 24 to 64 bytes, from `secret` or `secret_file`. Required.
    pub secret: WebhookSecret,
    /// The types of events to send, such as `hotsock.memberAdded`. Default empty: all.
    pub types: EventKinds,
    /// PEM file with the certificate authorities to trust for this URL. Default: the system's.
    pub ca_file: Option<PathBuf>,
}

/// A webhook's signing secret, decoded. It shows itself only when asked to.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// The Unix socket that the operator's commands talk to, such as `/run/rollcall/admin.sock`. Default: none. At most
    /// 107 bytes long.
    pub socket: Option<PathBuf>,
    /// The address of the Prometheus metrics, such as `127.0.0.1:9464`. Default: none.
    pub metrics: Option<SocketAddr>,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least important messages to log: `error`, `warn`, `info` (default), `debug` or `trace`.
    pub level: LogLevel,
    /// `auto` (default), `journal`, `text` or `json`.
    pub format: LogFormat,
}

/// How important a message must be to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what has gone wrong.
    Error,
    /// Also what may go wrong.
    Warn,
    /// Also what an operator wants to know.
    Info,
    /// Also what helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Journal under systemd, text otherwise (in colour on a terminal).
    Auto,
    /// For the systemd journal: a priority in front, no time.
    Journal,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks the configuration, together with the key files that it names.
    ///
    /// # Errors
    /// Everything that is wrong, at once. (While the file is no valid TOML, only that is said.)
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let layers = sources.layers().map_err(ConfigError::new)?;
        let findings = findings::Findings::new(layers.credentials.clone());
        let config = sections::config(reader::Reader::top(&layers, &findings), &findings);
        let problems = findings.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::new(problems)),
        }
    }
}

impl ApiKey {
    /// Takes a key, without checking it.
    pub(crate) fn new(key: String) -> Self {
        Self(key)
    }

    /// The key itself. Compare it in constant time.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl WebhookSecret {
    /// The key of the HMAC-SHA256.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}
