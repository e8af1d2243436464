//! Events out (section 13): which are kept, for how long, and the outbox as its readers see it.
//!
//! Types that nobody wants are not kept: wanted are those of the webhooks, and those of every feed that was read within the
//! retention, since its reader may come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::pipeline::Pipeline;
use super::refusal::Stopped;
use crate::config;
use crate::events::{Batch, Cursor, Event, EventId, OutboxError};
use crate::protocol::{EventKind, EventKinds};
use crate::store::{Changes, CursorRecord, OutboxState, Store, StoreError};
use crate::world::{clock, tasks};

/// How many bytes of events one read returns, about.
const READ_BYTES: usize = 1 << 20;
/// By how much what a feed wants may be kept shorter than the retention; so often is it noted that it is read.
const KEPT_SLACK: Duration = Duration::from_secs(3_600);
/// How often webhooks' positions are committed when nothing else is.
pub(super) const CURSOR_PAUSE: Duration = Duration::from_secs(1);

/// The outbox at run time.
#[derive(Debug)]
pub struct Outbox {
    store: Store,
    retention: Duration,
    max_bytes: u64,
    /// The kinds that are kept: bits of [`EventKinds`].
    kept: AtomicU16,
    /// The kinds that webhooks want.
    webhooks: EventKinds,
    /// The last durable sequence.
    durable: watch::Sender<u64>,
    /// Webhooks' positions that are not yet on their way to the disk.
    cursors: Mutex<BTreeMap<String, CursorRecord>>,
    /// Held while what is kept changes, until that is durable.
    changing: tokio::sync::Mutex<()>,
}

