//! Events out (section 13): which are kept, how a change tells of itself, and the outbox as its readers see it.
//!
//! An event goes into the [`Changes`] of what it tells of, so that neither is on disk without the other. Types that
//! nobody wants are not kept: wanted are those of the webhooks, and those of every feed that was read within the
//! retention, since its reader may come back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::pipeline::Pipeline;
use super::refusal::Stopped;
use super::room::State;
use super::run::Run;
use crate::config;
use crate::events::{Batch, Cursor, Event, EventId, OutboxError};
use crate::presence::{Change, MemberChange, Subscription};
use crate::protocol::event_out::{self, ConnectionData};
use crate::protocol::{
    ConnectionId, EventKind, EventKinds, MemberEvent, MessageId, Meta, RemovalReason, frame,
};
use crate::store::{
    Changes, ConnectionRecord, CursorRecord, ListAt, Occasion, OutboxState, Store, StoreError,
};
use crate::world::{clock, tasks};

/// A run of member lists is not given up before its edits have this many bytes,
const SHORTEST_RUN: usize = 8 * 1024;
/// and as many as so many lists: whoever reads in the midst of one has them to make, and a new one to write costs a list.
const LISTS_A_RUN: usize = 2;
/// What an edit takes besides its text, in bytes.
const EDIT_OVERHEAD: usize = 128;
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

/// What made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A connection joined.
    Joined,
    /// A subscription's metadata changed.
    Updated,
    /// A subscription ended.
    Left(RemovalReason),
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

    /// A connection's event, if it is kept.
    pub(super) fn tell_of_connection(
        &self,
        changes: &mut Changes,
        kind: EventKind,
        id: ConnectionId,
        record: &ConnectionRecord,
    ) {
        if !self.keeps(kind) {
            return;
        }
        let now = clock::now_millis();
        let ended = (kind == EventKind::Disconnected).then(|| clock::rfc3339(now / 1000));
        let body = event_out::connection(
            kind,
            ConnectionData {
                id: &id.to_string(),
                connected_at: &clock::rfc3339(record.connected_at / 1000),
                disconnected_at: ended.as_deref(),
                keep_alive: record.keep_alive,
                source_ip: &record.source_ip,
                uid: record.uid.as_deref(),
                umd: &record.umd,
                user_agent: record.user_agent.as_deref(),
            },
        );
        changes.put_document(kind, now, body);
    }

    /// The events of a change in a channel, as far as they are kept: whose subscription ended, whose began, what that
    /// makes of the members, and how many subscriptions there are now.
    pub(super) fn tell_of_change(
        &self,
        channel: &str,
        state: &mut State,
        (change, cause): (&Change, Cause),
        next_id: impl FnOnce() -> MessageId,
        changes: &mut Changes,
    ) {
        let occasion = Occasion {
            channel,
            at: clock::now_millis(),
        };
        let kept = self.kept();
        let mut subscription = |kind, subscription: &Subscription| {
            if kept.contains(kind) {
                let who = frame::meta_json(Meta {
                    uid: subscription.uid.as_deref(),
                    umd: &subscription.umd,
                });
                changes.put_subscription_event(kind, occasion, subscription.connection, who);
            }
        };
        if let Some(removed) = &change.removed {
            subscription(EventKind::Unsubscribed, removed);
        }
        if let (Some(written), Cause::Joined) = (&change.written, cause) {
            subscription(EventKind::Subscribed, written);
        }
        if let Some(event) = &change.event {
            let reason = match cause {
                Cause::Left(reason) => Some(reason),
                Cause::Joined | Cause::Updated => None,
            };
            self.tell_of_member(occasion, state, (event, reason), next_id, changes);
        }
        let count = state.presence.subscriptions_count();
        if state.told_count != count {
            state.told_count = count;
            if kept.contains(EventKind::ChannelUpdated) {
                changes.put_channel_event(occasion, count);
            }
        }
    }

    /// A member's event. Its list is kept as an edit of the channel's run of lists, or begins a new run.
    fn tell_of_member(
        &self,
        occasion: Occasion<'_>,
        state: &mut State,
        (event, reason): (&MemberChange, Option<RemovalReason>),
        next_id: impl FnOnce() -> MessageId,
        changes: &mut Changes,
    ) {
        const MEMBERS: [EventKind; 3] = [
            EventKind::MemberAdded,
            EventKind::MemberUpdated,
            EventKind::MemberRemoved,
        ];
        let Some(roster) = state.presence.roster() else {
            return;
        };
        let kept = self.kept();
        let wanted_at_all = MEMBERS.into_iter().any(|kind| kept.contains(kind));
        let (kind, reason) = match event.event {
            MemberEvent::Added => (EventKind::MemberAdded, None),
            MemberEvent::Updated => (EventKind::MemberUpdated, None),
            MemberEvent::Removed => (EventKind::MemberRemoved, reason),
        };
        let tell = kept.contains(kind);
        let is_last = state.presence.is_empty();
        let mut ends = Vec::new();
        match &mut state.run {
            Some(run)
                if wanted_at_all
                    && run
                        .roster_edits
                        .is_some_and(|edits| edits + 1 == roster.edits())
                    && !(tell
                        && run.bytes > (LISTS_A_RUN * roster.list().len()).max(SHORTEST_RUN)) =>
            {
                let (edit, put) = roster.last_edit();
                run.edits += 1;
                run.bytes += put.len() + EDIT_OVERHEAD;
                run.roster_edits = Some(roster.edits());
                let list = ListAt {
                    run: run.id,
                    edits: run.edits,
                };
                changes.put_run_edit(occasion.channel, list, edit.at, edit.cut, put);
            }
            run if tell => {
                let id = next_id().to_bytes();
                changes.put_run(occasion.channel, id, roster.list());
                let before = run.replace(Run {
                    id,
                    edits: 0,
                    bytes: 0,
                    roster_edits: Some(roster.edits()),
                });
                ends.extend(before.map(|run| run.id));
            }
            // The run does not lead to this list; the next event that is told begins a new one.
            _ => {}
        }
        if let Some(run) = &state.run
            && tell
        {
            if is_last {
                ends.push(run.id);
            }
            let list = ListAt {
                run: run.id,
                edits: run.edits,
            };
            changes.put_member_event(kind, occasion, reason, event.member.clone(), list, &ends);
        } else if let Some(run) = &state.run
            && (is_last || !wanted_at_all)
        {
            changes.end_run(occasion, run.id);
        }
        if is_last || !wanted_at_all {
            state.run = None;
        }
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
    pub(super) async fn keep_cursors(&self, pipeline: &Pipeline) {
        loop {
            tasks::sleep(CURSOR_PAUSE).await;
            if self.cursors.lock().is_empty() {
                continue;
            }
            let mut changes = Changes::new();
            self.before_commit(&mut changes);
            if pipeline.commit(changes, ()).await.is_err() {
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

impl crate::events::Outbox for Outbox {
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
