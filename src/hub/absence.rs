//! `presence.disconnect_grace`: members that dropped keep their place for a while (section 4).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Hub;
use super::channel::Channel;
use super::delivery::Delivery;
use super::outbox::Cause;
use crate::protocol::{ConnectionId, RemovalReason};
use crate::store::Changes;

/// The absences of this run: one for each subscription that is absent, and gone with it.
#[derive(Debug)]
pub(super) struct Absences {
    grace: Duration,
    waiting: Mutex<Waiting>,
    begun: Notify,
}

/// Whose grace goes on.
#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they end; the number makes each unique.
    ends: BTreeMap<(Instant, u64), (Arc<Channel>, ConnectionId)>,
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
    pub(super) fn begin(&self, channel: &Arc<Channel>, connection: ConnectionId) {
        let mut waiting = self.waiting.lock();
        let at = (Instant::now() + self.grace, waiting.next);
        waiting.next += 1;
        waiting.ends.insert(at, (Arc::clone(channel), connection));
        waiting
            .found
            .insert((Arc::clone(&channel.name), connection), at);
        drop(waiting);
        self.begun.notify_one();
    }

    /// A subscription is absent no more: its member is back in its place. Under the lock of the channel's state.
    pub(super) fn end(&self, channel: &Channel, connection: ConnectionId) {
        if self.are_granted() {
            let mut waiting = self.waiting.lock();
            if let Some(at) = waiting
                .found
                .remove(&(Arc::clone(&channel.name), connection))
            {
                waiting.ends.remove(&at);
            }
        }
    }

    /// When the next one ends.
    fn next_end(&self) -> Option<Instant> {
        let waiting = self.waiting.lock();
        waiting.ends.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next one out, if its time has come.
    fn take_due(&self) -> Option<(Arc<Channel>, ConnectionId)> {
        let mut waiting = self.waiting.lock();
        let first = waiting.ends.first_entry()?;
        if first.key().0 > Instant::now() {
            return None;
        }
        let (channel, connection) = first.remove();
        waiting
            .found
            .remove(&(Arc::clone(&channel.name), connection));
        Some((channel, connection))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting.lock();
        assert_eq!(waiting.ends.len(), waiting.found.len());
        waiting.ends.len()
    }
}

impl Hub {
    /// Ends absences as their time comes.
    pub(super) async fn end_absences(self: Arc<Self>) {
        if !self.absences.are_granted() {
            return;
        }
        loop {
            match self.absences.next_end() {
                None => self.absences.begun.notified().await,
                Some(ends) => {
                    tokio::time::sleep_until(ends).await;
                    let Some(permit) = self.permit().await else {
                        return;
                    };
                    let Some((channel, connection)) = self.absences.take_due() else {
                        continue;
                    };
                    if self.is_stopping() {
                        return;
                    }
                    let mut state = channel.state.lock();
                    if let Some(change) = state.presence.end_absence(connection) {
                        let delivery = Delivery {
                            _permit: Some(permit),
                            ..Delivery::default()
                        };
                        let cause = Cause::Left(RemovalReason::Disconnected);
                        self.commit(
                            &channel,
                            &mut state,
                            (change, cause),
                            Changes::new(),
                            delivery,
                        );
                    }
                }
            }
        }
    }
}
