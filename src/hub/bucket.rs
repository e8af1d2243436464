//! An allowance that time refills: how fast a client may send, and how much it may make others receive.

use std::time::Duration;

use crate::world::clock::Instant;

/// A token bucket whose balance may fall below zero. What was spent is never taken back, so whoever is in debt waits.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    /// The deepest debt.
    least: f64,
    balance: f64,
    counted: Instant,
}

impl Bucket {
    /// A full bucket: `burst` at the most, refilled by `per_second`.
    pub fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self {
            per_second,
            burst,
            least: f64::NEG_INFINITY,
            balance: burst,
            counted: now,
        }
    }

    /// The same, but no debt takes longer than this to be paid.
    pub fn with_longest_debt(mut self, longest: Duration) -> Self {
        self.least = -self.per_second * longest.as_secs_f64();
        self
    }

    /// Takes `amount`, whether it is there or not.
    pub fn spend(&mut self, amount: f64, now: Instant) {
        self.refill(now);
        self.balance = (self.balance - amount).max(self.least);
    }

    /// How long it takes until the balance is at least `amount`; nothing where it is.
    pub fn until(&mut self, amount: f64, now: Instant) -> Duration {
        self.refill(now);
        let missing = (amount - self.balance).max(0.0);
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Whether nothing is missing: then a new one would be the same.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.balance >= self.burst
    }

    /// Whether anything is left.
    pub fn is_solvent(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.balance > 0.0
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = self.counted.max(now);
        self.balance = (self.balance + passed * self.per_second).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut rate = Bucket::new(100.0, 200.0, start);
        for _ in 0..200 {
            rate.spend(1.0, start);
            assert_eq!(rate.until(0.0, start), Duration::ZERO);
        }
        let mut now = start;
        for _ in 0..800 {
            rate.spend(1.0, now);
            now += rate.until(0.0, now);
        }
        let took = now - start;
        let wanted = Duration::from_secs(8);
        assert!(
            took.abs_diff(wanted) < Duration::from_millis(10),
            "{took:?}"
        );
        assert!(!rate.is_full(now));
        assert!(rate.is_full(now + Duration::from_secs(3)));
    }

    #[test]
    fn a_debt_is_paid_in_time_and_no_debt_takes_longer_than_the_longest() {
        let start = Instant::now();
        let bucket = || Bucket::new(10.0, 100.0, start);
        let mut free = bucket();
        free.spend(300.0, start);
        assert!(!free.is_solvent(start));
        assert_eq!(free.until(0.0, start), Duration::from_secs(20));
        assert!(free.is_solvent(start + Duration::from_secs(21)));
        let mut bounded = bucket().with_longest_debt(Duration::from_secs(5));
        bounded.spend(300.0, start);
        assert_eq!(bounded.until(0.0, start), Duration::from_secs(5));
    }

    #[test]
    fn a_clock_that_stands_still_or_asks_late_gives_nothing_away() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = Bucket::new(10.0, 10.0, start);
        bucket.spend(10.0, start);
        assert_eq!(
            bucket.until(1.0, start - Duration::from_secs(5)),
            Duration::from_millis(100)
        );
        assert_eq!(bucket.until(1.0, start), Duration::from_millis(100));
    }
}
