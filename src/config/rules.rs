//! What one key asks of another.

use super::place::Place;
use super::sections::Config;
use super::units::show_size;

/// The longest path that a Unix socket can have, in bytes.
pub const SOCKET_PATH_BYTES: usize = 107;

/// What a frame has around its data, in bytes: the longest names of a channel, an event and a storage key, in characters
/// of four bytes, and a schedule.
const AROUND_DATA: usize = 2_048;

/// Notes what does not fit together.
pub(super) fn check(config: &Config, top: &Place<'_>) {
    check_frame(config, top);
    check_queue(config, top);
    let socket = config.admin.socket.as_ref();
    let bytes = socket.map_or(0, |path| path.as_os_str().len());
    if bytes > SOCKET_PATH_BYTES {
        top.key("admin").key("socket").report(format!(
            "has {bytes} bytes, and a Unix socket's path at most {SOCKET_PATH_BYTES}; choose a shorter one"
        ));
    }
}

/// Whoever sends as much data or metadata as the limits allow must not be closed because their frame is too large.
fn check_frame(config: &Config, top: &Place<'_>) {
    let limits = &config.limits;
    // Metadata comes in a token: in Base64, three bytes take four.
    let token = limits.umd_bytes.div_ceil(3) * 4;
    let (key, what) = if limits.data_bytes >= token {
        ("data_bytes", "as much data")
    } else {
        ("umd_bytes", "a token with as much metadata")
    };
    let least = limits.data_bytes.max(token) + AROUND_DATA;
    let frame_bytes = config.connection.frame_bytes;
    if frame_bytes < least {
        let frame = top.key("connection").key("frame_bytes");
        report(
            &frame,
            &top.key("limits").key(key),
            format!(
                "must be at least {}, and is {}: limits.{key} allows {what} as a smaller frame cannot hold, and whoever \
                 sends it would lose the connection; allow larger frames, or set limits.{key} lower",
                show_size(least as u64),
                show_size(frame_bytes as u64)
            ),
        );
    }
}

/// A queue that one member list or one message could fill would close every connection as too slow.
fn check_queue(config: &Config, top: &Place<'_>) {
    let (channel_bytes, data_bytes) = (
        config.presence.channel_bytes,
        config.limits.data_bytes as u64,
    );
    let (largest, section, key, what) = if channel_bytes >= data_bytes {
        (channel_bytes, "presence", "channel_bytes", "member list")
    } else {
        (data_bytes, "limits", "data_bytes", "message")
    };
    let least = largest.saturating_mul(2);
    let queue_bytes = config.connection.queue_bytes as u64;
    if queue_bytes < least {
        let queue = top.key("connection").key("queue_bytes");
        report(
            &queue,
            &top.key(section).key(key),
            format!(
                "must be at least twice {section}.{key}, that is {}, and is {}: one {what} would fill it, and the \
                 connection be closed as too slow",
                show_size(least),
                show_size(queue_bytes)
            ),
        );
    }
}

/// It stands where the one key is set, or else where the other is, which asks for more than the default.
fn report(key: &Place<'_>, other: &Place<'_>, message: String) {
    if key.is_there() {
        key.report(message);
    } else {
        key.report_because_of(other, message);
    }
}
