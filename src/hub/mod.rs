//! The running system: connections, channels, commands in, commits, frames out, timers.
//!
//! A request comes in on a connection's own task. The channel's state decides under its lock; the records that change
//! go to the committer together with what is to be told; when they are durable, a delivery puts the frames into the
//! queues of the connections, whose tasks send them.
//!
//! What requests become is committed and told in one way:
//!
//! - `pipeline`: from a change to its telling, with `permits` before it and `release` behind it
//! - `rooms`: the one door through which a membership changes; `placing`: how a message gets its place
//! - `room`, `audience`, `registry`: a channel at run time, who is told, and where it is found
//! - [`Connection`], [`SendQueue`]: a connection and what waits for it
//! - `once`, `ids`: what serves only once, and what only grows
//!
//! What asks for that, each an `impl Hub`:
//!
//! - `admission`, `tokens`: who may connect
//! - `lifecycle`: a connection's beginning and end
//! - `membership`, `metadata`: subscribe, unsubscribe, umdUpdate
//! - `publish`, `reactions`, `history`: messages in, reactions to them, and both read again
//! - `inspect`: what can be asked about all this
//!
//! And what goes on by itself:
//!
//! - `rollcall`, `absence`, `graces`: who was here before the start, and graces that end
//! - [`Outbox`], `telling`: events out, kept with the changes that they tell of
//! - `fanout`, `bucket`: who makes others receive much pays for it, and how that is counted
//! - [`Disk`], [`DiskWatch`]: whether the disk answers, and how much room it has

mod absence;
mod admission;
mod audience;
mod bucket;
mod connection;
mod disk;
mod disk_space;
mod fanout;
mod graces;
mod history;
mod ids;
mod inspect;
#[cfg(feature = "simulation")]
pub(crate) mod leftovers;
mod lifecycle;
mod membership;
mod metadata;
mod once;
mod origin;
mod outbox;
mod permits;
mod pipeline;
mod placing;
mod publish;
mod queue;
mod reactions;
mod records;
mod refusal;
mod registry;
mod release;
mod rollcall;
mod room;
mod rooms;
mod telling;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_bytes::ByteArray;
use tracing::{error, info};

use crate::auth::Verifier;
use crate::config;
use crate::protocol::{CloseReason, ConnectionId, EventKinds, Frame, Limits, Request, frame};
use crate::store::{Changes, Store, StoreError};
use crate::world::{clock, random, tasks};

pub use crate::world::clock::rfc3339;
pub use admission::{Admission, AdmissionError};
pub use bucket::Bucket;
pub use connection::{ClientInfo, Connection};
pub use disk::{Disk, MAX_DISK_WAIT};
pub use disk_space::DiskWatch;
pub use history::{Listed, PageRequest, Reacted, Reactor};
pub use inspect::{ChannelInfo, PAGE};
pub use origin::Origin;
pub use outbox::Outbox;
#[cfg(any(test, feature = "simulation"))]
pub use publish::Published;
pub use publish::{ClientMessage, Outgoing};
pub use queue::{SendQueue, Taken};
pub use reactions::NewReaction;

use pipeline::Pipeline;
use registry::Registry;
use release::Release;
use rollcall::RollCall;
use rooms::Rooms;

/// What the operator can set, as the configuration has it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `[limits]`.
    pub limits: Limits,
    /// `[presence]`.
    pub presence: config::Presence,
    /// `[connection]`.
    pub connection: config::Connection,
    /// `[store]`.
    pub store: config::Store,
    /// `[events]`.
    pub events: config::Events,
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    verifier: Verifier,
    pipeline: Arc<Pipeline>,
    rooms: Rooms,
    connections: Registry<ConnectionId, Connection>,
    slots: admission::Slots,
    once: Arc<once::Reservations>,
    reaction_locks: reactions::ReactionLocks,
    outbox: Arc<Outbox>,
    disk: Disk,
    disk_space: Arc<DiskWatch>,
    roll_call: Mutex<Option<RollCall>>,
    /// How many connections were dropped because they gave no sign of life.
    silent: AtomicU64,
    /// This start.
    boot: ByteArray<16>,
    pong: Frame,
}

