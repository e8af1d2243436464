//! What comes back from the world, and which model wants to know of it.

use rollcall::simulation::{Answer, Call, Heard, State};
use serde_json::Value;

use crate::models::ear::News;
use crate::models::list::{List, What};
use crate::models::messages::Clocks;
use crate::play::{Asked, Play};
use crate::tokens;
use crate::verdict::{Moment, Verdict, broken};

/// What a request may be refused for, in good order.
const REFUSALS: [&str; 17] = [
    "NOT_SUBSCRIBED",
    "ALREADY_SUBSCRIBED",
    "INVALID_SUBSCRIBE_TOKEN",
    "PRESENCE_CHANNEL_CAPACITY_REACHED",
    "PRESENCE_CHANNEL_USER_ID_REQUIRED",
    "PUBLISH_PERMISSION_DENIED",
    "REACTION_PERMISSION_DENIED",
    "MESSAGE_NOT_FOUND",
    "SUBSCRIPTION_LIMIT_REACHED",
    "STORAGE_LIMIT_REACHED",
    "TOKEN_ALREADY_USED",
    "TOKEN_EXPIRED",
    "INVALID_UMD_TOKEN",
    "CONNECTION_UNKNOWN",
    "SERVER_STOPPING",
    "NOT_FOUND",
    "HUNG_UP",
];
/// Those of a request to subscribe.
const OF_SUBSCRIBE: [&str; 4] = [
    "ALREADY_SUBSCRIBED",
    "INVALID_SUBSCRIBE_TOKEN",
    "PRESENCE_CHANNEL_USER_ID_REQUIRED",
    "SUBSCRIPTION_LIMIT_REACHED",
];

impl Play {
    /// Reads what has come, of those who read at once or of all. Returns whether anything had.
    pub fn harvest(&mut self, all: bool) -> Verdict<bool> {
        let mut any = false;
        for who in 0..self.people.len() {
            if self.people[who].is_open && (all || self.people[who].pass.reads) {
                any |= self.read(who, usize::MAX)?;
            }
        }
        for (call, answer) in self.world.answers() {
            any = true;
            self.answered(call, &answer)?;
        }
        for posted in self.world.posted() {
            any = true;
            self.trace
                .line(|| format!("      {} <- {} {}", posted.webhook, posted.id, posted.body));
            for replay in &mut self.replays {
                if replay.name == posted.webhook {
                    replay.posted(&posted.id, &posted.body)?;
                }
            }
        }
        Ok(any)
    }

    pub fn read(&mut self, who: usize, bytes: usize) -> Verdict<bool> {
        if !self.people[who].is_open {
            return Ok(false);
        }
        let heard = self.world.read(self.people[who].client, bytes);
        let any = !heard.is_empty();
        for heard in heard {
            self.trace
                .line(|| format!("      {who} < {}", in_words(&heard)));
            match heard {
                Heard::Frame(text) => self.frame(who, &text)?,
                Heard::Closed { code, .. } => {
                    // While it stops, nobody leaves.
                    let stops = code == 1001
                        && matches!(
                            self.world.state(),
                            State::Stopping | State::Down | State::Failed(_)
                        );
                    if code == 1006 {
                        // There was no server.
                        self.membership.never(who);
                    } else if !stops {
                        self.membership.closed(who);
                    }
                    self.leave(who);
                }
                Heard::Refused { code, .. } => self.refused(who, &code)?,
            }
        }
        Ok(any)
    }

