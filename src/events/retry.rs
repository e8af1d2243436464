//! How long a webhook waits after a failed try. Pure.

use std::time::Duration;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause: whoever comes back is heard of again within this time.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

/// The pause after `failures` tries in a row: a second, doubled each time up to five minutes, less up to a quarter as
/// `jitter` (0 to 1) says, so that many servers do not return to a receiver at the same moment. A receiver that asks for
/// more time (`Retry-After`) gets it, up to five minutes.
pub(super) fn pause(failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled
        .min(LONGEST)
        .mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0);
    pause.max(asked.unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes() {
        let seconds = |failures| pause(failures, None, 0.0).as_secs();
        let grown: Vec<u64> = (1..=11).map(seconds).collect();
        assert_eq!(grown, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(seconds(u32::MAX), 300);
    }

    #[test]
    fn jitter_takes_up_to_a_quarter_away() {
        assert_eq!(pause(3, None, 1.0), Duration::from_secs(3));
        assert_eq!(pause(3, None, 9.0), Duration::from_secs(3));
        assert_eq!(pause(20, None, 0.5), Duration::from_millis(262_500));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
        let asked = |seconds| pause(1, Some(Duration::from_secs(seconds)), 0.0).as_secs();
        assert_eq!([asked(0), asked(30), asked(86_400)], [1, 30, 300]);
    }
}
