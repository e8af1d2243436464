//! Who is told what happens in a room, and the order of the messages for them.

use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;

use super::permits::Permit;
use super::queue::SendQueue;
use crate::protocol::{ConnectionId, Frame};

/// Above this capacity an emptied list gives its memory back.
const KEPT_CAPACITY: usize = 16;

/// The connections that have been told that they are subscribed.
#[derive(Debug, Default)]
pub(super) struct Audience {
    members: IndexMap<ConnectionId, Arc<SendQueue>>,
    /// Messages that have their place and are not out yet. The first one is on its way to the disk. The bound is that of
    /// the permits: each message holds one.
    order: VecDeque<Place>,
    /// The room has left the registry; whoever has something for its audience looks it up again.
    retired: bool,
}

/// A message that has its id.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) frame: Frame,
    /// The connection that gets no copy.
    pub(super) except: Option<ConnectionId>,
    /// Given back when the message is out; that of its release may stand for it.
    pub(super) _permit: Option<Permit>,
}

/// A place in the order of a room's messages.
#[derive(Debug)]
enum Place {
    /// The message is on its way to the disk; its release brings it.
    Committing,
    /// The message needs nothing more than its turn.
    Ready(Message),
}

impl Audience {
    pub(super) fn add(&mut self, id: ConnectionId, queue: Arc<SendQueue>) {
        self.members.insert(id, queue);
    }

    /// Takes a connection out, and returns its queue.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Arc<SendQueue>> {
        let queue = self.members.swap_remove(&id);
        if self.members.capacity() > 4 * self.members.len().max(16) {
            self.members.shrink_to(2 * self.members.len());
        }
        queue
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Queues a frame for all of them. It is encoded once, whoever many they are.
    pub(super) fn send(&self, frame: &Frame) {
        for queue in self.members.values() {
            queue.push(frame.clone());
        }
    }

    fn send_message(&self, message: &Message) {
        for (id, queue) in &self.members {
            if Some(*id) != message.except {
                queue.push(message.frame.clone());
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

    /// The first message that was on its way to the disk is there. It goes out, and so do those that waited behind it.
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

    /// The most bytes that wait for one of them.
    pub(super) fn longest_queue(&self) -> usize {
        let bytes = self.members.values().map(|queue| queue.bytes());
        bytes.max().unwrap_or_default()
    }
}
