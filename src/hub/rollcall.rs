//! The roll call: who was here before this start, and who did not return (section 4, restarts).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::channel::Channel;
use super::delivery::Delivery;
use super::outbox::{Cause, Run};
use super::{Hub, StartError, membership, records};
use crate::protocol::{ConnectionId, EventKind, Frame, RemovalReason};
use crate::store::{Changes, ConnectionRecord, Store, StoreError};

/// How many bytes of frames one commit of the roll call may release to a channel. Every removal carries the whole list:
/// a large channel that is nearly empty after a start would otherwise drown those who are back.
const FRAMES_AT_ONCE: usize = 1 << 20;
/// How long the roll call waits for the members of a channel to read, at the most, before it goes on.
const SETTLE: Duration = Duration::from_secs(1);
/// How many channels' roll calls may be on their way to the disk: what they write and tell waits in memory meanwhile.
const CHANNELS_AT_ONCE: usize = 16;
/// How many stale connection records one change removes, each with its event.
const CONNECTIONS_AT_ONCE: usize = Changes::AT_ONCE / 2;

/// The subscriptions and connections known before this start.
#[derive(Debug, Default)]
pub(super) struct RollCall {
    channels: Vec<(Arc<Channel>, Box<[ConnectionId]>)>,
    connections: Vec<ConnectionId>,
}

/// What a roll call came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Subscriptions that ended because nobody took them over.
    pub(super) removed: usize,
    /// Subscriptions that their member took over again.
    pub(super) returned: usize,
    /// Channels that had any.
    pub(super) channels: usize,
}

impl Hub {
    /// Reads the membership that the database holds. Everybody in it is absent. Totals that do not agree with their
    /// sums are to be repaired, loudly: by the changes that come back.
    pub(super) fn restore(&self) -> Result<(RollCall, Changes), StartError> {
        let mut roll_call = RollCall::default();
        let mut repairs = Changes::new();
        let mut unreadable = None;
        let mut stored_names: HashSet<String> = self.store.channel_names()?.into_iter().collect();
        let mut subscriptions_total = 0;
        self.store.read_channels(|name, stored, subscriptions| {
            stored_names.remove(name);
            let channel = Arc::new(Channel::new(name.into()));
            let mut state = channel.state.lock();
            let mut ids = Vec::with_capacity(subscriptions.len());
            for (sequence, record) in subscriptions {
                match records::restored(sequence, record) {
                    Ok(subscription) => {
                        ids.push(subscription.connection);
                        state.presence.restore(subscription);
                    }
                    Err(error) => unreadable = Some(format!("channel `{name}`: {error}")),
                }
            }
            state
                .presence
                .finish_restore(stored.map_or(0, |stored| stored.next));
            state.run = stored
                .and_then(|stored| stored.run)
                .map(|run| Run::earlier(run.into_array()));
            state.counted = stored.map_or(0, |stored| stored.subscriptions);
            let sums = records::channel(&state);
            let is_presence = state.presence.roster().is_some();
            drop(state);
            if is_presence
                && stored.is_none_or(|stored| {
                    (stored.bytes, stored.subscriptions) != (sums.bytes, sums.subscriptions)
                })
            {
                warn!(
                    channel = name,
                    ?stored,
                    ?sums,
                    "the stored totals of a channel were wrong and are repaired"
                );
                repairs.put_channel(name, &sums);
            }
            subscriptions_total += ids.len();
            self.channels
                .insert(Arc::clone(&channel.name), Arc::clone(&channel));
            roll_call.channels.push((channel, ids.into()));
        })?;
        if let Some(detail) = unreadable {
            return Err(StoreError::Record {
                keyspace: "subscription",
                detail,
            }
            .into());
        }
        for name in &stored_names {
            warn!(
                channel = name,
                "a channel without subscriptions was stored and is removed"
            );
            repairs.remove_channel(name);
        }
        roll_call.connections = self.store.connection_ids()?;
        if subscriptions_total > 0 {
            info!(
                subscriptions = subscriptions_total,
                channels = roll_call.channels.len(),
                grace = ?self.settings.boot_grace,
                "members known from before are awaited"
            );
        }
        Ok((roll_call, repairs))
    }

