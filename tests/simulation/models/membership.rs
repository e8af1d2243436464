//! Who must be a member, who may be, and who cannot be: from what clients asked for, were told and did.
//!
//! A *stint* is a client's time in a channel. From `subscribed` until it unsubscribes, or until the grace after its end, it
//! *protects* its uid's place: in that time nobody may be told that the uid is removed or added (no flap). From asking
//! until some seconds after the grace it *may* be there: after that, nothing may say so any more (no ghost).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::list::List;
use crate::verdict::{Moment, Verdict, broken};

/// How much later than the grace somebody may be removed.
const SLACK: u64 = 3_000;

#[derive(Debug, Default)]
pub struct Membership {
    boot_grace: u64,
    disconnect_grace: u64,
    stints: BTreeMap<String, Vec<Stint>>,
    /// Uids that somebody was told are added or removed since the last quiet moment.
    moved: BTreeSet<(String, String)>,
    quiet: Moment,
    /// When the server last had nothing left to do: what was due by then has happened.
    settled: u64,
    /// Subscriptions that ended by wish, and when that was told: the database does not know them any more.
    left: BTreeMap<(String, String), Moment>,
}

#[derive(Debug, Clone)]
pub struct Stint {
    pub client: usize,
    pub connection: String,
    pub uid: Option<String>,
    /// What it may show: what it was told at `subscribed`, and what was asked for since.
    pub umds: Vec<Value>,
    pub told: Option<Moment>,
    pub ended: Option<Moment>,
    wants_out: bool,
    /// It may have been refused; the answer may also have been about something else.
    is_doubtful: bool,
    protects: Option<(Moment, Moment)>,
    /// In milliseconds.
    possible_until: u64,
    /// Its connection is over, and the server is still to notice.
    awaits_settling: bool,
    /// The server is down, and its grace begins with the next start.
    awaits_start: bool,
}

impl Stint {
    pub fn is_live(&self) -> bool {
        self.told.is_some() && self.ended.is_none() && !self.wants_out
    }

    fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    fn end(&mut self, at: Moment, protected_until: Moment, possible_until: u64) {
        self.ended = Some(at);
        self.possible_until = possible_until;
        if let Some((_, until)) = &mut self.protects {
            *until = (*until).min(protected_until);
        }
    }
}

impl Membership {
    /// Of a server with these graces, in milliseconds.
    pub fn new(boot_grace: u64, disconnect_grace: u64) -> Self {
        Self {
            boot_grace,
            disconnect_grace,
            ..Self::default()
        }
    }

    /// A client asks to subscribe. `umds` are those that it has asked for as its connection's.
    pub fn asked(
        &mut self,
        channel: &str,
        (client, connection): (usize, &str),
        uid: Option<&str>,
        umds: &[Value],
    ) {
        let key = (channel.to_owned(), connection.to_owned());
        self.left.remove(&key);
        let stints = self.stints.entry(channel.to_owned()).or_default();
        stints.push(Stint {
            client,
            connection: connection.to_owned(),
            uid: uid.map(str::to_owned),
            umds: umds.to_vec(),
            told: None,
            ended: None,
            wants_out: false,
            is_doubtful: false,
            protects: None,
            possible_until: u64::MAX,
            awaits_settling: false,
            awaits_start: false,
        });
    }

    fn open(
        &mut self,
        channel: &str,
        client: usize,
        is: impl Fn(&Stint) -> bool,
    ) -> Option<&mut Stint> {
        let stints = self.stints.get_mut(channel)?;
        stints
            .iter_mut()
            .find(|s| s.client == client && s.is_open() && is(s))
    }

    /// A connection learns its id only after it was asked for.
    pub fn connected(&mut self, client: usize, connection: &str) {
        for stint in self.stints.values_mut().flatten() {
            if stint.client == client {
                connection.clone_into(&mut stint.connection);
            }
        }
    }

