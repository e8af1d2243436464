//! The entrance: everybody who has connected and is no WebSocket.
//!
//! A guest passes through rooms, each with places of its own:
//!
//! 1. the *lobby*, until it has sent its first byte, and until there is a place for its handshake. A place costs little
//!    more than a descriptor, so there are many;
//! 2. the *handshake*: TLS, and the first request up to its answer, or up to the WebSocket that it becomes. As many as
//!    the processor finishes well within the time that a handshake may take;
//! 3. *kept*: HTTP connections whose first request has been answered, and readers of the feed.
//!
//! Where all places of a room are taken, somebody who is silent gives way ([`WaitingRoom`] says who); in a handshake only one
//! of whose origin nobody finishes, for in a crowd from one place each waits for its turn there. So those who have sent
//! nothing at all never take the place of a handshake; and where nobody in a room is silent, the next one waits in the room
//! before, and before the lobby in the system's backlog. In the lobby too those give way who wait for their handshake, where
//! one origin has very many of them and none of it finishes.
//!
//! A guest is *asked* to give way, and gives way on its own task: that looks first whether something has come meanwhile, for
//! it may be us who are late.
//!
//! What a connection costs here: one small allocation, and a short lock a few times on its way in.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};

use super::descriptors;
use super::origin::Origin;
use super::tally::{GaveWay, Tally};
use super::waiting_room::{GuestId, WaitingRoom, Way};

/// How many may be in the lobby: all of a large crowd, so that those of its clients that are late are not taken for silent
/// ones. Further ones wait in the backlog.
const LOBBY: usize = 16_384;
/// How many may be in their handshake. Further ones wait in the lobby.
const HANDSHAKES: usize = 4_096;
/// How many HTTP connections may be kept. Beyond that an idle one gives way; where none is idle, a connection is closed
/// after its answer, and a reader of the feed is told to come later.
const KEPT: usize = 1_024;
/// How many connections there may be besides the WebSockets.
pub(super) const PLACES: usize = LOBBY + HANDSHAKES + KEPT;

/// After how long somebody who has sent nothing may have to give way. A client's first byte is on its way right behind the
/// packet that opens the connection.
const SILENCE: Duration = Duration::from_secs(1);
/// After how long somebody may have to give way who has stopped in the middle of a handshake.
const STALL: Duration = Duration::from_secs(2);
/// How often a newcomer looks whether there is a descriptor for it.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(50);
/// How often the log speaks of what happens here.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How long what happens is gathered when the log has been silent.
const GATHER: Duration = Duration::from_secs(1);

/// Where a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    Lobby,
    Handshake,
    Kept,
    Gone,
}

/// The rooms, and who is in them.
#[derive(Debug)]
pub(super) struct Entrance {
    rooms: Mutex<Rooms>,
    guests: AtomicU64,
    lobby_changed: Notify,
    handshake_changed: Notify,
    /// Held by the one that is next in the handshake's room: they get in as they have come.
    turn: tokio::sync::Mutex<()>,
    tally: Mutex<Tally>,
    happened: Notify,
}

#[derive(Debug)]
struct Rooms {
    lobby: WaitingRoom<Arc<Guest>>,
    handshake: WaitingRoom<Arc<Guest>>,
    kept: WaitingRoom<Arc<Guest>>,
}

impl Rooms {
    /// Somebody of this origin has finished its handshake.
    fn finished(&mut self, origin: Origin, now: Instant) {
        self.lobby.finish(origin, now);
        self.handshake.finish(origin, now);
    }

    fn of(&mut self, stage: Stage) -> Option<&mut WaitingRoom<Arc<Guest>>> {
        match stage {
            Stage::Lobby => Some(&mut self.lobby),
            Stage::Handshake => Some(&mut self.handshake),
            Stage::Kept => Some(&mut self.kept),
            Stage::Gone => None,
        }
    }
}