    fn frame(&mut self, who: usize, text: &str) -> Verdict {
        let clocks = self.clocks();
        let person = &mut self.people[who];
        let (news, ended) = person.ear.hear(text, self.terms.channel_bytes)?;
        match &news {
            News::Connected => {
                let connection = person.ear.connection.clone().unwrap_or_default();
                let once = person.pass.once;
                self.membership.connected(who, &connection);
                if let Some(once) = once {
                    self.single_use
                        .served(&format!("connect t{once}"), self.now, clocks.latest)?;
                }
            }
            News::Subscribed { channel, umd, .. } => {
                let by_token = person.by_token.remove(channel);
                self.membership.told(channel, who, umd, self.now)?;
                if let Some(name) = by_token {
                    self.single_use.served(&name, self.now, clocks.latest)?;
                }
            }
            News::Unsubscribed { channel } => {
                self.membership.gone(channel, who, self.now)?;
                self.ended
                    .extend(ended.map(|room| (channel.clone(), who, room)));
            }
            News::Member {
                channel, what, uid, ..
            } => {
                if *what != What::Updated {
                    self.membership.moved(channel, uid);
                }
            }
            News::Message(message) => {
                self.messages.heard(who, message, clocks)?;
                self.sender_is_as_told(who, message)?;
            }
            News::Reaction {
                channel,
                id,
                message,
                reaction,
                uid,
                removed,
                text,
            } => {
                self.messages.id(id, text, self.now)?;
                let key = (
                    channel.clone(),
                    message.clone(),
                    reaction.clone(),
                    uid.clone(),
                );
                let is_late = !self.people[who].pass.reads;
                self.reactions.told(key, id, *removed, self.now, is_late);
            }
            News::Refused { channel, code } => {
                let channel = channel.as_deref().map(real_name);
                return self.refused_request(who, channel, code);
            }
            News::Pong => {}
        }
        self.told_something = true;
        Ok(())
    }

    /// What a message says of its sender is what the list says of it.
    fn sender_is_as_told(&self, who: usize, message: &crate::models::ear::Message) -> Verdict {
        let room = self.people[who].ear.rooms.get(&message.channel);
        let list = room.and_then(|room| room.list.as_ref());
        if let (Some(list), Some((Some(uid), umd))) = (list, &message.sender)
            && let Some(shown) = list.get(uid)
            && let Some(stint) = self.membership.alone(&message.channel, uid)
            && stint.told.is_some_and(|told| told < self.quiet)
            && shown != umd
        {
            return broken(
                "a sender is as told",
                format!("{uid} shows {shown}: {}", message.text),
            );
        }
        Ok(())
    }

    fn refused_request(&mut self, who: usize, channel: Option<&str>, code: &str) -> Verdict {
        self.check_refusal(code)?;
        let Some(channel) = channel else {
            return Ok(());
        };
        self.messages
            .excuse(|sent| sent.client == who && sent.channel == channel);
        if code == "PRESENCE_CHANNEL_CAPACITY_REACHED" {
            // New metadata may have been too large, too.
            self.membership.doubt(channel, who);
        } else if OF_SUBSCRIBE.contains(&code) {
            self.membership.refused(channel, who);
            if let Some(name) = self.people[who].by_token.remove(channel)
                && code == "INVALID_SUBSCRIBE_TOKEN"
            {
                let latest = self.clocks().latest;
                self.single_use.refused(&name, latest)?;
            }
        }
        Ok(())
    }

    fn check_refusal(&self, code: &str) -> Verdict {
        if REFUSALS.contains(&code) || (code == "INTERNAL_ERROR" && self.trouble) {
            return Ok(());
        }
        broken("errors", code)
    }

    /// A client was not let in.
    fn refused(&mut self, who: usize, code: &str) -> Verdict {
        let once = self.people[who].pass.once;
        match (code, once) {
            ("TOKEN_ALREADY_USED", Some(once)) => {
                let latest = self.clocks().latest;
                self.single_use
                    .refused(&format!("connect t{once}"), latest)?;
            }
            // It came too late.
            ("TOKEN_EXPIRED", _) => {}
            _ if self.trouble => {}
            _ => return broken("errors", format!("client {who} is refused: {code}")),
        }
        self.membership.never(who);
        self.leave(who);
        Ok(())
    }

    /// A client is over; its rooms are compared with the others' when it is quiet.
    pub fn leave(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.is_open = false;
        for (channel, room) in std::mem::take(&mut person.ear.rooms) {
            self.ended.push((channel, who, room));
        }
        self.messages.excuse(|sent| sent.client == who);
        for seat in &mut self.seats {
            if *seat == Some(who) {
                *seat = None;
            }
        }
    }