    pub fn told(&mut self, channel: &str, client: usize, umd: &Value, now: Moment) -> Verdict {
        // Of several requests, it is not one that was refused.
        let is_sure = |s: &Stint| s.told.is_none() && !s.is_doubtful;
        let any = self.open(channel, client, is_sure).is_some();
        let is_asked = |s: &Stint| s.told.is_none() && !(any && s.is_doubtful);
        let Some(stint) = self.open(channel, client, is_asked) else {
            return broken(
                "subscribed unasked",
                format!("client {client} to {channel}"),
            );
        };
        stint.told = Some(now);
        stint.umds.push(umd.clone());
        if !stint.wants_out {
            stint.protects = Some((now, Moment::NEVER));
        }
        Ok(())
    }

    /// A request to subscribe was turned down.
    pub fn refused(&mut self, channel: &str, client: usize) {
        if let Some(stints) = self.stints.get_mut(channel) {
            let is_asking = |s: &Stint| s.client == client && s.is_open() && s.told.is_none();
            if let Some(at) = stints.iter().rposition(is_asking) {
                stints.remove(at);
            }
        }
    }

    /// A request in this channel was turned down; it may have been the one to subscribe.
    pub fn doubt(&mut self, channel: &str, client: usize) {
        if let Some(stint) = self.open(channel, client, |s| s.told.is_none() && !s.is_doubtful) {
            stint.is_doubtful = true;
            let wants_out = std::mem::take(&mut stint.wants_out);
            // Of two requests, the other one is what was to end.
            let other = |s: &Stint| s.told.is_none() && !s.is_doubtful;
            if wants_out && let Some(other) = self.open(channel, client, other) {
                other.wants_out = true;
            }
        }
    }

    /// It was never let in.
    pub fn never(&mut self, client: usize) {
        for stints in self.stints.values_mut() {
            stints.retain(|s| s.client != client);
        }
    }

    /// It has asked for other metadata, in one channel or in all.
    pub fn may_show(&mut self, channel: Option<&str>, client: usize, umd: &Value) {
        for (name, stints) in &mut self.stints {
            if channel.is_none_or(|c| c == name) {
                for stint in stints.iter_mut().filter(|s| s.client == client) {
                    stint.umds.push(umd.clone());
                }
            }
        }
    }

    /// It has asked to unsubscribe: that takes effect at once, whenever that is.
    pub fn wants_out(&mut self, channel: &str, client: usize, now: Moment) {
        // Of several requests, it does not end one that was refused.
        let sure = |s: &Stint| !s.wants_out && !s.is_doubtful;
        let any = self.open(channel, client, sure).is_some();
        let Some(stint) = self.open(channel, client, |s| !(s.wants_out || any && s.is_doubtful))
        else {
            return;
        };
        stint.wants_out = true;
        let uid = stint.uid.clone();
        if let Some((_, until)) = &mut stint.protects {
            *until = now;
        }
        // It may have taken the place of one who is absent, and gives up that one.
        for other in self.stints.get_mut(channel).into_iter().flatten() {
            if other.uid == uid
                && !other.is_open()
                && let Some((_, until)) = &mut other.protects
            {
                *until = now.min(*until);
            }
        }
    }

    /// `unsubscribed` was heard.
    pub fn gone(&mut self, channel: &str, client: usize, now: Moment) -> Verdict {
        let Some(stint) = self.open(channel, client, |s| s.told.is_some() && s.wants_out) else {
            return broken(
                "unsubscribed unasked",
                format!("client {client} from {channel}"),
            );
        };
        stint.end(now, now, 0);
        let key = (channel.to_owned(), stint.connection.clone());
        // It may be back there already.
        if self.open(channel, client, |_| true).is_none() {
            self.left.insert(key, now);
        }
        Ok(())
    }

    /// A connection is over, not before `at`; the server may take until it settles to notice.
    pub fn hung_up(&mut self, client: usize, at: Moment) {
        self.ends(client, at, self.disconnect_grace);
    }

    /// A client hears that its connection has been closed, at some time since the last quiet moment: another one may have
    /// taken its place since, and given it up.
    pub fn closed(&mut self, client: usize) {
        let of_client = |s: &&Stint| s.client == client && s.is_open();
        let mut stints = self.stints.values();
        let is_shared = stints.any(|stints| {
            let own: Vec<_> = stints.iter().filter(of_client).map(|s| &s.uid).collect();
            stints
                .iter()
                .any(|s| s.client != client && own.contains(&&s.uid))
        });
        let grace = if is_shared { 0 } else { self.disconnect_grace };
        self.ends(client, self.quiet, grace);
    }

