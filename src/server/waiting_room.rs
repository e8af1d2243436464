//! A room with a bounded number of places, and who gives way when they are all taken.
//!
//! It knows of each guest where it comes from and since when it has been silent. When somebody is wanted to give way, it
//! is one of those who have been silent for longer than the room allows: of the origin that has most of them, the one that has
//! been silent longest. Whoever makes progress, or is being served, is never asked.
//!
//! Where `kin` counts, nobody gives way while others of its origin finish what they came for: when thousands of clients in
//! one place come at once, each waits for its turn there, for seconds, and is no more to blame than those who have had it.
//! Progress short of that excuses only whoever makes it: a byte now and then costs nothing, and would excuse thousands.
//!
//! Somebody may also *wait* for a place in the next room. That is no silence, but one origin's many cannot shut the others
//! out by it: beyond an origin's share they give way like the silent ones, after these and after twice as long, and
//! kin counts.
//!
//! Pure: every call brings the time. A room is behind a lock that all connections share on their way in, so all it does
//! is done in a moment, but for the look at everybody; one look is good for many that give way, and the room remembers
//! from when on another can have an outcome.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::origin::{Finished, Origin};

/// For how many that give way one look at everybody is good.
const BATCH: usize = 512;
/// Of so many parts of a room one is an origin's share, up to which those who wait never give way.
const SHARES: usize = 64;

/// A guest's name in its room.
pub(super) type GuestId = u64;

/// Guests, each with what it takes to reach it.
#[derive(Debug)]
pub(super) struct WaitingRoom<B> {
    places: usize,
    longest_silence: Duration,
    /// Whether kin counts for everybody; for those who wait it always does.
    of_kin: bool,
    finished: Finished,
    guests: HashMap<GuestId, Guest<B>>,
    /// How many have been asked to give way and are still here.
    asked: usize,
    /// Who is to be asked next, from the end, and since when each was silent when that was found.
    next: Vec<(GuestId, Instant)>,
    /// Before this moment nobody else can have been silent for long enough. `None`: everybody is being served.
    earliest: Option<Instant>,
}

#[derive(Debug)]
struct Guest<B> {
    origin: Origin,
    /// `None` while it is being served: it is our turn, and its silence is no fault of its own.
    silent_since: Option<Instant>,
    /// Whether it waits for the next room.
    waits: bool,
    asked: bool,
    bell: B,
}

/// Who gives way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way<B> {
    /// This one is asked to; until it has left, or has made progress, nobody else needs to be.
    Ask(B),
    /// Nobody can before this moment.
    NotBefore(Instant),
    /// Nobody, as it is.
    Nobody,
}

impl<B: Clone> WaitingRoom<B> {
    /// A room of `places`, whose guests may be asked to give way after a silence of `longest_silence`.
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

    /// The same, where kin counts for everybody.
    pub(super) fn of_kin(places: usize, longest_silence: Duration) -> Self {
        Self {
            of_kin: true,
            ..Self::new(places, longest_silence)
        }
    }

    /// Whether there is a free place.
    pub(super) fn has_place(&self) -> bool {
        self.guests.len() < self.places
    }

    /// Whether somebody is about to leave who was asked to.
    pub(super) fn is_asked(&self) -> bool {
        self.asked > 0
    }

    /// Somebody comes in, silent up to now. Whether there is a place is for the caller to ask before.
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

    /// Somebody of this origin has finished what it came for, here or elsewhere.
    pub(super) fn finish(&mut self, origin: Origin, now: Instant) {
        self.finished.note(origin, now, self.longest_silence);
    }

    /// It has made progress, and waits for a place elsewhere. Returns whether it was asked to give way; it stays then.
    pub(super) fn wait(&mut self, id: GuestId, now: Instant) -> bool {
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.waits = true;
        }
        self.served(id, now)
    }

    /// It has made progress: it is silent only from now on, and stays if it was asked to give way. Returns whether it
    /// was: then somebody else has to be asked. Changes nothing while it is being served.
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

    /// It leaves. Returns whether it was here.
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

    /// Asks somebody to give way.
    pub(super) fn give_way(&mut self, now: Instant) -> Way<B> {
        loop {
            while let Some((id, since)) = self.next.pop() {
                let Some(guest) = self.guests.get_mut(&id) else {
                    continue;
                };
                if guest.silent_since != Some(since) || guest.asked {
                    continue;
                }
                // Its kin may have made progress since it was found.
                let due = due(
                    guest,
                    since,
                    self.of_kin,
                    &self.finished,
                    self.longest_silence,
                );
                if due > now {
                    self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
                } else {
                    guest.asked = true;
                    self.asked += 1;
                    return Way::Ask(guest.bell.clone());
                }
            }
            match self.earliest {
                None => return Way::Nobody,
                Some(earliest) if now < earliest => return Way::NotBefore(earliest),
                Some(_) => self.look(now),
            }
        }
    }

    /// Looks for those who are to give way next.
    fn look(&mut self, now: Instant) {
        let mut silent: HashMap<(bool, Origin), Vec<(Instant, GuestId)>> = HashMap::new();
        self.earliest = None;
        for (&id, guest) in self.guests.iter().filter(|(_, guest)| !guest.asked) {
            let Some(since) = guest.silent_since else {
                continue;
            };
            let due = due(
                guest,
                since,
                self.of_kin,
                &self.finished,
                self.longest_silence,
            );
            if due > now {
                self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
            } else {
                let group = silent.entry((guest.waits, guest.origin));
                group.or_default().push((since, id));
            }
        }
        // Each with how many of its group are left when it is its turn: those who wait come last; then the most come first,
        // and of equals the longest silence.
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
            // Those who are left out are found by the next look.
            self.earliest = Some(now);
            ranked.truncate(BATCH);
        } else if spared {
            // One after the other comes to the end of its time, within its share: not each is worth a look.
            let pause = now + self.longest_silence / 8;
            self.earliest = self.earliest.map(|earliest| earliest.max(pause));
        }
        let next = ranked.into_iter().rev();
        self.next = next.map(|(_, _, (since, id))| (id, since)).collect();
    }

    /// Somebody is silent from `now` on, and may have to give way one day.
    fn note_silence(&mut self, now: Instant) {
        let due = now + self.longest_silence;
        self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
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

/// When one that has been silent since then may have to give way.
fn due<B>(
    guest: &Guest<B>,
    since: Instant,
    of_kin: bool,
    finished: &Finished,
    longest_silence: Duration,
) -> Instant {
    let due = since
        + if guest.waits {
            2 * longest_silence
        } else {
            longest_silence
        };
    let kin = (of_kin || guest.waits).then(|| finished.last(guest.origin));
    kin.flatten()
        .map_or(due, |last| due.max(last + longest_silence))
}

#[cfg(test)]
mod tests;
