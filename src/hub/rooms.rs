//! All rooms, and the one door through which a room's membership changes.
//!
//! A [`Decision`] is open while the state of a room is locked. What it records is committed, and told, in the order in
//! which it was decided, because it is submitted under the same lock. A room that it leaves empty is retired after that:
//! the records of the room that follows it have the same names, and must come after the end of this one.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::MutexGuard;
use tokio::sync::oneshot;

use super::Settings;
use super::absence::Absences;
use super::audience::Audience;
use super::fanout::FanOut;
use super::outbox::Outbox;
use super::permits::Permit;
use super::pipeline::Pipeline;
use super::queue::SendQueue;
use super::records;
use super::registry::Registry;
use super::release::{Release, Told, ToldChange};
use super::room::{Room, State};
use super::telling::Cause;
use crate::presence::{self, Change};
use crate::protocol::{ConnectionId, Frame, MessageId, RemovalReason, frame};
use crate::store::Changes;

/// See the module.
#[derive(Debug)]
pub(super) struct Rooms {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) fan_out: FanOut,
    pub(super) absences: Absences,
    /// Whoever has fewer bytes waiting has read most of what was sent.
    pub(super) queue_low: usize,
    registry: Registry<Arc<str>, Room>,
    /// While the server stops nobody leaves: whoever is back in time after the next start was never away.
    frozen: AtomicBool,
}

/// What is decided about a room while its state is locked, and goes into one commit.
pub(super) struct Decision<'a> {
    rooms: &'a Rooms,
    room: &'a Arc<Room>,
    state: MutexGuard<'a, State>,
    changes: Changes,
    told: ToldChange,
    release: Release,
    is_changed: bool,
}

impl Rooms {
    pub(super) fn new(settings: &Settings, pipeline: Arc<Pipeline>, outbox: Arc<Outbox>) -> Self {
        let bytes_per_second = settings.presence.fanout_bytes_per_second;
        Self {
            pipeline,
            outbox,
            fan_out: FanOut::new(bytes_per_second, settings.presence.fanout_burst_bytes),
            absences: Absences::new(settings.presence.disconnect_grace),
            queue_low: settings.connection.queue_bytes / 4,
            registry: Registry::new(),
            frozen: AtomicBool::new(false),
        }
    }

    /// From now on nobody leaves by a connection's end.
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.registry.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.registry.len()
    }

    /// Calls `each` for every room. Some of them cannot be found meanwhile: be brief.
    pub(super) fn for_each(&self, each: impl FnMut(&Arc<Room>)) {
        self.registry.for_each(each);
    }

    /// Puts up a room that the database knows of, at a start.
    pub(super) fn restore(&self, room: Arc<Room>) {
        self.registry.insert(Arc::clone(&room.name), room);
    }

    /// Opens a decision about a room that somebody is in.
    pub(super) fn decide<'a>(&'a self, room: &'a Arc<Room>) -> Decision<'a> {
        self.decision(room, room.state.lock())
    }

    /// Calls `act` with a decision about the room of this name, made where there is none. If nobody joins, it goes again.
    pub(super) fn decide_in<T>(&self, name: &Arc<str>, act: impl FnOnce(Decision<'_>) -> T) -> T {
        loop {
            let room = self.get_or_make(name);
            let state = room.state.lock();
            if !state.retired {
                return act(self.decision(&room, state));
            }
        }
    }

    /// Calls `act` with a room and its audience, which is locked. Where nobody is in the room, it is there for as long as
    /// that takes: so all that is sent to it is in one order, and whoever joins meanwhile gets what comes after.
    pub(super) fn with_audience<T>(
        &self,
        name: &str,
        act: impl FnOnce(&Arc<Room>, &mut Audience) -> T,
    ) -> T {
        loop {
            let mut is_made = false;
            let room = self.registry.get_or_insert(name, || {
                is_made = true;
                let name: Arc<str> = name.into();
                (Arc::clone(&name), Arc::new(Room::new(name)))
            });
            let mut audience = room.audience.lock();
            if audience.is_retired() {
                continue;
            }
            let result = act(&room, &mut audience);
            drop(audience);
            if is_made {
                self.retire_if_empty(&room, &mut room.state.lock());
            }
            return result;
        }
    }

    fn decision<'a>(&'a self, room: &'a Arc<Room>, state: MutexGuard<'a, State>) -> Decision<'a> {
        Decision {
            rooms: self,
            room,
            state,
            changes: Changes::new(),
            told: ToldChange::default(),
            release: Release::default(),
            is_changed: false,
        }
    }

    fn get_or_make(&self, name: &Arc<str>) -> Arc<Room> {
        self.registry.get_or_insert(&**name, || {
            (Arc::clone(name), Arc::new(Room::new(Arc::clone(name))))
        })
    }

    fn retire_if_empty(&self, room: &Room, state: &mut State) {
        if state.presence.is_empty() && !state.retired {
            state.retired = true;
            // Before it can be made anew: a message for the old audience has an older id than whoever joins the new one.
            room.audience.lock().retire();
            self.registry.remove(&*room.name);
        }
    }
}

