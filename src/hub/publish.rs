//! Messages: from a client, or from a back end, to everybody in the channel (sections 5 and 12).
//!
//! An unstored message goes straight into the queues of the audience: nothing of it has to survive. One that is stored
//! (or is told apart by a `deduplicationId`, or back ends are told of) is committed first. In one channel everybody gets
//! messages in the order of their ids; so while a stored one is on its way to the disk, those behind it wait for it.
//!
//! What a message says of its sender is what has been told of it. A message whose sender has changed, and whose change is
//! still on its way to the disk, follows that change. A stored one does so by its commit; an unstored one takes its id, and
//! with it its place among the others, only then, so that nobody else has to wait.

use std::sync::Arc;

use serde_bytes::ByteBuf;
use tokio::sync::oneshot;

use super::channel::{Audience, Channel};
use super::connection::Connection;
use super::delivery::{Delivery, Follower, Message, Permit};
use super::origin::{Origin, client_trigger};
use super::tokens::{Once, Reservation};
use super::{Hub, clock, internal};
use crate::auth::Permissions;
use crate::messages::Keep;
use crate::protocol::event_out::{self, MessageData, Trigger};
use crate::protocol::{
    ConnectionId, ErrorCode, EventKind, Frame, Json, MessageId, Meta, Refusal, frame,
};
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
    /// Who sends it, if a client does.
    pub sender: Option<&'a Arc<Connection>>,
    /// For how long to keep it.
    pub keep: Keep,
    /// The connection that gets no copy.
    pub except: Option<ConnectionId>,
    /// A second message with the same one in the same channel is dropped.
    pub deduplication_id: Option<&'a str>,
    /// Whether back ends are told of it, and by whom it was sent then.
    pub event_out: Option<Trigger>,
}

/// A message that is on its way.
#[derive(Debug)]
pub enum Published {
    /// It is out, or has its place behind others that are on their way.
    Placed(MessageId),
    /// It is on its way to the disk.
    Committing(MessageId, oneshot::Receiver<()>),
    /// It waits for an earlier change of its sender, and gets its id then.
    Following(oneshot::Receiver<MessageId>),
}

impl Published {
    /// Its id, when it has one and what has to survive of the message is on disk. `None` if the server stops before.
    pub async fn settled(self) -> Option<MessageId> {
        match self {
            Self::Placed(id) => Some(id),
            Self::Committing(id, durable) => durable.await.ok().map(|()| id),
            Self::Following(placed) => placed.await.ok(),
        }
    }
}

