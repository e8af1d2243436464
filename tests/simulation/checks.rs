//! What must hold after every step, whenever it is quiet, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use rollcall::simulation::{Cut, Kept, ReceiverMood, State};
use serde_json::Value;

use crate::draw;
use crate::models::list::{List, member_bytes};
use crate::models::order::{Listener, agree};
use crate::play::Play;
use crate::tokens::umd;
use crate::verdict::{Verdict, broken};

/// The largest frame that the draws lead to: a queue may hold one that is above its bound, where nothing else waits.
const LARGEST_FRAME: usize = 2_000;
/// Records of the database that are of no channel, connection, message or event: versions, leases, positions.
const HOUSEKEEPING: usize = 12;

impl Play {
    /// The server may have come up, gone down or given up by itself.
    pub fn look_at_state(&mut self) -> Verdict {
        match self.world.state() {
            State::Up if !self.is_up => {
                self.trace.line(|| "      the server is up".to_owned());
                self.is_up = true;
                self.membership.up(self.now);
                Ok(())
            }
            State::Down if self.is_up => {
                self.went_down(if self.trouble { self.sure() } else { self.now })
            }
            State::Failed(why) => {
                self.trace
                    .line(|| format!("      the server gives up: {why}"));
                if !self.trouble {
                    return broken("the server gives up", why);
                }
                // What was told before is read before: it is kept.
                self.harvest(true)?;
                self.crash(Cut::Kill)
            }
            _ => Ok(()),
        }
    }

    /// After every step.
    pub fn check_step(&mut self) -> Verdict {
        let largest = self.world.leftovers().largest_queue;
        let bound = self.terms.queue_bytes.max(LARGEST_FRAME);
        if largest > bound {
            return broken(
                "queues are bounded",
                format!("{largest} bytes wait for a client"),
            );
        }
        if std::mem::take(&mut self.told_something) {
            let kept = self.world.kept(true);
            self.check_told(&kept, false)?;
        }
        Ok(())
    }

    /// Whatever was told is on disk. `all`: whether everybody has heard everything.
    fn check_told(&mut self, kept: &Kept, all: bool) -> Verdict {
        let sure = self.sure();
        let latest = self.clocks().latest;
        let subscriptions = kept.subscriptions.iter();
        let pairs: BTreeSet<(&str, &str)> = subscriptions
            .map(|s| (&*s.channel, &*s.connection))
            .collect();
        let people = &self.people;
        self.membership
            .check_kept(&pairs, sure, |who| all || people[who].pass.reads)?;
        check_totals(kept)?;
        let messages: BTreeMap<(&str, &str), _> = kept
            .messages
            .iter()
            .map(|m| ((&*m.channel, &*m.id), m))
            .collect();
        for ((channel, id), stored) in self.messages.kept(sure, latest) {
            let Some(found) = messages.get(&(&**channel, &**id)) else {
                return broken(
                    "told means kept",
                    format!("the message {id} of {channel}: {stored:?}"),
                );
            };
            if found.event != stored.event || umd(&found.data) != stored.data {
                return broken(
                    "told means kept",
                    format!("{id} is kept as {} {}", found.event, found.data),
                );
            }
        }
        let reactions = kept.reactions.iter();
        let reactions: BTreeSet<_> = reactions
            .map(|r| (&*r.channel, &*r.message, &*r.reaction, &*r.uid))
            .collect();
        self.reactions.check(
            sure,
            |(c, m, r, u)| reactions.contains(&(&**c, &**m, &**r, &**u)),
            |(c, m, ..)| self.messages.lives(c, m, latest),
        )
    }

    /// All who were in a channel together have heard the same.
    pub fn compare_rooms(&self) -> Verdict {
        let mut channels: BTreeMap<&str, Vec<Listener<'_>>> = BTreeMap::new();
        for person in &self.people {
            for (channel, room) in &person.ear.rooms {
                channels.entry(channel).or_default().push(Listener {
                    client: person.ear.client,
                    room,
                    stays: true,
                });
            }
        }
        for (channel, client, room) in &self.ended {
            channels.entry(channel).or_default().push(Listener {
                client: *client,
                room,
                stays: false,
            });
        }
        channels
            .into_iter()
            .try_for_each(|(channel, listeners)| agree(channel, &listeners))
    }

