//! One channel at run time: the pure state ahead, and the audience behind.
//!
//! Between a change's decision and its delivery lies a commit. So a channel has two parts, each under a lock of its own:
//! the *state* is what has been decided, and the *audience* are the connections that have been told that they are
//! subscribed. Decisions are submitted to the committer under the state's lock and are delivered in that order, so
//! that everybody sees the same events in the same order, and nobody sees anything before its own `subscribed`.

use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::connection::Connection;
use super::outbox::Run;
use crate::presence;
use crate::protocol::{ConnectionId, Frame};

/// One channel.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    pub(super) state: Mutex<State>,
    pub(super) audience: Mutex<Audience>,
}

/// What has been decided.
#[derive(Debug)]
pub(super) struct State {
    pub(super) presence: presence::Channel,
    /// It was empty and has left the registry; whoever still holds it looks it up again.
    pub(super) retired: bool,
    /// The count of subscriptions that back ends know.
    pub(super) counted: u64,
    /// The run of lists that the members' events out are in.
    pub(super) run: Option<Run>,
}

/// The connections that have been told that they are subscribed.
#[derive(Debug, Default)]
pub(super) struct Audience {
    members: IndexMap<ConnectionId, Arc<Connection>>,
    /// How many messages are on their way through a commit. While there are any, all others go behind them.
    ordered: usize,
    /// The channel has left the registry; whoever has something for its audience looks it up again.
    retired: bool,
}

impl Channel {
    pub(super) fn new(name: Arc<str>) -> Self {
        let presence = presence::Channel::new(&name);
        Self {
            name,
            state: Mutex::new(State {
                presence,
                retired: false,
                counted: 0,
                run: None,
            }),
            audience: Mutex::default(),
        }
    }
}

impl Audience {
    pub(super) fn add(&mut self, connection: Arc<Connection>) {
        self.members.insert(connection.id, connection);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.members.swap_remove(&id);
        if self.members.capacity() > 4 * self.members.len().max(16) {
            self.members.shrink_to(2 * self.members.len());
        }
    }

    /// Queues a frame for all of them. It is encoded once, whoever many they are.
    pub(super) fn send(&self, frame: &Frame) {
        for connection in self.members.values() {
            connection.send(frame.clone());
        }
    }

    /// Like [`Audience::send`], but not to the connection `except`.
    pub(super) fn send_but(&self, frame: &Frame, except: Option<ConnectionId>) {
        match except {
            None => self.send(frame),
            Some(except) => {
                for (id, connection) in &self.members {
                    if *id != except {
                        connection.send(frame.clone());
                    }
                }
            }
        }
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether messages have to go through a commit, to stay in order behind one that does.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered > 0
    }

    pub(super) fn begin_ordered(&mut self) {
        self.ordered += 1;
    }

    pub(super) fn end_ordered(&mut self) {
        self.ordered = self.ordered.saturating_sub(1);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.members.values()
    }
}
