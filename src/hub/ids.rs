//! Message ids at run time: the pure rule of [`crate::messages::Ids`], the clock, and the lease in the database.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::messages::Ids;
use crate::protocol::MessageId;
use crate::store::Changes;
use crate::world::clock;

/// Issues the ids of all messages.
#[derive(Debug)]
pub(super) struct IdSource {
    ids: Mutex<Ids>,
    /// The lease in the commit that is being made.
    written: AtomicU64,
    /// The last commit of this run is being made.
    finishing: AtomicBool,
    /// A commit has been asked for to renew the lease.
    renewing: AtomicBool,
}

impl IdSource {
    pub(super) fn new(lease: u64) -> Self {
        Self {
            ids: Mutex::new(Ids::new(lease)),
            written: AtomicU64::new(0),
            finishing: AtomicBool::new(false),
            renewing: AtomicBool::new(false),
        }
    }

    pub(super) fn next(&self) -> MessageId {
        self.ids.lock().next(clock::now_millis(), random)
    }

    /// Whether somebody should make a commit for the lease alone. True once for each time.
    pub(super) fn should_renew(&self) -> bool {
        self.ids.lock().wants_lease() && !self.renewing.swap(true, Ordering::Relaxed)
    }

    /// Whether an id of now may be told before anything else is durable.
    pub(super) fn are_covered(&self) -> bool {
        self.ids.lock().is_covered(clock::now_millis())
    }

    /// Has the commit of these changes made, and the lease renewed with it, even if there is nothing else in them.
    pub(super) fn renew_with(&self, changes: &mut Changes) {
        let lease = self.ids.lock().lease_from(clock::now_millis());
        changes.put_id_lease(lease);
    }

    /// Every commit renews the lease; the last one gives back what is left of it.
    pub(super) fn before_commit(&self, changes: &mut Changes) {
        let ids = self.ids.lock();
        let lease = if self.finishing.load(Ordering::Relaxed) {
            ids.final_lease()
        } else {
            ids.lease_from(clock::now_millis())
        };
        changes.put_id_lease(lease);
        self.written.store(lease, Ordering::Relaxed);
    }

    pub(super) fn after_commit(&self) {
        self.ids.lock().leased(self.written.load(Ordering::Relaxed));
        self.renewing.store(false, Ordering::Relaxed);
    }

    /// No further id is issued in this run.
    pub(super) fn finish(&self) {
        self.finishing.store(true, Ordering::Relaxed);
    }
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    // Without randomness ids still grow; they only tell more about their neighbours.
    let _ = crate::world::random::fill(&mut bytes);
    u128::from_be_bytes(bytes) >> 48
}
