//! The time of day, and the time that only passes. This is the only place that asks the system for the time of day, because
//! the system may be wrong: a board without a battery begins in 1970, or before, until the network tells it the time.

use std::ops::{Add, AddAssign, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(feature = "simulation")]
use super::machine;

/// A moment of the clock that only passes. No jump of the time of day moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(tokio::time::Instant);

impl Instant {
    /// This moment.
    #[inline]
    pub fn now() -> Self {
        #[cfg(feature = "simulation")]
        if let Some(now) = machine::with(machine::Machine::now) {
            return now;
        }
        Self::of_the_system()
    }

    /// This moment, whatever a simulation says.
    #[inline]
    pub(super) fn of_the_system() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// How long ago it was; nothing where it is still to come.
    #[inline]
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// How long after `earlier` it is; nothing where it is before.
    #[inline]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The runtime's own form.
    #[inline]
    pub(super) fn of_the_runtime(self) -> tokio::time::Instant {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, time: Duration) {
        self.0 += time;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        Self(self.0 - time)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
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
