//! A room with a bounded number of places, and who gives way when they are all taken.
//!
//! It knows of each guest where it comes from and since when it has been silent. When somebody is wanted to give way, it
//! is one of those who have been silent for the room's patience: of the origin that has most of them, the one that has
//! been silent longest. Whoever makes progress, or is being served, is never asked.
//!
//! Where `kin` counts, nobody gives way while others of its origin go on: when thousands of clients in one place come at
//! once, each waits for its turn there, for seconds, and is no more to blame than one that makes a little progress itself.
//!
//! Pure: every call brings the time. A room is behind a lock that all connections share on their way in, so all it does
//! is done in a moment, but for the look at everybody; one look is good for many that give way, and the room remembers
//! from when on another can have an outcome.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Who counts as one: an IPv4 address, or the 64 bits of an IPv6 address that a single customer has at the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    /// The origin of an address. A socket for both families shows IPv4 clients as `::ffff:192.0.2.1`.
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        })
    }
}

/// For how many that give way one look at everybody is good.
const BATCH: usize = 512;

/// A guest's name in its room.
pub(super) type GuestId = u64;

/// Guests, each with what it takes to reach it.
#[derive(Debug)]
pub(super) struct WaitingRoom<B> {
    places: usize,
    patience: Duration,
    /// When somebody of an origin last made progress; `None` where that does not count for the others.
    kin: Option<HashMap<Origin, Instant>>,
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
    /// A room of `places`, whose guests may be asked to give way after a silence of `patience`.
    pub(super) fn new(places: usize, patience: Duration) -> Self {
        Self {
            places,
            patience,
            kin: None,
            guests: HashMap::new(),
            asked: 0,
            next: Vec::new(),
            earliest: None,
        }
    }

