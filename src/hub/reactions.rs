//! Reactions to stored messages (section 9).

use std::hash::BuildHasher as _;
use std::sync::Arc;

use serde_bytes::ByteArray;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Hub;
use super::connection::Connection;
use super::history::message_not_found;
use super::once::Reservation;
use super::origin::{self, Origin, client_trigger};
use super::publish::Repeat;
use super::refusal::{Stopped, not_subscribed};
use super::release::Release;
use crate::auth::Permissions;
use crate::protocol::event_out::{self, ReactionData, Trigger};
use crate::protocol::{
    ErrorCode, EventKind, Frame, Json, MessageId, Meta, Reaction, ReactionEvent, Refusal, frame,
};
use crate::store::{Changes, ReactionRecord, StoredMessage};
use crate::world::clock;
use crate::world::random::HashKeys;

/// How many locks share the messages.
const SHARDS: usize = 64;

/// Whether a reaction is there is read from the database, so two requests about the same message must not pass each
/// other on the way to it. The message's lock is held until the change has been committed, by what is committed: whoever
/// asked for it may give up before.
#[derive(Debug)]
pub(super) struct ReactionLocks {
    shards: Box<[Arc<Mutex<()>>]>,
    hasher: HashKeys,
}

impl ReactionLocks {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            hasher: HashKeys::new(),
        }
    }

    async fn lock(&self, message: MessageId) -> Option<OwnedMutexGuard<()>> {
        let shard = self.hasher.hash_one(message) as usize % SHARDS;
        Some(Arc::clone(self.shards.get(shard)?).lock_owned().await)
    }
}

/// A reaction to be added or removed, in the name of a user.
#[derive(Debug)]
pub struct NewReaction<'a> {
    /// The channel's real name.
    pub channel: &'a str,
    /// Who.
    pub uid: &'a str,
    /// Their metadata.
    pub umd: &'a Json,
    /// What is to become of which reaction.
    pub reaction: &'a Reaction<'a>,
    /// Whose request it is.
    pub trigger: Trigger,
    /// A second one with the same in the same channel is dropped.
    pub deduplication_id: Option<&'a str>,
    /// The client that reacts, if one does: what it says of itself may change until the reaction has its place.
    pub sender: Option<&'a Arc<Connection>>,
}

impl Hub {
    /// A client's reaction: it needs a subscription, a uid, and a token that allows it on the message's event. Returns the
    /// channel's real name too.
    ///
    /// # Errors
    /// `NOT_SUBSCRIBED`, `MESSAGE_NOT_FOUND`, `REACTION_PERMISSION_DENIED`.
    pub async fn react_from(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        channel: &str,
        reaction: &Reaction<'_>,
        origin: Origin<'_>,
    ) -> Result<(Arc<str>, Option<MessageId>), Refusal> {
        let held = connection
            .subscription(channel)
            .ok_or_else(not_subscribed)?;
        let Some(uid) = held.uid.as_deref().filter(|uid| !uid.is_empty()) else {
            return Err(Refusal::new(
                ErrorCode::ReactionPermissionDenied,
                "a reaction needs a token with a uid",
            ));
        };
        let channel = &held.room.name;
        self.after_following(connection, channel).await?;
        let permissions = Permissions::new(&connection.grants, held.grants.as_deref());
        let new = NewReaction {
            channel,
            uid,
            umd: &held.umd,
            reaction,
            trigger: client_trigger(connection, origin),
            deduplication_id: None,
            sender: Some(connection),
        };
        let id = self
            .react(new, |event| {
                let allowed = permissions.message(channel, event);
                let allows = allowed.react.allows(&reaction.reaction);
                allows.then_some(allowed.emit_pub_sub_event)
            })
            .await?;
        Ok((Arc::clone(channel), id))
    }

    /// Adds or removes a user's reaction to a stored message, and tells the channel. What changes nothing tells
    /// nothing. Returns, when it is on disk, the id of what was told; of a reaction that was there already, the first one's.
    ///
    /// # Errors
    /// `MESSAGE_NOT_FOUND`; `REACTION_PERMISSION_DENIED` where `allowed` has nothing for the message's event. What it has
    /// is whether back ends are told of it.
    pub async fn react(
        self: &Arc<Self>,
        new: NewReaction<'_>,
        allowed: impl FnOnce(&str) -> Option<bool>,
    ) -> Result<Option<MessageId>, Refusal> {
        let NewReaction {
            channel,
            uid,
            reaction,
            ..
        } = new;
        let once = match new.deduplication_id {
            Some(id) => match self.reserve_once(channel, id).await? {
                Repeat::First(once) => Some(once),
                Repeat::Of(first) => return Ok(Some(first)),
            },
            None => None,
        };
        let reacted = self.reaction_locks.lock(reaction.message).await;
        let (message, there) = {
            let (channel, uid) = (channel.to_owned(), uid.to_owned());
            let (message, value) = (reaction.message, reaction.reaction.to_string());
            self.pipeline
                .read_ahead(move |store| {
                    let found = store.message(&channel, message, clock::now_seconds())?;
                    let there = store.reaction(&channel, message, &value, &uid)?;
                    Ok((found, there))
                })
                .await?
        };
        let message = message.ok_or_else(message_not_found)?;
        let Some(emit) = allowed(&message.record.event) else {
            return Err(Refusal::new(
                ErrorCode::ReactionPermissionDenied,
                "the token does not allow this reaction to messages of this event",
            ));
        };
        let first = there.as_ref().map(first_id);
        if there.is_some() == (reaction.event == ReactionEvent::Added) {
            return match once {
                Some(once) => self.keep_once(once, first).await.map(Some),
                None => Ok(first),
            };
        }
        if reaction.event == ReactionEvent::Added {
            self.disk_space.check()?;
        }
        // Only now: whoever waits for the message's lock must not keep others from the disk.
        let mut release = Release::new(self.pipeline.permit().await?);
        release.hold(reacted);
        let made = Made {
            message: &message,
            earlier: there.as_ref(),
            once,
            emit,
        };
        let (id, durable) = Self::with_sender(&new, |umd| {
            self.rooms
                .place_durably(channel, None, release, |id, changes, release| {
                    self.write_reaction((&new, umd), made, id, changes, release)
                })
        });
        durable.await.map_err(|_| Stopped)?;
        Ok(Some(id))
    }