impl<'a> Decision<'a> {
    pub(super) fn room(&self) -> &'a Arc<Room> {
        self.room
    }

    pub(super) fn presence(&mut self) -> &mut presence::Channel {
        &mut self.state.presence
    }

    /// Records that go into the same commit.
    pub(super) fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// Something is held until everything has been told.
    pub(super) fn hold(&mut self, guard: impl Send + 'static) {
        self.release.hold(guard);
    }

    /// The first id of a message that is delivered to whoever joins with this decision, and that it may list.
    pub(super) fn since(&self) -> MessageId {
        // Not while a message is given its place: one with an older id is on its way already.
        let _audience = self.room.audience.lock();
        self.rooms.pipeline.next_id()
    }

    /// Puts a change down: the records, the events out, and the frame for the members.
    pub(super) fn record(&mut self, change: &Change, cause: Cause) {
        let (room, state) = (self.room, &mut *self.state);
        self.is_changed = true;
        let next_id = || self.rooms.pipeline.next_id();
        self.rooms.outbox.tell_of_change(
            &room.name,
            state,
            (change, cause),
            next_id,
            &mut self.changes,
        );
        if let Some(removed) = &change.removed {
            self.changes
                .remove_subscription(&room.name, removed.sequence);
            self.rooms.absences.end(room, removed.connection);
        }
        if let Some(written) = &change.written {
            let record = records::subscription(written);
            self.changes
                .put_subscription(&room.name, written.sequence, &record);
        }
        // Who is not here any more reads no frames.
        if let (Some(event), Some(roster)) = (&change.event, state.presence.roster())
            && state.presence.has_live()
        {
            let list = roster.list();
            let frame = frame::member(event.event, &room.name, &event.member, list);
            if cause != Cause::Left(RemovalReason::Reconciled) {
                self.rooms.fan_out.charge(room, change, frame.wire_len());
            }
            self.told.events.push(frame);
        }
    }

    /// How many bytes of frames those in the room are told up to now.
    pub(super) fn told_bytes(&self) -> usize {
        self.told.events.iter().map(Frame::wire_len).sum()
    }

    /// How many records change up to now.
    pub(super) fn record_count(&self) -> usize {
        self.changes.len()
    }

    /// A connection leaves the audience. Its answer comes first.
    pub(super) fn leaves(&mut self, connection: ConnectionId, answer: Option<Frame>) {
        self.told.leaves = Some((connection, answer));
    }

    /// A connection joins the audience. Its `subscribed` comes last.
    pub(super) fn joins(
        &mut self,
        connection: ConnectionId,
        queue: Arc<SendQueue>,
        subscribed: Frame,
    ) {
        self.told.joins = Some((connection, queue, subscribed));
    }

    /// A connection that is gone keeps its place for the grace, where there is one. Its record stays as it is: should we
    /// crash, the next roll call finds it.
    pub(super) fn keep_place(&mut self, connection: ConnectionId) -> bool {
        let absences = &self.rooms.absences;
        let keeps = absences.are_granted() && self.state.presence.keep_place(connection);
        if keeps {
            absences.begin(self.room, connection);
        }
        keeps
    }

    /// Puts all of it on its way: it is told when it is durable.
    pub(super) fn submit(mut self, permit: Permit) {
        self.send_off(permit);
    }

    /// The same, and a way to wait until it has been told.
    pub(super) fn submit_awaited(mut self, permit: Permit) -> oneshot::Receiver<()> {
        let told = self.release.wait();
        self.send_off(permit);
        told
    }

    fn send_off(&mut self, permit: Permit) {
        if self.is_changed && self.state.presence.is_empty() {
            self.changes.remove_channel(&self.room.name);
        } else if self.is_changed {
            let record = records::channel(&self.state);
            self.changes.put_channel(&self.room.name, &record);
        }
        let told = Told::Change(mem::take(&mut self.told));
        let mut release = mem::take(&mut self.release);
        release.set_permit(permit);
        let changes = mem::take(&mut self.changes);
        let pipeline = &self.rooms.pipeline;
        pipeline.submit(changes, release.telling(self.room, told));
    }
}

impl Drop for Decision<'_> {
    /// Submitted or not, this comes last.
    fn drop(&mut self) {
        self.rooms.retire_if_empty(self.room, &mut self.state);
    }
}
