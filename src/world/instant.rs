//! A moment, and what a thread finds to do at one.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment of the clock that only passes. No jump of the time of day moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub(super) tokio::time::Instant);

impl Instant {
    /// How long after `earlier` it is; nothing where it is before.
    #[inline]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
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

/// What a thread found to do in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something: there may be more.
    Done,
    /// Nothing, until it is woken or this moment comes.
    Idle(Option<Instant>),
    /// Nothing, ever again.
    Over,
}