    /// Removes those who did not return, channel by channel.
    pub(super) async fn hold_roll_call(self: &Arc<Self>) {
        let Some(roll_call) = self.roll_call.lock().take() else {
            return;
        };
        if roll_call.channels.is_empty() && roll_call.connections.is_empty() {
            return;
        }
        let mut outcome = Outcome {
            channels: roll_call.channels.len(),
            ..Outcome::default()
        };
        for (n, (channel, absent)) in roll_call.channels.into_iter().enumerate() {
            if n % CHANNELS_AT_ONCE == 0 && !self.commit_chore(Changes::new()).await {
                return;
            }
            let removed = self.call_channel(&channel, &absent).await;
            outcome.removed += removed;
            outcome.returned += absent.len() - removed;
        }
        // Those whose subscriptions are left to the next start are left to it, too.
        if self.is_stopping() {
            return;
        }
        for ids in roll_call.connections.chunks(CONNECTIONS_AT_ONCE) {
            let Some(permit) = self.permit().await else {
                return;
            };
            let read = {
                let ids = ids.to_vec();
                move |store: &Store| ids.iter().map(|id| store.connection(*id)).collect()
            };
            // Told even if it cannot be read: the log knows why.
            let records: Vec<Option<ConnectionRecord>> =
                self.read_ahead(read).await.unwrap_or_default();
            let mut changes = Changes::new();
            for (n, id) in ids.iter().enumerate() {
                changes.remove_connection(*id);
                if let Some(Some(record)) = records.get(n) {
                    let kind = EventKind::Disconnected;
                    self.tell_of_connection(&mut changes, kind, *id, record);
                }
            }
            self.committer.submit(changes, Delivery::nothing(permit).0);
        }
        // What the log says is durable, and told.
        self.commit_chore(Changes::new()).await;
        self.log_roll_call(&outcome);
    }

    /// The roll call of one channel: one commit, or as many as its members need to keep up with the frames.
    async fn call_channel(&self, channel: &Arc<Channel>, absent: &[ConnectionId]) -> usize {
        let mut removed = 0;
        let mut rest = absent;
        while !rest.is_empty() {
            // Whoever stops now is not gone: the next start calls the roll again.
            if self.is_stopping() {
                return removed;
            }
            let Some(permit) = self.permit().await else {
                return removed;
            };
            let (mut delivery, done) = Delivery::nothing(permit);
            let mut changes = Changes::new();
            {
                let mut state = channel.state.lock();
                let mut bytes = 0;
                while let Some((id, others)) = rest.split_first() {
                    if bytes > FRAMES_AT_ONCE || changes.len() >= Changes::AT_ONCE {
                        break;
                    }
                    rest = others;
                    let Some(change) = state.presence.end_absence(*id) else {
                        continue;
                    };
                    removed += 1;
                    if state.presence.has_live() {
                        let event = membership::event(channel, &state, &change);
                        bytes += event.as_ref().map_or(0, Frame::wire_len);
                        delivery.events.extend(event);
                    }
                    let cause = Cause::Left(RemovalReason::Reconciled);
                    self.write(channel, &mut state, (&change, cause), &mut changes);
                }
                if changes.is_empty() {
                    continue;
                }
                delivery.channel = Some(Arc::clone(channel));
                self.committer.submit(changes, delivery);
                self.retire_if_empty(channel, &mut state);
            }
            if !rest.is_empty() {
                if done.await.is_err() {
                    return removed;
                }
                self.settle(channel).await;
            }
        }
        removed
    }

    /// Waits until the members of a channel have read most of what waits for them.
    async fn settle(&self, channel: &Channel) {
        let low = self.settings.queue_bytes / 4;
        let read = async {
            while channel
                .audience
                .lock()
                .iter()
                .any(|connection| connection.queue.bytes() > low)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(SETTLE, read).await;
    }
}