    /// Writes a reaction down, or its end, and composes the frame that tells of it.
    fn write_reaction(
        &self,
        (new, umd): (&NewReaction<'_>, &Json),
        made: Made<'_>,
        id: MessageId,
        changes: &mut Changes,
        release: &mut Release,
    ) -> Frame {
        let NewReaction {
            channel,
            uid,
            reaction,
            ..
        } = *new;
        let request = self.pipeline.next_id();
        let value = &reaction.reaction;
        match reaction.event {
            ReactionEvent::Added => {
                let record = ReactionRecord {
                    id: ByteArray::new(id.to_bytes()),
                    umd: umd.as_str().to_owned(),
                    uid: None,
                    origin: Some(origin::record(&new.trigger, request)),
                };
                changes.put_reaction(channel, reaction.message, value, uid, &record);
            }
            ReactionEvent::Removed => {
                changes.remove_reaction(channel, reaction.message, value, uid);
            }
        }
        if let Some(once) = made.once {
            once.write_for(id, changes);
            release.hold(once);
        }
        if made.emit {
            // The end of a reaction is told in the words of the request that made it: so the two can be matched.
            let earlier = made.earlier;
            let origin = earlier.and_then(|record| record.origin.clone());
            let made_by = origin.and_then(origin::restored);
            let umd_then = earlier.and_then(|record| Json::parse(&record.umd).ok());
            let (trigger, request) = match &made_by {
                Some((trigger, request)) => (trigger, *request),
                None => (&new.trigger, request),
            };
            let told = Told {
                channel,
                message: made.message,
                reaction,
                uid,
                umd: umd_then.as_ref().unwrap_or(umd),
                id: earlier.map_or(id, first_id),
            };
            self.tell_of_reaction(changes, (trigger, request), told);
        }
        let meta = Meta {
            uid: Some(uid),
            umd,
        };
        frame::reaction(reaction.event, id, channel, reaction.message, value, meta)
    }

    /// Calls `act` with what the reaction says of its sender, which changes not before it has its place: as it is with
    /// messages.
    fn with_sender<T>(new: &NewReaction<'_>, act: impl FnOnce(&Json) -> T) -> T {
        let own = new.sender.map(|connection| connection.state.lock());
        let held = own
            .as_ref()
            .and_then(|own| own.subscriptions.get(new.channel));
        act(held.map_or(new.umd, |held| &held.umd))
    }

    /// Notes that a request was dealt with, though it changed nothing. Returns the id that a second one is told.
    async fn keep_once(
        &self,
        once: Reservation,
        first: Option<MessageId>,
    ) -> Result<MessageId, Refusal> {
        let mut changes = Changes::new();
        let id = first.unwrap_or_else(|| self.pipeline.next_id());
        once.write_for(id, &mut changes);
        self.pipeline.commit(changes, once).await?;
        Ok(id)
    }

    /// The event out of a reaction, if it is kept, and the request that it tells of.
    fn tell_of_reaction(
        &self,
        changes: &mut Changes,
        (trigger, request): (&Trigger, MessageId),
        told: Told<'_>,
    ) {
        let kind = match told.reaction.event {
            ReactionEvent::Added => EventKind::MessageReactionAdded,
            ReactionEvent::Removed => EventKind::MessageReactionRemoved,
        };
        if !self.outbox.keeps(kind) {
            return;
        }
        let expires_at = told.message.record.expires_at;
        let body = event_out::reaction(
            kind,
            trigger,
            &request.to_string(),
            ReactionData {
                channel: told.channel,
                message_id: &told.message.id.to_string(),
                id: &told.id.to_string(),
                reaction: &told.reaction.reaction,
                uid: told.uid,
                umd: told.umd,
                created_at: &clock::rfc3339(told.id.unix_millis() / 1000),
                expires_at: (expires_at > 0)
                    .then(|| clock::rfc3339(expires_at))
                    .as_deref(),
            },
        );
        changes.put_document(kind, clock::now_millis(), body);
    }
}

/// A reaction that changes something.
struct Made<'a> {
    /// The message that it is to.
    message: &'a StoredMessage,
    /// The same user's reaction that is there.
    earlier: Option<&'a ReactionRecord>,
    once: Option<Reservation>,
    /// Whether back ends are told.
    emit: bool,
}

/// The id of the change that made a reaction.
fn first_id(record: &ReactionRecord) -> MessageId {
    MessageId::from_bytes(record.id.into_array())
}

/// What back ends are told of a reaction.
struct Told<'a> {
    channel: &'a str,
    message: &'a StoredMessage,
    reaction: &'a Reaction<'a>,
    uid: &'a str,
    umd: &'a Json,
    /// The id of the change that made the reaction.
    id: MessageId,
}
