//! Messages: from a client, or from a back end, to everybody in the channel (sections 5 and 12).
//!
//! An unstored message goes straight into the queues of the audience: nothing of it has to survive. One that is stored
//! (or is told apart by a `deduplicationId`, or back ends are told of) is committed first. In one channel everybody gets messages in the order of
//! their ids; so while a stored one is on its way to the disk, those behind it wait for it.

use std::sync::Arc;

use serde_bytes::ByteBuf;
use tokio::sync::oneshot;

use super::channel::{Audience, Channel};
use super::connection::Connection;
use super::delivery::{Delivery, Message, Permit};
use super::outbox::client_trigger;
use super::tokens::{Once, Reservation};
use super::{Hub, clock, internal};
use crate::auth::Permissions;
use crate::messages::Keep;
use crate::protocol::event_out::{self, MessageData, Trigger, Via};
use crate::protocol::{ConnectionId, ErrorCode, EventKind, Json, MessageId, Meta, Refusal, frame};
use crate::store::{Changes, MessageRecord};

/// How long a `deduplicationId` is remembered, in seconds (section 12).
const DEDUPLICATION_SECONDS: u64 = 300;

/// A message to publish, permitted and well-formed.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The channel's real name.
    pub channel: &'a str,
    /// Its event.
    pub event: &'a str,
    /// Its data.
    pub data: Json,
    /// Who sent it, if a client did.
    pub sender: Option<(Option<Arc<str>>, Json)>,
    /// For how long to keep it.
    pub keep: Keep,
    /// The connection that gets no copy.
    pub except: Option<ConnectionId>,
    /// A second message with the same one is dropped.
    pub deduplication_id: Option<&'a str>,
    /// Whether back ends are told of it, and by whom it was sent then.
    pub event_out: Option<Trigger>,
}

/// A message that is on its way.
#[derive(Debug)]
pub struct Published {
    /// Its id.
    pub id: MessageId,
    durable: Option<oneshot::Receiver<()>>,
}

impl Published {
    /// Returns when what has to survive of the message is on disk. `false` if the server stops before.
    pub async fn durable(self) -> bool {
        match self.durable {
            Some(durable) => durable.await.is_ok(),
            None => true,
        }
    }
}

/// A message that a client asks to publish.
#[derive(Debug)]
pub struct ClientMessage<'a> {
    /// The channel or its alias.
    pub channel: &'a str,
    /// The event.
    pub event: &'a str,
    /// The data.
    pub data: Json,
}

impl Hub {
    /// Publishes what a client sends, where its directives allow it (section 5). Returns the channel's real name too.
    ///
    /// # Errors
    /// `PUBLISH_PERMISSION_DENIED`, or `DATA_TOO_LARGE`.
    pub async fn publish_from(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        message: ClientMessage<'_>,
        via: Via,
    ) -> Result<(Arc<str>, Published), Refusal> {
        let held = connection.held(message.channel);
        let token = held.as_ref().and_then(|held| held.grants.clone());
        let permissions = Permissions::new(&connection.grants, token.as_deref());
        let channel: Arc<str> = match &held {
            Some(held) => Arc::clone(&held.channel.name),
            None => permissions.resolve(message.channel).0.into(),
        };
        let allowed = permissions.message(&channel, message.event);
        if !(allowed.broadcast || (allowed.publish && held.is_some())) {
            return Err(Refusal::new(
                ErrorCode::PublishPermissionDenied,
                if allowed.publish {
                    "the token allows to publish this event only while subscribed to the channel"
                } else {
                    "the token does not allow to publish this event to this channel"
                },
            ));
        }
        let sender = match held {
            Some(held) => (held.uid, held.umd),
            None => (connection.uid.clone(), connection.state.lock().umd.clone()),
        };
        let outgoing = Outgoing {
            channel: &channel,
            event: message.event,
            data: message.data,
            sender: Some(sender),
            // A token's `store` has been checked with the token.
            keep: Keep::from_store(allowed.store, clock::now_seconds()).unwrap_or(Keep::Not),
            except: (!allowed.echo).then_some(connection.id),
            deduplication_id: None,
            event_out: allowed
                .emit_pub_sub_event
                .then(|| client_trigger(connection, via)),
        };
        let published = self.publish(outgoing).await?;
        Ok((channel, published))
    }

    /// Publishes a message. A second one with a `deduplication_id` of the last five minutes is accepted and dropped.
    ///
    /// # Errors
    /// `DATA_TOO_LARGE`.
    pub async fn publish(self: &Arc<Self>, message: Outgoing<'_>) -> Result<Published, Refusal> {
        self.check_data(&message.data)?;
        let duplicate_of = match message.deduplication_id {
            Some(id) => match self.reserve_once(id).await? {
                Ok(reservation) => Some(reservation),
                Err(first) => {
                    return Ok(Published {
                        id: first,
                        durable: None,
                    });
                }
            },
            None => None,
        };
        let event_out = message
            .event_out
            .as_ref()
            .filter(|_| self.keeps(EventKind::MessagePublished));
        let must_commit =
            message.keep != Keep::Not || duplicate_of.is_some() || event_out.is_some();
        // Whether to wait for leave is decided before the lock; what is decided under it needs no more.
        let is_ordered = || {
            let channel = self.channels.get(message.channel);
            channel.is_some_and(|channel| channel.audience.lock().is_ordered())
        };
        let permit = if must_commit || is_ordered() {
            Some(self.permit().await.ok_or_else(internal)?)
        } else {
            None
        };
        Ok(self.with_audience(message.channel, |channel, audience| {
            self.send(channel, audience, &message, duplicate_of, event_out, permit)
        }))
    }

