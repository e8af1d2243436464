//! Stored messages and their reactions, read (section 11).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connection::{Connection, Held};
use super::membership::not_subscribed;
use super::{Hub, clock, internal};
use crate::auth::Permissions;
use crate::messages::Window;
use crate::protocol::{ErrorCode, MessageId, Refusal};
use crate::store::{PageLimit, StoreError, StoredMessage};

/// What one page of history holds at the most (section 11).
const PAGE: PageLimit = PageLimit {
    messages: 100,
    bytes: 1_000_000,
};

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
    /// Who reacted how, by reaction.
    pub reactions: BTreeMap<String, Vec<Reactor>>,
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
            .held(request.channel)
            .ok_or_else(not_subscribed)?;
        let channel = Arc::clone(&held.channel.name);
        let allowed_from = readable_from(connection, &held);
        let window = Window::new(allowed_from, request.after, request.before, request.reverse);
        let page = self
            .look_up(move |hub| {
                let now = clock::now_seconds();
                let messages = hub.store.messages(
                    &channel,
                    window.from,
                    window.to,
                    window.reverse,
                    PAGE,
                    now,
                )?;
                let listed = messages
                    .into_iter()
                    .map(|message| {
                        let reactions = hub.reactions_of(&channel, message.id)?;
                        Ok(Listed { message, reactions })
                    })
                    .collect::<Result<Vec<_>, StoreError>>()?;
                Ok((channel, listed))
            })
            .await?;
        Ok(page)
    }

    /// The reactions to a message that the connection may read.
    ///
    /// # Errors
    /// `NOT_SUBSCRIBED`, `MESSAGE_NOT_FOUND`, or `INTERNAL_ERROR` when the database cannot be read.
    pub async fn list_reactions(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        channel: &str,
        message: MessageId,
    ) -> Result<BTreeMap<String, Vec<Reactor>>, Refusal> {
        let held = connection.held(channel).ok_or_else(not_subscribed)?;
        // As far back as messages may be listed.
        if message < readable_from(connection, &held) {
            return Err(message_not_found());
        }
        let channel = Arc::clone(&held.channel.name);
        self.look_up(move |hub| {
            let found = hub.store.message(&channel, message, clock::now_seconds())?;
            found
                .map(|_| hub.reactions_of(&channel, message))
                .transpose()
        })
        .await?
        .ok_or_else(message_not_found)
    }

    fn reactions_of(
        &self,
        channel: &str,
        message: MessageId,
    ) -> Result<BTreeMap<String, Vec<Reactor>>, StoreError> {
        let mut grouped: BTreeMap<String, Vec<Reactor>> = BTreeMap::new();
        for (reaction, uid, record) in self.store.reactions(channel, message)? {
            grouped.entry(reaction).or_default().push(Reactor {
                uid,
                umd: record.umd,
            });
        }
        Ok(grouped)
    }

    /// Reads from the database on a thread that may wait.
    pub(super) async fn look_up<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let hub = Arc::clone(self);
        match tokio::task::spawn_blocking(move || read(&hub)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(super::database_error(&error)),
            Err(_) => Err(internal()),
        }
    }
}

/// The first message that a connection may read: its subscription's start, or what its token says.
fn readable_from(connection: &Connection, held: &Held) -> MessageId {
    let permissions = Permissions::new(&connection.grants, held.grants.as_deref());
    match permissions.channel(&held.channel.name).history_start {
        Some(seconds) => {
            MessageId::from_parts(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000), 0)
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
