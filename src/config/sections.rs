//! Every key of the configuration, declared. The tables of keys and webhooks have files of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::declare::{keys, section};
use super::forms::{choice, file, list, number, number_or_zero, parsed, path, table, table_of};
use super::keys::{Api, Auth, api};
use super::units::{BYTES, COUNT, DAY, GIB, HOUR, KIB, MIB, MINUTE, SECOND, TIME};
use super::webhooks::{Events, host_is_good};
use crate::protocol::Limits;
use crate::store::Durability;

section! {
    /// A complete, checked configuration.
    #[derive(Debug)]
    pub struct Config {
        /// where to listen, port 0 for any free one; ignored when systemd hands over a socket
        listen: Vec<SocketAddr> = list(&["0.0.0.0:8443"], listen_address);
        /// the directory of the database; made if it is not there
        data_dir: PathBuf = path("/var/lib/rollcall").required("say where the database is kept").or_stand_in();
        /// what the server shows to clients; read again on SIGHUP and when the files change
        tls: Tls = table();
        /// whose tokens are accepted
        auth: Auth = table();
        /// who may use the server HTTP API
        api: Api = table_of(api);
        /// what a token and a message may hold
        limits: Limits = table();
        /// the rules of presence channels
        presence: Presence = table();
        /// the limits of one connection, and of all
        connection: Connection = table();
        /// the database
        store: Store = table();
        /// events out to back ends
        events: Events = table();
        /// the doors for the operator
        admin: Admin = table();
        /// what is logged, and how
        log: Log = table();
    }
}

section! {
    /// `[tls]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Tls {
        /// PEM, with the intermediate certificates behind it
        certificate: PathBuf = file("/etc/rollcall/tls/cert.pem",
            "put the server's certificate there, as PEM, or make a self-signed one and its key with \
             `rollcall keygen --tls --host NAME --out {dir}`")
            .required("name the PEM file of the server's certificate (`rollcall keygen --tls` makes one to try out)")
            .or_stand_in();
        /// PEM, unencrypted: PKCS#8, or the older forms of EC and RSA
        private_key: PathBuf = file("/etc/rollcall/tls/key.pem",
            "put the certificate's private key there, as PEM, for the user that rollcall runs as to read")
            .required("name the PEM file of the certificate's private key")
            .or_stand_in();
    }
}

keys! {
    Limits {
        /// "data" of a message or storage value, as compact JSON
        data_bytes: usize = number(BYTES, DEFAULT.data_bytes, LEAST.data_bytes..=MOST.data_bytes,
            "every message waits in memory whole, for every subscriber that is slow to read it");
        /// "uid"
        uid_characters: usize = number(COUNT, DEFAULT.uid_characters, LEAST.uid_characters..=MOST.uid_characters,
            "less has no room for a UUID, and more would make records too large for the database");
        /// "umd", as compact JSON
        umd_bytes: usize = number(BYTES, DEFAULT.umd_bytes, LEAST.umd_bytes..=MOST.umd_bytes,
            "less has no room for a name, and more would make records too large for the database");
    }
}

section! {
    /// `[presence]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Presence {
        /// what a channel's members may add up to
        channel_bytes: u64 = number(BYTES, 102_400, 64..=16 * MIB,
            "less holds no member, and the whole list goes to every member at every join");
        /// how long a start waits for members: longer than their clients ever wait between two tries
        boot_grace: Duration = number(TIME, 30 * SECOND, Duration::ZERO..=HOUR,
            "whoever is gone would stay in every list that long after a start");
        /// how long a dropped member stays one
        disconnect_grace: Duration = number(TIME, Duration::ZERO, Duration::ZERO..=HOUR,
            "whoever is gone would stay in every list that long");
        /// what the changes of one connection, and of one uid, may make others receive
        fanout_bytes_per_second: u64 = number(BYTES, 8 * MIB, 64 * KIB..=1024 * GIB,
            "less makes ordinary members wait, and it keeps one member from crowding out those on slow links");
        /// the same in a burst; one change may exceed it
        fanout_burst_bytes: u64 = number(BYTES, 64 * MIB, 64 * KIB..=1024 * GIB,
            "less makes ordinary members wait, and it keeps one member from crowding out those on slow links");
    }
}

