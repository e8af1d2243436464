//! The database: sled, embedded, one process, one tree.
//!
//! - [`Changes`]: what one change writes and removes, as records of the keyspaces
//! - [`Committer`]: many changes made durable at once, in order; what waits for them is released afterwards
//! - [`OutboxState`], [`StoredEvent`]: events out, in the order of the commits that they came with
//! - [`Store`]: opening, with all the reasons to refuse ([`OpenError`]); reading at boot, single-use tokens
//! - `scratch`, `judge`, `log`: a database is read from end to end, of a copy, before the original is touched
//! - `engine`: what it all rests on, sled or a simulated disk; [`disk_space`]: the space on the disk
//! - `pages`: how large a record may be, so that no page leaves the log; `contain`: calls into sled, which may panic
//!
//! FORMAT.md has every key and record. Values are MessagePack with named fields: an unknown field is ignored and a missing
//! one has a default. All keyspaces share one tree under a leading tag, because sled makes a batch atomic within one tree.

#[cfg(test)]
mod bytes;
mod changes;
mod committer;
mod contain;
pub mod disk_space;
mod engine;
mod judge;
#[cfg(feature = "simulation")]
pub(crate) mod kept;
mod keys;
mod log;
mod messages;
mod open;
mod open_error;
mod opening;
mod outbox;
mod pages;
mod read;
mod records;
mod scratch;
#[cfg(test)]
mod tests;
mod tripwire;

pub use changes::Changes;
pub use committer::{Committer, Durability};
#[cfg(feature = "simulation")]
pub(crate) use engine::memory::{Fault, Memory};
pub use judge::Soundness;
pub use messages::StoredMessage;
pub use open::{Options, Store};
pub use open_error::OpenError;
pub use outbox::{ListAt, Occasion, OutboxState, StoredEvent};
pub use records::{
    ChannelRecord, ConnectionRecord, CursorRecord, MessageRecord, OriginRecord, ReactionRecord,
    SubscriptionRecord,
};

/// Something went wrong between us and the disk. The database on disk is as it was after the last commit.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database reported an error; a full or failing disk, mostly.
    #[error("the database cannot be read or written: {0}")]
    Database(#[from] sled::Error),
    /// The disk did not take the data.
    #[error("the database's log cannot be made durable: {0}")]
    Sync(std::io::Error),
    /// The system has no thread for the commits.
    #[error("the thread that commits cannot be started: {0}")]
    Thread(std::io::Error),
    /// A record cannot be read.
    #[error("a record of the keyspace `{keyspace}` cannot be read: {detail}")]
    Record {
        /// The keyspace.
        keyspace: &'static str,
        /// What the decoder said.
        detail: String,
    },
    /// The database panicked: a bug in it, or damage that it does not expect.
    #[error("the database failed inside: {0}")]
    Panicked(String),
}
