//! Every key of the configuration: its default, its bounds, and the reason for them. The larger sections have files of
//! their own.

use std::net::SocketAddr;
use std::time::Duration;

use super::findings::Findings;
use super::keys::{VERIFICATION_KEYS, api_keys, verification_key};
use super::reader::{Bounds, Reader, Sourced};
use super::{Admin, Api, Auth, Config, Durability, Log, LogFormat, LogLevel, Presence, Store, Tls};

mod connection;
mod events;

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
    let limits = connection::limits(top.section("limits"));
    let presence = presence(top.section("presence"));
    let connection = connection::connection(top.section("connection"));
    connection::check_frame(&top, &limits, &connection);
    connection::check_queue(&top, &limits, &presence, &connection);
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
        events: events::events(top.section("events")),
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
            30 * SECOND,
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
        fanout_bytes_per_second: reader.size(
            "fanout_bytes_per_second",
            8 * MIB,
            &Bounds {
                min: 64 * KIB,
                max: 1024 * GIB,
                why: "less makes ordinary members wait, and it keeps one member from crowding out those on slow links",
            },
        ),
        fanout_burst_bytes: reader.size(
            "fanout_burst_bytes",
            64 * MIB,
            &Bounds {
                min: 64 * KIB,
                max: 1024 * GIB,
                why: "less makes ordinary members wait, and it keeps one member from crowding out those on slow links",
            },
        ),
    };
    reader.finish();
    presence
}

/// A bound keeps these far below what a `usize` holds.
fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c))
}