    fn answered(&mut self, call: Call, answer: &Answer) -> Verdict {
        self.trace.line(|| match answer {
            Ok(value) => format!("      answer {}: {value}", call.0),
            Err(code) => format!("      answer {}: {code}", call.0),
        });
        let clocks = self.clocks();
        let Some(asked) = self.calls.remove(&call) else {
            // Of one that was under way when the server went down.
            return match answer {
                Err(code) if code == "HUNG_UP" => Ok(()),
                _ => broken("answers", format!("one more for {call:?}")),
            };
        };
        let value = match (answer, &asked) {
            (Ok(value), _) => value,
            (
                Err(code),
                Asked::Publish {
                    client: Some(who),
                    channel,
                    ..
                },
            ) => {
                self.messages
                    .excuse(|sent| sent.client == *who && sent.channel == *channel);
                return self.check_refusal(code);
            }
            (Err(code), _) => return self.check_refusal(code),
        };
        self.told_something = true;
        match asked {
            Asked::Publish {
                channel,
                event,
                data,
                ..
            } => self.published((&channel, &event), &data, value, clocks),
            Asked::List {
                channel,
                client,
                known,
            } => self.listed(&channel, client, &known, value),
            Asked::Info { channel } => {
                if channel.starts_with("presence.") {
                    List::read(&value["members"])?;
                }
                Ok(())
            }
            Asked::Other => Ok(()),
        }
    }

    fn published(
        &mut self,
        (channel, event): (&str, &str),
        data: &Value,
        answer: &Value,
        clocks: Clocks,
    ) -> Verdict {
        let Some(id) = answer["id"].as_str() else {
            return Ok(());
        };
        match data["once"].as_str() {
            // It may be the first one's, which was another message.
            Some(name) => self.messages.once((channel, name), id, clocks),
            None => {
                self.messages.answered(channel, id, event, data, self.now);
                Ok(())
            }
        }
    }

    /// A page has all that its reader knows of, in order, and nothing that is not on disk.
    fn listed(
        &mut self,
        channel: &str,
        client: usize,
        known: &[String],
        answer: &Value,
    ) -> Verdict {
        let none = Vec::new();
        let items = answer["messages"].as_array().unwrap_or(&none);
        let ids: Vec<&str> = items
            .iter()
            .filter_map(|item| item["id"].as_str())
            .collect();
        if !ids.is_sorted() {
            return broken("listed messages", format!("out of order: {ids:?}"));
        }
        let latest = self.clocks().latest;
        if ids.len() < 100 {
            for id in known {
                let lives = self.messages.lives(channel, id, latest);
                if lives && !ids.contains(&&**id) {
                    return broken(
                        "listed messages",
                        format!("client {client} misses {id} in {ids:?}"),
                    );
                }
            }
        }
        let now = self.now;
        for item in items {
            let (Some(id), Some(event)) = (item["id"].as_str(), item["event"].as_str()) else {
                return broken("listed messages", format!("{item}"));
            };
            self.messages
                .answered(channel, id, event, &item["data"], now);
        }
        Ok(())
    }

    /// The server is down: it stopped, or was cut off. What was told until `sure` has survived.
    pub fn went_down(&mut self, sure: Moment) -> Verdict {
        self.trace.line(|| "      the server is down".to_owned());
        for who in 0..self.people.len() {
            if self.people[who].is_open {
                self.leave(who);
            }
        }
        self.compare_rooms()?;
        self.ended.clear();
        self.membership.down(self.now, sure);
        self.messages.down(sure);
        self.reactions.down(sure);
        self.single_use.down(sure);
        for replay in &mut self.replays {
            replay.restarted(self.terms.periodic);
        }
        self.calls.clear();
        self.world.answers();
        self.is_up = false;
        Ok(())
    }
}

fn real_name(channel: &str) -> &str {
    if channel == tokens::ALIAS {
        "presence.a"
    } else {
        channel
    }
}

fn in_words(heard: &Heard) -> String {
    match heard {
        Heard::Frame(text) => text.clone(),
        Heard::Closed { code, reason } => format!("closed: {code} {reason}"),
        Heard::Refused { status, code } => format!("refused: {status} {code}"),
    }
}
