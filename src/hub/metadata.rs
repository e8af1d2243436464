//! `hotsock.umdUpdate` (section 7): the metadata of one subscription, or of the connection and what it passes on.

use std::sync::Arc;

use super::connection::Connection;
use super::once::Reservation;
use super::refusal::not_subscribed;
use super::release::Release;
use super::telling::Cause;
use super::tokens::Scope;
use super::{Hub, records};
use crate::auth::{Claims, Permissions};
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
        let subscription = connection.subscription(name).ok_or_else(not_subscribed)?;
        let channel = &subscription.room.name;
        if !Permissions::new(&claims.grants, None)
            .channel(channel)
            .umd_update
        {
            return Err(Refusal::new(
                ErrorCode::UmdUpdatePermissionDenied,
                "the token does not allow `umdUpdate` on this channel",
            ));
        }
        let spent = self.reserve_for(Scope::Umd, &claims).await?;
        let umd = claims.umd.unwrap_or_default();
        self.update(connection, channel, Some(umd), spent).await
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
        let propagates = claims.umd_propagate;
        let channels = self.update_own(connection, claims).await?;
        for channel in channels.iter().filter(|_| propagates) {
            match self.update(connection, channel, None, None).await {
                // A subscription that has ended meanwhile has nothing to update.
                Ok(())
                | Err(Refusal {
                    code: ErrorCode::NotSubscribed,
                    ..
                }) => {}
                Err(refusal) => connection.send(frame::error(Some(channel), &refusal)),
            }
        }
        Ok(())
    }

    /// Gives a connection other metadata. Returns the channels that it is subscribed to.
    async fn update_own(
        &self,
        connection: &Arc<Connection>,
        claims: Claims,
    ) -> Result<Vec<Arc<str>>, Refusal> {
        let spent = self.reserve_for(Scope::Umd, &claims).await?;
        let mut release = Release::new(self.pipeline.permit().await?);
        let umd = claims.umd.unwrap_or_default();
        let mut changes = Changes::new();
        // Until it is submitted: should the connection end now, its end goes after this, and not before.
        let mut state = connection.state.lock();
        if state.over {
            return Err(Refusal::new(
                ErrorCode::ConnectionUnknown,
                "this connection is over",
            ));
        }
        let is_new = !state.umd.same_value(&umd);
        state.umd = umd;
        let record = records::connection(connection, &state.umd, self.boot);
        if state.recorded {
            changes.put_connection(connection.id, &record);
        }
        if is_new {
            let kind = EventKind::ConnectionUpdated;
            self.outbox
                .tell_of_connection(&mut changes, kind, connection.id, &record);
        }
        if let Some(spent) = spent {
            spent.write(&mut changes);
            release.hold(spent);
        }
        release.hold(connection.begin_change());
        self.pipeline.submit(changes, release);
        Ok(state.subscriptions.keys().map(Arc::clone).collect())
    }

    /// Gives a subscription other metadata: `umd`, or else what the connection has by then, so that of two updates at once
    /// the same one wins everywhere.
    async fn update(
        &self,
        connection: &Arc<Connection>,
        channel: &str,
        umd: Option<Json>,
        spent: Option<Reservation>,
    ) -> Result<(), Refusal> {
        let subscription = connection.subscription_to(channel);
        let uid = subscription.as_ref().and_then(|known| known.uid.as_ref());
        let _turn = self.rooms.fan_out.turn(connection, uid, channel).await;
        let permit = self.pipeline.permit().await?;
        // Its own view changes with the channel's: what its messages say of it is what the list says.
        let mut own = connection.state.lock();
        let umd = umd.unwrap_or_else(|| own.umd.clone());
        let subscription = own
            .subscriptions
            .get_mut(channel)
            .ok_or_else(not_subscribed)?;
        let room = Arc::clone(&subscription.room);
        let mut decision = self.rooms.decide(&room);
        let capacity = self.settings.presence.channel_bytes;
        let change = decision
            .presence()
            .update(connection.id, &umd, capacity)
            .map_err(|error| {
                Refusal::new(ErrorCode::PresenceChannelCapacityReached, error.to_string())
            })?;
        // Equal metadata is no update; a single-use token is spent all the same.
        if let Some(spent) = spent {
            spent.write(decision.changes());
            decision.hold(spent);
        }
        if let Some(change) = change {
            subscription.umd = umd;
            decision.record(&change, Cause::Updated);
            decision.hold(connection.begin_change());
        }
        decision.submit(permit);
        Ok(())
    }
}
