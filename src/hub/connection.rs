//! One connection, as the hub knows it: who it is, what it may do, what it is subscribed to.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::admission::Slot;
use super::queue::SendQueue;
use super::room::Room;
use crate::auth::{Grants, Permissions};
use crate::protocol::{CloseReason, ConnectionId, Frame, Json, MessageId};

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub struct ClientInfo {
    /// The client's address.
    pub source_ip: IpAddr,
    /// Its `User-Agent` header.
    pub user_agent: Option<Box<str>>,
}

/// One live WebSocket connection.
#[derive(Debug)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// The key to the Client HTTP API; never logged.
    pub(super) secret: Secret,
    /// Who, where the token said so.
    pub uid: Option<Arc<str>>,
    /// What the connect token allows.
    pub(super) grants: Arc<Grants>,
    /// Whether the server is to keep it alive.
    pub keep_alive: bool,
    /// How often the client must send a heartbeat, where the token asks for it.
    pub heartbeat_timeout: Option<Duration>,
    /// Unix time in milliseconds.
    pub(super) connected_at: u64,
    /// Where it comes from.
    pub(super) client: ClientInfo,
    /// What waits to be sent to it.
    pub queue: Arc<SendQueue>,
    pub(super) state: Mutex<State>,
    /// How many changes that it asked for have been decided and not yet told.
    pub(super) untold: AtomicUsize,
    /// How many of its messages wait for such a change, and have no id yet.
    pub(super) following: AtomicUsize,
    /// Its requests whose turn has not come.
    pub(super) waits: Waits,
    /// Its place among the `connection.max_connections`; free when the connection is dropped.
    pub(super) _slot: Slot,
}

/// What changes during a connection's life.
#[derive(Debug)]
pub(super) struct State {
    /// Its own metadata, which later subscriptions inherit.
    pub(super) umd: Json,
    /// Its subscriptions by channel, in an order that no hash decides.
    pub(super) subscriptions: IndexMap<Arc<str>, Subscription>,
    /// Whether its record is in the database, or on its way there.
    pub(super) recorded: bool,
    /// Whether it is over. What came in by HTTP may still be at work on it, and must not leave anything behind.
    pub(super) over: bool,
}

/// A connection's own view of one of its subscriptions.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) room: Arc<Room>,
    pub(super) alias: Option<Box<str>>,
    /// What the subscribe token adds.
    pub(super) grants: Option<Arc<Grants>>,
    pub(super) uid: Option<Arc<str>>,
    pub(super) umd: Json,
    /// Messages from here on were published while it was there.
    pub(super) since: MessageId,
}

/// A change that a connection asked for, from its decision until it has been told (or has failed). What its messages say
/// of their sender is so new until then that they have to wait for it.
#[derive(Debug)]
pub(super) struct Untold(Arc<Connection>);

impl Drop for Untold {
    fn drop(&mut self) {
        self.0.untold.fetch_sub(1, Ordering::Release);
    }
}

/// A message of a connection that waits for one of its changes, until it has its id.
#[derive(Debug)]
pub(super) struct Following(Arc<Connection>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.following.fetch_sub(1, Ordering::Release);
    }
}

/// How many requests of a connection wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Waits(AtomicUsize);

/// One of them.
pub(super) struct Waiting<'a>(&'a Waits);

impl Waits {
    pub(super) fn begin(&self) -> Waiting<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's secret.
pub(super) struct Secret(pub(super) Box<str>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Connection {
    /// Queues a frame for it.
    pub fn send(&self, frame: Frame) {
        self.queue.push(frame);
    }

    /// A change of this connection is decided now. To be called under its state's lock, under which the change is
    /// submitted too: whoever takes the lock next and finds a change untold submits behind it.
    pub(super) fn begin_change(self: &Arc<Self>) -> Untold {
        self.untold.fetch_add(1, Ordering::Relaxed);
        Untold(Arc::clone(self))
    }

    /// Whether a change that it asked for is still to be told.
    pub(super) fn has_untold(&self) -> bool {
        self.untold.load(Ordering::Acquire) > 0
    }

    /// A message of its is to wait now. Under its state's lock, like [`Connection::begin_change`].
    pub(super) fn begin_following(self: &Arc<Self>) -> Following {
        self.following.fetch_add(1, Ordering::Relaxed);
        Following(Arc::clone(self))
    }

    /// Whether a message of its waits for its id.
    pub(super) fn has_following(&self) -> bool {
        self.following.load(Ordering::Acquire) > 0
    }

    /// Has it closed, after what is queued.
    pub fn close(&self, reason: CloseReason) {
        self.queue.close(reason);
    }

    /// Whether one of its requests waits for its turn (section 15). Nothing of that has been decided.
    pub fn waits_for_its_turn(&self) -> bool {
        self.waits.any()
    }

    /// Whether its token subscribes it to anything by itself.
    pub fn has_auto_subscriptions(&self) -> bool {
        self.grants.auto_subscribe().next().is_some()
    }

    /// The subscription to a channel, by its real name.
    pub(super) fn subscription_to(&self, channel: &str) -> Option<Subscription> {
        self.state.lock().subscriptions.get(channel).cloned()
    }

    /// The subscription to the channel that the client calls `name` (section 2): a real name wins over an alias, and a
    /// subscribe token's alias over the connect token's. Of several subscribe tokens the last one's counts.
    pub(super) fn subscription(&self, name: &str) -> Option<Subscription> {
        let state = self.state.lock();
        let all = &state.subscriptions;
        let connect = Permissions::new(&self.grants, None);
        if let Some(subscription) = all.get(name) {
            return Some(subscription.clone());
        }
        if connect.is_channel(name) {
            return None;
        }
        let named_by_its_token = |subscription: &&Subscription| {
            let token = subscription.grants.as_deref();
            token.is_some_and(|token| {
                let permissions = Permissions::new(token, None);
                permissions.resolve(name) == (&*subscription.room.name, Some(name))
            })
        };
        all.values()
            .filter(named_by_its_token)
            .max_by_key(|subscription| subscription.since)
            .or_else(|| all.get(connect.resolve(name).0))
            .cloned()
    }
}
