//! What clients and back ends ask for.

use std::collections::BTreeMap;

use rollcall::simulation::{Ask, State};
use serde_json::{Value, json};

use crate::models::ear::Ear;
use crate::models::membership::Stint;
use crate::models::messages::Sent;
use crate::play::{Asked, Person, Play};
use crate::steps::{Kind, Pass, Step};
use crate::tokens::{self, Bearer};

impl Play {
    /// Who sits there, if it can ask for something.
    pub fn seated(&self, seat: usize) -> Option<usize> {
        let who = self.seats[seat]?;
        let person = &self.people[who];
        (person.is_open && person.ear.connection.is_some()).then_some(who)
    }

    /// Some clients call a channel by its alias.
    pub fn name<'a>(&self, who: usize, channel: &'a str) -> &'a str {
        if channel == "presence.a" && who % 4 == 1 {
            tokens::ALIAS
        } else {
            channel
        }
    }

    fn bearer(&self, who: usize) -> Bearer<'_> {
        let person = &self.people[who];
        Bearer {
            uid: person.pass.uid,
            connection: person.ear.connection.as_deref().unwrap_or_default(),
        }
    }

    pub fn send(&mut self, who: usize, frame: &Value) {
        let text = frame.to_string();
        self.world.send(self.people[who].client, &text);
    }

    pub fn ask(&mut self, ask: Ask, asked: Asked) {
        if self.world.state() == State::Up {
            let call = self.world.ask(ask);
            self.calls.insert(call, asked);
        }
    }

    fn expires(&mut self, once: u8) -> u64 {
        let now = self.world.now_millis() / 1_000;
        let lives = if once.is_multiple_of(2) { 90 } else { 4_000 };
        *self.expires.entry(once).or_insert(now + lives)
    }

    pub fn connect(&mut self, seat: usize, pass: &Pass) {
        if self.seats[seat].is_some() || self.world.state() != State::Up {
            return;
        }
        let who = self.people.len();
        let expires = pass.once.map_or(0, |once| self.expires(once));
        if let Some(once) = pass.once {
            self.single_use.tried(&format!("connect t{once}"), expires);
        }
        if pass.omit {
            self.replays
                .iter_mut()
                .for_each(|replay| replay.all_count = false);
        }
        let umds = vec![tokens::umd(pass.umd)];
        for channel in &pass.auto {
            self.membership.asked(channel, (who, ""), pass.uid, &umds);
        }
        let client = self.world.connect(&tokens::connect(pass, expires));
        if !pass.reads {
            self.world.read(client, 0);
        }
        self.seats[seat] = Some(who);
        self.people.push(Person {
            client,
            pass: pass.clone(),
            ear: Ear::new(who),
            is_open: true,
            umds,
            by_token: BTreeMap::new(),
        });
    }

    pub fn subscribe(
        &mut self,
        seat: usize,
        channel: &'static str,
        umd: Option<&str>,
        once: Option<u8>,
    ) {
        let Some(who) = self.seated(seat) else {
            return;
        };
        if !self.membership.can_ask(channel, who) {
            return;
        }
        let name = self.name(who, channel);
        let mut frame = json!({"event": "hotsock.subscribe", "channel": name});
        // Of two requests for one channel on their way, an answer does not say whose it is.
        let is_free = self
            .membership
            .stints(channel)
            .iter()
            .all(|s| s.client != who);
        let once = once
            .filter(|_| is_free)
            .map(|once| (once, self.expires(once)));
        let person = &mut self.people[who];
        person.by_token.remove(channel);
        if let Some((once, expires)) = once {
            let name = format!("subscribe t{once}");
            self.single_use.tried(&name, expires);
            person.by_token.insert(channel.to_owned(), name);
        }
        if let Some(umd) = umd {
            let claims = tokens::subscribe(self.bearer(who), umd, once);
            frame["data"] = json!({"token": self.world.token(&claims)});
        }
        let person = &self.people[who];
        let connection = person.ear.connection.as_deref().unwrap_or_default();
        self.membership
            .asked(channel, (who, connection), person.pass.uid, &person.umds);
        self.send(who, &frame);
    }

    pub fn update(&mut self, seat: usize, channel: Option<&'static str>, umd: &str, http: bool) {
        let Some(who) = self.seated(seat) else {
            return;
        };
        let claims = tokens::update(self.bearer(who), umd);
        let umd = tokens::umd(umd);
        self.membership.may_show(channel, who, &umd);
        if channel.is_none() {
            self.people[who].umds.push(umd);
        }
        let name = channel.map(|channel| self.name(who, channel).to_owned());
        if http {
            let client = self.people[who].client;
            let ask = Ask::UmdUpdate {
                client,
                channel: name,
                token: claims,
            };
            self.ask(ask, Asked::Other);
        } else {
            let mut frame =
                json!({"event": "hotsock.umdUpdate", "data": {"token": self.world.token(&claims)}});
            if let Some(name) = name {
                frame["channel"] = name.into();
            }
            self.send(who, &frame);
        }
    }

    /// The data of a message says all that the models want to know of it.
    fn data(&mut self, kind: Kind) -> Value {
        self.serial += 1;
        let at = self.world.now_millis() / 1_000;
        let mut data = json!({"n": self.serial, "store": kind.store, "at": at});
        if let Ok(store @ 1..) = u64::try_from(kind.store) {
            data["until"] = (at + store).into();
        }
        data
    }

    pub fn say(&mut self, seat: usize, channel: &'static str, kind: Kind, http: bool) {
        let Some(who) = self.seated(seat) else {
            return;
        };
        let mut data = self.data(kind);
        data["from"] = who.into();
        data["echo"] = kind.echo.into();
        let is_there = |s: &Stint| s.client == who && s.is_live();
        let must = !self.terms.is_tight && self.membership.stints(channel).iter().any(is_there);
        let sent = Sent {
            channel: channel.to_owned(),
            client: who,
            must,
        };
        self.messages.sent(self.serial, sent);
        let name = self.name(who, channel);
        if http {
            let asked = Asked::Publish {
                channel: channel.to_owned(),
                event: kind.event.to_owned(),
                data: data.clone(),
                client: Some(who),
            };
            let ask = Ask::ClientPublish {
                client: self.people[who].client,
                channel: name.to_owned(),
                event: kind.event.to_owned(),
                data: data.to_string(),
            };
            self.ask(ask, asked);
        } else {
            self.send(
                who,
                &json!({"channel": name, "event": kind.event, "data": data}),
            );
        }
    }

    pub fn publish(&mut self, channel: &str, kind: Kind, once: Option<u8>) {
        let mut data = self.data(kind);
        let once = once.map(|once| format!("d{once}"));
        if let Some(once) = &once {
            data["n"] = once.clone().into();
            data["once"] = once.clone().into();
            let clocks = self.clocks();
            self.messages.asked((channel, once), clocks);
        }
        let ask = Ask::Publish {
            channel: channel.to_owned(),
            event: kind.event.to_owned(),
            data: data.to_string(),
            store: kind.store,
            deduplication_id: once,
            emit: kind.emit,
        };
        let asked = Asked::Publish {
            channel: channel.to_owned(),
            event: kind.event.to_owned(),
            data,
            client: None,
        };
        self.ask(ask, asked);
    }

    pub fn react(&mut self, step: &Step) {
        let Step::React {
            seat,
            uid,
            message,
            reaction,
            remove,
            http,
        } = step
        else {
            return;
        };
        let stored = self.messages.stored_ids();
        let Some((channel, id)) = stored
            .get(message % stored.len().max(1))
            .map(|found| (*found).clone())
        else {
            return;
        };
        let who = match seat {
            Some(seat) => match self.seated(*seat) {
                Some(who) => Some(who),
                None => return,
            },
            None => None,
        };
        let uid = who.map_or(Some(*uid), |who| self.people[who].pass.uid);
        if let Some(uid) = uid {
            let key = (
                channel.clone(),
                id.clone(),
                (*reaction).to_owned(),
                uid.to_owned(),
            );
            self.reactions.asked(&key, *remove);
        }
        let action = if *remove { "remove" } else { "add" };
        match who {
            Some(who) if !http => {
                let name = self.name(who, &channel).to_owned();
                let data = json!({"messageId": id, "reaction": reaction, "action": action});
                self.send(
                    who,
                    &json!({"event": "hotsock.messageReaction", "channel": name, "data": data}),
                );
            }
            Some(who) => {
                let ask = Ask::ClientReact {
                    client: self.people[who].client,
                    channel,
                    message: id,
                    reaction: (*reaction).to_owned(),
                    remove: *remove,
                };
                self.ask(ask, Asked::Other);
            }
            None => {
                let ask = Ask::React {
                    channel,
                    uid: uid.unwrap_or_default().to_owned(),
                    umd: "null".to_owned(),
                    message: id,
                    reaction: (*reaction).to_owned(),
                    remove: *remove,
                };
                self.ask(ask, Asked::Other);
            }
        }
    }

    pub fn unsubscribe(&mut self, seat: usize, channel: &str) {
        if let Some(who) = self.seated(seat) {
            let name = self.name(who, channel);
            self.membership.wants_out(channel, who, self.now);
            self.messages
                .excuse(|sent| sent.client == who && sent.channel == channel);
            self.send(
                who,
                &json!({"event": "hotsock.unsubscribe", "channel": name}),
            );
        }
    }

    pub fn list(&mut self, seat: usize, channel: &str) {
        let Some(who) = self.seated(seat) else {
            return;
        };
        let (sure, latest) = (self.sure(), self.clocks().latest);
        let kept = self.messages.kept(sure, latest);
        let known = kept.filter(|((c, _), _)| c == channel);
        let known = known.map(|((_, id), _)| id.clone()).collect();
        let asked = Asked::List {
            channel: channel.to_owned(),
            client: who,
            known,
        };
        let ask = Ask::ListMessages {
            client: self.people[who].client,
            channel: channel.to_owned(),
            after: None,
            reverse: false,
        };
        self.ask(ask, asked);
    }

    pub fn kick(&mut self, seat: usize) {
        if let Some(who) = self.seated(seat) {
            self.messages.excuse(|sent| sent.client == who);
            let client = self.people[who].client;
            self.ask(Ask::Kick { client }, Asked::Other);
        }
    }
}
