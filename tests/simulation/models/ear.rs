//! What one client has heard, and whether that makes sense by itself.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::list::{List, What, read_member};
use crate::verdict::{Verdict, broken};

/// One client's ears.
#[derive(Debug, Default)]
pub struct Ear {
    /// Its number among the seed's clients.
    pub client: usize,
    /// The id of its connection, once it was told.
    pub connection: Option<String>,
    /// Where it has been told that it is subscribed.
    pub rooms: BTreeMap<String, Room>,
    /// The last id heard in each channel: ids only grow there, whatever is subscribed again.
    last_ids: BTreeMap<String, String>,
}

/// A subscription as its client sees it.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// The members, on a presence channel.
    pub list: Option<List>,
    /// What was heard here since the last quiet moment, or since `subscribed`.
    pub heard: Vec<Entry>,
    /// Whether it was subscribed at the last quiet moment.
    pub whole: bool,
    /// Of each reaction heard of here, whether it was added last.
    pub reactions: BTreeMap<String, bool>,
}

/// One frame of a channel, and the client that it was kept from (its own message, without echo).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub text: Rc<str>,
    pub except: Option<usize>,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Connected,
    Subscribed {
        channel: String,
        uid: Option<String>,
        umd: Value,
    },
    /// With what was heard until then.
    Unsubscribed {
        channel: String,
    },
    Member {
        channel: String,
        what: What,
        uid: String,
        umd: Value,
    },
    Message(Message),
    Reaction {
        channel: String,
        id: String,
        message: String,
        reaction: String,
        uid: String,
        removed: bool,
        text: Rc<str>,
    },
    Refused {
        channel: Option<String>,
        code: String,
    },
    Pong,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub channel: String,
    pub id: String,
    pub event: String,
    pub data: Value,
    /// Who, and what it says of itself.
    pub sender: Option<(Option<String>, Value)>,
    pub text: Rc<str>,
}

impl Ear {
    pub fn new(client: usize) -> Self {
        Self {
            client,
            ..Self::default()
        }
    }

    /// Hears one frame. A room that it ends comes back with the news.
    pub fn hear(&mut self, text: &str, capacity: u64) -> Verdict<(News, Option<Room>)> {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return broken("frames", format!("no JSON: {text}"));
        };
        let event = frame["event"].as_str().unwrap_or_default();
        let channel = frame["channel"].as_str().map(str::to_owned);
        if self.connection.is_none() && event != "hotsock.connected" {
            return broken("first frame", text);
        }
        match (event, channel) {
            ("hotsock.connected", None) => {
                let id = frame["data"]["connectionId"].as_str().map(str::to_owned);
                if id.is_none() || self.connection.is_some() {
                    return broken("first frame", text);
                }
                self.connection = id;
                Ok((News::Connected, None))
            }
            ("hotsock.pong", None) => Ok((News::Pong, None)),
            ("hotsock.error", channel) => match frame["error"]["code"].as_str() {
                Some(code) => Ok((
                    News::Refused {
                        channel,
                        code: code.to_owned(),
                    },
                    None,
                )),
                None => broken("frames", text),
            },
            ("hotsock.subscribed", Some(channel)) => {
                if self.rooms.contains_key(&channel) {
                    return broken("subscribed twice", text);
                }
                let list = match channel.starts_with("presence.") {
                    true => Some(List::read(&frame["data"]["members"])?),
                    false => None,
                };
                let (uid, umd) = who(&frame["meta"]);
                if let (Some(list), Some(uid)) = (&list, &uid)
                    && list.get(uid).is_none()
                {
                    return broken("lists", format!("does not list the subscriber: {text}"));
                }
                let room = Room {
                    list,
                    ..Room::default()
                };
                self.rooms.insert(channel.clone(), room);
                Ok((News::Subscribed { channel, uid, umd }, None))
            }
            ("hotsock.unsubscribed", Some(channel)) => match self.rooms.remove(&channel) {
                Some(room) => Ok((News::Unsubscribed { channel }, Some(room))),
                None => broken("unsubscribed twice", text),
            },
            (_, Some(channel)) => {
                let Some(room) = self.rooms.get_mut(&channel) else {
                    return broken("heard while not subscribed", text);
                };
                let text: Rc<str> = text.into();
                let news = match What::from_event(event) {
                    Some(what) => room.member(what, channel, &frame["data"], capacity)?,
                    None => {
                        let last = self.last_ids.entry(channel.clone()).or_default();
                        room.message(channel, event, &frame, last, &text)?
                    }
                };
                let except = match &news {
                    News::Message(message) => kept_from(&message.data),
                    _ => None,
                };
                if except == Some(self.client) {
                    return broken("echo", text.to_string());
                }
                room.heard.push(Entry { text, except });
                Ok((news, None))
            }
            _ => broken("frames", text),
        }
    }
}

impl Room {
    fn member(
        &mut self,
        what: What,
        channel: String,
        data: &Value,
        capacity: u64,
    ) -> Verdict<News> {
        let (uid, umd) = read_member(&data["member"])?;
        let Some(list) = &mut self.list else {
            return broken("frames", format!("a member of {channel}: {data}"));
        };
        list.change(what, &uid, &umd, &data["members"])?;
        if what == What::Added && list.bytes() > capacity {
            return broken("capacity", format!("{} bytes in {channel}", list.bytes()));
        }
        Ok(News::Member {
            channel,
            what,
            uid,
            umd,
        })
    }

    fn message(
        &mut self,
        channel: String,
        event: &str,
        frame: &Value,
        last: &mut String,
        text: &Rc<str>,
    ) -> Verdict<News> {
        let Some(id) = frame["id"].as_str().map(str::to_owned) else {
            return broken("frames", text.to_string());
        };
        if *last >= id {
            return broken("order of ids", format!("after {last}: {text}"));
        }
        last.clone_from(&id);
        let sender = frame.get("meta").map(who);
        let removed = match event {
            "hotsock.messageReactionAdded" => false,
            "hotsock.messageReactionRemoved" => true,
            _ if event.starts_with("hotsock.") => return broken("frames", text.to_string()),
            _ => {
                return Ok(News::Message(Message {
                    channel,
                    id,
                    event: event.to_owned(),
                    data: frame["data"].clone(),
                    sender,
                    text: Rc::clone(text),
                }));
            }
        };
        let data = &frame["data"];
        let (Some(message), Some(reaction), Some((Some(uid), _))) = (
            data["messageId"].as_str(),
            data["reaction"].as_str(),
            sender,
        ) else {
            return broken("frames", text.to_string());
        };
        let key = format!("{message} {reaction} {uid}");
        if self.reactions.insert(key, !removed) == Some(!removed) {
            return broken("a repeated reaction is told", text.to_string());
        }
        Ok(News::Reaction {
            channel,
            id,
            message: message.to_owned(),
            reaction: reaction.to_owned(),
            uid,
            removed,
            text: Rc::clone(text),
        })
    }
}

fn who(meta: &Value) -> (Option<String>, Value) {
    (meta["uid"].as_str().map(str::to_owned), meta["umd"].clone())
}

/// Our messages say who sent them and whether that client wants its own copy.
fn kept_from(data: &Value) -> Option<usize> {
    let from = usize::try_from(data["from"].as_u64()?).ok()?;
    (data["echo"] == false).then_some(from)
}
