//! Messages: ids only grow, each is delivered once and as it was sent, and what was told of a stored one is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::ear::Message;
use crate::verdict::{Moment, Verdict, broken};

/// For how long a `deduplicationId` counts, in seconds.
const DEDUPLICATION: u64 = 300;

#[derive(Debug, Default)]
pub struct Messages {
    /// Every id heard, with the frame that had it and when that was heard first.
    ids: BTreeMap<String, (Rc<str>, Moment)>,
    /// The highest id of earlier starts.
    before_start: String,
    /// Stored messages that somebody was told of.
    stored: BTreeMap<(String, String), Stored>,
    /// The serial numbers that each client has heard in each channel.
    heard: BTreeSet<(usize, String, String)>,
    /// By channel and `deduplicationId`: the message, and when it was asked for.
    once: BTreeMap<(String, String), Once>,
    /// What was sent, and has to be heard by somebody.
    sent: BTreeMap<String, Sent>,
}

#[derive(Debug, Clone)]
pub struct Stored {
    pub told: Moment,
    pub event: String,
    pub data: Value,
}

/// What is known of a `deduplicationId`.
#[derive(Debug, Default)]
struct Once {
    id: String,
    told: Moment,
    /// The first second in which another one may be accepted.
    until: u64,
    /// When another one was first asked for that may have been accepted.
    asked: Option<u64>,
}

/// A message on its way.
#[derive(Debug)]
pub struct Sent {
    pub channel: String,
    pub client: usize,
    /// Whether it must arrive: its sender was in the channel and could send it.
    pub must: bool,
}

/// What the clocks of the world have shown.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    pub now: Moment,
    /// The wall clock, in seconds.
    pub wall: u64,
    /// The latest second that the wall clock has ever shown, and all that it was ever set back added: what was to be gone by
    /// then may be.
    pub latest: u64,
}

impl Messages {
    /// A client hears a message.
    pub fn heard(&mut self, client: usize, message: &Message, clocks: Clocks) -> Verdict {
        self.id(&message.id, &message.text, clocks.now)?;
        let serial = message.data["n"].to_string();
        self.sent.remove(&serial);
        let key = (
            client,
            message.channel.clone(),
            format!("{serial} {}", again(&message.data, &message.id)),
        );
        if !self.heard.insert(key) {
            return broken(
                "delivered once",
                format!("client {client} hears again {}", message.text),
            );
        }
        if let Some(name) = message.data["once"].as_str() {
            self.once((&message.channel, name), &message.id, clocks)?;
        }
        if message.data["store"].as_i64().is_some_and(|s| s != 0) {
            self.tell_stored(message, clocks.now);
        }
        Ok(())
    }

    /// An id that is told: for one thing only, and above all that earlier starts have told.
    pub fn id(&mut self, id: &str, text: &Rc<str>, now: Moment) -> Verdict {
        match self.ids.get(id) {
            Some((known, _)) if known == text => Ok(()),
            Some((known, _)) => broken("ids are unique", format!("{known}\n    and {text}")),
            None if id <= self.before_start.as_str() => broken(
                "ids only grow",
                format!(
                    "{text} comes after {} of an earlier start",
                    self.before_start
                ),
            ),
            None => {
                self.ids.insert(id.to_owned(), (Rc::clone(text), now));
                Ok(())
            }
        }
    }

    fn tell_stored(&mut self, message: &Message, now: Moment) {
        let key = (message.channel.clone(), message.id.clone());
        self.stored.entry(key).or_insert_with(|| Stored {
            told: now,
            event: message.event.clone(),
            data: message.data.clone(),
        });
    }

    /// A 202 for a message to be stored.
    pub fn answered(&mut self, channel: &str, id: &str, event: &str, data: &Value, now: Moment) {
        if data["store"].as_i64().is_some_and(|s| s != 0) {
            let key = (channel.to_owned(), id.to_owned());
            self.stored.entry(key).or_insert_with(|| Stored {
                told: now,
                event: event.to_owned(),
                data: data.clone(),
            });
        }
    }

