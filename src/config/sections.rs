//! Every key of the configuration: its default, its bounds, and the reason for them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::keys::{VERIFICATION_KEYS, api_keys, verification_key, webhook_secret};
use super::reader::{Bounds, Findings, Reader, Sourced};
use super::units::{nearest, show_size};
use super::{
    Admin, Api, Auth, Config, Connection, Durability, Events, Log, LogFormat, LogLevel, Presence,
    Store, Tls, Webhook,
};
use crate::protocol::{EventKind, EventKinds, Limits};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

const ADDRESS_FORM: &str =
    "an address and a port, as in \"0.0.0.0:8443\", \"127.0.0.1:8443\" or \"[::]:8443\"";

/// The longest path that a Unix socket can have, in bytes.
pub const SOCKET_PATH_BYTES: usize = 107;

/// Reads everything. Nothing comes back where a required value is missing; the findings then say so.
pub(super) fn config(mut top: Reader<'_>, findings: &Findings) -> Option<Config> {
    let listen = listen(&mut top);
    let data_dir = top.path("data_dir").map(|path| path.value);
    if data_dir.is_none() && !top.has("data_dir") {
        top.missing(
            "data_dir",
            "say where the database is kept, as in data_dir = \"/var/lib/rollcall\"",
        );
    }
    let tls = tls(top.section("tls"));
    let auth = auth(top.section("auth"));
    let api = {
        let mut reader = top.section("api");
        let keys = api_keys(&mut reader);
        reader.finish();
        Api { keys }
    };
    let limits = limits(top.section("limits"));
    let presence = presence(top.section("presence"));
    let connection = connection(top.section("connection"));
    check_frame(&top, &limits, &connection);
    check_queue(&top, &limits, &presence, &connection);
    let config = Config {
        listen,
        data_dir: data_dir.unwrap_or_default(),
        tls,
        auth,
        api,
        limits,
        presence,
        connection,
        store: store(top.section("store")),
        events: events(top.section("events")),
        admin: admin(top.section("admin")),
        log: log(top.section("log")),
    };
    top.finish();
    findings.is_clean().then_some(config)
}

fn listen(top: &mut Reader<'_>) -> Vec<SocketAddr> {
    let Some(texts) = top.texts("listen") else {
        return vec![SocketAddr::from(([0, 0, 0, 0], 8443))];
    };
    if texts.is_empty() {
        let origin = top.origin_of("listen");
        top.report(
            &origin,
            "listen",
            format!("must name at least one address: {ADDRESS_FORM}"),
        );
    }
    let mut addresses = Vec::with_capacity(texts.len());
    for Sourced { value, origin } in texts {
        match value.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 && addresses.contains(&address) => {
                top.report(&origin, "listen", format!("{address} is there twice"));
            }
            Ok(address) => addresses.push(address),
            Err(_) => top.report(
                &origin,
                "listen",
                format!("{value:?} is not {ADDRESS_FORM}"),
            ),
        }
    }
    addresses
}

fn tls(mut reader: Reader<'_>) -> Tls {
    let mut file = |key: &'static str, mend: &str| {
        let path = reader.readable(key);
        if path.is_none() && !reader.has(key) {
            reader.missing(key, mend);
        }
        path.unwrap_or_default()
    };
    let tls = Tls {
        certificate: file(
            "certificate",
            "name the PEM file of the server's certificate (`rollcall keygen --tls` makes one to try things out)",
        ),
        private_key: file(
            "private_key",
            "name the PEM file of the certificate's private key",
        ),
    };
    reader.finish();
    tls
}

fn auth(mut reader: Reader<'_>) -> Auth {
    let audience = reader.text("audience").map(|text| text.value);
    let issuer = reader.text("issuer").map(|text| text.value);
    let mut keys = Vec::new();
    let any = reader.each_section("keys", VERIFICATION_KEYS, |entry| {
        keys.extend(verification_key(entry));
    });
    if !any {
        let origin = reader.origin_of("keys");
        reader.report(
            &origin,
            "keys",
            "missing; without a key no token can be verified: add [[auth.keys]] with algorithm and public_key_file \
             (`rollcall keygen` makes a pair)",
        );
    }
    reader.finish();
    Auth {
        audience,
        issuer,
        keys,
    }
}