impl Outbox {
    pub(super) fn new(settings: &config::Events, store: Store) -> Self {
        let state = store.outbox();
        let webhooks = wanted(settings);
        let feeds = state.kept_for_feeds(clock::now_seconds());
        Self {
            store,
            retention: settings.retention,
            max_bytes: settings.max_bytes,
            kept: AtomicU16::new(webhooks.union(feeds).bits()),
            webhooks,
            durable: watch::Sender::new(state.last),
            cursors: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// The kinds of events that are kept.
    fn kept(&self) -> EventKinds {
        EventKinds::from_bits(self.kept.load(Ordering::Relaxed))
    }

    /// Positions of webhooks go along with any commit.
    pub(super) fn before_commit(&self, changes: &mut Changes) {
        for (webhook, cursor) in std::mem::take(&mut *self.cursors.lock()) {
            changes.put_cursor(&webhook, &cursor);
        }
    }

    /// Readers may see what the commit has brought.
    pub(super) fn after_commit(&self) {
        let last = self.store.last_event();
        self.durable.send_if_modified(|durable| {
            let is_new = *durable != last;
            *durable = last;
            is_new
        });
    }

    /// Whether events of this kind are kept.
    pub(super) fn keeps(&self, kind: EventKind) -> bool {
        self.kept().contains(kind)
    }

    /// Keeps events of these kinds for a feed that is being read, and for about a retention after: call it now and then
    /// while it is. Returns when that is durable.
    ///
    /// # Errors
    /// While the server stops.
    pub(super) async fn keep_for_feed(
        &self,
        pipeline: &Pipeline,
        kinds: EventKinds,
    ) -> Result<(), Stopped> {
        let _changing = self.changing.lock().await;
        // In any case: whoever asked before may have gone before it was durable, and with that what it had set here.
        self.kept.fetch_or(kinds.bits(), Ordering::Relaxed);
        let until = clock::now_seconds() + self.retention.as_secs();
        let slack = KEPT_SLACK.min(self.retention / 4).as_secs();
        let long_enough = self.store.outbox().kept_for_feeds(until - slack);
        if kinds.without(long_enough).is_empty() {
            return Ok(());
        }
        let mut changes = Changes::new();
        changes.keep_events(kinds, until);
        pipeline.commit(changes, ()).await
    }

    /// What of it is durable.
    pub fn state(&self) -> OutboxState {
        self.store.outbox()
    }

    /// What it may take, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Commits webhooks' positions where nothing else is committed.
    pub(super) async fn keep_cursors(self: &Arc<Self>, pipeline: &Pipeline) {
        loop {
            tasks::sleep(CURSOR_PAUSE).await;
            if self.cursors.lock().is_empty() {
                continue;
            }
            // Taken when the commit is made: one that another commit takes meanwhile is newer.
            let this = Arc::clone(self);
            let cursors = move |_: &Store| {
                let mut changes = Changes::new();
                this.before_commit(&mut changes);
                changes
            };
            if pipeline.commit_computed(cursors).await.is_err() {
                return;
            }
        }
    }

    /// Lets go of what nobody wants any more and of events that are too old, or too many.
    pub(super) async fn trim(&self, pipeline: &Pipeline) -> Result<(), Stopped> {
        {
            let _changing = self.changing.lock().await;
            let (webhooks, now) = (self.webhooks, clock::now_seconds());
            let state = self.store.outbox();
            let wanted = webhooks.union(state.kept_for_feeds(now));
            if !state.kept().without(wanted).is_empty() {
                self.kept.store(wanted.bits(), Ordering::Relaxed);
                let mut changes = Changes::new();
                changes.expire_kept_events(webhooks, now);
                pipeline.commit(changes, ()).await?;
            }
        }
        let before = clock::now_millis()
            .saturating_sub(u64::try_from(self.retention.as_millis()).unwrap_or(u64::MAX));
        // Once there is too much, some room is made, so that it does not come to this with every event.
        let room = if self.store.outbox().is_larger_than(self.max_bytes) {
            self.max_bytes / 10 * 9
        } else {
            self.max_bytes
        };
        let mut early = 0;
        loop {
            match pipeline
                .read_ahead(move |store| store.trim(before, room))
                .await
            {
                Ok(None) => break,
                Ok(Some(trim)) => {
                    early += trim.early;
                    pipeline.commit(trim.changes, ()).await?;
                }
                // The log has been told why.
                Err(_) => break,
            }
        }
        if early > 0 {
            warn!(
                events = early,
                max_bytes = self.max_bytes,
                "the outbox was full: its oldest events are gone before their time; whoever has not read them misses them"
            );
        }
        Ok(())
    }
}

/// The kinds of events that webhooks want.
fn wanted(settings: &config::Events) -> EventKinds {
    let kinds = settings.webhooks.iter().map(|webhook| webhook.types);
    kinds.fold(EventKinds::NONE, EventKinds::union)
}

/// The first change of a start: what is kept from now on, and which webhooks are no more.
pub(super) fn first_changes(
    settings: &config::Events,
    store: &Store,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::new();
    let wanted = wanted(settings);
    changes.expire_kept_events(wanted, clock::now_seconds());
    changes.keep_events(wanted, 0);
    for webhook in store.cursors()? {
        if !settings.webhooks.iter().any(|known| known.name == webhook) {
            info!(
                webhook,
                "a webhook is not configured any more and is forgotten"
            );
            changes.remove_cursor(&webhook);
        }
    }
    Ok(changes)
}

impl crate::events::EventSource for Outbox {
    fn id(&self) -> u32 {
        self.store.outbox().id
    }

    fn read(&self, position: u64, kinds: EventKinds, limit: usize) -> Result<Batch, OutboxError> {
        let failed = |error: StoreError| {
            error!(%error, "the outbox cannot be read");
            OutboxError(error.to_string())
        };
        let state = self.store.outbox();
        // A position beyond the end is of another database; everything that is here is new to its reader.
        let start = if position > state.last { 0 } else { position };
        let page = self
            .store
            .events(start.max(state.trimmed), kinds, limit, READ_BYTES)
            .map_err(failed)?;
        let event = |stored: crate::store::StoredEvent| Event {
            sequence: stored.sequence,
            id: EventId {
                outbox: state.id,
                sequence: stored.sequence,
            },
            kind: stored.kind,
            at: stored.at,
            body: stored.body.into(),
        };
        Ok(Batch {
            events: page.events.into_iter().map(event).collect(),
            position: page.position,
            missed: page.overtaken || state.misses(position, kinds),
        })
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    fn cursor(&self, webhook: &str) -> Result<Option<Cursor>, OutboxError> {
        if let Some(waiting) = self.cursors.lock().get(webhook) {
            return Ok(Some(cursor(waiting.clone())));
        }
        self.store
            .cursor(webhook)
            .map(|record| record.map(cursor))
            .map_err(|error| OutboxError(error.to_string()))
    }

    fn keep_cursor(&self, webhook: &str, cursor: Cursor) {
        let record = CursorRecord {
            position: cursor.position,
            gone: cursor.gone,
        };
        self.cursors.lock().insert(webhook.to_owned(), record);
    }
}

fn cursor(record: CursorRecord) -> Cursor {
    Cursor {
        position: record.position,
        gone: record.gone,
    }
}
