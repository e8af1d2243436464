//! Events out, as one back end gets them: each once by its id, in order, and together they tell who is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::list::{List, What};
use crate::verdict::{Verdict, broken};

/// What one webhook has been posted.
#[derive(Debug)]
pub struct Replay {
    pub name: String,
    /// Whether it gets every event there is: no type is left out, and none was ever given up.
    pub is_whole: bool,
    /// Whether every subscription counts in `subscriptionsCount`.
    pub all_count: bool,
    /// Every event, in order, with its body.
    events: Vec<(String, String)>,
    /// How many of them it has been posted, on the way that it is on now.
    at: usize,
    /// It has said that it is gone, and gets nothing more.
    pub is_gone: bool,
    /// A start may go back to events whose taking was not noted.
    may_go_back: bool,
    pub lists: BTreeMap<String, List>,
    pub subscriptions: BTreeSet<(String, String)>,
    connections: BTreeSet<String>,
    messages: BTreeSet<String>,
}

impl Replay {
    pub fn new(name: &str, is_whole: bool) -> Self {
        Self {
            name: name.to_owned(),
            is_whole,
            all_count: true,
            events: Vec::new(),
            at: 0,
            is_gone: false,
            may_go_back: false,
            lists: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            connections: BTreeSet::new(),
            messages: BTreeSet::new(),
        }
    }

    /// The server was down. What was posted may have been lost with what it told of, where that is so agreed.
    pub fn restarted(&mut self, may_lose: bool) {
        self.is_whole &= !may_lose;
        self.may_go_back = true;
    }

    /// An event is posted, whether it is taken or not.
    pub fn posted(&mut self, id: &str, body: &str) -> Verdict {
        let known = self.events.iter().rposition(|(known, _)| known == id);
        match known {
            Some(at) if self.events[at].1 != body => {
                return self.wrong(format!("{id} was {} and is {body}", self.events[at].1));
            }
            // The next one, or the same again because it was not taken.
            Some(at) if at == self.at || at + 1 == self.at => self.at = at + 1,
            Some(at) if at < self.at && self.may_go_back => {
                self.may_go_back = false;
                self.at = at + 1;
            }
            // Those in between are lost, where that is so agreed.
            Some(at) if at > self.at && !self.is_whole => self.at = at + 1,
            Some(_) => return self.wrong(format!("{id} comes again: {body}")),
            None if self.at < self.events.len() && self.is_whole => {
                return self.wrong(format!(
                    "{} is left out before {id}",
                    self.events[self.at].0
                ));
            }
            None => {
                if self.events.last().is_some_and(|(last, _)| {
                    place(last).0 == place(id).0 && place(last) >= place(id)
                }) {
                    return self.wrong(format!("{id} comes too late"));
                }
                self.events.push((id.to_owned(), body.to_owned()));
                self.at = self.events.len();
                let Ok(event) = serde_json::from_str::<Value>(body) else {
                    return self.wrong(format!("no JSON: {body}"));
                };
                if let Err(what) = self.replay(&event)
                    && self.is_whole
                {
                    return self.wrong(format!("{what}: {id} {body}"));
                }
            }
        }
        Ok(())
    }

    fn replay(&mut self, event: &Value) -> Result<(), String> {
        let data = &event["data"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let channel = text(&event["metadata"]["channel"]);
        let kind = text(&event["type"]);
        let subscription = (channel.clone(), text(&data["connectionId"]));
        let is_right = match &*kind {
            "hotsock.connected" => self.connections.insert(text(&data["id"])),
            "hotsock.connectionUpdated" => self.connections.contains(&text(&data["id"])),
            "hotsock.disconnected" => self.connections.remove(&text(&data["id"])),
            "hotsock.subscribed" => self.subscriptions.insert(subscription),
            "hotsock.unsubscribed" => self.subscriptions.remove(&subscription),
            "hotsock.channelUpdated" => {
                let of_channel = |(c, _): &&(String, String)| *c == channel;
                let count = self.subscriptions.iter().filter(of_channel).count();
                // Of a standard channel, those who are absent after a start do not count.
                !self.all_count
                    || !channel.starts_with("presence.")
                    || data["subscriptionsCount"] == count
            }
            "hotsock.messagePublished" => self.messages.insert(text(&data["id"])),
            "hotsock.messageReactionAdded" | "hotsock.messageReactionRemoved" => true,
            _ => {
                let Some(what) = What::from_event(&kind) else {
                    return Err("an unknown type".to_owned());
                };
                let list = self.lists.entry(channel).or_default();
                let (uid, umd) = (text(&data["uid"]), &data["umd"]);
                let changed = list.change(what, &uid, umd, &data["members"]);
                return changed.map_err(|broken| broken.detail);
            }
        };
        is_right.then_some(()).ok_or("out of turn".to_owned())
    }

    /// Everybody is gone and everything was taken.
    pub fn end(&self) -> Verdict {
        let lists = self.lists.values().all(|list| list.0.is_empty());
        let all = lists && self.subscriptions.is_empty() && self.connections.is_empty();
        if self.is_whole && !self.is_gone && !all {
            return self.wrong(format!(
                "at the end there are {:?}, {:?}, {:?}",
                self.lists, self.subscriptions, self.connections
            ));
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> Verdict {
        broken("events out", format!("the webhook {}: {what}", self.name))
    }
}

/// The outbox that an event is of, and its place there.
fn place(id: &str) -> (&str, u64) {
    let (outbox, sequence) = id.rsplit_once('-').unwrap_or_default();
    (outbox, sequence.parse().unwrap_or_default())
}