impl Entrance {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            rooms: Mutex::new(Rooms {
                lobby: WaitingRoom::new(LOBBY, SILENCE),
                handshake: WaitingRoom::of_kin(HANDSHAKES, STALL),
                kept: WaitingRoom::new(KEPT, Duration::ZERO),
            }),
            guests: AtomicU64::new(0),
            lobby_changed: Notify::new(),
            handshake_changed: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            tally: Mutex::default(),
            happened: Notify::new(),
        })
    }

    /// Waits until there is a place in the lobby.
    pub(super) async fn lobby_place(&self) {
        self.place(Stage::Lobby, &self.lobby_changed).await;
    }

    /// A newcomer goes into the lobby; it leaves when the visit is dropped.
    pub(super) fn come(self: &Arc<Self>, peer: SocketAddr) -> Visit {
        let guest = Arc::new(Guest {
            entrance: Arc::clone(self),
            id: self.guests.fetch_add(1, Ordering::Relaxed),
            origin: Origin::of(peer.ip()),
            stage: AtomicU8::new(Stage::Lobby as u8),
            bell: Notify::new(),
            dismissed: AtomicBool::new(false),
        });
        let bell = Arc::clone(&guest);
        let mut rooms = self.rooms.lock();
        rooms
            .lobby
            .enter(guest.id, guest.origin, bell, Instant::now());
        Visit(guest)
    }

    /// Gives a newcomer one of the descriptors that connections may have. Where there is none, it waits, and whoever is
    /// silent gives way to it.
    pub(super) async fn with_descriptor(&self, stream: TcpStream) -> std::io::Result<TcpStream> {
        if !descriptors::is_reserved(&stream) {
            return Ok(stream);
        }
        self.happens(|tally| tally.without_descriptor(None));
        loop {
            let mut lobby = pin!(self.lobby_changed.notified());
            lobby.as_mut().enable();
            if let Some(stream) = descriptors::unreserved(&stream) {
                return TcpStream::from_std(stream);
            }
            self.spare();
            tokio::select! {
                () = lobby => {}
                () = sleep(DESCRIPTOR_PAUSE) => {}
            }
        }
    }

    /// A connection could not be accepted.
    pub(super) fn not_accepted(&self, error: &std::io::Error) {
        self.happens(|tally| tally.without_descriptor(Some(error)));
    }

    /// Tells the log what happens, at most once a minute.
    pub(super) async fn report(self: Arc<Self>) {
        loop {
            self.happened.notified().await;
            sleep(GATHER).await;
            let tally = std::mem::take(&mut *self.tally.lock());
            tally.log();
            sleep(REPORT_INTERVAL.saturating_sub(GATHER)).await;
        }
    }

    /// Waits until a room has a place, and asks who can to give way. `changed` tells of every change in the room.
    async fn place(&self, stage: Stage, changed: &Notify) {
        loop {
            let mut change = pin!(changed.notified());
            // From here on no change is missed.
            change.as_mut().enable();
            let way = {
                let mut rooms = self.rooms.lock();
                match rooms.of(stage) {
                    Some(room) if !room.has_place() => {
                        if room.is_asked() {
                            Way::Nobody
                        } else {
                            room.give_way(Instant::now())
                        }
                    }
                    _ => return,
                }
            };
            match way {
                Way::Ask(guest) => {
                    guest.bell.notify_one();
                    change.await;
                }
                Way::NotBefore(moment) => tokio::select! {
                    () = change => {}
                    () = sleep_until(moment.into()) => {}
                },
                Way::Nobody => change.await,
            }
        }
    }

    /// A guest in the lobby is silent no more, and waits.
    fn first_byte_of(&self, guest: &Guest) {
        let asked = self.rooms.lock().lobby.wait(guest.id, Instant::now());
        if asked {
            self.changed(Stage::Lobby);
        }
    }

    /// Asks one who is silent to give way for want of descriptors, unless one has been asked already.
    fn spare(&self) {
        let mut rooms = self.rooms.lock();
        let now = Instant::now();
        let rooms = &mut *rooms;
        for room in [&mut rooms.lobby, &mut rooms.handshake, &mut rooms.kept] {
            if room.is_asked() {
                return;
            }
            if let Way::Ask(guest) = room.give_way(now) {
                guest.ask();
                return;
            }
        }
    }

    fn happens(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tally.lock());
        self.happened.notify_one();
    }

    fn changed(&self, stage: Stage) {
        match stage {
            Stage::Lobby => self.lobby_changed.notify_waiters(),
            Stage::Handshake => self.handshake_changed.notify_waiters(),
            Stage::Kept | Stage::Gone => {}
        }
    }
}

/// One that is here.
#[derive(Debug)]
pub(super) struct Guest {
    entrance: Arc<Entrance>,
    id: GuestId,
    origin: Origin,
    /// Where it is; changed only under the lock of the rooms.
    stage: AtomicU8,
    /// Rings when it is asked to give way.
    bell: Notify,
    /// Whether it was asked while it was kept; changed only under the lock of the rooms.
    dismissed: AtomicBool,
}

impl Guest {
    /// Asks it to give way; under the lock of the rooms.
    fn ask(&self) {
        if self.stage() == Stage::Kept {
            self.dismissed.store(true, Ordering::Relaxed);
        }
        self.bell.notify_one();
    }

    /// It has sent its first byte: waits until there is a place for its handshake. Returns whether it has one; where it has
    /// not, it gives way.
    #[must_use]
    pub(super) async fn handshake_place(self: &Arc<Self>) -> bool {
        self.entrance.first_byte_of(self);
        tokio::select! {
            biased;
            () = self.next_handshake() => true,
            _ = self.asked() => {
                let origin = self.origin;
                self.entrance.happens(|tally| tally.gave_way(GaveWay::Stalled, origin));
                false
            }
        }
    }