    /// Lets everything that is due come to its end and reads it; then looks at everything there is.
    pub fn become_quiet(&mut self) -> Verdict {
        let mut silence = 0;
        while silence < 2 {
            self.settle();
            self.look_at_state()?;
            silence = if self.harvest(true)? { 0 } else { silence + 1 };
            self.wait(60);
        }
        // In periodic durability, what was told survives half a second later.
        let told = self.now;
        if self.terms.periodic {
            self.wait(600);
        }
        self.settle();
        self.look_at_state()?;
        self.harvest(true)?;
        if self.world.state() != State::Up {
            return Ok(());
        }
        self.synced = told;
        self.membership.settled(told);
        self.compare_rooms()?;
        self.membership.quiet(self.now)?;
        if !self.terms.is_tight && !self.trouble {
            let people = &self.people;
            self.membership.check_answered(|who| people[who].is_open)?;
        }
        let kept = self.world.kept(!self.terms.periodic);
        for person in &self.people {
            for (channel, room) in &person.ear.rooms {
                if let Some(list) = &room.list {
                    self.membership.check_list(channel, list, self.now)?;
                    check_list_is_kept(channel, list, &kept)?;
                }
            }
        }
        for s in &kept.subscriptions {
            if !self
                .membership
                .may_be_kept(&s.channel, &s.connection, s.uid.as_deref(), self.now)
            {
                return broken(
                    "no ghost",
                    format!("{:?} in {} in the database", s.uid, s.channel),
                );
            }
        }
        let people = &self.people;
        self.messages.quiet(|sent| {
            let hears = |room: &crate::models::ear::Room| room.whole;
            people.iter().any(|p| {
                p.ear.client != sent.client && p.ear.rooms.get(&sent.channel).is_some_and(hears)
            })
        })?;
        self.check_told(&kept, true)?;
        for person in &mut self.people {
            for room in person.ear.rooms.values_mut() {
                room.whole = true;
                room.heard.clear();
            }
        }
        self.ended.clear();
        self.quiet = self.now;
        // Whoever reads late does so from here on again.
        for person in self.people.iter().filter(|p| p.is_open && !p.pass.reads) {
            self.world.read(person.client, 0);
        }
        Ok(())
    }

    /// Everybody leaves, every grace passes, everything expires: then nothing may be left.
    pub fn end(&mut self) -> Verdict {
        self.trace
            .line(|| "      the end: everybody leaves".to_owned());
        self.now.step += 1;
        if self.trouble && self.is_up {
            // Whatever the disk is still to refuse is forgotten.
            self.crash(Cut::Kill)?;
        }
        self.come_up()?;
        self.become_quiet()?;
        for seat in 0..self.seats.len() {
            if let Some(who) = self.seats[seat] {
                self.world.hang_up(self.people[who].client);
                self.membership.hung_up(who, self.now);
                self.leave(who);
            }
        }
        for webhook in 0..self.replays.len() {
            if let Some(name) = draw::webhook_name(webhook, self.replays.len()) {
                self.world.receiver(name, ReceiverMood::Takes);
            }
        }
        self.world.free_disk(1 << 40);
        self.pass(10, 4_100)?;
        // Longer than a webhook rests after a failure.
        self.pass(4, 100_000)?;
        self.become_quiet()?;
        // Beyond what anything was kept for, by whatever clock.
        let set_back = i64::try_from(self.clocks().latest).unwrap_or_default() * 1_000;
        let behind = set_back - i64::try_from(self.world.now_millis()).unwrap_or_default();
        self.world.jump_wall_clock(behind + 270_000_000);
        self.pass(4, 11_000)?;
        self.pass(2, 7_200_000)?;
        self.pass(4, 11_000)?;
        self.come_up()?;
        self.check_empty()
    }

