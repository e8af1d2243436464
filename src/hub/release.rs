//! What a commit releases: frames into the queues of connections, in the order of the changes.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::audience::Message;
use super::ids::IdSource;
use super::permits::Permit;
use super::queue::SendQueue;
use super::room::Room;
use crate::protocol::{ConnectionId, Frame, MessageId};
use crate::world::random::HashKeys;
use crate::world::tasks;

/// What happens once a change is durable.
#[derive(Default)]
pub(super) struct Release {
    /// Where something is told, and what.
    told: Option<(Arc<Room>, Told)>,
    /// Who waits for it to be done.
    done: Option<oneshot::Sender<()>>,
    /// Whatever is held until then.
    guards: Vec<Box<dyn Send>>,
    permit: Option<Permit>,
}

/// What the audience of a room is told.
pub(super) enum Told {
    Change(ToldChange),
    /// A message that the change keeps.
    Message(Message),
    Follower(Follower),
}

/// How a change of the membership is told.
#[derive(Default)]
pub(super) struct ToldChange {
    /// Who leaves the audience, with its answer where it asked to.
    pub(super) leaves: Option<(ConnectionId, Option<Frame>)>,
    /// What those who are there are told.
    pub(super) events: Vec<Frame>,
    /// Who joins the audience, with its `subscribed`.
    pub(super) joins: Option<(ConnectionId, Arc<SendQueue>, Frame)>,
}

/// A message that takes its id, and with it its place in the order of the room, when everything submitted before it has
/// been told.
pub(super) struct Follower {
    pub(super) compose: Box<dyn FnOnce(MessageId) -> Frame + Send>,
    /// The connection that gets no copy.
    pub(super) except: Option<ConnectionId>,
    /// Who waits for the id.
    pub(super) placed: oneshot::Sender<MessageId>,
}

impl std::fmt::Debug for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let room = self.told.as_ref().map(|(room, _)| &room.name);
        f.debug_struct("Release")
            .field("room", &room)
            .finish_non_exhaustive()
    }
}

impl Release {
    /// One that tells nobody anything, and gives the permit back.
    pub(super) fn new(permit: impl Into<Option<Permit>>) -> Self {
        Self {
            permit: permit.into(),
            ..Self::default()
        }
    }

    pub(super) fn set_permit(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// The same, with what is told in a room.
    pub(super) fn telling(mut self, room: &Arc<Room>, told: Told) -> Self {
        self.told = Some((Arc::clone(room), told));
        self
    }

    /// Something is held until everything has been told.
    pub(super) fn hold(&mut self, guard: impl Send + 'static) {
        self.guards.push(Box::new(guard));
    }

    /// A way to wait until it is done.
    pub(super) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        self.done = Some(done);
        wait
    }

    fn deliver(mut self, ids: &IdSource) {
        if let Some((room, told)) = self.told {
            let mut audience = room.audience.lock();
            match told {
                Told::Change(told) => {
                    if let Some((id, answer)) = told.leaves {
                        let queue = audience.remove(id);
                        if let (Some(queue), Some(answer)) = (queue, answer) {
                            queue.push(answer);
                        }
                    }
                    for event in &told.events {
                        audience.send(event);
                    }
                    // Last, because a connection sees nothing of a room before its own `subscribed`.
                    if let Some((id, queue, subscribed)) = told.joins {
                        queue.push(subscribed);
                        audience.add(id, queue);
                    }
                }
                Told::Message(message) => audience.arrive(&message),
                Told::Follower(follower) => {
                    let id = ids.next();
                    audience.pass(Message {
                        frame: (follower.compose)(id),
                        except: follower.except,
                        _permit: self.permit.take(),
                    });
                    let _ = follower.placed.send(id);
                }
            }
        }
        if let Some(done) = self.done {
            let _ = done.send(());
        }
    }
}

/// The lanes that releases take to their rooms.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<mpsc::UnboundedSender<Vec<Release>>>,
    hasher: HashKeys,
}

impl Lanes {
    /// Starts a lane for each task that can run at a time. Their queues have no bound of their own: every release holds a
    /// permit, or is one of few.
    pub(super) fn start(ids: &Arc<IdSource>) -> Self {
        let lanes = (0..tasks::parallelism().max(1)).map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tasks::spawn(run(receiver, Arc::clone(ids)));
            sender
        });
        Self {
            lanes: lanes.collect(),
            hasher: HashKeys::new(),
        }
    }

    /// Spreads releases over the lanes: those of one name always take the same, and so stay in order. It goes by the name,
    /// because a channel that empties and begins anew is another [`Room`] of the same name.
    pub(super) fn distribute(&self, releases: Vec<Release>) {
        let mut spread: Vec<Vec<Release>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for release in releases {
            let lane = release.told.as_ref().map_or(0, |(room, _)| {
                self.hasher.hash_one(&*room.name) as usize % self.lanes.len()
            });
            if let Some(lane) = spread.get_mut(lane) {
                lane.push(release);
            }
        }
        for (lane, releases) in self.lanes.iter().zip(spread) {
            if !releases.is_empty() {
                let _ = lane.send(releases);
            }
        }
    }
}

async fn run(mut lane: mpsc::UnboundedReceiver<Vec<Release>>, ids: Arc<IdSource>) {
    while let Some(releases) = lane.recv().await {
        for release in releases {
            release.deliver(&ids);
            // A large audience takes a while; let the connections' own tasks in between.
            tasks::give_way().await;
        }
    }
}
