//! A message gets its id and its place (section 5).
//!
//! In one room everybody gets messages in the order of their ids. So an id is issued and its place is taken under the lock
//! of the audience, and while a message is on its way to the disk those behind it wait for it.

use tokio::sync::oneshot;

use super::audience::Message;
use super::permits::Permit;
use super::release::{Follower, Release, Told, ToldChange};
use super::rooms::Rooms;
use crate::protocol::{ConnectionId, Frame, MessageId};
use crate::store::Changes;

impl Rooms {
    /// Whether a message to this room has to wait for others before it, and needs a permit for that.
    pub(super) fn is_busy(&self, name: &str) -> bool {
        let room = self.get(name);
        room.is_some_and(|room| room.audience.lock().is_busy())
    }

    /// Places a message that nothing has to survive of, while ids are covered: it goes out at once, or behind those before
    /// it.
    pub(super) fn place(
        &self,
        name: &str,
        except: Option<ConnectionId>,
        permit: Option<Permit>,
        compose: impl FnOnce(MessageId) -> Frame,
    ) -> MessageId {
        let id = self.with_audience(name, |_, audience| {
            let id = self.pipeline.next_id();
            audience.pass(Message {
                frame: compose(id),
                except,
                _permit: permit,
            });
            id
        });
        self.pipeline.renew_lease();
        id
    }

    /// Places a message that is to be kept: `compose` makes its frame, says what is written, and may have the release hold
    /// something. It goes out when that is durable, and then the receiver hears of it.
    pub(super) fn place_durably(
        &self,
        name: &str,
        except: Option<ConnectionId>,
        mut release: Release,
        compose: impl FnOnce(MessageId, &mut Changes, &mut Release) -> Frame,
    ) -> (MessageId, oneshot::Receiver<()>) {
        let durable = release.wait();
        self.with_audience(name, |room, audience| {
            let id = self.pipeline.next_id();
            let mut changes = Changes::new();
            let message = Message {
                frame: compose(id, &mut changes, &mut release),
                except,
                _permit: None,
            };
            if changes.is_empty() {
                // Nothing has to survive but that the id was issued.
                self.pipeline.renew_lease_with(&mut changes);
            }
            audience.keep_place();
            let release = release.telling(room, Told::Message(message));
            self.pipeline.submit(changes, release);
            (id, durable)
        })
    }

    /// Places a message when everything that has been submitted is told. It gets its id then, so that nobody else waits
    /// for it; the receiver hears which.
    pub(super) fn place_behind(
        &self,
        name: &str,
        except: Option<ConnectionId>,
        release: Release,
        compose: impl FnOnce(MessageId) -> Frame + Send + 'static,
    ) -> oneshot::Receiver<MessageId> {
        let (placed, id) = oneshot::channel();
        let follower = Follower {
            compose: Box::new(compose),
            except,
            placed,
        };
        self.with_audience(name, |room, _| {
            let release = release.telling(room, Told::Follower(follower));
            let mut changes = Changes::new();
            if !self.pipeline.ids_are_covered() {
                self.pipeline.renew_lease_with(&mut changes);
            }
            self.pipeline.submit(changes, release);
        });
        id
    }

    /// A way to wait until everything that has been submitted is told in this room.
    pub(super) fn passed(&self, name: &str, mut release: Release) -> oneshot::Receiver<()> {
        let passed = release.wait();
        self.with_audience(name, |room, _| {
            let release = release.telling(room, Told::Change(ToldChange::default()));
            self.pipeline.submit(Changes::new(), release);
        });
        passed
    }
}
