//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds.
pub(super) fn now_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Unix time in seconds.
pub(super) fn now_seconds() -> u64 {
    now_millis() / 1000
}

/// A moment as RFC 3339 in UTC, to the second.
pub fn rfc3339(unix_seconds: u64) -> String {
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_look_as_the_protocol_prints_them() {
        assert_eq!(rfc3339(1_728_846_563), "2024-10-13T19:09:23Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-"));
    }
}
