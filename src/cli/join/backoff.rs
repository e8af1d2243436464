//! How long to wait before the next try. The wait grows with each failure. It has a random part, so that not all clients
//! come back to a restarted server at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
/// Far below the default `presence.boot_grace` of a server, so that a client is back before it counts as gone.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A connection succeeded: the next wait is short again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait: at least what the server asked for, at most five seconds. `dice` is random.
    pub(super) fn next(&mut self, asked: Option<Duration>, dice: u32) -> Duration {
        let full = FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Between half and all of `full`; or, where the server asked for more, from that on.
        let least = asked.unwrap_or_default().max(full / 2).min(LONGEST);
        let jitter = (full / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX));
        (least + jitter).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_again() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..9)
            .map(|_| backoff.next(None, u32::MAX).as_millis())
            .collect();
        assert_eq!(
            waits,
            [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 5_000, 5_000]
        );
        backoff.reset();
        assert_eq!(backoff.next(None, 0), FIRST / 2);
    }

    proptest! {
        #[test]
        fn a_wait_is_jittered_and_no_shorter_than_asked(failures in 0u32..100, asked in 0u64..60, dice: u32) {
            let mut backoff = Backoff { failures };
            let asked = Duration::from_secs(asked);
            let wait = backoff.next(Some(asked), dice);
            prop_assert!(wait >= asked.max(FIRST / 2).min(LONGEST));
            prop_assert!(wait <= LONGEST);
        }
    }
}
