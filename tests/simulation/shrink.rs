//! Leaves steps out of a failing seed, as long as the same check fails.

use std::time::{Duration, Instant};

use crate::run::play;
use crate::steps::Step;

/// How long it may take: a longer story is better than none.
const PATIENCE: Duration = Duration::from_secs(20);

/// The fewest steps found that break `check` in the world of `seed`.
pub fn shrink(seed: u64, steps: &[Step], check: &str) -> Vec<Step> {
    let begun = Instant::now();
    let mut steps = steps.to_vec();
    let mut chunk = steps.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut found = false;
        while at < steps.len() && begun.elapsed() < PATIENCE {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + chunk).min(steps.len()));
            match play(seed, &fewer, false).broken {
                Some(broken) if broken.check == check => {
                    steps = fewer;
                    found = true;
                }
                _ => at += chunk,
            }
        }
        if !found || chunk > 1 {
            chunk /= 2;
        }
    }
    steps
}
