//! The time of day. This is the only place that asks the system for it, because the system may be wrong: a board without
//! a battery begins in 1970, or before, until the network tells it the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds. A clock before 1970 reads as the beginning of 1970.
pub(crate) fn now_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Unix time in seconds. A clock before 1970 reads as the beginning of 1970.
pub(crate) fn now_seconds() -> u64 {
    now_millis() / 1000
}

/// Whether the clock shows a time from 1970 on. The database and other libraries panic where it does not.
pub(crate) fn is_sane() -> bool {
    SystemTime::now() >= UNIX_EPOCH
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
