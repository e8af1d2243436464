//! One channel's subscriptions, and every decision about them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Roster;
use crate::protocol::{ConnectionId, Json, MemberEvent, names, same_value};

/// A connection in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The connection; of an absent subscription, the one that is gone.
    pub connection: ConnectionId,
    /// Its place in the channel's history: unique in the channel, and its key in the database.
    pub sequence: u64,
    /// The sequence at which its member joined; on a standard channel its own.
    pub joined: u64,
    /// When it last joined or changed its metadata, on the channel's sequence: the highest of a member's is shown.
    pub stamp: u64,
    /// Who; always there on a presence channel.
    pub uid: Option<Arc<str>>,
    /// Their metadata.
    pub umd: Json,
    /// The alias that the client calls the channel by.
    pub alias: Option<Box<str>>,
    /// Whether it counts in `subscriptionsCount`.
    pub counted: bool,
    /// Whether its connection is gone and its grace not yet over.
    pub absent: bool,
}

/// A request to join.
#[derive(Debug, Clone)]
pub struct Join {
    /// The joining connection.
    pub connection: ConnectionId,
    /// Who; needed on a presence channel.
    pub uid: Option<Arc<str>>,
    /// Their metadata.
    pub umd: Json,
    /// The alias that the client calls the channel by.
    pub alias: Option<Box<str>>,
    /// Whether it is to count in `subscriptionsCount`.
    pub counted: bool,
}

/// What a command changed: these records, and at most one member event.
#[derive(Debug, Default, PartialEq)]
pub struct Change {
    /// The subscription to write, new or changed.
    pub written: Option<Subscription>,
    /// The subscription that is no more.
    pub removed: Option<Subscription>,
    /// What the members must be told.
    pub event: Option<MemberChange>,
}

/// A change in what the list of members says.
#[derive(Debug, PartialEq)]
pub struct MemberChange {
    /// What became of the member.
    pub event: MemberEvent,
    /// `{"uid":…,"umd":…}`: of a removed member as it last stood in the list, else as it stands now.
    pub member: Vec<u8>,
}

/// The members' bytes would exceed the channel's capacity (section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the members of this channel may take {capacity} bytes and would take {needed}")]
pub struct CapacityReached {
    /// The limit, in bytes.
    pub capacity: u64,
    /// What the total would have been, in bytes.
    pub needed: u64,
}

/// Why a join is refused. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The connection is in the channel already.
    #[error("this connection is subscribed to the channel already")]
    AlreadySubscribed,
    /// A presence channel needs a `uid`.
    #[error("a presence channel needs a token with a uid")]
    UserIdRequired,
    /// The members' bytes would exceed the capacity.
    #[error(transparent)]
    CapacityReached(#[from] CapacityReached),
}

/// The subscriptions of one channel.
#[derive(Debug)]
pub struct Channel {
    subscriptions: HashMap<ConnectionId, Subscription>,
    /// The members; of a standard channel there are none.
    roster: Option<Roster>,
    /// The next sequence to hand out.
    next: u64,
    /// How many subscriptions count in `subscriptionsCount`.
    count: u64,
    /// How many subscriptions are live.
    live: usize,
}

impl Channel {
    /// An empty channel; the name tells whether it has a roster.
    pub fn new(name: &str) -> Self {
        Self {
            subscriptions: HashMap::new(),
            roster: names::is_presence(name).then(Roster::default),
            next: 1,
            count: 0,
            live: 0,
        }
    }

    /// The members, on a presence channel.
    pub fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    /// `subscriptionsCount`: of a presence channel absent subscriptions count, since their members are members; of a
    /// standard channel they do not.
    pub fn subscriptions_count(&self) -> u64 {
        self.count
    }

    /// The next sequence, to be stored with the channel: no number is ever given twice while it has subscriptions.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Whether nothing is left: no subscription, live or absent.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// This connection's subscription, live or absent.
    #[cfg(test)]
    pub fn subscription(&self, connection: ConnectionId) -> Option<&Subscription> {
        self.subscriptions.get(&connection)
    }

    /// Whether any subscription is live.
    pub fn has_live(&self) -> bool {
        self.live > 0
    }

    /// Puts back a subscription that the database knows from an earlier start: it is absent until its member returns or
    /// the grace ends. In any order; [`Channel::finish_restore`] completes it.
    pub fn restore(&mut self, mut subscription: Subscription) {
        subscription.absent = true;
        self.next = self
            .next
            .max(subscription.sequence + 1)
            .max(subscription.stamp + 1);
        if let (Some(roster), Some(uid)) = (&mut self.roster, &subscription.uid) {
            match roster.get_mut(uid) {
                Some(member) => member.connections.push(subscription.connection),
                None => roster.insert(
                    uid.clone(),
                    subscription.joined,
                    &subscription.umd,
                    subscription.connection,
                ),
            }
        }
        self.insert(subscription);
    }

