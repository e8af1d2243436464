//! How fast a client may send frames (section 15): a token bucket.

use std::time::{Duration, Instant};

/// How long a client may keep sending over its rate before it is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The allowance of one connection.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: f64,
    allowance: f64,
    counted: Instant,
    /// Since when it has been over its rate.
    refusing_since: Option<Instant>,
}

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass.
    Pass,
    /// It is over the rate.
    Refuse,
    /// It has been over the rate for ten seconds.
    Close,
}

impl RateLimit {
    /// `per_second` frames on average, twice as many in a burst.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            allowance: 2.0 * per_second,
            counted: now,
            refusing_since: None,
        }
    }

    pub(super) fn frame(&mut self, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.allowance = (self.allowance + passed * self.per_second).min(2.0 * self.per_second);
        // Over the rate, the bucket still lets a frame pass now and then. It has to fill again to be forgiven.
        if self.allowance >= self.per_second {
            self.refusing_since = None;
        } else if self
            .refusing_since
            .is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
        {
            return Verdict::Close;
        }
        if self.allowance >= 1.0 {
            self.allowance -= 1.0;
            return Verdict::Pass;
        }
        self.refusing_since.get_or_insert(now);
        Verdict::Refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_then_the_door() {
        let start = Instant::now();
        let mut limit = RateLimit::new(100, start);
        for _ in 0..200 {
            assert_eq!(limit.frame(start), Verdict::Pass);
        }
        assert_eq!(limit.frame(start), Verdict::Refuse);
        let mut passed = 0;
        for step in 1..10_000u64 {
            match limit.frame(start + Duration::from_millis(step)) {
                Verdict::Pass => passed += 1,
                Verdict::Refuse => {}
                Verdict::Close => panic!("closed after {step} ms"),
            }
        }
        assert!((990..=1000).contains(&passed), "{passed}");
        assert_eq!(
            limit.frame(start + Duration::from_millis(10_001)),
            Verdict::Close
        );
    }

    #[test]
    fn who_calms_down_is_forgiven() {
        let start = Instant::now();
        let mut limit = RateLimit::new(10, start);
        for _ in 0..50 {
            limit.frame(start);
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(limit.frame(later), Verdict::Pass);
        for _ in 0..50 {
            limit.frame(later);
        }
        assert_eq!(limit.frame(later), Verdict::Refuse);
    }
}
