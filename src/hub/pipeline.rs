//! The way from a decision to its telling: every change of anything that lasts takes it.
//!
//! A change is *submitted* with what it *releases*. The committer makes changes durable in the order in which they were
//! submitted; then lanes tell what they release, room by room in the same order. What waits for what is said by the verb:
//!
//! - [`submit`](Pipeline::submit): whoever is to be told waits for the disk, and nobody else
//! - [`commit`](Pipeline::commit): the caller waits for the disk
//! - [`submit_lazily`](Pipeline::submit_lazily): nobody waits, so it goes along with the next one that comes
//!
//! Everything on its way holds a [`Permit`], so that memory has a bound.

use std::sync::Arc;
use std::time::Duration;

use super::ids::IdSource;
use super::permits::{Permit, Permits};
use super::refusal::{self, Stopped};
use super::release::{Lanes, Release};
use crate::protocol::{MessageId, Refusal};
use crate::store::{Changes, Committer, Durability, Store, StoreError};
use crate::world::tasks;

/// See the module.
#[derive(Debug)]
pub(super) struct Pipeline {
    store: Store,
    durability: Durability,
    committer: Committer<Release>,
    permits: Permits,
    ids: Arc<IdSource>,
}

impl Pipeline {
    /// Starts the committer and the lanes. `before` may add to each commit, and `after` hears of it before anybody is
    /// told. `failed` is called once if the disk fails: nothing is released from then on.
    ///
    /// # Errors
    /// When the database cannot be read or the system refuses a thread.
    pub(super) fn start(
        store: Store,
        durability: Durability,
        mut before: impl FnMut(&mut Changes) + Send + 'static,
        mut after: impl FnMut() + Send + 'static,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let ids = Arc::new(IdSource::new(store.id_lease()?));
        let lanes = Lanes::start(&ids);
        let (before_ids, after_ids) = (Arc::clone(&ids), Arc::clone(&ids));
        let committer = Committer::start(
            &store,
            durability,
            move |changes| {
                before_ids.before_commit(changes);
                before(changes);
            },
            move |releases| {
                after_ids.after_commit();
                after();
                lanes.distribute(releases);
            },
            failed,
        )?;
        Ok(Self {
            store,
            durability,
            committer,
            permits: Permits::new(),
            ids,
        })
    }

    /// Leave to put one change on its way. It may take a while, so it is asked for before any lock.
    pub(super) async fn permit(&self) -> Result<Permit, Stopped> {
        self.permits.take().await
    }

    /// Submits a change: what it releases is told when it is durable.
    pub(super) fn submit(&self, changes: Changes, release: Release) {
        self.committer.submit(changes, release);
    }

    /// Submits a change that nobody waits for. It keeps its place in the order.
    pub(super) fn submit_lazily(&self, changes: Changes, permit: Permit) {
        self.committer.submit_lazily(changes, Release::new(permit));
    }

    /// Submits a change and waits until it is durable, which `guard` is held for. Given up, it goes on by itself.
    pub(super) async fn commit(
        &self,
        changes: Changes,
        guard: impl Send + 'static,
    ) -> Result<(), Stopped> {
        let mut release = Release::new(self.permit().await?);
        release.hold(guard);
        let done = release.wait();
        self.submit(changes, release);
        done.await.map_err(|_| Stopped)
    }

    /// Waits until everything that has been submitted is durable.
    pub(super) async fn settle(&self) -> Result<(), Stopped> {
        self.commit(Changes::new(), ()).await
    }

    /// Commits what `compute` makes of the database between two commits. Returns whether that was anything. It delays
    /// every other commit, so it must be quick.
    pub(super) async fn commit_computed(
        &self,
        compute: impl FnOnce(&Store) -> Changes + Send + 'static,
    ) -> Result<bool, Stopped> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut release = Release::new(self.permit().await?);
        let done = release.wait();
        self.submit_computed(
            move |store| {
                let changes = compute(store);
                let _ = tell.send(!changes.is_empty());
                changes
            },
            release,
        );
        done.await.map_err(|_| Stopped)?;
        told.await.map_err(|_| Stopped)
    }

    /// Submits what `compute` makes of the database when all before has been applied, and nothing comes in between.
    pub(super) fn submit_computed(
        &self,
        compute: impl FnOnce(&Store) -> Changes + Send + 'static,
        release: Release,
    ) {
        self.committer.submit_computed(compute, release);
    }

    /// The next id of all messages. Whoever takes one for something that is not committed renews the lease afterwards.
    pub(super) fn next_id(&self) -> MessageId {
        self.ids.next()
    }

    /// Has the lease on ids renewed, where it is short and no other commit does it.
    pub(super) fn renew_lease(&self) {
        if self.ids.should_renew() {
            self.submit_lease();
        }
    }

    /// Whether an id of now may be told at once: a crash cannot have it issued again.
    pub(super) fn ids_are_covered(&self) -> bool {
        self.ids.are_covered()
    }

    /// Has these changes renew the lease on ids, though there may be nothing else in them.
    pub(super) fn renew_lease_with(&self, changes: &mut Changes) {
        self.ids.renew_with(changes);
    }

    fn submit_lease(&self) {
        let mut changes = Changes::new();
        self.ids.renew_with(&mut changes);
        self.submit(changes, Release::default());
    }

    /// Reads from the database on a thread that may wait. What is read need not be durable yet: good for deciding what is
    /// committed after it, and for nothing that is told at once.
    pub(super) async fn read_ahead<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.store.clone();
        match tasks::blocking(move || store.contained(read)).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(refusal::database(&error)),
            None => Err(Stopped.into()),
        }
    }

    /// The same, and waits until what was read is durable: it may be told.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let value = self.read_ahead(read).await?;
        if self.durability == Durability::Commit && !self.store.is_durable() {
            self.settle().await?;
        }
        Ok(value)
    }

    /// How many changes are on their way.
    #[cfg(feature = "simulation")]
    pub(super) fn changes_in_flight(&self) -> usize {
        self.permits.out()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// For how long the oldest change waits that is not durable yet; `None` where all of them are.
    pub(super) fn oldest_waiting(&self) -> Option<Duration> {
        self.committer.oldest_waiting()
    }

    /// For how long changes wait and nothing has become durable; `None` where nothing waits.
    pub(super) fn stalled(&self) -> Option<Duration> {
        self.committer.stalled()
    }

    /// Commits what is on its way, gives back what is left of the lease, and ends. Blocks.
    pub(super) fn finish(&self) {
        self.ids.finish();
        self.submit_lease();
        self.committer.finish();
    }
}