    /// The same, where the progress of others of its origin counts for each.
    pub(super) fn of_kin(places: usize, patience: Duration) -> Self {
        Self {
            kin: Some(HashMap::new()),
            ..Self::new(places, patience)
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
        self.stir(origin, now);
        let guest = Guest {
            origin,
            silent_since: Some(now),
            asked: false,
            bell,
        };
        self.guests.insert(id, guest);
    }

    /// Somebody of this origin makes progress, here or elsewhere.
    pub(super) fn stir(&mut self, origin: Origin, now: Instant) {
        let (patience, most) = (self.patience, 2 * self.places);
        if let Some(kin) = &mut self.kin {
            kin.insert(origin, now);
            if kin.len() > most {
                kin.retain(|_, stirred| *stirred + patience > now);
            }
        }
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
    pub(super) fn serve(&mut self, id: GuestId, now: Instant) -> bool {
        self.set_silence(id, None, now)
    }

    /// It has been served, and is silent from now on. Returns whether it was asked to give way; it stays then.
    pub(super) fn served(&mut self, id: GuestId, now: Instant) -> bool {
        self.note_silence(now);
        self.set_silence(id, Some(now), now)
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
                let due = due(since, guest.origin, &self.kin, self.patience);
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
        let mut silent: HashMap<Origin, Vec<(Instant, GuestId)>> = HashMap::new();
        self.earliest = None;
        for (&id, guest) in self.guests.iter().filter(|(_, guest)| !guest.asked) {
            let Some(since) = guest.silent_since else {
                continue;
            };
            let due = due(since, guest.origin, &self.kin, self.patience);
            if due > now {
                self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
            } else {
                silent.entry(guest.origin).or_default().push((since, id));
            }
        }
        // Each with how many silent ones of its origin are left when it is its turn: the most come first, and of equals
        // the longest silence.
        let mut ranked = Vec::new();
        for mut guests in silent.into_values() {
            guests.sort_unstable();
            let left = (1..=guests.len()).rev();
            ranked.extend(left.zip(guests).map(|(left, guest)| (Reverse(left), guest)));
        }
        ranked.sort_unstable();
        if let Some((_, (since, _))) = ranked.get(BATCH) {
            // Those who are left out are found by the next look.
            self.earliest = Some(*since + self.patience);
            ranked.truncate(BATCH);
        }
        let next = ranked.into_iter().rev();
        self.next = next.map(|(_, (since, id))| (id, since)).collect();
    }

    /// Somebody is silent from `now` on, and may have to give way one day.
    fn note_silence(&mut self, now: Instant) {
        let due = now + self.patience;
        self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
    }

    fn set_silence(&mut self, id: GuestId, silent_since: Option<Instant>, now: Instant) -> bool {
        let Some(guest) = self.guests.get_mut(&id) else {
            return false;
        };
        guest.silent_since = silent_since;
        let origin = guest.origin;
        let asked = std::mem::take(&mut guest.asked);
        if asked {
            self.asked -= 1;
        }
        self.stir(origin, now);
        asked
    }
}

/// When one that has been silent since then may have to give way.
fn due(
    since: Instant,
    origin: Origin,
    kin: &Option<HashMap<Origin, Instant>>,
    patience: Duration,
) -> Instant {
    let stirred = kin.as_ref().and_then(|kin| kin.get(&origin));
    stirred.map_or(since, |stirred| since.max(*stirred)) + patience
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn v4(last: u8) -> Origin {
        Origin::of(IpAddr::from([192, 0, 2, last]))
    }

    /// A room in which everybody's bell is its id.
    fn room(guests: &[(GuestId, Origin, Instant)]) -> WaitingRoom<GuestId> {
        let mut room = WaitingRoom::new(guests.len(), PATIENCE);
        for &(id, origin, since) in guests {
            room.enter(id, origin, id, since);
        }
        room
    }

    fn asked(room: &mut WaitingRoom<GuestId>, now: Instant) -> Option<GuestId> {
        match room.give_way(now) {
            Way::Ask(id) => Some(id),
            Way::NotBefore(_) | Way::Nobody => None,
        }
    }

    #[test]
    fn an_ipv6_customer_is_one_and_a_mapped_ipv4_address_is_itself() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn the_origin_with_most_silent_ones_gives_way_oldest_first() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut room = room(&[
            (1, v4(1), at(0)),
            (2, v4(2), at(2)),
            (3, v4(2), at(1)),
            (4, v4(2), at(3)),
        ]);
        let now = at(5_000);
        assert_eq!(asked(&mut room, now), Some(3));
        assert_eq!(asked(&mut room, now), Some(2));
        // One each is left: the longest silence.
        assert_eq!(asked(&mut room, now), Some(1));
        assert_eq!(asked(&mut room, now), Some(4));
        assert_eq!(asked(&mut room, now), None);
    }

    #[test]
    fn a_crowd_of_one_64_counts_as_one() {
        let start = Instant::now();
        let v6 = |text: &str| Origin::of(text.parse().unwrap());
        let mut room = room(&[
            (1, v6("2001:db8:9::1"), start),
            (2, v6("2001:db8::1"), start),
            (3, v6("2001:db8::2"), start),
        ]);
        assert_eq!(asked(&mut room, start + PATIENCE), Some(2));
    }

    #[test]
    fn where_kin_counts_nobody_gives_way_while_others_of_its_origin_go_on() {
        let start = Instant::now();
        let mut room = WaitingRoom::of_kin(3, PATIENCE);
        for (id, origin) in [(1, v4(1)), (2, v4(1)), (3, v4(2))] {
            room.enter(id, origin, id, start);
        }
        let later = start + PATIENCE / 2;
        room.heard(1, later);
        // The other origin is silent, though it has fewer here.
        assert_eq!(asked(&mut room, start + PATIENCE), Some(3));
        assert_eq!(
            room.give_way(start + PATIENCE),
            Way::NotBefore(later + PATIENCE)
        );
        // What goes on elsewhere counts too.
        room.stir(v4(1), start + PATIENCE);
        assert_eq!(
            room.give_way(later + PATIENCE),
            Way::NotBefore(start + 2 * PATIENCE)
        );
        assert_eq!(asked(&mut room, start + 2 * PATIENCE), Some(2));
    }

    #[test]
    fn many_give_way_in_the_order_of_one_after_the_other() {
        let start = Instant::now();
        let guests: Vec<_> = (0..3 * BATCH as u64)
            .map(|id| {
                let since = start + Duration::from_micros(id * 7_919 % 10_007);
                (id, v4((id % 5 * id % 3) as u8), since)
            })
            .collect();
        let mut room = room(&guests);
        let mut left = guests;
        for _ in 0..BATCH {
            let count = |origin| left.iter().filter(|guest| guest.1 == origin).count();
            let expected = left
                .iter()
                .max_by_key(|guest| (count(guest.1), Reverse((guest.2, guest.0))))
                .map(|guest| guest.0);
            assert_eq!(asked(&mut room, start + 2 * PATIENCE), expected);
            left.retain(|guest| Some(guest.0) != expected);
        }
        // Those whom the first look left out come after them.
        for _ in 0..left.len() {
            assert!(asked(&mut room, start + 2 * PATIENCE).is_some());
        }
        assert_eq!(asked(&mut room, start + 2 * PATIENCE), None);
    }

    #[test]
    fn nobody_gives_way_before_the_patience_is_over_nor_while_served() {
        let start = Instant::now();
        let mut room = room(&[(1, v4(1), start), (2, v4(1), start)]);
        let early = start + PATIENCE / 2;
        assert_eq!(room.give_way(early), Way::NotBefore(start + PATIENCE));
        assert!(!room.heard(1, early));
        room.serve(2, early);
        assert_eq!(
            room.give_way(start + PATIENCE),
            Way::NotBefore(early + PATIENCE)
        );
        room.serve(1, early);
        assert_eq!(room.give_way(early + PATIENCE), Way::Nobody);
        // What it sends meanwhile changes nothing; only when it has been served it is silent again.
        room.heard(2, early + PATIENCE);
        assert_eq!(room.give_way(early + PATIENCE), Way::Nobody);
        room.served(2, early + PATIENCE);
        assert_eq!(asked(&mut room, early + 2 * PATIENCE), Some(2));
    }

    #[test]
    fn who_makes_progress_after_having_been_asked_stays() {
        let start = Instant::now();
        let mut room = room(&[(1, v4(1), start), (2, v4(1), start)]);
        let now = start + PATIENCE;
        assert_eq!(asked(&mut room, now), Some(1));
        assert!(room.must_go(1) && room.is_asked());
        assert!(room.heard(1, now));
        assert!(!room.must_go(1) && !room.is_asked());
        assert_eq!(asked(&mut room, now), Some(2));
        assert!(!room.has_place());
        assert!(room.leave(2) && !room.leave(2));
        assert!(room.has_place() && !room.is_asked());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter(u8),
        Heard(GuestId),
        Serve(GuestId),
        Served(GuestId),
        Leave(GuestId),
        Pass(u64),
        GiveWay,
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 0..12u64;
        prop_oneof![
            (0..3u8).prop_map(Step::Enter),
            id.clone().prop_map(Step::Heard),
            id.clone().prop_map(Step::Serve),
            id.clone().prop_map(Step::Served),
            id.prop_map(Step::Leave),
            (0..3_000u64).prop_map(Step::Pass),
            Just(Step::GiveWay),
        ]
    }

    proptest! {
        /// Against a plain list: whoever is asked has been silent for long enough, and somebody is asked whenever there is
        /// such a one.
        #[test]
        fn the_room_answers_as_a_plain_list_would(steps in prop::collection::vec(step(), 0..60)) {
            let mut now = Instant::now();
            let mut room = WaitingRoom::new(12, PATIENCE);
            let mut list: Vec<(GuestId, Origin, Option<Instant>, bool)> = Vec::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Enter(origin) => {
                        room.enter(next, v4(origin), next, now);
                        list.push((next, v4(origin), Some(now), false));
                        next += 1;
                    }
                    Step::Heard(id) => {
                        let was = list.iter_mut().find(|guest| guest.0 == id && guest.2.is_some());
                        let asked = was.is_some_and(|guest| {
                            guest.2 = Some(now);
                            std::mem::take(&mut guest.3)
                        });
                        prop_assert_eq!(room.heard(id, now), asked);
                    }
                    Step::Served(id) => {
                        room.served(id, now);
                        for guest in list.iter_mut().filter(|guest| guest.0 == id) {
                            (guest.2, guest.3) = (Some(now), false);
                        }
                    }
                    Step::Serve(id) => {
                        room.serve(id, now);
                        for guest in list.iter_mut().filter(|guest| guest.0 == id) {
                            (guest.2, guest.3) = (None, false);
                        }
                    }
                    Step::Leave(id) => {
                        let was = list.iter().any(|guest| guest.0 == id);
                        list.retain(|guest| guest.0 != id);
                        prop_assert_eq!(room.leave(id), was);
                    }
                    Step::Pass(ms) => now += Duration::from_millis(ms),
                    Step::GiveWay => {
                        let mut silent = list
                            .iter_mut()
                            .filter(|guest| !guest.3 && guest.2.is_some_and(|since| since + PATIENCE <= now));
                        match asked(&mut room, now) {
                            Some(id) => silent.find(|guest| guest.0 == id).unwrap().3 = true,
                            None => prop_assert!(silent.next().is_none()),
                        }
                    }
                }
                prop_assert_eq!(room.is_asked(), list.iter().any(|guest| guest.3));
                prop_assert_eq!(room.has_place(), list.len() < 12);
            }
        }
    }
}
