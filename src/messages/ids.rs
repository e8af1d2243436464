//! Message ids that only ever grow (section 5).
//!
//! Within a run, an id is at least the successor of the one before, whatever the clock does. Across runs, the server
//! keeps a *lease* in its database: a time up to which ids may have been issued. The next run begins above it. Each commit
//! renews it ahead of time, so an id seldom waits for the disk: only the first one after a pause is above the lease, and
//! must not be told before a commit has renewed it.

use crate::protocol::MessageId;

/// How far ahead of the clock a lease goes, in milliseconds.
pub const LEASE_MILLIS: u64 = 5_000;

/// How long it may take from the look at the lease until the id is issued, in milliseconds.
const LEASE_MARGIN: u64 = 1_000;

/// Issues ids.
#[derive(Debug)]
pub struct Ids {
    last: MessageId,
    /// The lease in the database: the next run issues nothing below it.
    lease: u64,
}

impl Ids {
    /// Continues after a run that left this lease (Unix time in milliseconds; 0 for none).
    pub fn new(lease: u64) -> Self {
        Self {
            last: MessageId::from_parts(lease, 0),
            lease,
        }
    }

    /// The next id, at `now` (Unix time in milliseconds). `random` is asked for 80 bits at most once a millisecond; in
    /// between, ids count up.
    pub fn next(&mut self, now: u64, random: impl FnOnce() -> u128) -> MessageId {
        self.last = if now > self.last.unix_millis() {
            // The upper half of the random space is left to the counting: 79 of the 80 bits are random.
            MessageId::from_parts(now, random() >> 1)
        } else {
            self.last.successor()
        };
        self.last
    }

    /// The lease to write with the next commit.
    pub fn lease_from(&self, now: u64) -> u64 {
        now.max(self.last.unix_millis()) + LEASE_MILLIS
    }

    /// The lease with which nothing is given away, for the last commit of a run.
    pub fn final_lease(&self) -> u64 {
        self.last.unix_millis() + 1
    }

    /// A lease has become durable.
    pub fn leased(&mut self, lease: u64) {
        self.lease = self.lease.max(lease);
    }

    /// Whether an id that is issued at `now`, or soon after, is below the lease: the next run issues none like it, whatever
    /// happens. If not, it must not be told before a commit has renewed the lease.
    pub fn is_covered(&self, now: u64) -> bool {
        now.max(self.last.unix_millis()) + LEASE_MARGIN <= self.lease
    }

    /// Whether the lease is so short that it should be renewed even if nothing else is committed.
    pub fn wants_lease(&self) -> bool {
        self.last.unix_millis() + LEASE_MILLIS / 2 > self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_grow_whatever_the_clock_does(
            runs in prop::collection::vec(prop::collection::vec(0..10_000u64, 1..20), 1..5)
        ) {
            let mut lease = 0;
            let mut last = MessageId::MIN;
            for clocks in runs {
                let mut ids = Ids::new(lease);
                for now in clocks {
                    let is_covered = ids.is_covered(now);
                    let id = ids.next(now, || u128::MAX);
                    // As the hub does: an id that is not covered is told with a commit that renews the lease, if the run
                    // does not end before.
                    if !is_covered {
                        if now % 7 == 0 {
                            break;
                        }
                        lease = ids.lease_from(now);
                        ids.leased(lease);
                    }
                    prop_assert!(id > last, "{id} after {last}");
                    last = id;
                }
            }
        }

        /// Nobody guesses the first id of a millisecond: one bit is left to the counting, and all others are random.
        #[test]
        fn an_id_has_79_random_bits(random in 0..1u128 << 80) {
            let id = Ids::new(0).next(1, || random);
            prop_assert_eq!(id, MessageId::from_parts(1, random >> 1));
        }

        #[test]
        fn a_clean_stop_gives_nothing_away(now in 1_000_000..2_000_000u64) {
            let mut ids = Ids::new(0);
            let last = ids.next(now, || 7);
            let mut next = Ids::new(ids.final_lease());
            let id = next.next(now + 2, || 7);
            prop_assert!(id > last);
            prop_assert_eq!(id.unix_millis(), now + 2);
        }
    }
}
