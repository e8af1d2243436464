//! The running system: connections, channels, commands in, commits, frames out, timers.
//!
//! A request comes in on a connection's own task. The channel's state decides under its lock; the records that change
//! go to the committer together with what is to be told; when they are durable, a delivery puts the frames into the
//! queues of the connections, whose tasks send them.
//!
//! - `admission`, `tokens`: who may connect, and tokens that serve once
//! - [`Connection`], [`SendQueue`]: a connection and what waits for it
//! - `channel`, `registry`: channels at run time and where they are found
//! - `lifecycle`: a connection's beginning and end
//! - `membership`, `metadata`: subscribe, unsubscribe, umdUpdate
//! - `publish`, `reactions`, `history`, `ids`: messages in, reactions to them, and both read again
//! - `origin`: whose request something was
//! - `outbox`: events out, kept with the changes that they tell of
//! - `inspect`: what can be asked about all this
//! - `delivery`: what a commit releases; `disk`: whether the disk answers at all
//! - `fanout`, `bucket`: who makes others receive much pays for it, and how that is counted
//! - `room`: the room on the disk
//! - `rollcall`, `absence`: who was here before the start, and graces that end

mod absence;
mod admission;
mod bucket;
mod channel;
mod connection;
mod delivery;
mod disk;
mod fanout;
mod history;
mod ids;
mod inspect;
mod lifecycle;
mod membership;
mod metadata;
mod origin;
mod outbox;
mod publish;
mod queue;
mod reactions;
mod records;
mod registry;
mod rollcall;
mod room;
#[cfg(test)]
mod tests;
mod tokens;

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_bytes::ByteArray;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{error, info};

use crate::auth::Verifier;
use crate::clock;
use crate::protocol::{
    CloseReason, ConnectionId, ErrorCode, Frame, Limits, Refusal, Request, frame,
};
use crate::store::{Changes, Committer, Durability, Store, StoreError};

pub use crate::clock::rfc3339;
pub use admission::{Admission, AdmissionError};
pub use bucket::Bucket;
pub use channel::Channel;
pub use connection::{ClientInfo, Connection};
pub use disk::DISK_PATIENCE;
pub use history::{Listed, PageRequest, Reacted, Reactor};
pub use inspect::{ChannelInfo, ConnectionInfo, MembersInfo, PAGE};
pub use origin::Origin;
pub use outbox::EventSettings;
pub use publish::{ClientMessage, Outgoing, Published};
pub use queue::{SendQueue, Taken};
pub use reactions::NewReaction;

use delivery::Delivery;
use registry::Registry;

/// How many changes may be on their way to the disk at a time. Whoever has one more waits.
const CHANGES_IN_FLIGHT: usize = 8_192;

