//! How results are printed: one a line, the target beside it.

use std::time::Duration;

/// Prints a figure. `target` is empty where there is none.
pub(crate) fn figure(what: &str, value: impl std::fmt::Display, target: &str) {
    let target = if target.is_empty() {
        String::new()
    } else {
        format!("   (target {target})")
    };
    println!("  {what:<52} {value:>14}{target}");
}

/// Prints what is measured, and how.
pub(crate) fn title(text: &str) {
    println!("{text}");
}

/// A time for each of `count`, in µs.
pub(crate) fn micros_each(time: Duration, count: u64) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6 / count as f64)
}

/// So many in a second.
pub(crate) fn per_second(count: u64, time: Duration) -> String {
    format!("{:.0} /s", count as f64 / time.as_secs_f64())
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Bytes as KiB.
pub(crate) fn kibibytes(bytes: f64) -> String {
    format!("{:.2} KiB", bytes / 1024.0)
}

/// Milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Latencies.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.micros
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.micros.extend(other.micros);
    }

    /// The latency that this share of them does not exceed; zero where there are none.
    pub(crate) fn quantile(&mut self, share: f64) -> Duration {
        if self.micros.is_empty() {
            return Duration::ZERO;
        }
        let index = ((self.micros.len() - 1) as f64 * share).round() as usize;
        let (_, value, _) = self.micros.select_nth_unstable(index);
        Duration::from_micros((*value).into())
    }
}
