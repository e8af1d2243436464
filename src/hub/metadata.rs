//! `hotsock.umdUpdate` (section 7): the metadata of one subscription, or of the connection and what it passes on.

use std::sync::Arc;

use super::channel::Channel;
use super::connection::Connection;
use super::delivery::Delivery;
use super::membership::not_subscribed;
use super::outbox::Cause;
use super::tokens::{Reservation, Scope};
use super::{Hub, internal, records};
use crate::auth::Permissions;
use crate::protocol::{ErrorCode, EventKind, Json, Refusal, frame};
use crate::store::Changes;

impl Hub {
    /// The metadata of one subscription.
    pub(super) async fn update_subscription(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &str,
        token: &str,
    ) -> Result<(), Refusal> {
        let claims = self.verify_for(connection, Scope::Umd, token)?;
        let held = connection.held(name).ok_or_else(not_subscribed)?;
        let allowed = Permissions::new(&claims.grants, None).channel(&held.channel.name);
        if !allowed.umd_update {
            return Err(Refusal::new(
                ErrorCode::UmdUpdatePermissionDenied,
                "the token does not allow `umdUpdate` on this channel",
            ));
        }
        let spent = self.reserve_for(Scope::Umd, &claims)?;
        let umd = claims.umd.unwrap_or_default();
        self.update(connection, &held.channel, &umd, spent).await
    }

    /// The connection's own metadata and, where the token says so, that of its subscriptions. A channel that has no
    /// room for it is told of in an error of its own; the others change all the same.
    pub(super) async fn update_connection(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        token: &str,
    ) -> Result<(), Refusal> {
        let claims = self.verify_for(connection, Scope::Umd, token)?;
        if !claims.umd_update {
            return Err(Refusal::new(
                ErrorCode::UmdUpdatePermissionDenied,
                "the token does not allow `umdUpdate` of the connection",
            ));
        }
        let spent = self.reserve_for(Scope::Umd, &claims)?;
        let permit = self.permit().await.ok_or_else(internal)?;
        let umd = claims.umd.unwrap_or_default();
        let mut changes = Changes::new();
        let channels: Vec<Arc<Channel>> = {
            let mut state = connection.state.lock();
            if state.over {
                return Err(not_subscribed());
            }
            let is_new = !state.umd.same_value(&umd);
            state.umd = umd.clone();
            let record = records::connection(connection, &umd, self.boot);
            if state.recorded {
                changes.put_connection(connection.id, &record);
            }
            if is_new {
                let kind = EventKind::ConnectionUpdated;
                self.tell_of_connection(&mut changes, kind, connection.id, &record);
            }
            if let Some(spent) = &spent {
                spent.write(&mut changes);
            }
            let (delivery, _) = Delivery::nothing(permit);
            // Under the lock: should the connection end now, its record goes after this, and not before.
            self.committer
                .submit(changes, Delivery { spent, ..delivery });
            state
                .subscriptions
                .values()
                .map(|held| Arc::clone(&held.channel))
                .collect()
        };
        if claims.umd_propagate {
            for channel in channels {
                if let Err(refusal) = self.update(connection, &channel, &umd, None).await {
                    connection.send(frame::error(Some(&channel.name), &refusal));
                }
            }
        }
        Ok(())
    }

    async fn update(
        &self,
        connection: &Arc<Connection>,
        channel: &Arc<Channel>,
        umd: &Json,
        spent: Option<Reservation>,
    ) -> Result<(), Refusal> {
        let permit = self.permit().await.ok_or_else(internal)?;
        let mut changes = Changes::new();
        if let Some(spent) = &spent {
            spent.write(&mut changes);
        }
        let delivery = Delivery {
            spent,
            _permit: Some(permit),
            ..Delivery::default()
        };
        {
            let mut state = channel.state.lock();
            let change = state
                .presence
                .update(connection.id, umd, self.settings.channel_bytes)
                .map_err(|error| {
                    Refusal::new(ErrorCode::PresenceChannelCapacityReached, error.to_string())
                })?;
            match change {
                Some(change) => {
                    let change = (change, Cause::Updated);
                    self.commit(channel, &mut state, change, changes, delivery);
                }
                // Equal metadata is no update; a single-use token is spent all the same.
                None => self.committer.submit(changes, delivery),
            }
        }
        if let Some(held) = connection.state.lock().subscriptions.get_mut(&channel.name) {
            held.umd = umd.clone();
        }
        Ok(())
    }
}
