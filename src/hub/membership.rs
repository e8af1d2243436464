//! Subscribe and unsubscribe (sections 3 and 4).

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::channel::{Channel, State};
use super::connection::{Connection, Held};
use super::delivery::{Delivery, Permit};
use super::outbox::Cause;
use super::tokens::{Reservation, Scope};
use super::{Hub, internal, records};
use crate::auth::{Grants, Permissions};
use crate::presence::{Change, Join, JoinError};
use crate::protocol::{ErrorCode, Frame, Json, Meta, Refusal, RemovalReason, frame};
use crate::store::Changes;

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
        let held = if alias.is_some() || permissions.is_channel(name) {
            connection.subscription(channel)
        } else {
            connection.held(name)
        };
        if held.is_some() {
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
        let reservation = match &claims {
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
            token: reservation,
        };
        self.join(connection, wanted).await
    }

    pub(super) async fn unsubscribe(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &str,
    ) -> Result<(), Refusal> {
        let named = connection.held(name).ok_or_else(not_subscribed)?;
        let (uid, channel) = (named.uid.as_ref(), &named.channel.name);
        let _turn = self.fan_out.turn(connection, uid, channel).await;
        let permit = self.permit().await.ok_or_else(internal)?;
        let mut own = connection.state.lock();
        let held = own
            .subscriptions
            .remove(&named.channel.name)
            .ok_or_else(not_subscribed)?;
        let answer = frame::unsubscribed(
            &held.channel.name,
            held.alias.as_deref(),
            Meta {
                uid: held.uid.as_deref(),
                umd: &held.umd,
            },
        );
        let mut state = held.channel.state.lock();
        if let Some(change) = state.presence.leave(connection.id) {
            let delivery = Delivery {
                left: Some((Arc::clone(connection), Some(answer))),
                _untold: Some(connection.begin_change()),
                _permit: Some(permit),
                ..Delivery::default()
            };
            let cause = Cause::Left(RemovalReason::Unsubscribed);
            self.commit(
                &held.channel,
                &mut state,
                (change, cause),
                Changes::new(),
                delivery,
            );
        }
        Ok(())
    }

    async fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        wanted: Wanted,
    ) -> Result<(), Refusal> {
        let (uid, channel) = (wanted.uid.as_ref(), &wanted.channel);
        let _turn = self.fan_out.turn(connection, uid, channel).await;
        let permit = self.permit().await.ok_or_else(internal)?;
        let mut own = connection.state.lock();
        if own.subscriptions.contains_key(&wanted.channel) {
            return Err(already_subscribed());
        }
        if own.subscriptions.len() >= self.settings.max_subscriptions {
            return Err(Refusal::new(
                ErrorCode::SubscriptionLimitReached,
                format!(
                    "a connection may have {} subscriptions",
                    self.settings.max_subscriptions
                ),
            ));
        }
        let mut changes = Changes::new();
        if let Some(token) = &wanted.token {
            token.write(&mut changes);
        }
        if !own.recorded {
            changes.put_connection(
                connection.id,
                &records::connection(connection, &own.umd, self.boot),
            );
        }
        let join = Join {
            connection: connection.id,
            uid: wanted.uid.clone(),
            umd: wanted.umd.clone(),
            alias: wanted.alias.clone(),
            counted: wanted.counted,
        };
        let channel = self.with_channel(&wanted.channel, |channel, mut state| {
            // Before it is submitted, and not while a message is: one with an older id is on its way already and is not
            // delivered to this connection; it may get, and list, all others.
            let since = {
                let _audience = channel.audience.lock();
                self.ids.next()
            };
            let change = state
                .presence
                .join(join.clone(), self.settings.channel_bytes)
                .inspect_err(|_| self.retire_if_empty(channel, &mut state))?;
            if let Some(place) = &change.removed {
                self.absences.end(channel, place.connection);
            }
            let subscribed = frame::subscribed(
                &channel.name,
                wanted.alias.as_deref(),
                wanted.auto,
                state.presence.roster().map(|roster| roster.list()),
                Meta {
                    uid: wanted.uid.as_deref(),
                    umd: &wanted.umd,
                },
            );
            let delivery = Delivery {
                joined: Some((Arc::clone(connection), subscribed)),
                spent: wanted.token,
                _untold: Some(connection.begin_change()),
                _permit: Some(permit),
                ..Delivery::default()
            };
            self.commit(
                channel,
                &mut state,
                (change, Cause::Joined),
                changes,
                delivery,
            );
            Ok((Arc::clone(channel), since))
        });
        let (channel, since) = channel.map_err(join_refused)?;
        own.recorded = true;
        own.subscriptions.insert(
            Arc::clone(&channel.name),
            Held {
                channel,
                alias: wanted.alias,
                grants: wanted.grants,
                uid: wanted.uid,
                umd: wanted.umd,
                since,
            },
        );
        Ok(())
    }

    /// A subscription whose connection is over: it ends now, or keeps its place for the grace.
    pub(super) fn drop_out(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        channel: &Arc<Channel>,
        permit: Permit,
    ) {
        let delivery = Delivery {
            left: Some((Arc::clone(connection), None)),
            _permit: Some(permit),
            ..Delivery::default()
        };
        let mut state = channel.state.lock();
        if self.absences.are_granted() && state.presence.keep_place(connection.id) {
            // Its record stays as it is: should we crash, the next roll call finds it.
            let delivery = Delivery {
                channel: Some(Arc::clone(channel)),
                ..delivery
            };
            self.committer.submit(Changes::new(), delivery);
            self.absences.begin(channel, connection.id);
        } else if let Some(change) = state.presence.leave(connection.id) {
            let cause = Cause::Left(RemovalReason::Disconnected);
            self.commit(
                channel,
                &mut state,
                (change, cause),
                Changes::new(),
                delivery,
            );
        }
    }

    /// Puts a decided change on its way to the disk, and with it what is to be told. The state's lock makes sure that
    /// changes are submitted in the order in which they were decided.
    pub(super) fn commit(
        &self,
        channel: &Arc<Channel>,
        state: &mut MutexGuard<'_, State>,
        (change, cause): (Change, Cause),
        mut changes: Changes,
        mut delivery: Delivery,
    ) {
        delivery.events.extend(event(channel, state, &change));
        self.charge(channel, &change, &delivery.events);
        self.write(channel, state, (&change, cause), &mut changes);
        delivery.channel = Some(Arc::clone(channel));
        self.committer.submit(changes, delivery);
        self.retire_if_empty(channel, state);
    }

    /// The records of a change (to be submitted under this lock), the channel's totals with them, and the events out that tell of it.
    pub(super) fn write(
        &self,
        channel: &Arc<Channel>,
        state: &mut MutexGuard<'_, State>,
        (change, cause): (&Change, Cause),
        changes: &mut Changes,
    ) {
        self.tell_of_change(channel, state, change, cause, changes);
        if let Some(removed) = &change.removed {
            changes.remove_subscription(&channel.name, removed.sequence);
        }
        if let Some(written) = &change.written {
            changes.put_subscription(
                &channel.name,
                written.sequence,
                &records::subscription(written),
            );
        }
        if state.presence.is_empty() {
            changes.remove_channel(&channel.name);
        } else {
            changes.put_channel(&channel.name, &records::channel(state));
        }
    }

    /// An empty channel leaves the registry; the next subscriber makes a new one. Call it when the change that emptied it has
    /// been submitted, and not before: the new one's records have the same names, and must come after the old one's end.
    pub(super) fn retire_if_empty(
        &self,
        channel: &Arc<Channel>,
        state: &mut MutexGuard<'_, State>,
    ) {
        if state.presence.is_empty() && !state.retired {
            state.retired = true;
            // Before it can be made anew: a message for the old audience has an older id than whoever joins the new one.
            channel.audience.lock().retire();
            self.channels.remove(&channel.name);
        }
    }

    /// Calls `act` with the channel of this name (made where there is none), under its state's lock.
    fn with_channel<T>(
        &self,
        name: &Arc<str>,
        act: impl FnOnce(&Arc<Channel>, MutexGuard<'_, State>) -> T,
    ) -> T {
        loop {
            let channel = self.channels.get_or_insert(name, || {
                (Arc::clone(name), Arc::new(Channel::new(Arc::clone(name))))
            });
            let state = channel.state.lock();
            if !state.retired {
                return act(&channel, state);
            }
        }
    }
}

/// The frame that tells the members of a change, if it changes what their list says.
pub(super) fn event(channel: &Channel, state: &State, change: &Change) -> Option<Frame> {
    let event = change.event.as_ref()?;
    let list = state.presence.roster()?.list();
    Some(frame::member(
        event.event,
        &channel.name,
        &event.member,
        list,
    ))
}

pub(super) fn not_subscribed() -> Refusal {
    Refusal::new(
        ErrorCode::NotSubscribed,
        "this connection is not subscribed to the channel",
    )
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
