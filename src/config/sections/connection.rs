//! `[limits]` and `[connection]`: what a client may send and how much may wait for it; and what one of them asks of the other.

use std::time::Duration;

use super::super::reader::{Bounds, Reader, Sourced};
use super::super::units::{show_duration, show_size};
use super::super::{Connection, Presence};
use super::{DAY, GIB, HOUR, KIB, MIB, MINUTE, SECOND, is_host, narrow};
use crate::protocol::Limits;

pub(super) fn limits(mut reader: Reader<'_>) -> Limits {
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

pub(super) fn connection(mut reader: Reader<'_>) -> Connection {
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
        ping_interval: ping(
            &mut reader,
            "ping_interval",
            25 * SECOND,
            "a client that broke in silence is taken for present that long, and the ping after it",
        ),
        ping_timeout: ping(
            &mut reader,
            "ping_timeout",
            20 * SECOND,
            "a client that broke in silence is taken for present that long after the ping",
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

/// A time around pings, of which zero means none.
fn ping(
    reader: &mut Reader<'_>,
    key: &'static str,
    default: Duration,
    why: &'static str,
) -> Duration {
    let bounds = Bounds {
        min: Duration::ZERO,
        max: HOUR,
        why,
    };
    let time = reader.duration(key, default, &bounds);
    if !time.is_zero() && time < SECOND {
        let origin = reader.origin_of(key);
        reader.report(
            &origin,
            key,
            format!(
                "must be at least 1s, or 0s for no pings, and is {}: clients on slow links need longer to answer",
                show_duration(time)
            ),
        );
    }
    time
}

/// What a frame has around its data, in bytes: the longest names of a channel, an event and a storage key, in characters
/// of four bytes, and a schedule.
const AROUND_DATA: usize = 2_048;

/// Whoever sends as much data or metadata as the limits allow must not be closed because their frame is too large.
pub(super) fn check_frame(top: &Reader<'_>, limits: &Limits, connection: &Connection) {
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
pub(super) fn check_queue(
    top: &Reader<'_>,
    limits: &Limits,
    presence: &Presence,
    connection: &Connection,
) {
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
