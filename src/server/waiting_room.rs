//! A room with a bounded number of places, and the rule by which a guest gives way when all are taken.
//!
//! The room knows each guest's origin and since when it has been silent. Guests that have been silent for longer than the
//! room allows may be asked. Of these, the room asks one of the origin that has the most of them, the longest silent first.
//! A guest that makes progress, or that the server works for, is never asked.
//!
//! Where *kin* counts, a guest is excused as long as others of its origin finish. Thousands of clients behind one address may
//! come at once; each then waits for its turn there, for seconds, through no fault of its own. Only finishing excuses others.
//! Lesser progress excuses only the guest that makes it: otherwise one byte now and then would excuse thousands.
//!
//! A guest may also *wait* for a place in the next room. Waiting is not silence, but the many of one origin must not shut out
//! all others by it. So beyond an origin's share the waiting give way too: after all silent ones, after twice the time, and
//! kin counts.
//!
//! Pure: each call brings the time. All connections share the lock around a room on their way in, so every operation is
//! short, except the search through all guests. One search serves many requests to give way, and the room remembers when
//! the next one can find anybody.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::origin::{Finished, Origin};

/// How many candidates one search keeps.
const BATCH: usize = 512;
/// An origin's share of a room is one in so many places. Up to it, its waiting guests never give way.
const SHARES: usize = 64;

pub(super) type GuestId = u64;

/// The guests, each with a `B` by which the caller reaches it.
#[derive(Debug)]
pub(super) struct WaitingRoom<B> {
    places: usize,
    longest_silence: Duration,
    /// Whether kin counts for all guests; for the waiting it always does.
    of_kin: bool,
    finished: Finished,
    guests: HashMap<GuestId, Guest<B>>,
    /// How many have been asked to give way and are still here.
    asked: usize,
    /// The candidates of the last search, the next one at the end, each with the silence that it had then.
    next: Vec<(GuestId, Instant)>,
    /// A search before this moment finds nobody. `None`: all guests are being served.
    earliest: Option<Instant>,
}

#[derive(Debug)]
struct Guest<B> {
    origin: Origin,
    /// `None` while the server works for it.
    silent_since: Option<Instant>,
    /// Whether it waits for the next room.
    waits: bool,
    asked: bool,
    bell: B,
}

/// Which guest gives way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way<B> {
    /// This one is asked. Until it has left or has made progress, no other needs to be.
    Ask(B),
    /// None before this moment.
    NotBefore(Instant),
    /// None, until something changes.
    Nobody,
}

impl<B: Clone> WaitingRoom<B> {
    /// A room whose guests may be asked to give way after a silence of `longest_silence`.
    pub(super) fn new(places: usize, longest_silence: Duration) -> Self {
        Self {
            places,
            longest_silence,
            of_kin: false,
            finished: Finished::new(2 * places),
            guests: HashMap::new(),
            asked: 0,
            next: Vec::new(),
            earliest: None,
        }
    }

    /// A room where kin counts for all guests.
    pub(super) fn of_kin(places: usize, longest_silence: Duration) -> Self {
        Self {
            of_kin: true,
            ..Self::new(places, longest_silence)
        }
    }

    pub(super) fn has_place(&self) -> bool {
        self.guests.len() < self.places
    }

    /// Whether a guest has been asked and is about to leave.
    pub(super) fn is_asked(&self) -> bool {
        self.asked > 0
    }

    /// A guest comes in; its silence begins. The caller has made sure that there is a place.
    pub(super) fn enter(&mut self, id: GuestId, origin: Origin, bell: B, now: Instant) {
        self.note_silence(now);
        let guest = Guest {
            origin,
            silent_since: Some(now),
            waits: false,
            asked: false,
            bell,
        };
        self.guests.insert(id, guest);
    }

    /// A guest of this origin has finished, in this room or another.
    pub(super) fn finish(&mut self, origin: Origin, now: Instant) {
        self.finished.note(origin, now, self.longest_silence);
    }