fn limits(mut reader: Reader<'_>) -> Limits {
    const LEAST: Limits = Limits::LEAST;
    const MOST: Limits = Limits::MOST;
    let default = Limits::default();
    let limits = Limits {
        data_bytes: narrow(reader.size(
            "data_bytes",
            default.data_bytes as u64,
            &Bounds {
                min: LEAST.data_bytes as u64,
                max: MOST.data_bytes as u64,
                why: "every message waits in memory whole, for every subscriber that is slow to read it",
            },
        )),
        uid_characters: narrow(reader.count(
            "uid_characters",
            default.uid_characters as u64,
            &Bounds {
                min: LEAST.uid_characters as u64,
                max: MOST.uid_characters as u64,
                why: "less has no room for a UUID, and more would make records too large for the database",
            },
        )),
        umd_bytes: narrow(reader.size(
            "umd_bytes",
            default.umd_bytes as u64,
            &Bounds {
                min: LEAST.umd_bytes as u64,
                max: MOST.umd_bytes as u64,
                why: "less has no room for a name, and more would make records too large for the database",
            },
        )),
    };
    reader.finish();
    limits
}

fn presence(mut reader: Reader<'_>) -> Presence {
    let presence = Presence {
        channel_bytes: reader.size(
            "channel_bytes",
            102_400,
            &Bounds {
                min: 64,
                max: 16 * MIB,
                why: "less holds no member, and the whole list goes to every member at every join",
            },
        ),
        boot_grace: reader.duration(
            "boot_grace",
            10 * SECOND,
            &Bounds {
                min: Duration::ZERO,
                max: HOUR,
                why: "whoever is gone would stay in every list that long after a start",
            },
        ),
        disconnect_grace: reader.duration(
            "disconnect_grace",
            Duration::ZERO,
            &Bounds {
                min: Duration::ZERO,
                max: HOUR,
                why: "whoever is gone would stay in every list that long",
            },
        ),
    };
    reader.finish();
    presence
}

fn connection(mut reader: Reader<'_>) -> Connection {
    let connection = Connection {
        max_lifetime: reader.duration(
            "max_lifetime",
            2 * HOUR,
            &Bounds {
                min: SECOND,
                max: 7 * DAY,
                why: "a connection outlives its token, so its lifetime is what ends a revoked user's access",
            },
        ),
        idle_timeout: reader.duration(
            "idle_timeout",
            10 * MINUTE,
            &Bounds {
                min: SECOND,
                max: DAY,
                why: "it is how a connection that broke in silence is noticed",
            },
        ),
        max_connections: narrow(reader.count(
            "max_connections",
            100_000,
            &Bounds {
                min: 1,
                max: 1_000_000,
                why: "each takes a file descriptor and some 16 KiB of memory",
            },
        )),
        max_subscriptions: narrow(reader.count(
            "max_subscriptions",
            1_000,
            &Bounds {
                min: 1,
                max: 100_000,
                why: "all of one connection's subscriptions end at once when it drops",
            },
        )),
        frame_bytes: narrow(reader.size(
            "frame_bytes",
            128 * KIB,
            &Bounds {
                min: 4 * KIB,
                max: 16 * MIB,
                why: "a frame must have room for a token, and is held in memory whole",
            },
        )),
        frames_per_second: u32::try_from(reader.count(
            "frames_per_second",
            100,
            &Bounds {
                min: 1,
                max: 1_000_000,
                why: "it keeps one client from taking the whole server",
            },
        ))
        .unwrap_or(u32::MAX),
        queue_bytes: narrow(reader.size(
            "queue_bytes",
            8 * MIB,
            &Bounds {
                min: 64 * KIB,
                max: GIB,
                why: "it is the memory that one slow client can hold",
            },
        )),
        allowed_origins: origins(&mut reader),
    };
    reader.finish();
    connection
}

/// What a frame has around its data, in bytes: the longest names of a channel, an event and a storage key, in characters
/// of four bytes, and a schedule.
const AROUND_DATA: usize = 2_048;

