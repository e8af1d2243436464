//! Who may do what (sections 2, 3 and 5): a table of tokens, of what a connection does with them, and of what comes of it.
//!
//! `table` says how the rows are written, `directives`, `precedence` and `tokens` have them, and this is the stage that
//! they are played on: for each row a connection of its own, with a witness who is in every channel that a row names.
//! Nothing is timed: after each row somebody else sends a marker to every channel, and in a channel all messages come in
//! one order; so what has not come before it has not been sent.

mod directives;
mod precedence;
mod table;
mod tokens;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::support::{Client, PING, Server, Setup, Token, unsubscribe};
use table::{Row, Table};

/// A stored message of this event is in every channel from the beginning.
const OLD: &str = "old";
/// Messages of this event are the markers.
const MARKER: &str = "marker";

#[tokio::test]
async fn every_rule_of_permission_holds() {
    let rows = rows();
    let mut stage = Stage::set_for(&rows).await;
    let mut wrong = Vec::new();
    for row in &rows {
        let played = AssertUnwindSafe(stage.play(row)).catch_unwind().await;
        let Ok(seen) = played else {
            wrong.push(format!(
                "{}\n    but: it came to no end, and the rows behind it were not played",
                row.name()
            ));
            break;
        };
        if seen != row.expected {
            wrong.push(format!("{}\n    but: {seen}", row.name()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

fn rows() -> Vec<Row> {
    let mut table = Table::default();
    directives::directives(&mut table);
    directives::patterns(&mut table);
    precedence::a_false_wins(&mut table);
    precedence::the_most_specific_counts(&mut table);
    tokens::subscribe_tokens(&mut table);
    tokens::aliases(&mut table);
    table.0
}

/// The server, and who looks on.
struct Stage {
    server: Server,
    channels: Vec<String>,
    /// Is in every channel, and may read everything.
    witness: Client,
    /// Sends the markers.
    usher: Client,
}

/// The connection of a row.
struct Actor {
    client: Client,
    /// The real names of the channels that it is in.
    channels: BTreeSet<String>,
    subscribe_token: String,
}

impl Stage {
    async fn set_for(rows: &[Row]) -> Self {
        let server = Setup::new().hasty().terse().start();
        let channels: BTreeSet<String> = rows.iter().flat_map(Row::channels).collect();
        let everything = Token::of("witness").channels(json!({"*": {
            "subscribe": true, "historyStart": 0, "messages": {"*": {"broadcast": true}},
        }}));
        let mut witness = Client::connect(&server, &everything).await;
        for channel in &channels {
            let old = json!({"channel": channel, "event": OLD, "store": 600});
            server.publish(old).await;
            witness.subscribe(channel).await;
        }
        Self {
            usher: Client::connect(&server, &everything).await,
            channels: channels.into_iter().collect(),
            server,
            witness,
        }
    }

    /// Plays a row; returns what the last of its acts came to, or what one before it did that failed.
    async fn play(&mut self, row: &Row) -> String {
        let token = Token::of("Jim").channels(row.connect.clone());
        let client = Client::connect(&self.server, &token).await;
        let mut actor = Actor {
            subscribe_token: Token::subscribe_of(&client.id, row.subscribe.clone())
                .for_server(&self.server),
            client,
            channels: BTreeSet::new(),
        };
        let (last, before) = row.acts.split_last().unwrap();
        for act in before {
            let seen = self.act(&mut actor, act).await;
            if !seen.starts_with("in ") && !seen.starts_with("out of ") {
                return format!("{seen}, before it came to that");
            }
        }
        let seen = self.act(&mut actor, last).await;
        actor.client.close().await;
        seen
    }

    async fn act(&mut self, actor: &mut Actor, act: &str) -> String {
        let words: Vec<&str> = act.split_whitespace().collect();
        match words[..] {
            ["join", channel] => actor.subscribe(channel, json!({})).await,
            ["pass", channel] => {
                let data = json!({"token": actor.subscribe_token});
                actor.subscribe(channel, data).await
            }
            ["leave", channel] => actor.unsubscribe(channel).await,
            ["say", channel, event] => {
                let frame = json!({"channel": channel, "event": event, "data": 1});
                self.send(actor, frame, None).await
            }
            ["react", channel, event, reaction] => {
                let message = json!({"channel": channel, "event": event, "store": 600, "eagerIdGeneration": true});
                let message = message.to_string();
                let answer = self.server.api("POST", "/publish", &message).await;
                let id = answer.json()["id"].clone();
                let data = json!({"messageId": id, "reaction": reaction, "action": "add"});
                let frame =
                    json!({"event": "hotsock.messageReaction", "channel": channel, "data": data});
                self.send(actor, frame, Some(&id)).await
            }
            ["history", channel] => {
                let answer = self.ask(actor, "listMessages", channel).await;
                match answer["messages"].as_array() {
                    Some(all) if all.iter().any(|message| message["event"] == OLD) => {
                        "all of it".to_owned()
                    }
                    Some(_) => "what comes".to_owned(),
                    None => code(&answer),
                }
            }
            ["info", channel] => {
                let answer = self.ask(actor, "getChannelInfo", channel).await;
                match answer["channel"].as_str() {
                    Some(channel) => format!("of {channel}"),
                    None => code(&answer),
                }
            }
            _ => panic!("{act:?} is nothing that can be done"),
        }
    }

    async fn ask(&self, actor: &Actor, verb: &str, channel: &str) -> Value {
        let body = json!({"channel": channel});
        let answer = self.server.client_api(&actor.client, verb, &body);
        answer.await.json()
    }

    /// Sends a frame, and tells who has got what of it. The message `but` is no answer to it.
    async fn send(&mut self, actor: &mut Actor, frame: Value, but: Option<&Value>) -> String {
        actor.client.send(&frame).await;
        // When this is answered, so is what was before it.
        actor.client.send(PING).await;
        let mut own = Vec::new();
        loop {
            let frame = actor.client.next_json().await;
            if frame["event"] == "hotsock.pong" {
                break;
            }
            own.push(frame);
        }
        for channel in &self.channels {
            let marker = json!({"channel": channel, "event": MARKER});
            self.usher.send(&marker).await;
        }
        own.extend(until_markers(&mut actor.client, actor.channels.len()).await);
        let mut others = until_markers(&mut self.witness, self.channels.len()).await;
        let is_message = |frame: &Value| frame["id"].is_string() && Some(&frame["id"]) != but;
        others.retain(is_message);
        if let Some(error) = own.iter().find(|frame| frame["event"] == "hotsock.error") {
            let heard = if others.is_empty() {
                ""
            } else {
                ", and was heard"
            };
            return code(error) + heard;
        }
        own.retain(is_message);
        let [heard] = &others[..] else {
            return format!("heard {} times: {others:?}", others.len());
        };
        let mut seen = format!("heard in {}", heard["channel"].as_str().unwrap());
        match &own[..] {
            [] => {}
            [echo] if echo == heard => seen += ", echoed",
            other => seen += &format!(", with {other:?} for the sender"),
        }
        if self.is_kept(heard).await {
            seen += ", kept";
        }
        seen
    }

    async fn is_kept(&self, message: &Value) -> bool {
        let body = json!({"channel": message["channel"], "reverse": true});
        let answer = self.server.client_api(&self.witness, "listMessages", &body);
        let answer = answer.await.json();
        let page = answer["messages"].as_array().unwrap();
        page.iter().any(|listed| listed["id"] == message["id"])
    }
}

impl Actor {
    async fn subscribe(&mut self, channel: &str, data: Value) -> String {
        let frame = json!({"event": "hotsock.subscribe", "channel": channel, "data": data});
        self.client.send(&frame).await;
        let answer = self.client.next_json().await;
        if answer["event"] != "hotsock.subscribed" {
            return code(&answer);
        }
        let channel = answer["channel"].as_str().unwrap();
        self.channels.insert(channel.to_owned());
        match answer["meta"]["channelAlias"].as_str() {
            Some(alias) => format!("in {channel} as {alias}"),
            None => format!("in {channel}"),
        }
    }

    async fn unsubscribe(&mut self, name: &str) -> String {
        self.client.send(unsubscribe(name)).await;
        let answer = self.client.next_json().await;
        if answer["event"] != "hotsock.unsubscribed" {
            return code(&answer);
        }
        let channel = answer["channel"].as_str().unwrap();
        self.channels.remove(channel);
        format!("out of {channel}")
    }
}

/// What came before the markers, of which there are `count`.
async fn until_markers(client: &mut Client, count: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    let mut markers = 0;
    while markers < count {
        let frame = client.next_json().await;
        if frame["event"] == MARKER {
            markers += 1;
        } else {
            frames.push(frame);
        }
    }
    frames
}

fn code(answer: &Value) -> String {
    let code = answer["error"]["code"].as_str();
    code.unwrap_or_else(|| panic!("{answer}")).to_owned()
}