    /// It has made progress, and waits for a place in the next room. Returns whether it was asked to give way; it stays then.
    pub(super) fn wait(&mut self, id: GuestId, now: Instant) -> bool {
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.waits = true;
        }
        self.served(id, now)
    }

    /// It has made progress; its silence begins anew. Returns whether it was asked to give way; it stays then. Changes
    /// nothing while it is being served.
    pub(super) fn heard(&mut self, id: GuestId, now: Instant) -> bool {
        let served = |guest: &Guest<B>| guest.silent_since.is_none();
        if self.guests.get(&id).is_none_or(served) {
            return false;
        }
        self.served(id, now)
    }

    /// It has made progress, and is being served from now on. Returns whether it was asked to give way; it stays then.
    pub(super) fn serve(&mut self, id: GuestId) -> bool {
        self.set_silence(id, None)
    }

    /// It has been served, and is silent from now on. Returns whether it was asked to give way; it stays then.
    pub(super) fn served(&mut self, id: GuestId, now: Instant) -> bool {
        self.note_silence(now);
        self.set_silence(id, Some(now))
    }

    /// Whether it has been asked to give way, and has made no progress since.
    pub(super) fn must_go(&self, id: GuestId) -> bool {
        self.guests.get(&id).is_some_and(|guest| guest.asked)
    }

    /// Returns whether it was here.
    pub(super) fn leave(&mut self, id: GuestId) -> bool {
        let guest = self.guests.remove(&id);
        if guest.as_ref().is_some_and(|guest| guest.asked) {
            self.asked -= 1;
        }
        if self.guests.capacity() > 4 * self.guests.len().max(256) {
            self.guests.shrink_to(2 * self.guests.len());
        }
        guest.is_some()
    }

    /// Asks a guest to give way.
    pub(super) fn give_way(&mut self, now: Instant) -> Way<B> {
        loop {
            while let Some((id, since)) = self.next.pop() {
                let found = self.guests.get(&id);
                let Some(guest) = found.filter(|g| g.silent_since == Some(since) && !g.asked)
                else {
                    continue;
                };
                // Its kin may have finished since the search.
                let due = self.due(guest, since);
                if due > now {
                    self.search_from(due);
                } else if let Some(guest) = self.guests.get_mut(&id) {
                    guest.asked = true;
                    self.asked += 1;
                    return Way::Ask(guest.bell.clone());
                }
            }
            match self.earliest {
                None => return Way::Nobody,
                Some(earliest) if now < earliest => return Way::NotBefore(earliest),
                Some(_) => self.search(now),
            }
        }
    }

    /// Searches all guests for the next candidates.
    fn search(&mut self, now: Instant) {
        let mut silent: HashMap<(bool, Origin), Vec<(Instant, GuestId)>> = HashMap::new();
        let mut earliest: Option<Instant> = None;
        for (&id, guest) in self.guests.iter().filter(|(_, guest)| !guest.asked) {
            let Some(since) = guest.silent_since else {
                continue;
            };
            let due = self.due(guest, since);
            if due > now {
                earliest = Some(earliest.map_or(due, |earliest| earliest.min(due)));
            } else {
                let group = silent.entry((guest.waits, guest.origin));
                group.or_default().push((since, id));
            }
        }
        self.earliest = earliest;
        // Each is ranked with how many of its group are left when its turn comes. The waiting come last; then the largest
        // group comes first, and within it the longest silence.
        let mut ranked = Vec::new();
        let mut spared = false;
        for ((waits, _), mut guests) in silent {
            guests.sort_unstable();
            let share = if waits { self.places / SHARES } else { 0 };
            spared |= share > 0;
            let left = (share + 1..=guests.len()).rev();
            ranked.extend(
                left.zip(guests)
                    .map(|(left, guest)| (waits, Reverse(left), guest)),
            );
        }
        ranked.sort_unstable();
        if ranked.len() > BATCH {
            // The next search finds those left out.
            self.earliest = Some(now);
            ranked.truncate(BATCH);
        } else if spared {
            // The spared reach the end of their time one after the other; a search for each would be too many.
            let pause = now + self.longest_silence / 8;
            self.earliest = self.earliest.map(|earliest| earliest.max(pause));
        }
        let next = ranked.into_iter().rev();
        self.next = next.map(|(_, _, (since, id))| (id, since)).collect();
    }

    /// A silence begins: when it has lasted too long, a search can find its guest.
    fn note_silence(&mut self, now: Instant) {
        self.search_from(now + self.longest_silence);
    }

    fn search_from(&mut self, due: Instant) {
        self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
    }

    /// When a guest that has been silent since then may be asked to give way.
    fn due(&self, guest: &Guest<B>, since: Instant) -> Instant {
        let silences = if guest.waits { 2 } else { 1 };
        let due = since + silences * self.longest_silence;
        let kin = (self.of_kin || guest.waits).then(|| self.finished.last(guest.origin));
        kin.flatten()
            .map_or(due, |last| due.max(last + self.longest_silence))
    }

    fn set_silence(&mut self, id: GuestId, silent_since: Option<Instant>) -> bool {
        let Some(guest) = self.guests.get_mut(&id) else {
            return false;
        };
        guest.silent_since = silent_since;
        let asked = std::mem::take(&mut guest.asked);
        if asked {
            self.asked -= 1;
        }
        asked
    }
}

#[cfg(test)]
mod tests;
