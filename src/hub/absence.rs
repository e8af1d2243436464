//! `presence.disconnect_grace`: members that dropped keep their place for a while (section 4).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::room::Room;
use crate::protocol::ConnectionId;
use crate::world::clock::Instant;

/// The absences of this run: one for each subscription that is absent, and gone with it.
#[derive(Debug)]
pub(super) struct Absences {
    grace: Duration,
    waiting: Mutex<Waiting>,
    pub(super) begun: Notify,
}

/// Whose grace goes on.
#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they end; the number makes each unique.
    ends: BTreeMap<(Instant, u64), (Arc<Room>, ConnectionId)>,
    /// Where each is found there, by its channel's name and the connection that is gone.
    found: HashMap<(Arc<str>, ConnectionId), (Instant, u64)>,
    next: u64,
}

impl Absences {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            waiting: Mutex::default(),
            begun: Notify::new(),
        }
    }

    pub(super) fn are_granted(&self) -> bool {
        !self.grace.is_zero()
    }

    /// A subscription is absent from now on. Under the lock of the channel's state.
    pub(super) fn begin(&self, room: &Arc<Room>, connection: ConnectionId) {
        let mut waiting = self.waiting.lock();
        let at = (Instant::now() + self.grace, waiting.next);
        waiting.next += 1;
        waiting.ends.insert(at, (Arc::clone(room), connection));
        waiting
            .found
            .insert((Arc::clone(&room.name), connection), at);
        drop(waiting);
        self.begun.notify_one();
    }

    /// A subscription is absent no more: its member is back in its place. Under the lock of the channel's state.
    pub(super) fn end(&self, room: &Room, connection: ConnectionId) {
        if self.are_granted() {
            let mut waiting = self.waiting.lock();
            let found = (Arc::clone(&room.name), connection);
            if let Some(at) = waiting.found.remove(&found) {
                waiting.ends.remove(&at);
            }
        }
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let waiting = self.waiting.lock();
        waiting.ends.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next one out, if its time has come.
    pub(super) fn take_due(&self) -> Option<(Arc<Room>, ConnectionId)> {
        let mut waiting = self.waiting.lock();
        let first = waiting.ends.first_entry()?;
        if first.key().0 > Instant::now() {
            return None;
        }
        let (room, connection) = first.remove();
        let name = Arc::clone(&room.name);
        waiting.found.remove(&(name, connection));
        Some((room, connection))
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting.lock();
        assert_eq!(waiting.ends.len(), waiting.found.len());
        waiting.ends.len()
    }
}
