//! The time of day, and the time that only passes. This is the only place that asks the system for the time of day, because
//! the system may be wrong: a board without a battery begins in 1970, or before, until the network tells it the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use super::instant::Instant;
#[cfg(feature = "simulation")]
use super::machine;

impl Instant {
    /// This moment.
    #[inline]
    pub fn now() -> Self {
        #[cfg(feature = "simulation")]
        if let Some(now) = machine::with(machine::Machine::now) {
            return now;
        }
        Self(tokio::time::Instant::now())
    }

    /// How long ago it was; nothing where it is still to come.
    #[inline]
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }
}

fn time_of_day() -> SystemTime {
    #[cfg(feature = "simulation")]
    if let Some(time) = machine::with(machine::Machine::time_of_day) {
        return time;
    }
    SystemTime::now()
}

/// Unix time in milliseconds. A clock before 1970 reads as the beginning of 1970.
pub(crate) fn now_millis() -> u64 {
    time_of_day().duration_since(UNIX_EPOCH).map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Unix time in seconds. A clock before 1970 reads as the beginning of 1970.
pub(crate) fn now_seconds() -> u64 {
    now_millis() / 1000
}

/// Whether the clock shows a time from 1970 on. The database and other libraries panic where it does not.
pub(crate) fn is_sane() -> bool {
    time_of_day() >= UNIX_EPOCH
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