section! {
    /// `[connection]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Connection {
        /// how long a connection lives at most
        max_lifetime: Duration = number(TIME, 2 * HOUR, SECOND..=7 * DAY,
            "a connection outlives its token, so its lifetime is what ends a revoked user's access");
        /// without a frame in either direction
        idle_timeout: Duration = number(TIME, 10 * MINUTE, SECOND..=DAY,
            "it is how a connection that broke in silence is noticed");
        /// a WebSocket ping to who has been silent for so long
        ping_interval: Duration = number_or_zero(TIME, 25 * SECOND, SECOND..=HOUR, "no pings",
            "clients on slow links need longer to answer, and one that broke in silence is taken for present that \
             long, and the ping after it");
        /// and without a sign of life so much later it is gone
        ping_timeout: Duration = number_or_zero(TIME, 20 * SECOND, SECOND..=HOUR, "no pings",
            "clients on slow links need longer to answer, and one that broke in silence is taken for present that \
             long after the ping");
        /// at once
        max_connections: usize = number(COUNT, 100_000, 1..=1_000_000_usize,
            "each takes a file descriptor and some 16 KiB of memory");
        /// of one connection
        max_subscriptions: usize = number(COUNT, 1_000, 1..=100_000_usize,
            "all of one connection's subscriptions end at once when it drops");
        /// the largest frame of a client, with room for limits.data_bytes and for a token
        frame_bytes: usize = number(BYTES, 128 * KIB, 4 * KIB..=16 * MIB,
            "a frame must have room for a token, and is held in memory whole");
        /// of one client, twice as many in a burst
        frames_per_second: u32 = number(COUNT, 100, 1..=1_000_000_u32,
            "it keeps one client from taking the whole server");
        /// what may wait for one connection, at least 2 channel_bytes and 2 data_bytes
        queue_bytes: usize = number(BYTES, 8 * MIB, 64 * KIB..=GIB,
            "it is the memory that one slow client can hold");
        /// of browsers, as in ["https://app.example"]; empty: any
        allowed_origins: Vec<String> = list(&[], web_origin);
    }
}

section! {
    /// `[store]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Store {
        /// on disk before anybody is told, or soon after: faster on slow flash, may lose the last moment in a power cut
        durability: Durability = choice(Durability::Commit,
            &[("commit", Durability::Commit), ("periodic", Durability::Periodic)]);
        /// the memory for the database's cache
        cache_bytes: u64 = number(BYTES, 32 * MIB, MIB..=64 * GIB,
            "less makes every commit read the disk, and it is memory");
    }
}

section! {
    /// `[admin]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Admin {
        /// for the operator's commands; default: none
        socket: Option<PathBuf> = path("/run/rollcall/admin.sock");
        /// Prometheus text at /metrics; default: none
        metrics: Option<SocketAddr> = parsed("127.0.0.1:9464", address);
    }
}

section! {
    /// `[log]`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Log {
        /// the least important messages to log
        level: LogLevel = choice(LogLevel::Info, LEVELS);
        /// auto is journal under systemd and text otherwise
        format: LogFormat = choice(LogFormat::Auto, FORMATS);
    }
}

const DEFAULT: Limits = Limits::DEFAULT;
const LEAST: Limits = Limits::LEAST;
const MOST: Limits = Limits::MOST;

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const FORMATS: &[(&str, LogFormat)] = &[
    ("auto", LogFormat::Auto),
    ("journal", LogFormat::Journal),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
];

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

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not an address and a port, as in \"0.0.0.0:8443\", \"127.0.0.1:8443\" or \"[::]:8443\""
        )
    })
}

fn listen_address(text: &str, before: &[SocketAddr]) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if address.port() != 0 && before.contains(&address) {
        return Err(format!("{address} is there twice"));
    }
    Ok(address)
}

fn web_origin(text: &str, _: &[String]) -> Result<String, String> {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    match text.split_once("://") {
        Some((scheme, host)) if is_scheme(scheme) && host_is_good(host) => {
            Ok(text.to_ascii_lowercase())
        }
        _ if text == "*" => Err("leave the list empty to allow any origin".to_owned()),
        _ => Err(format!(
            "{text:?} is not an origin: a scheme and a host, with a port if it is not the usual one and nothing behind it, \
             as in \"https://app.example\" or \"http://localhost:3000\""
        )),
    }
}
