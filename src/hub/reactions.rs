//! Reactions to stored messages (section 9).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use serde_bytes::ByteArray;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::connection::Connection;
use super::delivery::{Delivery, Message};
use super::history::message_not_found;
use super::membership::not_subscribed;
use super::outbox::client_trigger;
use super::{Hub, clock, internal};
use crate::auth::Permissions;
use crate::protocol::event_out::{self, ReactionData, Trigger, Via};
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

impl Hub {
    /// A client's reaction: it needs a subscription, a uid, and a token that allows it on the message's event.
    ///
    /// # Errors
    /// `NOT_SUBSCRIBED`, `MESSAGE_NOT_FOUND`, `REACTION_PERMISSION_DENIED`.
    pub(super) async fn react_from(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        channel: &str,
        reaction: &Reaction<'_>,
    ) -> Result<(), Refusal> {
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
        self.react(channel, uid, &held.umd, reaction, |event| {
            let allowed = permissions.message(channel, event);
            allowed.react.allows(&reaction.reaction).then(|| {
                allowed
                    .emit_pub_sub_event
                    .then(|| client_trigger(connection, Via::ClientWebSocket))
            })
        })
        .await
    }

    /// Adds or removes a user's reaction to a stored message, and tells the channel. What changes nothing tells
    /// nothing. Returns when it is on disk.
    ///
    /// # Errors
    /// `MESSAGE_NOT_FOUND`; `REACTION_PERMISSION_DENIED` where `allowed` has nothing for the message's event. What it has
    /// is whether back ends are told of it, and who reacted then.
    pub async fn react(
        self: &Arc<Self>,
        channel: &str,
        uid: &str,
        umd: &Json,
        reaction: &Reaction<'_>,
        allowed: impl FnOnce(&str) -> Option<Option<Trigger>>,
    ) -> Result<(), Refusal> {
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
        let Some(event_out) = allowed(&message.record.event) else {
            return Err(Refusal::new(
                ErrorCode::ReactionPermissionDenied,
                "the token does not allow this reaction to messages of this event",
            ));
        };
        if there.is_some() == (reaction.event == ReactionEvent::Added) {
            return Ok(());
        }
        // Only now: whoever waits for the message's lock must not keep others from the disk.
        let permit = self.permit().await.ok_or_else(internal)?;
        let (done, durable) = oneshot::channel();
        self.with_audience(channel, |shared, audience| {
            let id = self.ids.next();
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
                    },
                ),
                ReactionEvent::Removed => {
                    changes.remove_reaction(channel, reaction.message, &reaction.reaction, uid);
                }
            }
            if let Some(trigger) = event_out {
                self.tell_of_reaction(
                    &mut changes,
                    &trigger,
                    Told {
                        channel,
                        message: &message,
                        reaction,
                        uid,
                        umd,
                        id,
                        made: there
                            .map_or(id, |record| MessageId::from_bytes(record.id.into_array())),
                    },
                );
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
                    _reacted: reacted,
                    _permit: Some(permit),
                    ..Delivery::default()
                },
            );
        });
        durable.await.map_err(|_| internal())
    }

    /// The event out of a reaction, if it is kept.
    fn tell_of_reaction(&self, changes: &mut Changes, trigger: &Trigger, told: Told<'_>) {
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
            &self.ids.next().to_string(),
            ReactionData {
                channel: told.channel,
                message_id: &told.message.id.to_string(),
                id: &told.id.to_string(),
                reaction: &told.reaction.reaction,
                uid: told.uid,
                umd: told.umd,
                created_at: &clock::rfc3339(told.made.unix_millis() / 1000),
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
    /// The id of the change.
    id: MessageId,
    /// The id of the change that made the reaction.
    made: MessageId,
}
