//! Events out (section 13): what back ends are told, and how it reaches them.
//!
//! Events are written into the outbox by the hub, in the same commit as the change that they tell of. From there they
//! are read, in order, by whoever wants them: webhooks, and the feed behind `GET /events`. A reader keeps its
//! *position*, the sequence of the last event that it has dealt with, and asks for what comes after.
//!
//! - [`EventSource`]: what a reader needs of the hub
//! - [`Event`], [`Batch`]: what it gets
//! - [`Feed`]: one reader's way through the outbox, behind `GET /events`
//! - [`Webhooks`]: each event posted to back ends, signed (`signature`), over the network (`transport`), until it is
//!   taken (`retry`)

mod feed;
mod retry;
mod signature;
mod transport;
mod webhooks;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::protocol::{EventKind, EventKinds};
use crate::world::tasks;

pub use feed::{Feed, Item as FeedItem, Start as FeedStart};
#[cfg(feature = "simulation")]
pub(crate) use transport::{Post, Reply, Transport};
pub use webhooks::{WebhookError, Webhooks, check};

/// One event, durable.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the outbox; positions are sequences.
    pub sequence: u64,
    /// Its name: the same on every try, different from that of every other event, also of another database's.
    pub id: EventId,
    /// Its type.
    pub kind: EventKind,
    /// When it happened: Unix time in milliseconds.
    pub at: u64,
    /// The document of section 13, compact JSON.
    pub body: Bytes,
}

/// The name of an event: which outbox it is of, and its sequence there. Shown as `5f0c9a31-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The outbox: a random number, made with the database.
    pub outbox: u32,
    /// The sequence.
    pub sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.outbox, self.sequence)
    }
}

impl std::str::FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (outbox, sequence) = text.split_once('-').ok_or(InvalidEventId)?;
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        if outbox.len() != 8 || !plain(outbox) || !plain(sequence) {
            return Err(InvalidEventId);
        }
        Ok(Self {
            outbox: u32::from_str_radix(outbox, 16).map_err(|_| InvalidEventId)?,
            sequence: sequence.parse().map_err(|_| InvalidEventId)?,
        })
    }
}

/// A text is not the name of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no id of an event: one looks like 5f0c9a31-42")]
pub struct InvalidEventId;

/// What a read found.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Events of the kinds asked for, in order.
    pub events: Vec<Event>,
    /// Where to read on: everything up to here has been looked at. Equal to the position asked for if there is nothing
    /// new.
    pub position: u64,
    /// Whether events of those kinds between the position asked for and the first one that is still kept are lost to
    /// this reader: they were trimmed, or were not kept when they happened.
    pub missed: bool,
}

/// Where a webhook stands; kept in the database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The last event that was dealt with.
    pub position: u64,
    /// The URL that answered 410: nothing more is sent there.
    pub gone: Option<String>,
}

/// The outbox cannot be read; the log knows more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the outbox cannot be read: {0}")]
pub struct OutboxError(pub String);

/// The outbox, as its readers see it.
pub trait EventSource: Send + Sync + 'static {
    /// The number that is part of all its events' names.
    fn id(&self) -> u32;

    /// Reads durable events of `kinds` after `position`: at most `limit` (at least one, if there is any), and few
    /// enough that they take about a megabyte. May wait for the disk: [`read`] asks on a thread that can.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn read(&self, position: u64, kinds: EventKinds, limit: usize) -> Result<Batch, OutboxError>;

    /// The sequence of the last durable event; changes when there are more.
    fn durable(&self) -> watch::Receiver<u64>;

    /// Where this webhook stands; `None` where it is new.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn cursor(&self, webhook: &str) -> Result<Option<Cursor>, OutboxError>;

    /// Notes where a webhook stands. It is on disk within about a second, together with whatever is committed anyway;
    /// a crash before means that some events are sent again.
    fn keep_cursor(&self, webhook: &str, cursor: Cursor);
}

/// [`EventSource::read`], on a thread that may wait. Dropped before it returns, it has changed nothing.
///
/// # Errors
/// When the database cannot be read, or the server stops.
async fn read(
    outbox: &Arc<dyn EventSource>,
    position: u64,
    kinds: EventKinds,
    limit: usize,
) -> Result<Batch, OutboxError> {
    let outbox = Arc::clone(outbox);
    tasks::blocking(move || outbox.read(position, kinds, limit))
        .await
        .unwrap_or_else(|| Err(OutboxError("the read was cut short".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = EventId {
            outbox: 0x00c9_a31f,
            sequence: 42,
        };
        assert_eq!(id.to_string(), "00c9a31f-42");
        assert_eq!("00c9a31f-42".parse(), Ok(id));
        for wrong in [
            "",
            "42",
            "-42",
            "c9a31f-42",
            "00c9a31f-",
            "00c9a31f-+2",
            "00c9a31f--2",
            "+0c9a31f-2",
        ] {
            assert_eq!(wrong.parse::<EventId>(), Err(InvalidEventId), "{wrong}");
        }
    }
}
