//! `presence.disconnect_grace`: members that dropped keep their place for a while (section 4).

use std::collections::VecDeque;
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

/// The absences of this run, in the order in which they end (the grace is the same for all). At most one for each
/// subscription in the channels.
#[derive(Debug)]
pub(super) struct Absences {
    grace: Duration,
    waiting: Mutex<VecDeque<(Instant, Arc<Channel>, ConnectionId)>>,
    begun: Notify,
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

    pub(super) fn begin(&self, channel: &Arc<Channel>, connection: ConnectionId) {
        let ends = Instant::now() + self.grace;
        self.waiting
            .lock()
            .push_back((ends, Arc::clone(channel), connection));
        self.begun.notify_one();
    }
}

impl Hub {
    /// Ends absences as their time comes.
    pub(super) async fn end_absences(self: Arc<Self>) {
        if !self.absences.are_granted() {
            return;
        }
        loop {
            let next = self.absences.waiting.lock().front().map(|next| next.0);
            match next {
                None => self.absences.begun.notified().await,
                Some(ends) => {
                    tokio::time::sleep_until(ends).await;
                    let due = self.absences.waiting.lock().pop_front();
                    let Some(permit) = self.permit().await else {
                        return;
                    };
                    let Some((_, channel, connection)) = due else {
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