    /// Sends a message to the audience: at once, or behind a commit.
    fn send(
        &self,
        channel: &Arc<Channel>,
        audience: &mut Audience,
        message: &Outgoing<'_>,
        duplicate_of: Option<Reservation>,
        event_out: Option<&Trigger>,
        permit: Option<Permit>,
    ) -> Published {
        let must_commit =
            message.keep != Keep::Not || duplicate_of.is_some() || event_out.is_some();
        let id = self.ids.next();
        let sender = message.sender.as_ref().map(|(uid, umd)| Meta {
            uid: uid.as_deref(),
            umd,
        });
        let frame = frame::message(id, message.event, message.channel, &message.data, sender);
        if !must_commit && !audience.is_ordered() {
            audience.send_but(&frame, message.except);
            self.renew_lease();
            return Published { id, durable: None };
        }
        let mut changes = Changes::new();
        if let Some(reservation) = &duplicate_of {
            reservation.write_for(id, &mut changes);
        }
        if message.keep != Keep::Not {
            changes.put_message(message.channel, id, record(message));
        }
        if let Some(trigger) = event_out {
            let body = event_out::message(
                trigger,
                &self.ids.next().to_string(),
                MessageData {
                    channel: message.channel,
                    event: message.event,
                    id: &id.to_string(),
                    data: &message.data,
                    sender: message
                        .sender
                        .as_ref()
                        .map(|(uid, umd)| (uid.as_deref(), umd)),
                },
            );
            changes.put_document(EventKind::MessagePublished, clock::now_millis(), body);
        }
        let (done, durable) = oneshot::channel();
        audience.begin_ordered();
        self.committer.submit(
            changes,
            Delivery {
                channel: Some(Arc::clone(channel)),
                message: Some(Message {
                    frame,
                    except: message.except,
                }),
                done: Some(done),
                spent: duplicate_of,
                _permit: permit,
                ..Delivery::default()
            },
        );
        Published {
            id,
            durable: must_commit.then_some(durable),
        }
    }

    /// Calls `act` with a channel and its audience, which is locked. Where nobody is in the channel, it is there as long
    /// as that takes: so all that is sent to it is in one order, and whoever joins meanwhile gets what comes after.
    pub(super) fn with_audience<T>(
        &self,
        name: &str,
        act: impl FnOnce(&Arc<Channel>, &mut Audience) -> T,
    ) -> T {
        loop {
            let mut made = false;
            let channel = self.channels.get_or_insert(name, || {
                made = true;
                let name: Arc<str> = name.into();
                (Arc::clone(&name), Arc::new(Channel::new(name)))
            });
            let mut audience = channel.audience.lock();
            if audience.is_retired() {
                continue;
            }
            let result = act(&channel, &mut audience);
            drop(audience);
            if made {
                self.retire_if_empty(&channel, &mut channel.state.lock());
            }
            return result;
        }
    }

    /// Checks the size of a message's data (section 15).
    pub(super) fn check_data(&self, data: &Json) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        if !limits.allow_data(data) {
            return Err(Refusal::new(
                ErrorCode::DataTooLarge,
                format!(
                    "`data` has {} bytes as compact JSON, and may have {}",
                    data.as_str().len(),
                    limits.data_bytes
                ),
            ));
        }
        Ok(())
    }

    /// A commit for the lease on ids alone, where nothing else is committed.
    pub(super) fn renew_lease(&self) {
        if self.ids.should_renew() {
            let mut changes = Changes::new();
            self.ids.before_commit(&mut changes);
            self.committer.submit(changes, Delivery::default());
        }
    }

    /// The right to publish under this `deduplicationId`; or, where that has been done in the last five minutes, the
    /// message that was published. While one is on its way to the disk the others wait: it may not get there.
    async fn reserve_once(&self, id: &str) -> Result<Result<Reservation, MessageId>, Refusal> {
        loop {
            let until = clock::now_seconds() + DEDUPLICATION_SECONDS;
            match self.reserve_name("deduplication", id, until)? {
                Once::Reserved(reservation) => return Ok(Ok(reservation)),
                Once::Spent(first) => {
                    return Ok(Err(first.unwrap_or_else(|| self.ids.next())));
                }
                // Ends with an error, since nothing is ever sent.
                Once::Pending(mut pending) => drop(pending.changed().await),
            }
        }
    }
}

fn record(message: &Outgoing<'_>) -> MessageRecord {
    let (uid, umd) = match &message.sender {
        Some((uid, umd)) => (uid.as_deref().map(str::to_owned), umd.as_str()),
        None => (None, "null"),
    };
    MessageRecord {
        event: message.event.to_owned(),
        data: ByteBuf::from(message.data.as_str().as_bytes()),
        parts: 0,
        has_meta: message.sender.is_some(),
        uid,
        umd: umd.to_owned(),
        expires_at: match message.keep {
            Keep::Until(at) => at,
            Keep::Not | Keep::Forever => 0,
        },
    }
}