/// Who sent a message, as its receivers see it.
type Sender = (Option<Arc<str>>, Json);

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
    /// `PUBLISH_PERMISSION_DENIED`, `DATA_TOO_LARGE`, or `STORAGE_LIMIT_REACHED`.
    pub async fn publish_from(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        message: ClientMessage<'_>,
        origin: Origin<'_>,
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
        let outgoing = Outgoing {
            channel: &channel,
            event: message.event,
            data: message.data,
            sender: Some(connection),
            // A token's `store` has been checked with the token.
            keep: Keep::from_store(allowed.store, clock::now_seconds()).unwrap_or(Keep::Not),
            except: (!allowed.echo).then_some(connection.id),
            deduplication_id: None,
            event_out: allowed
                .emit_pub_sub_event
                .then(|| client_trigger(connection, origin)),
        };
        let published = self.publish(outgoing).await?;
        Ok((channel, published))
    }

    /// Publishes a message. A second one with a `deduplication_id` of the last five minutes is accepted and dropped.
    ///
    /// # Errors
    /// `DATA_TOO_LARGE`; `STORAGE_LIMIT_REACHED` where it is to be stored and there is no room.
    pub async fn publish(self: &Arc<Self>, message: Outgoing<'_>) -> Result<Published, Refusal> {
        self.check_data(&message.data)?;
        if message.keep != Keep::Not {
            self.check_room()?;
        }
        let duplicate_of = match message.deduplication_id {
            Some(id) => match self.reserve_once(message.channel, id).await? {
                Ok(reservation) => Some(reservation),
                Err(first) => return Ok(Published::Placed(first)),
            },
            None => None,
        };
        let event_out = message
            .event_out
            .as_ref()
            .filter(|_| self.keeps(EventKind::MessagePublished));
        let must_commit =
            message.keep != Keep::Not || duplicate_of.is_some() || event_out.is_some();
        if let Some(sender) = message.sender.filter(|_| must_commit) {
            self.after_following(sender, message.channel).await?;
        }
        // Whether to wait for leave is decided before the lock; what is decided under it needs no more.
        let is_busy = || {
            let channel = self.channels.get(message.channel);
            channel.is_some_and(|channel| channel.audience.lock().is_busy())
        };
        // A message that follows may still wait when the change it followed has been told: the next one goes behind it.
        let must_follow = || {
            let sender = message.sender;
            sender.is_some_and(|sender| sender.has_untold() || sender.has_following())
        };
        let permit = if must_commit || must_follow() || is_busy() {
            Some(self.permit().await.ok_or_else(internal)?)
        } else {
            None
        };
        // Held until the message has its place: a change of its sender comes before both or after both.
        let own = message.sender.map(|connection| connection.state.lock());
        let sender = message.sender.zip(own.as_ref()).map(|(connection, own)| {
            match own.subscriptions.get(message.channel) {
                Some(held) => (held.uid.clone(), held.umd.clone()),
                None => (connection.uid.clone(), own.umd.clone()),
            }
        });
        if !must_commit && must_follow() {
            return Ok(self.follow(message, sender, permit));
        }
        Ok(self.with_audience(message.channel, |channel, audience| {
            if must_commit {
                self.commit_message(
                    (channel, audience),
                    (&message, sender),
                    duplicate_of,
                    event_out,
                    permit,
                )
            } else {
                let id = self.ids.next();
                audience.pass(Message {
                    frame: compose(id, &message, sender.as_ref()),
                    except: message.except,
                    _permit: permit,
                });
                self.renew_lease();
                Published::Placed(id)
            }
        }))
    }

    /// Has a message wait until everything that has been submitted is told. No lease on ids has to be renewed for it: the
    /// commit before it does.
    fn follow(
        &self,
        message: Outgoing<'_>,
        sender: Option<Sender>,
        permit: Option<Permit>,
    ) -> Published {
        let (placed, id) = oneshot::channel();
        let (name, event) = (Arc::<str>::from(message.channel), message.event.to_owned());
        let (data, except) = (message.data, message.except);
        let following = message.sender.map(Connection::begin_following);
        self.with_audience(&Arc::clone(&name), |channel, _| {
            let compose = move |id| frame::message(id, &event, &name, &data, meta(sender.as_ref()));
            let delivery = Delivery {
                channel: Some(Arc::clone(channel)),
                follower: Some(Follower {
                    ids: Arc::clone(&self.ids),
                    compose: Box::new(compose),
                    except,
                    placed,
                    _following: following,
                }),
                _permit: permit,
                ..Delivery::default()
            };
            self.committer.submit(Changes::new(), delivery);
        });
        Published::Following(id)
    }

    /// What a client has kept comes after what it said before, which may be waiting for its id: waits until it has one.
    pub(super) async fn after_following(
        &self,
        connection: &Arc<Connection>,
        channel: &str,
    ) -> Result<(), Refusal> {
        if !connection.has_following() {
            return Ok(());
        }
        let permit = self.permit().await.ok_or_else(internal)?;
        let (mut delivery, passed) = Delivery::nothing(permit);
        self.with_audience(channel, |channel, _| {
            delivery.channel = Some(Arc::clone(channel));
            self.committer.submit(Changes::new(), delivery);
        });
        passed.await.map_err(|_| internal())
    }

    /// Puts a message on its way to the disk. It goes out from there, and those behind it after it.
    fn commit_message(
        &self,
        (channel, audience): (&Arc<Channel>, &mut Audience),
        (message, sender): (&Outgoing<'_>, Option<Sender>),
        duplicate_of: Option<Reservation>,
        event_out: Option<&Trigger>,
        permit: Option<Permit>,
    ) -> Published {
        let id = self.ids.next();
        let frame = compose(id, message, sender.as_ref());
        let mut changes = Changes::new();
        if let Some(reservation) = &duplicate_of {
            reservation.write_for(id, &mut changes);
        }
        if message.keep != Keep::Not {
            changes.put_message(message.channel, id, record(message, sender.as_ref()));
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
                    sender: sender.as_ref().map(|(uid, umd)| (uid.as_deref(), umd)),
                },
            );
            changes.put_document(EventKind::MessagePublished, clock::now_millis(), body);
        }
        let (done, durable) = oneshot::channel();
        audience.keep_place();
        self.committer.submit(
            changes,
            Delivery {
                channel: Some(Arc::clone(channel)),
                message: Some(Message {
                    frame,
                    except: message.except,
                    _permit: None,
                }),
                done: Some(done),
                spent: duplicate_of,
                _permit: permit,
                ..Delivery::default()
            },
        );
        Published::Committing(id, durable)
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

    /// The right to publish to this channel under this `deduplicationId`; or, where that has been done in the last five
    /// minutes, the message that was published. While one is on its way to the disk the others wait: it may not get there.
    pub(super) async fn reserve_once(
        &self,
        channel: &str,
        id: &str,
    ) -> Result<Result<Reservation, MessageId>, Refusal> {
        // No channel's name has a control character.
        let name = format!("{channel}\0{id}");
        loop {
            let until = clock::now_seconds() + DEDUPLICATION_SECONDS;
            match self.reserve_name("deduplication", &name, until).await? {
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

/// The frame of a message.
fn compose(id: MessageId, message: &Outgoing<'_>, sender: Option<&Sender>) -> Frame {
    let meta = meta(sender);
    frame::message(id, message.event, message.channel, &message.data, meta)
}

fn meta(sender: Option<&Sender>) -> Option<Meta<'_>> {
    sender.map(|(uid, umd)| Meta {
        uid: uid.as_deref(),
        umd,
    })
}

fn record(message: &Outgoing<'_>, sender: Option<&Sender>) -> MessageRecord {
    let (uid, umd) = match sender {
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
