//! The entrance: all connections that are not (yet) a WebSocket. They are called guests.
//!
//! A guest passes through rooms. Each room has a bounded number of places:
//!
//! 1. the *lobby*, until its first byte has come and a place for its handshake is free. A place costs little more than a
//!    file descriptor, so there are many;
//! 2. the *handshake*: TLS, and the first request until it is answered or has become a WebSocket. There are as many places
//!    as the processor can serve well within the timeout of a handshake;
//! 3. *kept*: HTTP connections whose first request has been answered, and readers of the feed.
//!
//! When a room is full, a silent guest gives way; [`WaitingRoom`] decides which one. When no guest of the room is silent, the
//! next one waits in the room before it; before the lobby that is the kernel's backlog. So clients that send nothing never
//! take the place of a handshake.
//!
//! Two rules protect and bound crowds from one origin. In the handshake, nobody gives way while others of its origin finish:
//! each of a crowd waits for its turn. In the lobby, guests that wait for a handshake give way where their origin has very
//! many of them and none finishes.
//!
//! A guest is *asked* to give way and does so on its own task. That task first looks whether something has come meanwhile,
//! because the server itself may be late.
//!
//! A connection costs one small allocation here, and takes a short lock a few times on its way in.

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

/// How many may be in the lobby. A large crowd fits in, so that its late clients are not taken for silent ones. Further
/// ones wait in the backlog.
const LOBBY: usize = 16_384;
/// How many may be in their handshake. Further ones wait in the lobby.
const HANDSHAKES: usize = 4_096;
/// How many HTTP connections may be kept. Beyond that an idle one gives way. Where none is idle, a connection is closed
/// after its answer, and a new reader of the feed is refused with 503.
const KEPT: usize = 1_024;
/// How many connections there may be besides the WebSockets.
pub(super) const PLACES: usize = LOBBY + HANDSHAKES + KEPT;

/// How long a guest may send nothing before it may have to give way. A client's first byte follows right behind the packet
/// that opens the connection.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a guest may make no progress in its handshake before it may have to give way.
const STALL: Duration = Duration::from_secs(2);
/// How often a newcomer without a descriptor tries again.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(50);
/// How often the log is written at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How long the first log line after a quiet time waits, to count more than the first event.
const GATHER: Duration = Duration::from_secs(1);

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
    /// Held by the guest that gets the next handshake place. The mutex is fair, so guests get in in order of arrival.
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

    /// Gives a newcomer a descriptor below the reserve. Where there is none, it waits until a silent guest has given way.
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

    pub(super) fn not_accepted(&self, error: &std::io::Error) {
        self.happens(|tally| tally.without_descriptor(Some(error)));
    }

    /// Logs the tally, at most once a minute, for ever.
    pub(super) async fn report(self: Arc<Self>) {
        loop {
            self.happened.notified().await;
            sleep(GATHER).await;
            let tally = std::mem::take(&mut *self.tally.lock());
            tally.log();
            sleep(REPORT_INTERVAL.saturating_sub(GATHER)).await;
        }
    }

    /// Waits until a room has a free place, and asks guests to give way for it. `changed` is notified at every change in the
    /// room.
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

    /// Asks a silent guest to give way for its descriptor, unless one has been asked already.
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

/// A connection in the entrance.
#[derive(Debug)]
pub(super) struct Guest {
    entrance: Arc<Entrance>,
    id: GuestId,
    origin: Origin,
    /// A [`Stage`]; changed only under the lock of the rooms.
    stage: AtomicU8,
    /// Notified when it is asked to give way.
    bell: Notify,
    /// Whether it was asked while it was kept; changed only under the lock of the rooms.
    dismissed: AtomicBool,
}

impl Guest {
    /// Asks it to give way. The caller holds the lock of the rooms.
    fn ask(&self) {
        if self.stage() == Stage::Kept {
            self.dismissed.store(true, Ordering::Relaxed);
        }
        self.bell.notify_one();
    }

    /// Its first byte has come: waits until there is a place for its handshake. Returns false where it gives way instead.
    #[must_use]
    pub(super) async fn handshake_place(self: &Arc<Self>) -> bool {
        self.in_its_room(|room| room.wait(self.id, Instant::now()));
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

    /// It has finished its handshake, or become a WebSocket. That excuses the silence of others of its origin.
    pub(super) fn finished(&self) {
        self.entrance
            .rooms
            .lock()
            .finished(self.origin, Instant::now());
    }

    /// Bytes have come from it, or have been sent to it.
    pub(super) fn heard(&self) {
        if self.stage() != Stage::Gone {
            self.in_its_room(|room| room.heard(self.id, Instant::now()));
        }
    }

    /// The server works on its request: its silence does not count.
    pub(super) fn serve(&self) {
        self.in_its_room(|room| room.serve(self.id));
    }

    /// The server waits for the body of its request: its silence counts again.
    pub(super) fn await_body(&self) {
        self.in_its_room(|room| room.served(self.id, Instant::now()));
    }

    /// Notes progress in the room that it is in. `note` returns whether it had been asked to give way; as it stays now,
    /// another guest has to be asked.
    fn in_its_room(&self, note: impl FnOnce(&mut WaitingRoom<Arc<Self>>) -> bool) {
        let mut rooms = self.entrance.rooms.lock();
        let stage = self.stage();
        let asked = rooms.of(stage).is_some_and(note);
        drop(rooms);
        if asked {
            self.entrance.changed(stage);
        }
    }

    /// Its request is answered. `goes_on`: the answer is a stream without end. Returns whether the connection may be kept.
    #[must_use]
    pub(super) fn answered(self: &Arc<Self>, goes_on: bool) -> bool {
        let now = Instant::now();
        let mut rooms = self.entrance.rooms.lock();
        if self.stage() == Stage::Handshake {
            // Only the first answer excuses others of its origin: a kept connection may send any number of requests.
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

    /// Waits until it has to give way, and returns where it is then.
    pub(super) async fn asked(&self) -> Stage {
        loop {
            self.bell.notified().await;
            let mut rooms = self.entrance.rooms.lock();
            let stage = self.stage();
            // A kept one has had its answer: it goes, even if it has sent another request meanwhile. But the notification
            // may be one of its handshake, seen only now; then it stays.
            let goes = match stage {
                Stage::Kept => self.dismissed.load(Ordering::Relaxed),
                _ => rooms.of(stage).is_some_and(|room| room.must_go(self.id)),
            };
            if goes {
                return stage;
            }
        }
    }

    /// Counts it as having given way.
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

/// Holds a guest's place; the place is free when this is dropped.
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