/// What the operator can set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The capacity of a presence channel, in bytes (section 4).
    pub channel_bytes: u64,
    /// How long members known before a start may take to return.
    pub boot_grace: Duration,
    /// How long a member that dropped may take to return.
    pub disconnect_grace: Duration,
    /// How many bytes a second the changes of one connection, and of one uid, may make others receive.
    pub fanout_bytes_per_second: u64,
    /// How many bytes that may be in a burst.
    pub fanout_burst_bytes: u64,
    /// How long a connection lives at the most.
    pub max_lifetime: Duration,
    /// How many connections there may be.
    pub max_connections: usize,
    /// How many subscriptions a connection may have.
    pub max_subscriptions: usize,
    /// How many bytes may wait for one connection.
    pub queue_bytes: usize,
    /// How much a uid, its metadata and the data of a message may be.
    pub limits: Limits,
    /// When a change counts as made.
    pub durability: Durability,
    /// Events out.
    pub events: EventSettings,
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    verifier: Verifier,
    store: Store,
    committer: Committer<Delivery>,
    /// Held by whoever asks the disk something that a hanging disk would not answer.
    asking_disk: Arc<tokio::sync::Mutex<()>>,
    channels: Registry<Arc<str>, Channel>,
    connections: Registry<ConnectionId, Connection>,
    slots: admission::Slots,
    /// Permits for changes on their way to the disk.
    in_flight: Arc<Semaphore>,
    spending: Arc<tokens::Spending>,
    absences: absence::Absences,
    fan_out: fanout::FanOut,
    /// How many connections were dropped because they gave no sign of life.
    silent: AtomicU64,
    ids: Arc<ids::IdSource>,
    reaction_locks: reactions::ReactionLocks,
    outbox: Arc<outbox::Outbox>,
    roll_call: Mutex<Option<rollcall::RollCall>>,
    room: Arc<room::DiskRoom>,
    /// This start.
    boot: ByteArray<16>,
    stopping: AtomicBool,
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
        let lanes = std::thread::available_parallelism().map_or(1, usize::from);
        // The channels' bound is that of the permits: every delivery holds one, or is one of few without.
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..lanes).map(|_| mpsc::unbounded_channel()).unzip();
        let ids = Arc::new(ids::IdSource::new(store.id_lease()?));
        let outbox = Arc::new(outbox::Outbox::new(&settings.events, &store.outbox()));
        let (before_ids, after_ids) = (Arc::clone(&ids), Arc::clone(&ids));
        let (before_outbox, after_outbox) = (Arc::clone(&outbox), Arc::clone(&outbox));
        let after_store = store.clone();
        let hasher = RandomState::new();
        let committer = Committer::start(
            &store,
            settings.durability,
            move |changes| {
                before_ids.before_commit(changes);
                before_outbox.before_commit(changes);
            },
            move |deliveries: Vec<Delivery>| {
                after_ids.after_commit();
                after_outbox.after_commit(&after_store);
                delivery::distribute(deliveries, &hasher, &senders);
            },
            failed,
        )?;
        let mut boot = [0; 16];
        getrandom::fill(&mut boot).map_err(|e| std::io::Error::other(e.to_string()))?;
        let room = room::DiskRoom::watch(store.folder())?;
        let hub = Arc::new(Self {
            slots: admission::Slots::new(settings.max_connections),
            verifier,
            store,
            committer,
            asking_disk: Arc::default(),
            channels: Registry::new(),
            connections: Registry::new(),
            in_flight: Arc::new(Semaphore::new(CHANGES_IN_FLIGHT)),
            spending: Arc::default(),
            absences: absence::Absences::new(settings.disconnect_grace),
            fan_out: fanout::FanOut::new(
                settings.fanout_bytes_per_second,
                settings.fanout_burst_bytes,
            ),
            silent: AtomicU64::new(0),
            ids,
            reaction_locks: reactions::ReactionLocks::new(),
            outbox,
            roll_call: Mutex::new(None),
            room,
            boot: ByteArray::new(boot),
            stopping: AtomicBool::new(false),
            settings,
            pong: frame::pong(),
        });
        let first = outbox::first_changes(&hub.settings.events, &hub.store)?;
        let (roll_call, repairs) = hub.restore()?;
        hub.committer.submit(first, Delivery::default());
        hub.committer.submit(repairs, Delivery::default());
        *hub.roll_call.lock() = Some(roll_call);
        for receiver in receivers {
            tokio::spawn(delivery::run(receiver));
        }
        Ok(hub)
    }

    /// Before clients can connect: the start's own changes are made durable, and a roll call without a grace is held.
    pub async fn before_ready(self: &Arc<Self>) {
        self.commit_chore(Changes::new()).await;
        if self.settings.boot_grace.is_zero() {
            self.hold_roll_call().await;
        }
    }

    /// Clients can connect from now on: the boot grace begins, and so do the chores.
    pub fn ready(self: &Arc<Self>) {
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(hub.settings.boot_grace).await;
            hub.hold_roll_call().await;
        });
        tokio::spawn(Arc::clone(self).end_absences());
        tokio::spawn(Arc::clone(self).sweep());
        tokio::spawn(Arc::clone(self).keep_cursors());
        tokio::spawn(Arc::clone(self).watch_disk());
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
        self.channels.len()
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

    /// What the outbox may take, in bytes.
    pub fn outbox_max_bytes(&self) -> u64 {
        self.settings.events.max_bytes
    }

    /// Whether the hub is stopping: it takes no new connection.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Begins to stop: no new connection, and those there are closed with 1001. Their membership stays in the
    /// database: whoever is back in time after the next start was never away.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.connections
            .for_each(|connection| connection.close(CloseReason::Stopping));
    }

    /// Commits what is on its way and closes the database's queue. Blocks.
    pub fn finish(&self) {
        self.ids.finish();
        let mut changes = Changes::new();
        self.ids.before_commit(&mut changes);
        self.committer.submit(changes, Delivery::default());
        self.committer.finish();
    }

    /// Removes what has expired, now and then.
    async fn sweep(self: Arc<Self>) {
        const PAUSE: Duration = Duration::from_secs(10);
        loop {
            tokio::time::sleep(PAUSE).await;
            self.fan_out.forget_paid();
            self.trim_outbox().await;
            loop {
                let (tell, told) = oneshot::channel();
                let expired = move |store: &Store| {
                    let changes = store.expired(clock::now_seconds()).unwrap_or_else(|error| {
                        error!(%error, "cannot look for what has expired");
                        Changes::new()
                    });
                    let _ = tell.send(changes.is_empty());
                    changes
                };
                let Some(permit) = self.permit().await else {
                    return;
                };
                let (delivery, done) = Delivery::nothing(permit);
                // Between two commits, because what has expired may be used again: then it is not to be removed.
                self.committer.submit_computed(expired, delivery);
                match (told.await, done.await) {
                    (Ok(false), Ok(())) => {}
                    (Ok(true), Ok(())) => break,
                    _ => return,
                }
            }
        }
    }

    /// Leave to put one change on its way to the disk. `None` once the hub is gone.
    async fn permit(&self) -> Option<delivery::Permit> {
        Arc::clone(&self.in_flight).acquire_owned().await.ok()
    }

    fn log_roll_call(&self, outcome: &rollcall::Outcome) {
        info!(
            removed = outcome.removed,
            returned = outcome.returned,
            channels = outcome.channels,
            "roll call"
        );
    }
}

/// What a request is answered with when nothing is committed any more.
fn internal() -> Refusal {
    Refusal::new(
        ErrorCode::ServerStopping,
        "the server is stopping; connect again in a moment",
    )
}

/// The same, where the database is the reason: the details go to the log, under an id that the client is told.
fn database_error(error: &StoreError) -> Refusal {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    let incident = u32::from_be_bytes(bytes);
    error!(%error, incident = format_args!("{incident:08x}"), "the database cannot be read");
    Refusal::new(
        ErrorCode::InternalError,
        format!("the server failed at this; its log knows more under {incident:08x}"),
    )
}
