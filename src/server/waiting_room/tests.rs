use std::net::IpAddr;

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
fn where_kin_counts_only_what_others_have_finished_excuses() {
    let start = Instant::now();
    let mut room = WaitingRoom::of_kin(3, PATIENCE);
    for (id, origin) in [(1, v4(1)), (2, v4(1)), (3, v4(1)), (4, v4(2))] {
        room.enter(id, origin, id, start);
    }
    let later = start + PATIENCE / 2;
    room.finish(v4(1), later);
    // The other origin is silent, though it has fewer here.
    assert_eq!(asked(&mut room, start + PATIENCE), Some(4));
    let excused = Way::NotBefore(later + PATIENCE);
    assert_eq!(room.give_way(start + PATIENCE), excused);
    // A little progress excuses only who makes it, and one more who comes in excuses nobody.
    room.heard(1, start + PATIENCE);
    room.enter(5, v4(1), 5, start + PATIENCE);
    assert_eq!(asked(&mut room, later + PATIENCE), Some(2));
    assert_eq!(asked(&mut room, later + PATIENCE), Some(3));
    assert_eq!(asked(&mut room, later + PATIENCE), None);
}

#[test]
fn who_waits_gives_way_beyond_its_origins_share_and_after_the_silent() {
    let start = Instant::now();
    let share = 2;
    let mut room = WaitingRoom::new(share * SHARES, PATIENCE);
    for id in 0..6 {
        room.enter(id, v4((id / 4) as u8), id, start);
        room.wait(id, start);
    }
    room.enter(9, v4(3), 9, start);
    assert_eq!(asked(&mut room, start + PATIENCE), Some(9));
    assert_eq!(asked(&mut room, start + PATIENCE), None);
    // Kin counts.
    room.finish(v4(0), start + PATIENCE * 3 / 2);
    assert_eq!(asked(&mut room, start + 2 * PATIENCE), None);
    let later = start + PATIENCE * 5 / 2;
    assert_eq!(asked(&mut room, later), Some(0));
    assert_eq!(asked(&mut room, later), Some(1));
    assert_eq!(asked(&mut room, later + 9 * PATIENCE), None);
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
fn nobody_gives_way_before_it_has_been_silent_for_too_long_nor_while_served() {
    let start = Instant::now();
    let mut room = room(&[(1, v4(1), start), (2, v4(1), start)]);
    let early = start + PATIENCE / 2;
    assert_eq!(room.give_way(early), Way::NotBefore(start + PATIENCE));
    assert!(!room.heard(1, early));
    room.serve(2);
    assert_eq!(
        room.give_way(start + PATIENCE),
        Way::NotBefore(early + PATIENCE)
    );
    room.serve(1);
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
                    room.serve(id);
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