    fn ends(&mut self, client: usize, at: Moment, grace: u64) {
        for stints in self.stints.values_mut() {
            let mut uids = Vec::new();
            for stint in stints.iter_mut() {
                if stint.client == client && stint.is_open() {
                    uids.push(stint.uid.clone());
                    stint.end(at, at.after(grace), u64::MAX);
                    stint.awaits_settling = true;
                }
            }
            // It may have taken the place of one who was absent: then this grace counts, and no longer that one.
            for stint in stints
                .iter_mut()
                .filter(|s| !s.is_open() && uids.contains(&s.uid))
            {
                if let Some((_, until)) = &mut stint.protects {
                    *until = at.after(grace).min(*until);
                }
            }
        }
    }

    /// The server has nothing left to do.
    pub fn settled(&mut self, now: Moment) {
        self.settled = now.millis;
        let gone = now.millis + self.disconnect_grace + SLACK;
        for stint in self.stints.values_mut().flatten() {
            if std::mem::take(&mut stint.awaits_settling) {
                stint.possible_until = gone;
            }
        }
    }

    /// The server begins to stop: from now on nobody leaves, until some time after the next start.
    pub fn frozen(&mut self) {
        for stint in self.stints.values_mut().flatten() {
            if stint.possible_until >= self.settled {
                stint.possible_until = u64::MAX;
                stint.awaits_settling = false;
                stint.awaits_start = true;
            }
        }
    }

    /// The server is down: it stopped, or was cut off. What was told until `sure` has survived.
    pub fn down(&mut self, now: Moment, sure: Moment) {
        for stint in self.stints.values_mut().flatten() {
            let is_sure = stint.told.is_some_and(|told| told <= sure);
            if let Some((_, until)) = &mut stint.protects {
                if *until >= now && is_sure {
                    *until = Moment::NEVER;
                } else if *until >= now {
                    *until = now;
                }
            }
            // Its end may be lost as well.
            if stint.ended.is_some_and(|ended| ended > sure) {
                stint.possible_until = u64::MAX;
            }
            stint.ended.get_or_insert(now);
        }
        self.frozen();
        // What was told may be lost, where that is so agreed.
        self.left.retain(|_, told| *told <= sure);
    }

    /// A start begins.
    pub fn starting(&mut self, now: Moment) {
        let ends = now.after(self.boot_grace);
        for stint in self.stints.values_mut().flatten() {
            if let Some((_, until)) = &mut stint.protects
                && stint.awaits_start
            {
                *until = ends.min(*until);
            }
        }
    }

    /// It is up.
    pub fn up(&mut self, now: Moment) {
        for stint in self.stints.values_mut().flatten() {
            if std::mem::take(&mut stint.awaits_start) {
                stint.possible_until = now.millis + self.boot_grace + SLACK;
            }
        }
    }

    /// Somebody was told that a uid is added or removed.
    pub fn moved(&mut self, channel: &str, uid: &str) {
        self.moved.insert((channel.to_owned(), uid.to_owned()));
    }

    /// Whether answers to one more request to subscribe can be told from those to earlier ones.
    pub fn can_ask(&self, channel: &str, client: usize) -> bool {
        let stints = self.stints(channel).iter();
        let mut open = stints.filter(|s| s.client == client && s.is_open());
        let first = open.next();
        open.next().is_none() && first.is_none_or(|s| s.told.is_some() || !s.wants_out)
    }

    pub fn stints(&self, channel: &str) -> &[Stint] {
        self.stints.get(channel).map_or(&[], Vec::as_slice)
    }

    /// Who shows what, where one client alone can have this uid in the channel.
    pub fn alone(&self, channel: &str, uid: &str) -> Option<&Stint> {
        let of_uid = |s: &&Stint| s.uid.as_deref() == Some(uid);
        let mut all = self.stints(channel).iter().filter(of_uid);
        all.next().filter(|_| all.next().is_none())
    }

