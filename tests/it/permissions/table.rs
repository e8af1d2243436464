//! The table, and how it is written.
//!
//! A group has the `channels` of a connect token and, maybe, of a subscribe token. A row has what a connection does with
//! them, one after the other, and behind the arrow what comes of the last:
//!
//! | what it does | | what can come of it, but for an error |
//! | --- | --- | --- |
//! | `join CHANNEL` | subscribe, by the connect token alone | `in CHANNEL`, or `in CHANNEL as ALIAS` |
//! | `pass CHANNEL` | subscribe, with the subscribe token | the same |
//! | `leave CHANNEL` | unsubscribe | `out of CHANNEL` |
//! | `say CHANNEL EVENT` | send a message | `heard in CHANNEL`, for the sender too `, echoed`, and stored `, kept` |
//! | `react CHANNEL EVENT REACTION` | react to a stored message | the same, of the reaction |
//! | `history CHANNEL` | list the messages | `all of it`, or `what comes`: since the subscription |
//! | `info CHANNEL` | read the info | `of CHANNEL` |

use std::collections::BTreeSet;

use serde_json::Value;

/// A row, in its group.
#[derive(Debug, Clone)]
pub(super) struct Row {
    group: String,
    text: String,
    /// The `channels` of the connect token.
    pub(super) connect: Value,
    /// The `channels` of the subscribe token.
    pub(super) subscribe: Value,
    /// What is done, in this order.
    pub(super) acts: Vec<String>,
    /// What the last of it must come to.
    pub(super) expected: String,
}

impl Row {
    pub(super) fn name(&self) -> String {
        format!("{}: {}", self.group, self.text)
    }

    /// Every channel that could be meant: those of the acts, of the tokens, and whatever is an alias somewhere.
    pub(super) fn channels(&self) -> BTreeSet<String> {
        let said = self.acts.iter().filter_map(|act| act.split(' ').nth(1));
        let granted = [&self.connect, &self.subscribe];
        let granted = granted.into_iter().filter_map(Value::as_object);
        let granted = granted.flatten().map(|(pattern, _)| pattern.as_str());
        let is_name = |name: &&str| !name.contains(['*', '#']);
        said.chain(granted)
            .filter(is_name)
            .map(str::to_owned)
            .collect()
    }
}

/// The rows so far.
#[derive(Debug, Default)]
pub(super) struct Table(pub(super) Vec<Row>);

impl Table {
    /// Adds the rows of `text`, one a line, for a connect token alone.
    pub(super) fn add(&mut self, group: &str, connect: Value, text: &str) {
        self.add_with(group, connect, Value::Null, text);
    }

    /// The same with a subscribe token.
    pub(super) fn add_with(&mut self, group: &str, connect: Value, subscribe: Value, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (acts, expected) = line.split_once("->").unwrap();
            self.0.push(Row {
                group: group.to_owned(),
                text: line.to_owned(),
                connect: connect.clone(),
                subscribe: subscribe.clone(),
                acts: acts.split(';').map(|act| act.trim().to_owned()).collect(),
                expected: expected.trim().to_owned(),
            });
        }
    }
}
