//! The roll call: who was here before this start, and who did not return (section 4, restarts).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_bytes::ByteArray;
use tracing::{info, warn};

use super::records;
use super::refusal::Stopped;
use super::release::Release;
use super::room::Room;
use super::rooms::Rooms;
use super::telling::Cause;
use crate::presence::ListLog;
use crate::protocol::{ConnectionId, EventKind, RemovalReason};
use crate::store::{Changes, ConnectionRecord, Store, StoreError};
use crate::world::tasks;

/// How many bytes of frames one commit of the roll call may release to a channel. Every removal carries the whole list:
/// a large channel that is nearly empty after a start would otherwise drown those who are back.
const FRAMES_AT_ONCE: usize = 1 << 20;
/// How long the roll call waits for the members of a channel to read, at the most, before it goes on.
const LET_READ: Duration = Duration::from_secs(1);
/// How many channels' roll calls may be on their way to the disk: what they write and tell waits in memory meanwhile.
const ROOMS_AT_ONCE: usize = 16;
/// How many stale connection records one change removes, each with its event.
const CONNECTIONS_AT_ONCE: usize = Changes::AT_ONCE / 2;

/// The subscriptions and connections known before this start.
#[derive(Debug, Default)]
pub(super) struct RollCall {
    rooms: Vec<(Arc<Room>, Box<[ConnectionId]>)>,
    connections: Vec<ConnectionId>,
}

impl RollCall {
    /// Reads the membership that the database holds and puts up its rooms. Everybody in them is absent. Totals that do not
    /// agree with their sums are to be repaired, loudly: by the changes that come back.
    pub(super) fn read(store: &Store, rooms: &Rooms) -> Result<(Self, Changes), StoreError> {
        let mut roll_call = Self::default();
        let mut repairs = Changes::new();
        let mut unreadable = None;
        let mut stored_names: BTreeSet<String> = store.channel_names()?.into_iter().collect();
        store.read_channels(|name, stored, subscriptions| {
            stored_names.remove(name);
            let room = Arc::new(Room::new(name.into()));
            let mut state = room.state.lock();
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
            let run = stored.and_then(|stored| stored.run);
            state.lists = ListLog::restored(run.map(ByteArray::into_array));
            state.told_count = stored.map_or(0, |stored| stored.subscriptions);
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
            rooms.restore(Arc::clone(&room));
            roll_call.rooms.push((room, ids.into()));
        })?;
        if let Some(detail) = unreadable {
            return Err(StoreError::Record {
                keyspace: "subscription",
                detail,
            });
        }
        for name in &stored_names {
            warn!(
                channel = name,
                "a channel without subscriptions was stored and is removed"
            );
            repairs.remove_channel(name);
        }
        roll_call.connections = store.connection_ids()?;
        Ok((roll_call, repairs))
    }

    /// How many subscriptions are known from before, and in how many channels.
    pub(super) fn counts(&self) -> (usize, usize) {
        let subscriptions = self.rooms.iter().map(|(_, absent)| absent.len()).sum();
        (subscriptions, self.rooms.len())
    }

    /// Removes those who did not return, room by room. While the server stops, the rest is left to the next start.
    pub(super) async fn hold(self, rooms: &Rooms) -> Result<(), Stopped> {
        if self.rooms.is_empty() && self.connections.is_empty() {
            return Ok(());
        }
        let (mut removed, (known, channels)) = (0, self.counts());
        for (n, (room, absent)) in self.rooms.into_iter().enumerate() {
            if n % ROOMS_AT_ONCE == 0 {
                rooms.pipeline.settle().await?;
            }
            removed += rooms.call(&room, &absent).await?;
        }
        for ids in self.connections.chunks(CONNECTIONS_AT_ONCE) {
            rooms.end_connections(ids).await?;
        }
        // What the log says is durable.
        rooms.pipeline.settle().await?;
        let returned = known - removed;
        info!(removed, returned, channels, "roll call");
        Ok(())
    }
}

impl Rooms {
    /// The roll call of one room: one commit, or as many as its members need to keep up with the frames.
    async fn call(&self, room: &Arc<Room>, absent: &[ConnectionId]) -> Result<usize, Stopped> {
        let (mut removed, mut rest) = (0, absent);
        while !rest.is_empty() {
            let permit = self.pipeline.permit().await?;
            // Whoever stops now is not gone: the next start calls the roll again.
            self.check_thaw()?;
            let told = {
                let mut decision = self.decide(room);
                let before = removed;
                while let Some((id, others)) = rest.split_first() {
                    if decision.told_bytes() > FRAMES_AT_ONCE
                        || decision.record_count() >= Changes::AT_ONCE
                    {
                        break;
                    }
                    rest = others;
                    if let Some(change) = decision.presence().end_absence(*id) {
                        decision.record(&change, Cause::Left(RemovalReason::Reconciled));
                        removed += 1;
                    }
                }
                if removed == before {
                    continue;
                }
                decision.submit_awaited(permit)
            };
            if !rest.is_empty() {
                told.await.map_err(|_| Stopped)?;
                self.let_read(room).await;
            }
        }
        Ok(removed)
    }

    /// Ends connections of earlier starts, each with its event.
    async fn end_connections(&self, ids: &[ConnectionId]) -> Result<(), Stopped> {
        let permit = self.pipeline.permit().await?;
        let read = {
            let ids = ids.to_vec();
            move |store: &Store| ids.iter().map(|id| store.connection(*id)).collect()
        };
        // Told even if it cannot be read: the log knows why.
        let records: Vec<Option<ConnectionRecord>> =
            self.pipeline.read_ahead(read).await.unwrap_or_default();
        // Those whose subscriptions are left to the next start are left to it, too.
        self.check_thaw()?;
        let mut changes = Changes::new();
        for (n, id) in ids.iter().enumerate() {
            changes.remove_connection(*id);
            if let Some(Some(record)) = records.get(n) {
                let kind = EventKind::Disconnected;
                self.outbox
                    .tell_of_connection(&mut changes, kind, *id, record);
            }
        }
        self.pipeline.submit(changes, Release::new(permit));
        Ok(())
    }

    /// Waits until those in a room have read most of what waits for them.
    async fn let_read(&self, room: &Room) {
        let read = async {
            while room.audience.lock().longest_queue() > self.queue_low {
                tasks::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tasks::timeout(LET_READ, read).await;
    }

    fn check_thaw(&self) -> Result<(), Stopped> {
        if self.is_frozen() {
            return Err(Stopped);
        }
        Ok(())
    }
}
