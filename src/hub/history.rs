//! Stored messages and their reactions, read (section 11).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Hub;
use super::connection::{Connection, Subscription};
use super::refusal::not_subscribed;
use crate::auth::Permissions;
use crate::messages::Window;
use crate::protocol::{ErrorCode, MessageId, Refusal};
use crate::store::{Store, StoreError, StoredMessage};
use crate::world::clock;

/// How many messages a page of history holds at the most (section 11).
const PAGE_MESSAGES: usize = 100;
/// How many bytes a page holds, about; one message at least, whatever its size (section 11).
const PAGE_BYTES: usize = 1_000_000;
/// What a message, a reaction or a user takes in a page besides its own text, in bytes, about.
const ENTRY_BYTES: usize = 100;

/// A request for a page of history.
#[derive(Debug)]
pub struct PageRequest<'a> {
    /// The channel or its alias.
    pub channel: &'a str,
    /// Only messages after this one.
    pub after: Option<MessageId>,
    /// Only messages before this one.
    pub before: Option<MessageId>,
    /// Newest first.
    pub reverse: bool,
    /// Whether each reaction is listed with who gave it.
    pub expand: bool,
}

/// A message of a page.
#[derive(Debug)]
pub struct Listed {
    /// The message.
    pub message: StoredMessage,
    /// The reactions to it.
    pub reactions: BTreeMap<String, Reacted>,
}

/// Who gave a reaction to a message.
#[derive(Debug, Default)]
pub struct Reacted {
    /// How many.
    pub count: usize,
    /// They, where that was asked for, as far as the page has room.
    pub by: Vec<Reactor>,
}

/// Who gave a reaction.
#[derive(Debug)]
pub struct Reactor {
    /// Their uid.
    pub uid: String,
    /// Their metadata then, as JSON.
    pub umd: String,
}

impl Hub {
    /// A page of the messages that a connection may read: of a channel it is subscribed to, from the subscription's
    /// start on, or as far back as its token says. Returns the channel's real name too.
    ///
    /// # Errors
    /// `NOT_SUBSCRIBED`, or `INTERNAL_ERROR` when the database cannot be read.
    pub async fn list_messages(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        request: &PageRequest<'_>,
    ) -> Result<(Arc<str>, Vec<Listed>), Refusal> {
        let held = connection
            .subscription(request.channel)
            .ok_or_else(not_subscribed)?;
        let channel = Arc::clone(&held.room.name);
        let allowed_from = readable_from(connection, &held);
        let window = Window::new(allowed_from, request.after, request.before, request.reverse);
        let expand = request.expand;
        self.pipeline
            .read(move |store| {
                let (now, mut page, mut room) = (clock::now_seconds(), Vec::new(), PAGE_BYTES);
                let Window { from, to, reverse } = window;
                let add = |message: StoredMessage| {
                    let record = &message.record;
                    let bytes = ENTRY_BYTES
                        + channel.len()
                        + record.event.len()
                        + record.data.len()
                        + record.uid.as_ref().map_or(0, String::len)
                        + record.umd.len();
                    if bytes > room && !page.is_empty() {
                        return Ok(false);
                    }
                    room = room.saturating_sub(bytes);
                    let (reactions, bytes) =
                        count_reactions(store, &channel, message.id, expand, room)?;
                    if bytes > room && !page.is_empty() {
                        return Ok(false);
                    }
                    room = room.saturating_sub(bytes);
                    page.push(Listed { message, reactions });
                    Ok(page.len() < PAGE_MESSAGES)
                };
                store.messages(&channel, from, to, reverse, now, add)?;
                Ok((Arc::clone(&channel), page))
            })
            .await
    }

    /// Who has given which reaction to a message that the connection may read, by reaction and uid: those that come after
    /// the one given, as many as a page has room for.
    ///
    /// # Errors
    /// `NOT_SUBSCRIBED`, `MESSAGE_NOT_FOUND`, or `INTERNAL_ERROR` when the database cannot be read.
    pub async fn list_reactions(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        channel: &str,
        message: MessageId,
        after: Option<(String, String)>,
    ) -> Result<Vec<(String, Reactor)>, Refusal> {
        let held = connection
            .subscription(channel)
            .ok_or_else(not_subscribed)?;
        // As far back as messages may be listed.
        if message < readable_from(connection, &held) {
            return Err(message_not_found());
        }
        let channel = Arc::clone(&held.room.name);
        self.pipeline
            .read(move |store| {
                let now = clock::now_seconds();
                if store.message(&channel, message, now)?.is_none() {
                    return Ok(None);
                }
                let (mut page, mut room) = (Vec::new(), PAGE_BYTES);
                let after = after.as_ref().map(|(reaction, uid)| (&**reaction, &**uid));
                store.reactions(&channel, message, after, |reaction, uid, record| {
                    let reactor = Reactor {
                        uid: uid.to_owned(),
                        umd: record()?.umd,
                    };
                    room = room.saturating_sub(reaction.len() + reactor.bytes());
                    page.push((reaction.to_owned(), reactor));
                    Ok(room > 0)
                })?;
                Ok(Some(page))
            })
            .await?
            .ok_or_else(message_not_found)
    }
}

/// The reactions to a message and about how many bytes they take in a page. Where they take more than `room`, no more
/// reactions are listed, and no more users with them; the counts are right.
fn count_reactions(
    store: &Store,
    channel: &str,
    message: MessageId,
    expand: bool,
    room: usize,
) -> Result<(BTreeMap<String, Reacted>, usize), StoreError> {
    let (mut reactions, mut bytes) = (BTreeMap::<String, Reacted>::new(), 0);
    store.reactions(channel, message, None, |reaction, uid, record| {
        if !reactions.contains_key(reaction) {
            if bytes > room {
                return Ok(false);
            }
            bytes += reaction.len() + ENTRY_BYTES;
            reactions.insert(reaction.to_owned(), Reacted::default());
        }
        if let Some(reacted) = reactions.get_mut(reaction) {
            reacted.count += 1;
            if expand && bytes <= room {
                let reactor = Reactor {
                    uid: uid.to_owned(),
                    umd: record()?.umd,
                };
                bytes += reactor.bytes();
                reacted.by.push(reactor);
            }
        }
        Ok(true)
    })?;
    Ok((reactions, bytes))
}

impl Reactor {
    /// About how many bytes it takes in a page.
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.uid.len() + self.umd.len()
    }
}

/// The first message that a connection may read: its subscription's start, or what its token says where that is
/// earlier.
fn readable_from(connection: &Connection, held: &Subscription) -> MessageId {
    let permissions = Permissions::new(&connection.grants, held.grants.as_deref());
    match permissions.channel(&held.room.name).history_start {
        Some(seconds) => {
            let millis = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
            // A ULID has 48 bits of time; what is later than they can say is later than everything.
            if millis >> 48 == 0 {
                MessageId::from_parts(millis, 0).min(held.since)
            } else {
                held.since
            }
        }
        None => held.since,
    }
}

pub(super) fn message_not_found() -> Refusal {
    Refusal::new(
        ErrorCode::MessageNotFound,
        "there is no such message: it was not stored, or it has expired",
    )
}
