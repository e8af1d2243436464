//! The beginning and the end of a connection (section 1).

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use indexmap::IndexMap;
use parking_lot::Mutex;
use tracing::debug;

use super::connection::{self, ClientInfo, Connection, Secret, Waits};
use super::permits::Permit;
use super::queue::SendQueue;
use super::room::Room;
use super::telling::Cause;
use super::{Admission, Hub, records};
use crate::protocol::{CloseReason, ConnectionId, EventKind, Meta, RemovalReason, frame};
use crate::store::Changes;
use crate::world::clock;
use crate::world::random;

impl Hub {
    /// Makes a connection of an admitted client: its first frame is queued. Call [`Hub::auto_subscribe`] next, and pair it
    /// with [`Hub::disconnect`].
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub async fn connect(
        self: &Arc<Self>,
        admission: Admission,
        client: ClientInfo,
    ) -> std::io::Result<Arc<Connection>> {
        let mut bytes = [0; 40];
        random::fill(&mut bytes)?;
        let (id, secret) = bytes.split_at(16);
        let id = ConnectionId::from_bytes(id.try_into().unwrap_or_default());
        let claims = admission.claims;
        let connected_at = clock::now_millis();
        let umd = claims.umd.unwrap_or_default();
        let connection = Arc::new(Connection {
            id,
            secret: Secret(URL_SAFE_NO_PAD.encode(secret).into()),
            uid: claims.uid,
            grants: claims.grants,
            keep_alive: claims.keep_alive,
            heartbeat_timeout: claims
                .heartbeat_timeout
                .map(|seconds| std::time::Duration::from_secs(seconds.into())),
            connected_at,
            client,
            queue: Arc::new(SendQueue::new(self.settings.connection.queue_bytes)),
            state: Mutex::new(connection::State {
                umd: umd.clone(),
                subscriptions: IndexMap::new(),
                recorded: false,
                over: false,
            }),
            untold: AtomicUsize::new(0),
            following: AtomicUsize::new(0),
            waits: Waits::default(),
            _slot: admission.slot,
        });
        let expires_at = connected_at / 1000 + self.settings.connection.max_lifetime.as_secs();
        connection.send(frame::connected(
            &id.to_string(),
            &clock::rfc3339(expires_at),
            &connection.secret.0,
            Meta {
                uid: connection.uid.as_deref(),
                umd: &umd,
            },
        ));
        self.connections.insert(id, Arc::clone(&connection));
        self.record_connected(&connection).await;
        if self.is_stopping() {
            // It came in while the others were being told.
            connection.close(CloseReason::Stopping);
        }
        debug!(connection = %id, uid = connection.uid.as_deref(), ip = %connection.client.source_ip, "connected");
        Ok(connection)
    }

    /// A connection is over: it leaves every channel, or keeps its places for `presence.disconnect_grace`. While the
    /// server stops, nobody leaves.
    pub async fn disconnect(self: &Arc<Self>, connection: &Arc<Connection>) {
        self.connections.remove(&connection.id);
        if self.is_stopping() {
            // It stays a member, but the stop need not wait for it.
            let subscriptions = std::mem::take(&mut connection.state.lock().subscriptions);
            for subscription in subscriptions.into_values() {
                subscription.room.audience.lock().remove(connection.id);
            }
            return;
        }
        debug!(connection = %connection.id, "disconnected");
        let (subscriptions, umd, recorded) = {
            let mut state = connection.state.lock();
            state.over = true;
            let subscriptions = std::mem::take(&mut state.subscriptions);
            (subscriptions, state.umd.clone(), state.recorded)
        };
        for subscription in subscriptions.into_values() {
            let Ok(permit) = self.pipeline.permit().await else {
                return;
            };
            self.drop_out(connection, &subscription.room, permit);
        }
        // Last, and in no hurry: should we crash before, the next roll call finds that the connection is over.
        if recorded || self.outbox.keeps(EventKind::Disconnected) {
            let Ok(permit) = self.pipeline.permit().await else {
                return;
            };
            let record = records::connection(connection, &umd, self.boot);
            let mut changes = Changes::new();
            changes.remove_connection(connection.id);
            let kind = EventKind::Disconnected;
            self.outbox
                .tell_of_connection(&mut changes, kind, connection.id, &record);
            self.pipeline.submit_lazily(changes, permit);
        }
    }

    /// A subscription whose connection is over: it ends now, or keeps its place for the grace.
    fn drop_out(&self, connection: &Arc<Connection>, room: &Arc<Room>, permit: Permit) {
        let mut decision = self.rooms.decide(room);
        decision.leaves(connection.id, None);
        // Its place among the connections is not free before that has been told.
        decision.hold(Arc::clone(connection));
        if !decision.keep_place(connection.id) {
            let Some(change) = decision.presence().leave(connection.id) else {
                return;
            };
            decision.record(&change, Cause::Left(RemovalReason::Disconnected));
        }
        decision.submit(permit);
    }

    /// Where back ends hear of connections, one is recorded at once; otherwise with its first subscription. Nobody waits
    /// for it: a connection that a crash makes unknown is over, and its back end has heard of neither end of it.
    async fn record_connected(&self, connection: &Arc<Connection>) {
        let outbox = &self.outbox;
        if !outbox.keeps(EventKind::Connected) && !outbox.keeps(EventKind::Disconnected) {
            return;
        }
        let Ok(permit) = self.pipeline.permit().await else {
            return;
        };
        let mut state = connection.state.lock();
        let record = records::connection(connection, &state.umd, self.boot);
        let mut changes = Changes::new();
        changes.put_connection(connection.id, &record);
        outbox.tell_of_connection(&mut changes, EventKind::Connected, connection.id, &record);
        self.pipeline.submit_lazily(changes, permit);
        state.recorded = true;
    }
}