/// Whoever sends as much data or metadata as the limits allow must not be closed because their frame is too large.
fn check_frame(top: &Reader<'_>, limits: &Limits, connection: &Connection) {
    // Metadata comes in a token: in Base64, three bytes take four.
    let token = limits.umd_bytes.div_ceil(3) * 4;
    let (key, what) = if limits.data_bytes >= token {
        ("data_bytes", "as much data")
    } else {
        ("umd_bytes", "a token with as much metadata")
    };
    let least = limits.data_bytes.max(token) + AROUND_DATA;
    if connection.frame_bytes >= least {
        return;
    }
    let frame = "connection.frame_bytes";
    let origin = top
        .origin_within("connection", "frame_bytes")
        .or_else(|| top.origin_within("limits", key))
        .unwrap_or_else(|| top.origin_of(frame));
    top.report(
        &origin,
        frame,
        format!(
            "must be at least {}, and is {}: limits.{key} allows {what} as a smaller frame cannot hold, and whoever sends \
             it would lose the connection; allow larger frames, or set limits.{key} lower",
            show_size(least as u64),
            show_size(connection.frame_bytes as u64)
        ),
    );
}

/// A queue that one member list or one message could fill would close every connection as too slow.
fn check_queue(top: &Reader<'_>, limits: &Limits, presence: &Presence, connection: &Connection) {
    let data_bytes = limits.data_bytes as u64;
    let (largest, section, key, what) = if presence.channel_bytes >= data_bytes {
        (
            presence.channel_bytes,
            "presence",
            "channel_bytes",
            "member list",
        )
    } else {
        (data_bytes, "limits", "data_bytes", "message")
    };
    let least = largest.saturating_mul(2);
    if (connection.queue_bytes as u64) >= least {
        return;
    }
    let queue = "connection.queue_bytes";
    let origin = top
        .origin_within("connection", "queue_bytes")
        .or_else(|| top.origin_within(section, key))
        .unwrap_or_else(|| top.origin_of(queue));
    top.report(
        &origin,
        queue,
        format!(
            "must be at least twice {section}.{key}, that is {}, and is {}: one {what} would fill it, and the connection \
             be closed as too slow",
            show_size(least),
            show_size(connection.queue_bytes as u64)
        ),
    );
}

/// A bound keeps these far below what a `usize` holds.
fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn origins(reader: &mut Reader<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for Sourced { value, origin } in reader.texts("allowed_origins").into_iter().flatten() {
        let good = value
            .split_once("://")
            .is_some_and(|(scheme, host)| is_scheme(scheme) && is_host(host));
        if good {
            origins.push(value.to_ascii_lowercase());
            continue;
        }
        let mend = if value == "*" {
            "leave the list empty to allow any origin".to_owned()
        } else {
            format!(
                "{value:?} is not an origin: a scheme and a host, with a port if it is not the usual one and nothing \
                 behind it, as in \"https://app.example\" or \"http://localhost:3000\""
            )
        };
        reader.report(&origin, "allowed_origins", mend);
    }
    origins
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c))
}

fn store(mut reader: Reader<'_>) -> Store {
    let store = Store {
        durability: reader.choice(
            "durability",
            Durability::Commit,
            &[
                ("commit", Durability::Commit),
                ("periodic", Durability::Periodic),
            ],
        ),
        cache_bytes: reader.size(
            "cache_bytes",
            32 * MIB,
            &Bounds {
                min: MIB,
                max: 64 * GIB,
                why: "less makes every commit read the disk, and it is memory",
            },
        ),
    };
    reader.finish();
    store
}

fn events(mut reader: Reader<'_>) -> Events {
    let retention = reader.duration(
        "retention",
        72 * HOUR,
        &Bounds {
            min: MINUTE,
            max: 90 * DAY,
            why: "a back end must have time to come back, and what waits takes room on the disk",
        },
    );
    let max_bytes = reader.size(
        "max_bytes",
        256 * MIB,
        &Bounds {
            min: MIB,
            max: 1024 * GIB,
            why: "events must have room to wait, and must not fill the disk",
        },
    );
    let mut webhooks = Vec::new();
    let mut names = HashSet::new();
    let keys = ["name", "url", "secret", "secret_file", "types", "ca_file"];
    reader.each_section("webhooks", &keys, |entry| {
        webhooks.extend(webhook(entry, &mut names));
    });
    reader.finish();
    Events {
        retention,
        max_bytes,
        webhooks,
    }
}