    /// After the last [`Channel::restore`]: every member shows its most recent metadata, and no sequence below `next`
    /// is handed out again.
    pub fn finish_restore(&mut self, next: u64) {
        self.next = self.next.max(next);
        let Some(roster) = &mut self.roster else {
            return;
        };
        let several: Vec<Arc<str>> = self
            .subscriptions
            .values()
            .filter_map(|s| s.uid.as_ref())
            .filter(|uid| roster.get(uid).is_some_and(|m| m.connections.len() > 1))
            .cloned()
            .collect();
        for uid in several {
            if let Some(umd) = shown(&self.subscriptions, roster, &uid) {
                roster.show(&uid, &umd);
            }
        }
    }

    /// A connection joins.
    ///
    /// A returning uid takes an absent place over: the one with equal metadata if there is one, and then with the place
    /// goes its stamp, so that whatever the member shows stays as it is; else its most recent one.
    ///
    /// # Errors
    /// See [`JoinError`]; nothing has changed then.
    pub fn join(&mut self, join: Join, capacity: u64) -> Result<Change, JoinError> {
        if self.subscriptions.contains_key(&join.connection) {
            return Err(JoinError::AlreadySubscribed);
        }
        let sequence = self.next;
        let mut subscription = Subscription {
            connection: join.connection,
            sequence,
            joined: sequence,
            stamp: sequence,
            uid: join.uid,
            umd: join.umd,
            alias: join.alias,
            counted: join.counted,
            absent: false,
        };
        let mut change = Change::default();
        if let Some(roster) = &mut self.roster {
            let uid = subscription
                .uid
                .clone()
                .filter(|uid| !uid.is_empty())
                .ok_or(JoinError::UserIdRequired)?;
            let place = absent_place(&self.subscriptions, roster, &uid, &subscription.umd);
            if let Some(place) = place.and_then(|id| self.subscriptions.get(&id))
                && place.umd.same_value(&subscription.umd)
            {
                subscription.stamp = place.stamp;
            }
            // The newest stamp is shown, and only a taken-over place's stamp is not the newest.
            let is_shown = roster
                .get(&uid)
                .is_none_or(|_| subscription.stamp == sequence);
            if is_shown {
                check_capacity(roster, &uid, &subscription.umd, capacity)?;
            }
            match roster.get_mut(&uid) {
                Some(member) => {
                    subscription.joined = member.joined;
                    member.connections.push(subscription.connection);
                    if let Some(place) = place {
                        member.connections.retain(|id| *id != place);
                    }
                }
                None => {
                    roster.insert(
                        uid.clone(),
                        sequence,
                        &subscription.umd,
                        subscription.connection,
                    );
                    change.event = roster.entry(&uid).map(|entry| MemberChange {
                        event: MemberEvent::Added,
                        member: entry.to_vec(),
                    });
                }
            }
            change.removed = place.and_then(|place| self.take(place));
        }
        self.next += 1;
        change.written = Some(subscription.clone());
        let uid = subscription.uid.clone();
        self.insert(subscription);
        if change.event.is_none()
            && let Some(uid) = uid
        {
            change.event = self.refresh(&uid);
        }
        Ok(change)
    }

    /// A connection's subscription ends: by its own wish, or because the connection is over. `None` if it has none.
    pub fn leave(&mut self, connection: ConnectionId) -> Option<Change> {
        let removed = self.take(connection)?;
        let mut change = Change::default();
        if let (Some(roster), Some(uid)) = (&mut self.roster, &removed.uid)
            && let Some(member) = roster.get_mut(uid)
        {
            member.connections.retain(|id| *id != connection);
            change.event = if member.connections.is_empty() {
                roster.remove(uid).map(|entry| MemberChange {
                    event: MemberEvent::Removed,
                    member: entry,
                })
            } else {
                self.refresh(uid)
            };
        }
        change.removed = Some(removed);
        Some(change)
    }

