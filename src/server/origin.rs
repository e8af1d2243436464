//! Where connections come from, and when one from there last finished.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address, which one customer has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    /// The origin of an address. A socket for both families shows IPv4 clients as `::ffff:192.0.2.1`.
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        })
    }
}

/// When a connection of each origin last finished.
#[derive(Debug)]
pub(super) struct Finished {
    last: HashMap<Origin, Instant>,
    /// Above this number of origins, a sweep removes those that no longer count.
    sweep_at: usize,
    least: usize,
}

impl Finished {
    /// Up to `least` origins there is no sweep.
    pub(super) fn new(least: usize) -> Self {
        Self {
            last: HashMap::new(),
            sweep_at: least,
            least,
        }
    }

    /// Notes that a connection of this origin has finished. It counts for `longest_silence`.
    pub(super) fn note(&mut self, origin: Origin, now: Instant, longest_silence: Duration) {
        self.last.insert(origin, now);
        if self.last.len() > self.sweep_at {
            self.last.retain(|_, last| *last + longest_silence > now);
            // As many must come again before the next sweep, so the sweeps cost a constant time per call.
            self.sweep_at = self.least.max(2 * self.last.len());
        }
    }

    /// When one last finished. It may be too long ago to count.
    pub(super) fn last(&self, origin: Origin) -> Option<Instant> {
        self.last.get(&origin).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_customer_is_one_and_a_mapped_ipv4_address_is_itself() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn a_sweep_is_paid_for_by_as_many_as_it_looks_at() {
        let now = Instant::now();
        let longest_silence = Duration::from_secs(2);
        let mut finished = Finished::new(64);
        let (mut sweeps, mut before) = (0, 64);
        for number in 0..10_000u32 {
            finished.note(
                Origin::of(IpAddr::from(number.to_be_bytes())),
                now,
                longest_silence,
            );
            sweeps +=
                usize::from(std::mem::replace(&mut before, finished.sweep_at) != finished.sweep_at);
        }
        // All are fresh: nothing can be forgotten, and the mark doubles.
        assert_eq!(finished.last.len(), 10_000);
        assert!((1..=8).contains(&sweeps), "{sweeps}");
        // Later they are, and it is as it was.
        let later = now + longest_silence;
        for number in 0..10_000u32 {
            finished.note(
                Origin::of(IpAddr::from((!number).to_be_bytes())),
                later,
                longest_silence,
            );
        }
        assert_eq!(finished.last.len(), 10_000);
    }
}
