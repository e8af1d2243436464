//! Subscribe and unsubscribe (sections 3 and 4).

use std::sync::Arc;

use super::connection::{Connection, Subscription};
use super::once::Reservation;
use super::refusal::not_subscribed;
use super::telling::Cause;
use super::tokens::Scope;
use super::{Hub, records};
use crate::auth::{Grants, Permissions};
use crate::presence::{Join, JoinError};
use crate::protocol::{ErrorCode, Json, Meta, Refusal, RemovalReason, frame};

/// What a subscription is to be, once everything has been permitted.
struct Wanted {
    channel: Arc<str>,
    alias: Option<Box<str>>,
    grants: Option<Arc<Grants>>,
    uid: Option<Arc<str>>,
    umd: Json,
    counted: bool,
    auto: bool,
    token: Option<Reservation>,
}

impl Hub {
    /// Subscribes a new connection to what its token says.
    pub async fn auto_subscribe(self: &Arc<Self>, connection: &Arc<Connection>) {
        let grants = Arc::clone(&connection.grants);
        for channel in grants.auto_subscribe() {
            let permissions = Permissions::new(&grants, None);
            let wanted = Wanted {
                channel: channel.into(),
                alias: permissions.alias_of(channel).map(Box::from),
                grants: None,
                uid: connection.uid.clone(),
                umd: connection.state.lock().umd.clone(),
                counted: !permissions.channel(channel).omit_from_sub_count,
                auto: true,
                token: None,
            };
            if let Err(refusal) = self.join(connection, wanted).await {
                connection.send(frame::error(Some(channel), &refusal));
            }
        }
    }

    pub(super) async fn subscribe(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &str,
        token: Option<&str>,
    ) -> Result<(), Refusal> {
        let claims = token
            .map(|token| self.verify_for(connection, Scope::Subscribe, token))
            .transpose()?;
        let token_grants = claims.as_ref().map(|claims| Arc::clone(&claims.grants));
        let permissions = Permissions::new(&connection.grants, token_grants.as_deref());
        let (channel, alias) = permissions.resolve(name);
        // What these tokens mean by the name comes before what an earlier one meant by it.
        let subscription = if alias.is_some() || permissions.is_channel(name) {
            connection.subscription_to(channel)
        } else {
            connection.subscription(name)
        };
        if subscription.is_some() {
            return Err(already_subscribed());
        }
        let channel: Arc<str> = channel.into();
        let allowed = permissions.channel(&channel);
        if !allowed.subscribe {
            return Err(Refusal::new(
                ErrorCode::SubscribePermissionDenied,
                "the token does not allow to subscribe to this channel",
            ));
        }
        let token = match &claims {
            Some(claims) => self.reserve_for(Scope::Subscribe, claims).await?,
            None => None,
        };
        let (token_uid, token_umd) = claims.map_or((None, None), |claims| (claims.uid, claims.umd));
        let wanted = Wanted {
            alias: permissions.alias_of(&channel).map(Box::from),
            counted: !allowed.omit_from_sub_count,
            channel,
            grants: token_grants,
            uid: token_uid.or_else(|| connection.uid.clone()),
            umd: token_umd.unwrap_or_else(|| connection.state.lock().umd.clone()),
            auto: false,
            token,
        };
        self.join(connection, wanted).await
    }

    pub(super) async fn unsubscribe(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &str,
    ) -> Result<(), Refusal> {
        let named = connection.subscription(name).ok_or_else(not_subscribed)?;
        let (uid, channel) = (named.uid.as_ref(), &named.room.name);
        let _turn = self.rooms.fan_out.turn(connection, uid, channel).await;
        let permit = self.pipeline.permit().await?;
        let mut own = connection.state.lock();
        let ended = own
            .subscriptions
            .swap_remove(channel)
            .ok_or_else(not_subscribed)?;
        let answer = frame::unsubscribed(
            channel,
            ended.alias.as_deref(),
            Meta {
                uid: ended.uid.as_deref(),
                umd: &ended.umd,
            },
        );
        let mut decision = self.rooms.decide(&ended.room);
        if let Some(change) = decision.presence().leave(connection.id) {
            decision.record(&change, Cause::Left(RemovalReason::Unsubscribed));
            decision.leaves(connection.id, Some(answer));
            decision.hold(connection.begin_change());
            decision.submit(permit);
        }
        Ok(())
    }

    async fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        wanted: Wanted,
    ) -> Result<(), Refusal> {
        let (uid, channel) = (wanted.uid.as_ref(), &wanted.channel);
        let _turn = self.rooms.fan_out.turn(connection, uid, channel).await;
        let permit = self.pipeline.permit().await?;
        let mut own = connection.state.lock();
        if own.subscriptions.contains_key(&wanted.channel) {
            return Err(already_subscribed());
        }
        if own.subscriptions.len() >= self.settings.connection.max_subscriptions {
            return Err(Refusal::new(
                ErrorCode::SubscriptionLimitReached,
                format!(
                    "a connection may have {} subscriptions",
                    self.settings.connection.max_subscriptions
                ),
            ));
        }
        let subscription = self.rooms.decide_in(&wanted.channel, |mut decision| {
            let since = decision.since();
            let join = Join {
                connection: connection.id,
                uid: wanted.uid.clone(),
                umd: wanted.umd.clone(),
                alias: wanted.alias.clone(),
                counted: wanted.counted,
            };
            let capacity = self.settings.presence.channel_bytes;
            let change = decision.presence().join(join, capacity)?;
            if let Some(token) = wanted.token {
                token.write(decision.changes());
                decision.hold(token);
            }
            if !own.recorded {
                let record = records::connection(connection, &own.umd, self.boot);
                decision.changes().put_connection(connection.id, &record);
            }
            decision.record(&change, Cause::Joined);
            let room = Arc::clone(decision.room());
            let roster = decision.presence().roster();
            let subscribed = frame::subscribed(
                &room.name,
                wanted.alias.as_deref(),
                wanted.auto,
                roster.map(|roster| roster.list()),
                Meta {
                    uid: wanted.uid.as_deref(),
                    umd: &wanted.umd,
                },
            );
            decision.joins(connection.id, Arc::clone(&connection.queue), subscribed);
            decision.hold(connection.begin_change());
            decision.submit(permit);
            Ok(Subscription {
                room,
                alias: wanted.alias,
                grants: wanted.grants,
                uid: wanted.uid,
                umd: wanted.umd,
                since,
            })
        });
        let subscription = subscription.map_err(join_refused)?;
        own.recorded = true;
        own.subscriptions
            .insert(Arc::clone(&subscription.room.name), subscription);
        Ok(())
    }
}

fn already_subscribed() -> Refusal {
    Refusal::new(
        ErrorCode::AlreadySubscribed,
        "this connection is subscribed to the channel already",
    )
}

fn join_refused(error: JoinError) -> Refusal {
    let code = match error {
        JoinError::AlreadySubscribed => ErrorCode::AlreadySubscribed,
        JoinError::UserIdRequired => ErrorCode::PresenceChannelUserIdRequired,
        JoinError::CapacityReached(_) => ErrorCode::PresenceChannelCapacityReached,
    };
    Refusal::new(code, error.to_string())
}