fn webhook(reader: &mut Reader<'_>, names: &mut HashSet<String>) -> Option<Webhook> {
    let name = reader.text("name");
    let url = reader.text("url");
    let secret = webhook_secret(reader);
    let types = event_types(reader);
    let ca_file = reader.readable("ca_file");
    if name.is_none() && !reader.has("name") {
        reader.missing(
            "name",
            "it is how logs and commands speak of the webhook, as in name = \"app\"",
        );
    }
    if url.is_none() && !reader.has("url") {
        reader.missing(
            "url",
            "say where events go, as in url = \"https://app.example/hooks\"",
        );
    }
    let name = name.and_then(|Sourced { value, origin }| {
        let plain = value.len() <= 64
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !plain {
            reader.report(
                &origin,
                "name",
                "must have 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
            );
            return None;
        }
        if !names.insert(value.clone()) {
            reader.report(
                &origin,
                "name",
                format!("another webhook is called {value:?} as well; give each its own name"),
            );
            return None;
        }
        Some(value)
    });
    let url = url.and_then(|Sourced { value, origin }| {
        let good = value
            .split_once("://")
            .is_some_and(|(scheme, rest)| {
                let host = rest.split(['/', '?']).next().unwrap_or_default();
                matches!(scheme, "https" | "http") && is_host(host) && !rest.contains(['#', ' '])
            });
        if !good {
            // The URL may hold a secret of the receiver's, so it is not repeated.
            reader.report(
                &origin,
                "url",
                "must be a URL as in \"https://app.example/hooks\", without user name, spaces and \"#\"",
            );
        }
        if good && value.starts_with("http://") && !is_loopback(&value) {
            reader.report(
                &origin,
                "url",
                "must be an https:// URL: events would go over the network for anybody to read; http:// is for receivers on \
                 this machine (localhost, 127.0.0.1, [::1])",
            );
            return None;
        }
        good.then_some(value)
    });
    Some(Webhook {
        name: name?,
        url: url?,
        secret: secret?,
        types,
        ca_file,
    })
}

/// Whether a URL leads to this machine.
fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The types that a webhook takes: all where none is named.
fn event_types(reader: &mut Reader<'_>) -> EventKinds {
    let names = || EventKind::ALL.map(EventKind::name).into_iter();
    let mut types = Vec::new();
    for Sourced { value, origin } in reader.texts("types").into_iter().flatten() {
        if let Some(kind) = EventKind::from_name(&value) {
            types.push(kind);
            continue;
        }
        let mend = match nearest(&value, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        reader.report(
            &origin,
            "types",
            format!("{value:?} is no type of event; {mend}"),
        );
    }
    match types.as_slice() {
        [] => EventKinds::ALL,
        some => some.iter().copied().collect(),
    }
}

fn admin(mut reader: Reader<'_>) -> Admin {
    let socket = reader.path("socket").and_then(|Sourced { value, origin }| {
        let bytes = value.as_os_str().len();
        if bytes > SOCKET_PATH_BYTES {
            reader.report(
                &origin,
                "socket",
                format!(
                    "has {bytes} bytes, and a Unix socket's path at most {SOCKET_PATH_BYTES}; choose a shorter one"
                ),
            );
            return None;
        }
        Some(value)
    });
    let metrics = reader.parsed("metrics", ADDRESS_FORM);
    reader.finish();
    Admin { socket, metrics }
}

fn log(mut reader: Reader<'_>) -> Log {
    let log = Log {
        level: reader.choice(
            "level",
            LogLevel::Info,
            &[
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("trace", LogLevel::Trace),
            ],
        ),
        format: reader.choice(
            "format",
            LogFormat::Auto,
            &[
                ("auto", LogFormat::Auto),
                ("journal", LogFormat::Journal),
                ("text", LogFormat::Text),
                ("json", LogFormat::Json),
            ],
        ),
    };
    reader.finish();
    log
}
