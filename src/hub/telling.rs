//! How a change tells of itself to back ends (section 13).
//!
//! An event goes into the [`Changes`] of what it tells of, so that neither is on disk without the other.

use super::outbox::Outbox;
use super::room::State;
use crate::presence::{Change, MemberChange, Place, Record, Subscription, Wanted};
use crate::protocol::event_out::{self, ConnectionData};
use crate::protocol::{
    ConnectionId, EventKind, MemberEvent, MessageId, Meta, RemovalReason, frame,
};
use crate::store::{Changes, ConnectionRecord, ListAt, Occasion};
use crate::world::clock;

/// The events that carry a list of members.
const MEMBERS: [EventKind; 3] = [
    EventKind::MemberAdded,
    EventKind::MemberUpdated,
    EventKind::MemberRemoved,
];

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
        let mut subscription = |kind, subscription: &Subscription| {
            if self.keeps(kind) {
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
            if self.keeps(EventKind::ChannelUpdated) {
                changes.put_channel_event(occasion, count);
            }
        }
    }

    /// A member's event, and what it adds to the log of the channel's lists.
    fn tell_of_member(
        &self,
        occasion: Occasion<'_>,
        state: &mut State,
        (event, reason): (&MemberChange, Option<RemovalReason>),
        next_id: impl FnOnce() -> MessageId,
        changes: &mut Changes,
    ) {
        let Some(roster) = state.presence.roster() else {
            return;
        };
        let (kind, reason) = match event.event {
            MemberEvent::Added => (EventKind::MemberAdded, None),
            MemberEvent::Updated => (EventKind::MemberUpdated, None),
            MemberEvent::Removed => (EventKind::MemberRemoved, reason),
        };
        let wanted = if self.keeps(kind) {
            Wanted::This
        } else if MEMBERS.into_iter().any(|kind| self.keeps(kind)) {
            Wanted::Later
        } else {
            Wanted::None
        };
        let new_run = || next_id().to_bytes();
        let entry = state.lists.note(roster, wanted, new_run);
        let at = |Place { run, edits }| ListAt { run, edits };
        match entry.record {
            Some(Record::Base { run, list }) => changes.put_run(occasion.channel, run, list),
            Some(Record::Edit { place, edit, put }) => {
                changes.put_run_edit(occasion.channel, at(place), edit.at, edit.cut, put);
            }
            None => {}
        }
        match entry.place.map(at) {
            Some(list) => {
                let who = event.member.clone();
                changes.put_member_event(kind, occasion, reason, who, list, &entry.ends);
            }
            None => changes.end_runs(occasion, &entry.ends),
        }
    }
}
