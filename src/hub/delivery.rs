//! What a commit releases: frames into the queues of connections, in the order of the changes.

use std::hash::BuildHasher;
use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc, oneshot};

use super::channel::Channel;
use super::connection::{Connection, Following, Untold};
use super::ids::IdSource;
use super::tokens::Reservation;
use crate::protocol::{ConnectionId, Frame, MessageId};

/// Leave to have one change on its way to the disk.
pub(super) type Permit = OwnedSemaphorePermit;

/// What is told once a change is durable.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// The channel that it happened in.
    pub(super) channel: Option<Arc<Channel>>,
    /// Who left the audience, with its answer where it asked to.
    pub(super) left: Option<(Arc<Connection>, Option<Frame>)>,
    /// What the audience is told.
    pub(super) events: Vec<Frame>,
    /// The message that the change keeps.
    pub(super) message: Option<Message>,
    /// A message that waited for an earlier change of its sender.
    pub(super) follower: Option<Follower>,
    /// Who joins the audience, with its `subscribed`.
    pub(super) joined: Option<(Arc<Connection>, Frame)>,
    /// Who waits for it to be done.
    pub(super) done: Option<oneshot::Sender<()>>,
    /// Until here, the messages of whoever asked for the change wait for it.
    pub(super) _untold: Option<Untold>,
    /// What is decided about the message of a reaction waits until it is told.
    pub(super) _reacted: Option<OwnedMutexGuard<()>>,
    /// The single-use token that the change has spent.
    pub(super) spent: Option<Reservation>,
    /// Given back when it is told.
    pub(super) _permit: Option<Permit>,
}

/// A message that has its id.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) frame: Frame,
    /// The connection that gets no copy.
    pub(super) except: Option<ConnectionId>,
    /// Given back when it is out; its delivery's may stand for it.
    pub(super) _permit: Option<Permit>,
}

/// A message that takes its id, and with it its place in the channel's order, when everything submitted before it has
/// been told.
pub(super) struct Follower {
    pub(super) ids: Arc<IdSource>,
    pub(super) compose: Box<dyn FnOnce(MessageId) -> Frame + Send>,
    /// The connection that gets no copy.
    pub(super) except: Option<ConnectionId>,
    /// Who waits for the id.
    pub(super) placed: oneshot::Sender<MessageId>,
    /// Until here, what its sender commits waits for it.
    pub(super) _following: Option<Following>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}

impl Delivery {
    /// A delivery of nothing, and a way to wait until its change is durable.
    pub(super) fn nothing(permit: Permit) -> (Self, oneshot::Receiver<()>) {
        let (done, wait) = oneshot::channel();
        let delivery = Self {
            done: Some(done),
            _permit: Some(permit),
            ..Self::default()
        };
        (delivery, wait)
    }

    fn deliver(self) {
        if let Some(channel) = &self.channel {
            let mut audience = channel.audience.lock();
            if let Some((connection, answer)) = self.left {
                audience.remove(connection.id);
                if let Some(answer) = answer {
                    connection.send(answer);
                }
            }
            for event in &self.events {
                audience.send(event);
            }
            if let Some(message) = &self.message {
                audience.arrive(message);
            }
            if let Some(follower) = self.follower {
                let id = follower.ids.next();
                audience.pass(Message {
                    frame: (follower.compose)(id),
                    except: follower.except,
                    _permit: self._permit,
                });
                let _ = follower.placed.send(id);
            }
            // Last, because a connection sees nothing of a channel before its own `subscribed`.
            if let Some((connection, subscribed)) = self.joined {
                connection.send(subscribed);
                audience.add(connection);
            }
        }
        if let Some(done) = self.done {
            let _ = done.send(());
        }
    }
}

/// Spreads deliveries over the lanes: those of one channel always take the same, and so stay in order. It goes by the
/// channel's name, because a channel that empties and begins anew is another [`Channel`] of the same name.
pub(super) fn distribute(
    deliveries: Vec<Delivery>,
    hasher: &impl BuildHasher,
    lanes: &[mpsc::UnboundedSender<Vec<Delivery>>],
) {
    let mut spread: Vec<Vec<Delivery>> = lanes.iter().map(|_| Vec::new()).collect();
    for delivery in deliveries {
        let lane = delivery.channel.as_ref().map_or(0, |channel| {
            hasher.hash_one(&*channel.name) as usize % lanes.len().max(1)
        });
        if let Some(lane) = spread.get_mut(lane) {
            lane.push(delivery);
        }
    }
    for (lane, deliveries) in lanes.iter().zip(spread) {
        if !deliveries.is_empty() {
            let _ = lane.send(deliveries);
        }
    }
}

/// One lane.
pub(super) async fn run(mut lane: mpsc::UnboundedReceiver<Vec<Delivery>>) {
    while let Some(deliveries) = lane.recv().await {
        for delivery in deliveries {
            delivery.deliver();
            // A large audience takes a while; let the connections' own tasks in between.
            tokio::task::consume_budget().await;
        }
    }
}