    /// A back end sends a message with this `deduplicationId`.
    pub fn asked(&mut self, (channel, name): (&str, &str), clocks: Clocks) {
        let key = (channel.to_owned(), name.to_owned());
        let once = self.once.entry(key).or_default();
        once.asked.get_or_insert(clocks.wall);
    }

    /// What has been asked for is done: where an earlier message counts still, it was that one.
    pub fn settled(&mut self, clocks: Clocks) {
        for once in self.once.values_mut() {
            if clocks.latest < once.until {
                once.asked = None;
            }
        }
    }

    /// This channel's message with this `deduplicationId` has this id, as somebody is told.
    pub fn once(&mut self, (channel, name): (&str, &str), id: &str, clocks: Clocks) -> Verdict {
        let key = (channel.to_owned(), name.to_owned());
        let once = self.once.entry(key).or_default();
        // The same, or an earlier one that is told late.
        if *once.id >= *id {
            return Ok(());
        }
        if clocks.latest < once.until {
            return broken(
                "deduplicated once",
                format!("`{name}` in {channel} is {} and {id}", once.id),
            );
        }
        *once = Once {
            id: id.to_owned(),
            told: clocks.now,
            until: once.asked.take().unwrap_or_default() + DEDUPLICATION,
            asked: None,
        };
        Ok(())
    }

    pub fn sent(&mut self, serial: u64, sent: Sent) {
        self.sent.insert(serial.to_string(), sent);
    }

    /// A client has been refused something in a channel, or is over: nothing that it sent must arrive any more.
    pub fn excuse(&mut self, is: impl Fn(&Sent) -> bool) {
        self.sent.retain(|_, sent| !is(sent));
    }

    /// Everything has been told and read. `hears` says whether somebody but the sender was in the channel all the time.
    pub fn quiet(&mut self, hears: impl Fn(&Sent) -> bool) -> Verdict {
        for (serial, sent) in std::mem::take(&mut self.sent) {
            if sent.must && hears(&sent) {
                return broken(
                    "delivered",
                    format!(
                        "message {serial} of client {} to {} was heard by nobody",
                        sent.client, sent.channel
                    ),
                );
            }
        }
        Ok(())
    }

    /// The server is down; what was told until `sure` has survived.
    pub fn down(&mut self, sure: Moment) {
        self.sent.clear();
        self.stored.retain(|_, stored| stored.told <= sure);
        for once in self.once.values_mut().filter(|once| once.told > sure) {
            // It may be lost: then the next one is accepted, and one that was asked for may have been.
            once.until = 0;
        }
        self.ids.retain(|_, (_, told)| *told <= sure);
        if let Some((last, _)) = self.ids.last_key_value() {
            self.before_start.clone_from(last);
        }
    }

    /// The stored messages that somebody was told of until `sure` and that have not expired.
    pub fn kept(
        &self,
        sure: Moment,
        latest: u64,
    ) -> impl Iterator<Item = (&(String, String), &Stored)> {
        self.stored
            .iter()
            .filter(move |(_, stored)| stored.told <= sure && stored.lives(latest))
    }

    /// Whether it was told of and has not expired.
    pub fn lives(&self, channel: &str, id: &str, latest: u64) -> bool {
        let stored = self.stored.get(&(channel.to_owned(), id.to_owned()));
        stored.is_some_and(|stored| stored.lives(latest))
    }

    /// The ids of stored messages, to react to.
    pub fn stored_ids(&self) -> Vec<&(String, String)> {
        self.stored.keys().collect()
    }
}

impl Stored {
    fn lives(&self, latest: u64) -> bool {
        self.data["until"]
            .as_u64()
            .is_none_or(|until| latest < until)
    }
}

/// A `deduplicationId` may come again after its time, with another id.
fn again<'a>(data: &Value, id: &'a str) -> &'a str {
    if data["once"].is_string() { id } else { "" }
}