/// What a frame was, as far as the session is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A sign of life.
    Heartbeat,
    /// Anything else; it has been dealt with.
    Request,
}

/// Why the hub cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no thread or no random number for us.
    #[error("the system does not give what a start needs: {0}")]
    System(#[from] std::io::Error),
}

impl Hub {
    /// Reads who was here and starts the committer and the deliveries. Call [`Hub::ready`] once clients can connect.
    ///
    /// `failed` is called once if the disk fails later on: nothing can be promised from then on, and the server must
    /// stop.
    ///
    /// # Errors
    /// When the database cannot be read or the system refuses a thread.
    pub fn start(
        settings: Settings,
        verifier: Verifier,
        store: Store,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Result<Arc<Self>, StartError> {
        let outbox = Arc::new(Outbox::new(&settings.events, store.clone()));
        let (before, after) = (Arc::clone(&outbox), Arc::clone(&outbox));
        let pipeline = Arc::new(Pipeline::start(
            store.clone(),
            settings.store.durability,
            move |changes| before.before_commit(changes),
            move || after.after_commit(),
            failed,
        )?);
        let mut boot = [0; 16];
        random::fill(&mut boot)?;
        let rooms = Rooms::new(&settings, Arc::clone(&pipeline), Arc::clone(&outbox));
        let first = outbox::first_changes(&settings.events, &store)?;
        let (roll_call, repairs) = RollCall::read(&store, &rooms)?;
        pipeline.submit(first, Release::default());
        pipeline.submit(repairs, Release::default());
        let (subscriptions, channels) = roll_call.counts();
        if subscriptions > 0 {
            let grace = settings.presence.boot_grace;
            info!(
                subscriptions,
                channels,
                ?grace,
                "members known from before are awaited"
            );
        }
        Ok(Arc::new(Self {
            slots: admission::Slots::new(settings.connection.max_connections),
            verifier,
            rooms,
            connections: Registry::new(),
            once: Arc::default(),
            reaction_locks: reactions::ReactionLocks::new(),
            outbox,
            disk: Disk::new(Arc::clone(&pipeline)),
            disk_space: DiskWatch::begin(store.disk_gauge())?,
            roll_call: Mutex::new(Some(roll_call)),
            silent: AtomicU64::new(0),
            boot: ByteArray::new(boot),
            pipeline,
            settings,
            pong: frame::pong(),
        }))
    }

    /// Before clients can connect: the start's own changes are made durable, and a roll call without a grace is held.
    pub async fn before_ready(self: &Arc<Self>) {
        if self.pipeline.settle().await.is_ok() && self.settings.presence.boot_grace.is_zero() {
            self.hold_roll_call().await;
        }
    }

    /// Clients can connect from now on: the boot grace begins, and so do the chores.
    pub fn ready(self: &Arc<Self>) {
        let hub = Arc::clone(self);
        tasks::spawn(async move {
            tasks::sleep(hub.settings.presence.boot_grace).await;
            hub.hold_roll_call().await;
        });
        let hub = Arc::clone(self);
        tasks::spawn(async move { hub.rooms.end_absences().await });
        let hub = Arc::clone(self);
        tasks::spawn(async move { hub.sweep().await });
        let hub = Arc::clone(self);
        tasks::spawn(async move { hub.outbox.keep_cursors(&hub.pipeline).await });
        let hub = Arc::clone(self);
        tasks::spawn(async move { hub.disk.watch().await });
    }

    async fn hold_roll_call(&self) {
        let roll_call = self.roll_call.lock().take();
        if let Some(roll_call) = roll_call {
            // Stopped in the midst of it, the next start calls the roll again.
            let _ = roll_call.hold(&self.rooms).await;
        }
    }

    /// One text frame of a client. Whatever comes of it is queued for the connection.
    pub async fn request(self: &Arc<Self>, connection: &Arc<Connection>, text: &str) -> Heard {
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err(bad) => {
                connection.send(frame::error(bad.channel.as_deref(), &bad.refusal));
                return Heard::Request;
            }
        };
        let (channel, result) = match request {
            Request::Ping => {
                connection.send(self.pong.clone());
                return Heard::Request;
            }
            Request::Heartbeat => return Heard::Heartbeat,
            Request::Subscribe { channel, token } => {
                let result = self.subscribe(connection, &channel, token.as_deref()).await;
                (Some(channel), result)
            }
            Request::Unsubscribe { channel } => {
                let result = self.unsubscribe(connection, &channel).await;
                (Some(channel), result)
            }
            Request::UmdUpdate { channel, token } => {
                let result = match &channel {
                    Some(channel) => self.update_subscription(connection, channel, &token).await,
                    None => self.update_connection(connection, &token).await,
                };
                (channel, result)
            }
            Request::React { channel, reaction } => {
                let result = self
                    .react_from(connection, &channel, &reaction, Origin::Socket)
                    .await;
                (Some(channel), result.map(drop))
            }
            Request::Publish {
                channel,
                event,
                data,
            } => {
                let message = ClientMessage {
                    channel: &channel,
                    event: &event,
                    data,
                };
                let result = self.publish_from(connection, message, Origin::Socket).await;
                (Some(channel), result.map(drop))
            }
        };
        if let Err(refusal) = result {
            connection.send(frame::error(channel.as_deref(), &refusal));
        }
        Heard::Request
    }

