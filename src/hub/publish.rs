//! Messages: from a client, or from a back end, to everybody in the channel (sections 5 and 12).
//!
//! An unstored message goes straight into the queues of the audience: nothing of it has to survive. Only the first one
//! after a pause is committed, because its id must not be issued again. One that is stored
//! (or is told apart by a `deduplicationId`, or back ends are told of) is committed first. In one channel everybody gets
//! messages in the order of their ids; so while a stored one is on its way to the disk, those behind it wait for it.
//!
//! What a message says of its sender is what has been told of it. A message whose sender has changed, and whose change is
//! still on its way to the disk, follows that change. A stored one does so by its commit; an unstored one takes its id, and
//! with it its place among the others, only then, so that nobody else has to wait.

use std::sync::Arc;

use parking_lot::MutexGuard;
use serde_bytes::ByteBuf;
use tokio::sync::oneshot;

use super::Hub;
use super::connection::{self, Connection};
use super::once::{Once, Reservation};
use super::origin::{Origin, client_trigger};
use super::permits::Permit;
use super::refusal::Stopped;
use super::release::Release;
use crate::auth::Permissions;
use crate::messages::Keep;
use crate::protocol::event_out::{self, MessageData, Trigger};
use crate::protocol::{
    ConnectionId, ErrorCode, EventKind, Frame, Json, MessageId, Meta, Refusal, frame,
};
use crate::store::MessageRecord;
use crate::world::clock;

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

/// Whether something with this `deduplicationId` is to be done.
pub(super) enum Repeat {
    /// It is the first one; whoever does it writes that down.
    First(Reservation),
    /// This was made of the first one.
    Of(MessageId),
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
    /// `PUBLISH_PERMISSION_DENIED`, `DATA_TOO_LARGE`, or `STORAGE_LIMIT_REACHED`.
    pub async fn publish_from(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        message: ClientMessage<'_>,
        origin: Origin<'_>,
    ) -> Result<(Arc<str>, Published), Refusal> {
        let held = connection.subscription(message.channel);
        let token = held.as_ref().and_then(|held| held.grants.clone());
        let permissions = Permissions::new(&connection.grants, token.as_deref());
        let channel: Arc<str> = match &held {
            Some(held) => Arc::clone(&held.room.name),
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
            self.disk_space.check()?;
        }
        let once = match message.deduplication_id {
            Some(id) => match self.reserve_once(message.channel, id).await? {
                Repeat::First(once) => Some(once),
                Repeat::Of(first) => return Ok(Published::Placed(first)),
            },
            None => None,
        };
        let is_told = message.event_out.is_some() && self.outbox.keeps(EventKind::MessagePublished);
        // After a pause, the first id is above what the next run would be told of. Such a message waits for the disk.
        let is_covered = self.pipeline.ids_are_covered();
        if message.keep != Keep::Not || once.is_some() || is_told || !is_covered {
            return self.publish_durably(message, once, is_told).await;
        }
        // A message that follows may still wait when the change it followed has been told: the next one goes behind it.
        let must_follow = || {
            let sender = message.sender;
            sender.is_some_and(|sender| sender.has_untold() || sender.has_following())
        };
        // Whether to wait for leave is decided before the lock; what is decided under it needs no more.
        let permit = if must_follow() || self.rooms.is_busy(message.channel) {
            Some(self.pipeline.permit().await?)
        } else {
            None
        };
        // Held until the message has its place: a change of its sender comes before both or after both.
        let (_own, sender) = lock_sender(&message);
        if must_follow() {
            return Ok(self.follow(message, sender, permit));
        }
        let id = self
            .rooms
            .place(message.channel, message.except, permit, |id| {
                compose(id, &message, sender.as_ref())
            });
        Ok(Published::Placed(id))
    }

