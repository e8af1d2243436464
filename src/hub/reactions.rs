//! Reactions to stored messages (section 9).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use serde_bytes::ByteArray;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::connection::Connection;
use super::delivery::{Delivery, Message};
use super::history::message_not_found;
use super::membership::not_subscribed;
use super::origin::{self, Origin, client_trigger};
use super::tokens::Reservation;
use super::{Hub, clock, internal};
use crate::auth::Permissions;
use crate::protocol::event_out::{self, ReactionData, Trigger};
use crate::protocol::{
    ErrorCode, EventKind, Json, MessageId, Meta, Reaction, ReactionEvent, Refusal, frame,
};
use crate::store::{Changes, ReactionRecord, StoredMessage};

/// How many locks share the messages.
const SHARDS: usize = 64;

/// Whether a reaction is there is read from the database, so two requests about the same message must not pass each
/// other on the way to it. The message's lock is held until the change has been committed, by what is committed: whoever
/// asked for it may give up before.
#[derive(Debug)]
pub(super) struct ReactionLocks {
    shards: Box<[Arc<Mutex<()>>]>,
    hasher: RandomState,
}

impl ReactionLocks {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
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
        let held = connection.held(channel).ok_or_else(not_subscribed)?;
        let Some(uid) = held.uid.as_deref().filter(|uid| !uid.is_empty()) else {
            return Err(Refusal::new(
                ErrorCode::ReactionPermissionDenied,
                "a reaction needs a token with a uid",
            ));
        };
        let channel = &held.channel.name;
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
                Ok(reservation) => Some(reservation),
                Err(first) => return Ok(Some(first)),
            },
            None => None,
        };
        let reacted = self.reaction_locks.lock(reaction.message).await;
        let (message, there) = {
            let (channel, uid) = (channel.to_owned(), uid.to_owned());
            let (message, value) = (reaction.message, reaction.reaction.to_string());
            self.read_ahead(move |store| {
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
        let first = there
            .as_ref()
            .map(|record| MessageId::from_bytes(record.id.into_array()));
        if there.is_some() == (reaction.event == ReactionEvent::Added) {
            return match once {
                Some(once) => self.keep_once(once, first).await.map(Some),
                None => Ok(first),
            };
        }
        if reaction.event == ReactionEvent::Added {
            self.check_room()?;
        }
        // Only now: whoever waits for the message's lock must not keep others from the disk.
        let permit = self.permit().await.ok_or_else(internal)?;
        let (done, durable) = oneshot::channel();
        let id = Self::with_sender(&new, |umd| {
            self.with_audience(channel, |shared, audience| {
                let id = self.ids.next();
                let request = self.ids.next();
                let frame = frame::reaction(
                    reaction.event,
                    id,
                    channel,
                    reaction.message,
                    &reaction.reaction,
                    Meta {
                        uid: Some(uid),
                        umd,
                    },
                );
                let mut changes = Changes::new();
                match reaction.event {
                    ReactionEvent::Added => changes.put_reaction(
                        channel,
                        reaction.message,
                        &reaction.reaction,
                        uid,
                        &ReactionRecord {
                            id: ByteArray::new(id.to_bytes()),
                            umd: umd.as_str().to_owned(),
                            uid: None,
                            origin: Some(origin::record(&new.trigger, request)),
                        },
                    ),
                    ReactionEvent::Removed => {
                        changes.remove_reaction(channel, reaction.message, &reaction.reaction, uid);
                    }
                }
                if let Some(once) = &once {
                    once.write_for(id, &mut changes);
                }
                if emit {
                    // The end of a reaction is told in the words of the request that made it: so the two can be matched.
                    let (made_by, umd_then) = match there {
                        Some(record) => (
                            record.origin.and_then(origin::restored),
                            Json::parse(&record.umd).ok(),
                        ),
                        None => (None, None),
                    };
                    let (trigger, request) = match &made_by {
                        Some((trigger, request)) => (trigger, *request),
                        None => (&new.trigger, request),
                    };
                    let told = Told {
                        channel,
                        message: &message,
                        reaction,
                        uid,
                        umd: umd_then.as_ref().unwrap_or(umd),
                        id: first.unwrap_or(id),
                    };
                    self.tell_of_reaction(&mut changes, (trigger, request), told);
                }
                audience.keep_place();
                self.committer.submit(
                    changes,
                    Delivery {
                        channel: Some(Arc::clone(shared)),
                        message: Some(Message {
                            frame,
                            except: None,
                            _permit: None,
                        }),
                        done: Some(done),
                        spent: once,
                        _reacted: reacted,
                        _permit: Some(permit),
                        ..Delivery::default()
                    },
                );
                id
            })
        });
        durable.await.map_err(|_| internal())?;
        Ok(Some(id))
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
        let permit = self.permit().await.ok_or_else(internal)?;
        let (delivery, done) = Delivery::nothing(permit);
        let mut changes = Changes::new();
        let id = first.unwrap_or_else(|| self.ids.next());
        once.write_for(id, &mut changes);
        let spent = Some(once);
        self.committer
            .submit(changes, Delivery { spent, ..delivery });
        done.await.map_err(|_| internal())?;
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
        if !self.keeps(kind) {
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
