//! What may be used only once: single-use tokens, and `deduplicationId`s.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::pipeline::Pipeline;
use crate::protocol::{MessageId, Refusal};
use crate::store::Changes;
use crate::world::clock;

/// Uses that are on their way to the disk. Those that have arrived are found in the database.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    /// Each with what ends when its use is decided.
    names: Mutex<HashMap<Box<[u8]>, watch::Receiver<()>>>,
}

/// The sole right to use something. Dropped without a commit, it gives the right back.
#[derive(Debug)]
pub(super) struct Reservation {
    all: Arc<Reservations>,
    name: Box<[u8]>,
    until: u64,
    /// Dropped after the name is given back or found in the database.
    _decided: watch::Sender<()>,
}

/// What became of the wish to use something.
#[derive(Debug)]
pub(super) enum Once {
    /// It is to be used now.
    Reserved(Reservation),
    /// It has been used, for this message if it was for one.
    Spent(Option<MessageId>),
    /// It is being used; this ends when that is decided.
    Pending(watch::Receiver<()>),
}

impl Reservation {
    /// Writes the use down, in the same commit as what it was used for.
    pub(super) fn write(&self, changes: &mut Changes) {
        changes.spend(&self.name, self.until);
    }

    /// The same, for a message.
    pub(super) fn write_for(&self, message: MessageId, changes: &mut Changes) {
        changes.spend_on(&self.name, self.until, message);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.all.names.lock().remove(&self.name);
    }
}

impl Reservations {
    /// How many uses are on their way.
    #[cfg(feature = "simulation")]
    pub(super) fn len(&self) -> usize {
        self.names.lock().len()
    }

    /// Reserves what may be used only once until `until` (Unix time in seconds). Names of one space are apart from those
    /// of others.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` where the database cannot be read.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        pipeline: &Pipeline,
        (space, name): (&str, &str),
        until: u64,
    ) -> Result<Once, Refusal> {
        let name: Box<[u8]> = [space.as_bytes(), b"\0", name.as_bytes()].concat().into();
        let reservation = match self.names.lock().entry(name) {
            Entry::Occupied(pending) => return Ok(Once::Pending(pending.get().clone())),
            Entry::Vacant(free) => {
                let name = free.key().clone();
                let (decided, pending) = watch::channel(());
                free.insert(pending);
                Reservation {
                    all: Arc::clone(self),
                    name,
                    until,
                    _decided: decided,
                }
            }
        };
        // Looked up only now: had it been committed in between, it would have been found reserved or spent.
        let name = reservation.name.clone();
        let spent = pipeline
            .read_ahead(move |store| store.spent(&name, clock::now_seconds()))
            .await?;
        Ok(match spent {
            None => Once::Reserved(reservation),
            Some(spent) => Once::Spent(spent.message),
        })
    }
}