    /// Has a message wait until everything that has been submitted is told.
    fn follow(
        &self,
        message: Outgoing<'_>,
        sender: Option<Sender>,
        permit: Option<Permit>,
    ) -> Published {
        let (name, event) = (message.channel.to_owned(), message.event.to_owned());
        let data = message.data;
        let mut release = Release::new(permit);
        if let Some(connection) = message.sender {
            release.hold(connection.begin_following());
        }
        let compose = move |id| frame::message(id, &event, &name, &data, meta(sender.as_ref()));
        let (name, except) = (message.channel, message.except);
        Published::Following(self.rooms.place_behind(name, except, release, compose))
    }

    /// What a client has kept comes after what it said before, which may be waiting for its id: waits until it has one.
    pub(super) async fn after_following(
        &self,
        connection: &Connection,
        channel: &str,
    ) -> Result<(), Refusal> {
        if connection.has_following() {
            let permit = self.pipeline.permit().await?;
            let passed = self.rooms.passed(channel, Release::new(permit));
            passed.await.map_err(|_| Stopped)?;
        }
        Ok(())
    }

    /// Puts a message on its way to the disk. It goes out from there, and those behind it after it.
    async fn publish_durably(
        &self,
        message: Outgoing<'_>,
        once: Option<Reservation>,
        is_told: bool,
    ) -> Result<Published, Refusal> {
        if let Some(sender) = message.sender {
            self.after_following(sender, message.channel).await?;
        }
        let release = Release::new(self.pipeline.permit().await?);
        let (_own, sender) = lock_sender(&message);
        let (name, except) = (message.channel, message.except);
        let (id, durable) =
            self.rooms
                .place_durably(name, except, release, |id, changes, release| {
                    if let Some(once) = once {
                        once.write_for(id, changes);
                        release.hold(once);
                    }
                    if message.keep != Keep::Not {
                        changes.put_message(name, id, record(&message, sender.as_ref()));
                    }
                    if let Some(trigger) = message.event_out.as_ref().filter(|_| is_told) {
                        let body = event_out::message(
                            trigger,
                            &self.pipeline.next_id().to_string(),
                            MessageData {
                                channel: name,
                                event: message.event,
                                id: &id.to_string(),
                                data: &message.data,
                                sender: sender.as_ref().map(|(uid, umd)| (uid.as_deref(), umd)),
                            },
                        );
                        changes.put_document(
                            EventKind::MessagePublished,
                            clock::now_millis(),
                            body,
                        );
                    }
                    compose(id, &message, sender.as_ref())
                });
        Ok(Published::Committing(id, durable))
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

    /// Whether something with this `deduplicationId` has been done in the channel in the last five minutes. While the first
    /// one is on its way to the disk the others wait: it may not get there.
    pub(super) async fn reserve_once(&self, channel: &str, id: &str) -> Result<Repeat, Refusal> {
        // No channel's name has a control character.
        let name = format!("{channel}\0{id}");
        loop {
            let until = clock::now_seconds() + DEDUPLICATION_SECONDS;
            let name = ("deduplication", &*name);
            match self.once.reserve(&self.pipeline, name, until).await? {
                Once::Reserved(reservation) => return Ok(Repeat::First(reservation)),
                Once::Spent(first) => {
                    return Ok(Repeat::Of(first.unwrap_or_else(|| self.pipeline.next_id())));
                }
                // Ends with an error, since nothing is ever sent.
                Once::Pending(mut pending) => drop(pending.changed().await),
            }
        }
    }
}

/// Who sends a message, as it is now: it stays so as long as what comes with it is held.
fn lock_sender<'a>(
    message: &Outgoing<'a>,
) -> (Option<MutexGuard<'a, connection::State>>, Option<Sender>) {
    let Some(connection) = message.sender else {
        return (None, None);
    };
    let own = connection.state.lock();
    let sender = match own.subscriptions.get(message.channel) {
        Some(subscription) => (subscription.uid.clone(), subscription.umd.clone()),
        None => (connection.uid.clone(), own.umd.clone()),
    };
    (Some(own), Some(sender))
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
