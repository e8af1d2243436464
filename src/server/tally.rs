//! What happened at the entrance, in one line a minute.

use std::collections::HashSet;
use std::io;

use rustix::process::{Resource, getrlimit};
use tracing::warn;

use super::origin::Origin;

/// How many origins are told apart; beyond that, the line says this number.
const MAX_ORIGINS: usize = 4_096;

/// Counts since the last line.
#[derive(Debug, Default)]
pub(super) struct Tally {
    silent: u64,
    stalled: u64,
    idle: u64,
    origins: HashSet<Origin>,
    no_descriptor: u64,
    error: Option<String>,
}

/// The state of a connection that gave way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GaveWay {
    /// It had sent nothing.
    Silent,
    /// It made no progress in its handshake.
    Stalled,
    /// It had its answer and asked nothing more.
    Idle,
}

impl Tally {
    pub(super) fn gave_way(&mut self, how: GaveWay, origin: Origin) {
        match how {
            GaveWay::Silent => self.silent += 1,
            GaveWay::Stalled => self.stalled += 1,
            GaveWay::Idle => self.idle += 1,
        }
        if self.origins.len() < MAX_ORIGINS {
            self.origins.insert(origin);
        }
    }

    /// A newcomer had to wait for a descriptor, or the system refused one.
    pub(super) fn without_descriptor(&mut self, error: Option<&io::Error>) {
        self.no_descriptor += 1;
        if let Some(error) = error {
            self.error = Some(error.to_string());
        }
    }

    /// Writes the log lines for what has happened, if anything.
    pub(super) fn log(&self) {
        if !self.origins.is_empty() {
            warn!(
                silent = self.silent,
                stalled = self.stalled,
                idle = self.idle,
                addresses = self.origins.len(),
                "connections gave way to newcomers: all places were taken"
            );
        }
        if self.no_descriptor > 0 {
            warn!(
                times = self.no_descriptor,
                error = self.error,
                limit = getrlimit(Resource::Nofile).current,
                "newcomers wait: there is no descriptor for them; raise LimitNOFILE"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn it_counts_by_kind_and_tells_addresses_apart() {
        let mut tally = Tally::default();
        let of = |last: u8| Origin::of(IpAddr::from([192, 0, 2, last]));
        for how in [
            GaveWay::Silent,
            GaveWay::Silent,
            GaveWay::Stalled,
            GaveWay::Idle,
        ] {
            tally.gave_way(how, of(1));
        }
        tally.gave_way(GaveWay::Silent, of(2));
        assert_eq!((tally.silent, tally.stalled, tally.idle), (3, 1, 1));
        assert_eq!(tally.origins.len(), 2);
        for n in 0..10_000u32 {
            tally.gave_way(GaveWay::Silent, Origin::of(IpAddr::from(n.to_be_bytes())));
        }
        assert_eq!(tally.origins.len(), MAX_ORIGINS);
    }
}
