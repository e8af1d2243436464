//! How fast a client may send frames (section 15): a token bucket.

use std::time::{Duration, Instant};

/// How long a client may keep sending over its rate, with nothing accepted in between, before it is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The allowance of one connection.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: f64,
    allowance: f64,
    counted: Instant,
    /// Since when nothing but frames over the rate has come.
    refusing_since: Option<Instant>,
}

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass.
    Pass,
    /// It is over the rate.
    Refuse,
    /// For ten seconds there has been nothing but that.
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
        if self.allowance >= 1.0 {
            self.allowance -= 1.0;
            // Over the rate, the bucket lets one frame in a while pass. It has to fill again to be forgiven.
            if self.allowance >= self.per_second {
                self.refusing_since = None;
            }
            return Verdict::Pass;
        }
        let since = *self.refusing_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= PATIENCE {
            Verdict::Close
        } else {
            Verdict::Refuse
        }
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
