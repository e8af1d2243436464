//! One channel at run time: the pure state ahead, and the audience behind.
//!
//! Between a change's decision and its delivery lies a commit. So a channel has two parts, each under a lock of its own:
//! the *state* is what has been decided, and the *audience* are the connections that have been told that they are
//! subscribed. Decisions are submitted to the committer under the state's lock and are delivered in that order, so
//! that everybody sees the same events in the same order, and nobody sees anything before its own `subscribed`.

use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::connection::Connection;
use super::delivery::Message;
use super::outbox::Run;
use crate::presence;
use crate::protocol::{ConnectionId, Frame};

/// Above this capacity an emptied list gives its memory back.
const KEPT_CAPACITY: usize = 16;

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
    /// Messages that have their place in the channel's order and are not out yet: empty, or one that is on its way to the
    /// disk comes first. The bound is that of the permits: each of them holds one.
    order: VecDeque<Place>,
    /// The channel has left the registry; whoever has something for its audience looks it up again.
    retired: bool,
}

/// A place in the order of a channel's messages.
#[derive(Debug)]
enum Place {
    /// The message is on its way to the disk; its delivery brings it.
    Committing,
    /// The message needs nothing more than its turn.
    Ready(Message),
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

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Queues a frame for all of them. It is encoded once, whoever many they are.
    pub(super) fn send(&self, frame: &Frame) {
        for connection in self.members.values() {
            connection.send(frame.clone());
        }
    }

    /// Queues a message for those who are to get it.
    fn send_message(&self, message: &Message) {
        for (id, connection) in &self.members {
            if Some(*id) != message.except {
                connection.send(message.frame.clone());
            }
        }
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether a message has to wait for others before it.
    pub(super) fn is_busy(&self) -> bool {
        !self.order.is_empty()
    }

    /// A message whose id has just been issued needs no commit: it goes out at once, or behind those before it.
    pub(super) fn pass(&mut self, message: Message) {
        if self.order.is_empty() {
            self.send_message(&message);
        } else {
            self.order.push_back(Place::Ready(message));
        }
    }

    /// A message whose id has just been issued goes through a commit. It is submitted under the same lock, and
    /// [`Audience::arrive`] follows.
    pub(super) fn keep_place(&mut self) {
        self.order.push_back(Place::Committing);
    }

    /// The first message that was on its way to the disk is there. It goes out, and those that waited behind it do.
    pub(super) fn arrive(&mut self, message: &Message) {
        self.order.pop_front();
        self.send_message(message);
        while let Some(Place::Ready(message)) = self.order.front() {
            self.send_message(message);
            self.order.pop_front();
        }
        if self.order.is_empty() && self.order.capacity() > KEPT_CAPACITY {
            self.order = VecDeque::new();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.members.values()
    }
}
