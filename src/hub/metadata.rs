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
        let spent = self.reserve_for(Scope::Umd, &claims).await?;
        let umd = claims.umd.unwrap_or_default();
        self.update(connection, &held.channel, Some(&umd), spent)
            .await
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
        let spent = self.reserve_for(Scope::Umd, &claims).await?;
        let permit = self.permit().await.ok_or_else(internal)?;
        let umd = claims.umd.unwrap_or_default();
        let mut changes = Changes::new();
        let channels: Vec<Arc<Channel>> = {
            let mut state = connection.state.lock();
            if state.over {
                return Err(Refusal::new(
                    ErrorCode::ConnectionUnknown,
                    "this connection is over",
                ));
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
            let delivery = Delivery {
                spent,
                _untold: Some(connection.begin_change()),
                ..delivery
            };
            self.committer.submit(changes, delivery);
            state
                .subscriptions
                .values()
                .map(|held| Arc::clone(&held.channel))
                .collect()
        };
        if claims.umd_propagate {
            for channel in channels {
                match self.update(connection, &channel, None, None).await {
                    // A subscription that has ended meanwhile has nothing to update.
                    Ok(())
                    | Err(Refusal {
                        code: ErrorCode::NotSubscribed,
                        ..
                    }) => {}
                    Err(refusal) => connection.send(frame::error(Some(&channel.name), &refusal)),
                }
            }
        }
        Ok(())
    }

    /// Gives a subscription other metadata: `umd`, or else what the connection has by then, so that of two updates at once
    /// the same one wins everywhere.
    async fn update(
        &self,
        connection: &Arc<Connection>,
        channel: &Arc<Channel>,
        umd: Option<&Json>,
        spent: Option<Reservation>,
    ) -> Result<(), Refusal> {
        let held = connection.subscription(&channel.name);
        let uid = held.as_ref().and_then(|held| held.uid.as_ref());
        let _turn = self.fan_out.turn(connection, uid, &channel.name).await;
        let permit = self.permit().await.ok_or_else(internal)?;
        // Its own view changes with the channel's: what its messages say of it is what the list says.
        let mut own = connection.state.lock();
        let umd = umd.unwrap_or(&own.umd).clone();
        let held = own
            .subscriptions
            .get_mut(&channel.name)
            .ok_or_else(not_subscribed)?;
        let channel = Arc::clone(&held.channel);
        let mut changes = Changes::new();
        if let Some(spent) = &spent {
            spent.write(&mut changes);
        }
        let mut delivery = Delivery {
            spent,
            _permit: Some(permit),
            ..Delivery::default()
        };
        let mut state = channel.state.lock();
        let change = state
            .presence
            .update(connection.id, &umd, self.settings.channel_bytes)
            .map_err(|error| {
                Refusal::new(ErrorCode::PresenceChannelCapacityReached, error.to_string())
            })?;
        match change {
            Some(change) => {
                held.umd = umd;
                delivery._untold = Some(connection.begin_change());
                let change = (change, Cause::Updated);
                self.commit(&channel, &mut state, change, changes, delivery);
            }
            // Equal metadata is no update; a single-use token is spent all the same.
            None => self.committer.submit(changes, delivery),
        }
        Ok(())
    }
}
