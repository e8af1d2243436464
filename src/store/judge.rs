//! Whether a database is sound: all of it is read, and every record of it.

use std::path::Path;

use super::engine::Engine;
use super::keys::{self, tag};
use super::records::{
    ChannelRecord, ConnectionRecord, CursorRecord, EditRecord, EntryRecord, HeadRecord, KeptRecord,
    MessageRecord, ReactionRecord, SubscriptionRecord, decode,
};
use super::{StoreError, pages};
use crate::protocol::Json;

/// The format that this version reads and writes.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// How sled is to open a database in this folder.
pub(super) fn configure(folder: &Path, cache_bytes: u64) -> sled::Config {
    sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .flush_every_ms(None)
        .segment_size(pages::SEGMENT_BYTES)
        .mode(sled::Mode::HighThroughput)
}

/// What a look at a database that nobody uses came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    /// There is none yet.
    None,
    /// All of it has been read, and is sound.
    Sound,
    /// Only its log has been read: there was no room for more. Nothing is wrong with that.
    LogIsSound,
}

/// Why a database is not to be used.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// A later version wrote it, in this format.
    Newer(u32),
    /// It is damaged.
    Damaged(String),
    /// It cannot be read.
    Unreadable(StoreError),
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error)
    }
}

/// The number of the last commit, if the database is of a format that we know and has lost none of the `made` commits that
/// are known to have been durable.
pub(super) fn last_commit(engine: &dyn Engine, made: u64) -> Result<u64, Unfit> {
    let schema = engine.get(keys::SCHEMA)?;
    match schema
        .map(|value| decode::<u32>("meta", &value))
        .transpose()?
    {
        Some(found) if found > SCHEMA_VERSION => return Err(Unfit::Newer(found)),
        Some(_) => {}
        None if made > 0 => {
            return Err(Unfit::Damaged(format!(
                "{made} commits were made, but none of them is there"
            )));
        }
        None => {}
    }
    let head = engine.get(keys::HEAD)?;
    let head: HeadRecord = match head {
        Some(value) => decode("meta", &value)?,
        None => HeadRecord::default(),
    };
    if head.commit < made {
        return Err(Unfit::Damaged(format!(
            "it ends at commit {}, but commit {made} was made",
            head.commit
        )));
    }
    Ok(head.commit)
}

/// Reads every record. What a start reads later on has been read here before.
pub(super) fn read_all(engine: &dyn Engine) -> Result<(), StoreError> {
    for entry in engine.range(..) {
        let (key, value) = entry?;
        read(&key, &value)?;
    }
    Ok(())
}

pub(super) fn read(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    match key.first() {
        Some(&tag::CONNECTION) => decode::<ConnectionRecord>("connection", value).map(drop),
        Some(&tag::SUBSCRIPTION) => {
            named("subscription", keys::parse_subscription(key))?;
            let record: SubscriptionRecord = decode("subscription", value)?;
            match Json::parse(&record.umd) {
                Ok(_) => Ok(()),
                Err(error) => Err(unreadable("subscription", &error.to_string())),
            }
        }
        Some(&tag::CHANNEL) => decode::<ChannelRecord>("channel", value).map(drop),
        Some(&tag::MESSAGE) => {
            named("message", keys::parse_message(key))?;
            decode::<MessageRecord>("message", value).map(drop)
        }
        Some(&tag::REACTION) => decode::<ReactionRecord>("reaction", value).map(drop),
        // Behind an entry stand parts of documents.
        Some(&tag::OUTBOX) if keys::parse_entry(key).is_some() => {
            decode::<EntryRecord>("outbox", value).map(drop)
        }
        Some(&tag::LIST) if keys::is_run_edit(key) => decode::<EditRecord>("list", value).map(drop),
        Some(&tag::CURSOR) => decode::<CursorRecord>("cursor", value).map(drop),
        Some(&tag::EXPIRY) => named("expiry", keys::parse_expiry(key)),
        _ => match key {
            keys::KEPT => decode::<Vec<KeptRecord>>("meta", value).map(drop),
            keys::ID_LEASE => decode::<u64>("meta", value).map(drop),
            _ => Ok(()),
        },
    }
}

fn named<T>(keyspace: &'static str, parsed: Option<T>) -> Result<(), StoreError> {
    match parsed {
        Some(_) => Ok(()),
        None => Err(unreadable(keyspace, "a key names nothing")),
    }
}

fn unreadable(keyspace: &'static str, detail: &str) -> StoreError {
    StoreError::Record {
        keyspace,
        detail: detail.to_owned(),
    }
}