    /// How many connections there are, those still on their way in included.
    pub fn connection_count(&self) -> usize {
        self.slots.taken()
    }

    /// How many channels have subscriptions.
    pub fn channel_count(&self) -> usize {
        self.rooms.len()
    }

    /// How many connections have been dropped because they gave no sign of life.
    pub fn silent_count(&self) -> u64 {
        self.silent.load(Ordering::Relaxed)
    }

    /// A connection is dropped because it gives no sign of life.
    pub fn count_silent(&self) {
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether those who were known from before the start have returned or been removed.
    pub fn is_roll_call_held(&self) -> bool {
        self.roll_call.lock().is_none()
    }

    /// How much a uid, its metadata and the data of a message may be.
    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// Events out, as their readers see them.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Keeps events of these kinds for a feed that is being read; see [`Outbox`]. Returns when that is durable; `false` while
    /// the server stops.
    pub async fn keep_for_feed(&self, kinds: EventKinds) -> bool {
        let kept = self.outbox.keep_for_feed(&self.pipeline, kinds).await;
        kept.is_ok() && !self.is_stopping()
    }

    /// Whether the disk answers.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// How much room the disk has.
    pub fn disk_space(&self) -> &DiskWatch {
        &self.disk_space
    }

    /// Whether the hub is stopping: it takes no new connection.
    pub fn is_stopping(&self) -> bool {
        self.rooms.is_frozen()
    }

    /// Begins to stop: no new connection, and those there are closed with 1001. Their membership stays in the
    /// database: whoever is back in time after the next start was never away.
    pub fn begin_stop(&self) {
        self.rooms.freeze();
        self.connections
            .for_each(|connection| connection.close(CloseReason::Stopping));
    }

    /// Commits what is on its way and closes the database's queue. Blocks.
    pub fn finish(&self) {
        self.pipeline.finish();
    }

    /// Removes what has expired, now and then.
    async fn sweep(&self) {
        const PAUSE: Duration = Duration::from_secs(10);
        let expired = |store: &Store| {
            let expired = store.contained(|store| store.expired(clock::now_seconds()));
            expired.unwrap_or_else(|error| {
                error!(%error, "cannot look for what has expired");
                Changes::new()
            })
        };
        loop {
            tasks::sleep(PAUSE).await;
            self.rooms.fan_out.forget_paid();
            if self.outbox.trim(&self.pipeline).await.is_err() {
                return;
            }
            // Between two commits, because what has expired may be used again: then it is not to be removed.
            loop {
                match self.pipeline.commit_computed(expired).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => return,
                }
            }
        }
    }
}