    /// Everything has been told and read.
    pub fn quiet(&mut self, now: Moment) -> Verdict {
        for (channel, uid) in std::mem::take(&mut self.moved) {
            let stints = self.stints(&channel).iter();
            let mut spans: Vec<(Moment, Moment)> = stints
                .filter(|s| s.uid.as_ref() == Some(&uid))
                .filter_map(|s| s.protects)
                .collect();
            spans.sort();
            let mut covered = self.quiet;
            for (from, until) in spans {
                if from <= covered {
                    covered = covered.max(until);
                }
            }
            if covered >= now {
                return broken(
                    "no flap",
                    format!(
                        "{uid} was a member of {channel} from {:?} to {now:?}",
                        self.quiet
                    ),
                );
            }
        }
        self.quiet = now;
        for stints in self.stints.values_mut() {
            stints.retain(|s| s.told.is_some() || !s.is_doubtful);
            stints.retain(|s| {
                s.possible_until >= now.millis || s.protects.is_some_and(|(_, until)| until >= now)
            });
        }
        Ok(())
    }

    /// Whatever these clients have asked for has been answered.
    pub fn check_answered(&self, is_open: impl Fn(usize) -> bool) -> Verdict {
        for (channel, stints) in &self.stints {
            for stint in stints.iter().filter(|s| s.is_open() && is_open(s.client)) {
                if stint.told.is_none() || stint.wants_out {
                    let verb = if stint.wants_out { "leave" } else { "join" };
                    let detail = format!("client {} to {verb} {channel}", stint.client);
                    return broken("every request is answered", detail);
                }
            }
        }
        Ok(())
    }

    /// Holds a list that is up to date against what must and may be in it.
    pub fn check_list(&self, channel: &str, list: &List, now: Moment) -> Verdict {
        for stint in self.stints(channel) {
            if let Some(uid) = &stint.uid
                && stint.is_live()
                && list.get(uid).is_none()
            {
                return broken(
                    "lists",
                    format!("{uid} is subscribed to {channel}: {list:?}"),
                );
            }
        }
        for (uid, umd) in &list.0 {
            let may_be = |s: &Stint| s.uid.as_ref() == Some(uid) && s.possible_until >= now.millis;
            if !self.stints(channel).iter().any(may_be) {
                return broken(
                    "no ghost",
                    format!("{uid} in {channel} at {now:?}: {list:?}"),
                );
            }
            if let Some(stint) = self.alone(channel, uid)
                && stint.told.is_some()
                && !stint.umds.contains(umd)
            {
                return broken(
                    "lists",
                    format!("{uid} shows {umd} in {channel}: {stint:?}"),
                );
            }
        }
        Ok(())
    }

    /// Holds the database against what was told until `sure`: pairs of channel and connection. Who does not hear may have
    /// been closed meanwhile.
    pub fn check_kept(
        &self,
        kept: &BTreeSet<(&str, &str)>,
        sure: Moment,
        hears: impl Fn(usize) -> bool,
    ) -> Verdict {
        for (channel, stints) in &self.stints {
            for stint in stints {
                if stint.is_live()
                    && hears(stint.client)
                    && stint.told.is_some_and(|told| told <= sure)
                    && !kept.contains(&(channel, &stint.connection))
                {
                    return broken(
                        "told means kept",
                        format!(
                            "client {} is subscribed to {channel}, and the database does not know",
                            stint.client
                        ),
                    );
                }
            }
        }
        for ((channel, connection), told) in &self.left {
            if *told <= sure && kept.contains(&(channel, connection)) {
                return broken(
                    "told means kept",
                    format!(
                        "connection {connection} has unsubscribed from {channel}, and the database does not know"
                    ),
                );
            }
        }
        Ok(())
    }

    /// Whether this subscription of the database may still be one.
    pub fn may_be_kept(
        &self,
        channel: &str,
        connection: &str,
        uid: Option<&str>,
        now: Moment,
    ) -> bool {
        // A client that was cut off early does not know its connection.
        let is_unknown = |s: &Stint| s.connection.is_empty() && s.uid.as_deref() == uid;
        let stints = self.stints(channel).iter();
        stints
            .filter(|s| s.connection == connection || is_unknown(s))
            .any(|s| s.possible_until >= now.millis)
    }
}