    async fn next_handshake(self: &Arc<Self>) {
        let entrance = &self.entrance;
        let _turn = entrance.turn.lock().await;
        entrance
            .place(Stage::Handshake, &entrance.handshake_changed)
            .await;
        let mut rooms = entrance.rooms.lock();
        rooms.lobby.leave(self.id);
        let bell = Arc::clone(self);
        rooms
            .handshake
            .enter(self.id, self.origin, bell, Instant::now());
        self.set_stage(Stage::Handshake);
        drop(rooms);
        entrance.changed(Stage::Lobby);
    }

    /// It has finished its handshake, or become a WebSocket: others of its origin may still be on their way to it.
    pub(super) fn finished(&self) {
        self.entrance
            .rooms
            .lock()
            .finished(self.origin, Instant::now());
    }

    /// Something of it has come, or gone to it.
    pub(super) fn heard(&self) {
        if self.stage() == Stage::Gone {
            return;
        }
        let mut rooms = self.entrance.rooms.lock();
        let stage = self.stage();
        let asked = rooms
            .of(stage)
            .is_some_and(|room| room.heard(self.id, Instant::now()));
        drop(rooms);
        if asked {
            // Somebody else has to be.
            self.entrance.changed(stage);
        }
    }

    /// A request of it is being served: its silence is no fault of its own.
    pub(super) fn serve(&self) {
        let mut rooms = self.entrance.rooms.lock();
        let stage = self.stage();
        let asked = rooms.of(stage).is_some_and(|room| room.serve(self.id));
        drop(rooms);
        if asked {
            self.entrance.changed(stage);
        }
    }

    /// The body of its request has yet to come: its silence is its own again.
    pub(super) fn await_body(&self) {
        let mut rooms = self.entrance.rooms.lock();
        let stage = self.stage();
        if let Some(room) = rooms.of(stage) {
            room.served(self.id, Instant::now());
        }
    }

    /// Its request has its answer; `goes_on` where that has no end. Returns whether the connection may be kept.
    #[must_use]
    pub(super) fn answered(self: &Arc<Self>, goes_on: bool) -> bool {
        let now = Instant::now();
        let mut rooms = self.entrance.rooms.lock();
        if self.stage() == Stage::Handshake {
            // Only the first answer counts: a kept connection asks as often as it likes.
            rooms.finished(self.origin, now);
            if !rooms.kept.has_place() {
                let Way::Ask(guest) = rooms.kept.give_way(now) else {
                    rooms.handshake.served(self.id, now);
                    return false;
                };
                guest.ask();
            }
            rooms.handshake.leave(self.id);
            rooms
                .kept
                .enter(self.id, self.origin, Arc::clone(self), now);
            rooms.kept.serve(self.id);
            self.set_stage(Stage::Kept);
        }
        if !goes_on {
            rooms.kept.served(self.id, now);
        }
        drop(rooms);
        self.entrance.changed(Stage::Handshake);
        true
    }

    /// Waits until it has to give way, and says where it is then.
    pub(super) async fn asked(&self) -> Stage {
        loop {
            self.bell.notified().await;
            let mut rooms = self.entrance.rooms.lock();
            let stage = self.stage();
            // One that is kept has had what it came for: it goes, even if it has begun something new meanwhile. Yet the bell
            // may have rung in its handshake, and be heard only now.
            let goes = match stage {
                Stage::Kept => self.dismissed.load(Ordering::Relaxed),
                _ => rooms.of(stage).is_some_and(|room| room.must_go(self.id)),
            };
            if goes {
                return stage;
            }
        }
    }

    /// It has given way.
    pub(super) fn gave_way(&self) {
        let how = match self.stage() {
            Stage::Lobby => GaveWay::Silent,
            Stage::Handshake => GaveWay::Stalled,
            Stage::Kept => GaveWay::Idle,
            Stage::Gone => return,
        };
        self.entrance
            .happens(|tally| tally.gave_way(how, self.origin));
    }

    fn leave(&self) {
        let mut rooms = self.entrance.rooms.lock();
        let stage = self.stage();
        if let Some(room) = rooms.of(stage) {
            room.leave(self.id);
        }
        self.set_stage(Stage::Gone);
        drop(rooms);
        self.entrance.changed(stage);
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Lobby,
            1 => Stage::Handshake,
            2 => Stage::Kept,
            _ => Stage::Gone,
        }
    }

    fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }
}

/// A guest's stay; its place is free when this is dropped.
#[derive(Debug)]
pub(super) struct Visit(Arc<Guest>);

impl Visit {
    pub(super) fn guest(&self) -> &Arc<Guest> {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests;