    /// Starts the server, again where the disk refuses it.
    fn come_up(&mut self) -> Verdict {
        for _ in 0..4 {
            if self.world.state() == State::Down {
                self.world.start();
                self.trouble = false;
                self.membership.starting(self.now);
            }
            self.pass(2, 6_000)?;
            if self.world.state() == State::Up {
                return Ok(());
            }
        }
        broken("starts", format!("{:?}", self.world.state()))
    }

    fn pass(&mut self, times: usize, millis: u64) -> Verdict {
        for _ in 0..times {
            self.settle();
            self.look_at_state()?;
            self.harvest(true)?;
            self.wait(millis);
        }
        self.settle();
        self.look_at_state()?;
        self.harvest(true)?;
        Ok(())
    }

    fn check_empty(&self) -> Verdict {
        let left = self.world.leftovers();
        let sum = left.connections
            + left.channels
            + left.absences
            + left.payers
            + left.reservations
            + left.permits_out
            + left.largest_queue;
        if sum > 0 {
            return broken("nothing is left behind", format!("{left:?}"));
        }
        let kept = self.world.kept(true);
        let messages: BTreeSet<&str> = kept.messages.iter().map(|m| &*m.id).collect();
        let expired = kept.messages.iter().filter(|m| m.expires_at != 0).count();
        let orphans = kept
            .reactions
            .iter()
            .filter(|r| !messages.contains(&*r.message))
            .count();
        let sums = [
            kept.subscriptions.len(),
            kept.channels.len(),
            kept.connections.len(),
            expired,
            orphans,
            kept.spent,
            kept.events.len(),
        ];
        if sums.iter().sum::<usize>() > 0 || kept.other_records > HOUSEKEEPING {
            return broken(
                "nothing is left behind",
                format!(
                    "subscriptions, channels, connections, expired messages, reactions to none, spent, events: {sums:?}; {} other records",
                    kept.other_records
                ),
            );
        }
        for replay in &self.replays {
            replay.end()?;
        }
        Ok(())
    }
}

/// In every commit, the totals of a channel are the sums over its members.
fn check_totals(kept: &Kept) -> Verdict {
    let mut sums: BTreeMap<&str, (BTreeMap<&str, BTreeSet<u64>>, u64)> = BTreeMap::new();
    for s in &kept.subscriptions {
        let (members, count) = sums.entry(&s.channel).or_default();
        *count += u64::from(s.counted);
        if let Some(uid) = &s.uid {
            let bytes = member_bytes(uid, &umd(&s.umd));
            members.entry(uid).or_default().insert(bytes);
        }
    }
    for channel in &kept.channels {
        let Some((members, count)) = sums.remove(&*channel.name) else {
            return broken("totals are sums", format!("nobody is in {}", channel.name));
        };
        if !channel.name.starts_with("presence.") {
            continue;
        }
        // Which of its tabs a member shows, the database says by other means.
        let least: u64 = members.values().filter_map(|sizes| sizes.first()).sum();
        let most: u64 = members.values().filter_map(|sizes| sizes.last()).sum();
        if channel.subscriptions_count != count || !(least..=most).contains(&channel.bytes) {
            return broken(
                "totals are sums",
                format!(
                    "{} has {} bytes of {least} to {most}, and counts {} of {count}",
                    channel.name, channel.bytes, channel.subscriptions_count
                ),
            );
        }
    }
    match sums.keys().next() {
        Some(name) => broken("totals are sums", format!("{name} has no totals")),
        None => Ok(()),
    }
}

/// A list that is up to date has the members that the database has.
fn check_list_is_kept(channel: &str, list: &List, kept: &Kept) -> Verdict {
    let mut members: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for s in kept.subscriptions.iter().filter(|s| s.channel == channel) {
        if let Some(uid) = &s.uid {
            members.entry(uid).or_default().push(umd(&s.umd));
        }
    }
    let is_same = members.len() == list.0.len()
        && list
            .0
            .iter()
            .all(|(uid, umd)| members.get(&**uid).is_some_and(|umds| umds.contains(umd)));
    if is_same {
        return Ok(());
    }
    broken(
        "the list is the database's",
        format!("{channel}: told {list:?}, kept {members:?}"),
    )
}