    /// A connection's subscription gets other metadata. `None` where it has none, or where the metadata is equal.
    ///
    /// # Errors
    /// [`CapacityReached`]; nothing has changed then.
    pub fn update(
        &mut self,
        connection: ConnectionId,
        umd: &Json,
        capacity: u64,
    ) -> Result<Option<Change>, CapacityReached> {
        let Some(subscription) = self.subscriptions.get_mut(&connection) else {
            return Ok(None);
        };
        if subscription.umd.same_value(umd) {
            return Ok(None);
        }
        if let (Some(roster), Some(uid)) = (&self.roster, &subscription.uid) {
            check_capacity(roster, uid, umd, capacity)?;
        }
        subscription.umd = umd.clone();
        subscription.stamp = self.next;
        self.next += 1;
        let written = subscription.clone();
        let event = written.uid.as_ref().and_then(|uid| self.refresh(uid));
        Ok(Some(Change {
            written: Some(written),
            removed: None,
            event,
        }))
    }

    /// A connection is gone but keeps its place for a grace. Returns whether it had one to keep (presence channels only).
    pub fn keep_place(&mut self, connection: ConnectionId) -> bool {
        if self.roster.is_none() {
            return false;
        }
        match self.subscriptions.get_mut(&connection) {
            Some(subscription) => {
                self.live -= usize::from(!subscription.absent);
                subscription.absent = true;
                true
            }
            None => false,
        }
    }

    /// The grace of an absent subscription is over. `None` if its place was taken over meanwhile.
    pub fn end_absence(&mut self, connection: ConnectionId) -> Option<Change> {
        self.subscriptions
            .get(&connection)
            .is_some_and(|subscription| subscription.absent)
            .then(|| self.leave(connection))
            .flatten()
    }

    fn counts(&self, subscription: &Subscription) -> bool {
        subscription.counted && (self.roster.is_some() || !subscription.absent)
    }

    fn insert(&mut self, subscription: Subscription) {
        self.count += u64::from(self.counts(&subscription));
        self.live += usize::from(!subscription.absent);
        self.subscriptions
            .insert(subscription.connection, subscription);
    }

    fn take(&mut self, connection: ConnectionId) -> Option<Subscription> {
        let subscription = self.subscriptions.remove(&connection)?;
        self.count -= u64::from(self.counts(&subscription));
        self.live -= usize::from(!subscription.absent);
        if self.subscriptions.capacity() > 4 * self.subscriptions.len().max(16) {
            self.subscriptions.shrink_to(2 * self.subscriptions.len());
        }
        Some(subscription)
    }

    /// Lets a member show what it has to show now. An event, if that is something else than before.
    fn refresh(&mut self, uid: &str) -> Option<MemberChange> {
        let roster = self.roster.as_mut()?;
        let umd = shown(&self.subscriptions, roster, uid)?;
        let before = roster.entry(uid)?.to_vec();
        let member = roster.show(uid, &umd);
        (!same_entry(&before, &member)).then_some(MemberChange {
            event: MemberEvent::Updated,
            member,
        })
    }
}

/// The metadata that a member shows: that of its most recently joined or updated subscription.
fn shown(
    subscriptions: &HashMap<ConnectionId, Subscription>,
    roster: &Roster,
    uid: &str,
) -> Option<Json> {
    roster
        .get(uid)?
        .connections
        .iter()
        .filter_map(|id| subscriptions.get(id))
        .max_by_key(|subscription| subscription.stamp)
        .map(|subscription| subscription.umd.clone())
}

/// The absent place that a returning uid takes over.
fn absent_place(
    subscriptions: &HashMap<ConnectionId, Subscription>,
    roster: &Roster,
    uid: &str,
    umd: &Json,
) -> Option<ConnectionId> {
    roster
        .get(uid)?
        .connections
        .iter()
        .filter_map(|id| subscriptions.get(id))
        .filter(|subscription| subscription.absent)
        .max_by_key(|subscription| (subscription.umd.same_value(umd), subscription.stamp))
        .map(|subscription| subscription.connection)
}

fn check_capacity(
    roster: &Roster,
    uid: &str,
    umd: &Json,
    capacity: u64,
) -> Result<(), CapacityReached> {
    let needed = roster.bytes_with(uid, umd);
    // What makes the list no longer is always allowed, even where a leave has let a larger entry show again.
    if needed > capacity && needed > roster.bytes() {
        return Err(CapacityReached { capacity, needed });
    }
    Ok(())
}

/// Whether two entries of one uid are the same value; the texts may differ in the order of keys and in how numbers are
/// written.
fn same_entry(a: &[u8], b: &[u8]) -> bool {
    a == b
        || match (std::str::from_utf8(a), std::str::from_utf8(b)) {
            (Ok(a), Ok(b)) => same_value(a, b),
            _ => false,
        }
}
