//! One channel at run time.
//!
//! Between a change's decision and its telling lies a commit. So a room has two parts, each under a lock of its own: the
//! *state* is what has been decided, and the *audience* are those who have been told that they are subscribed. Where both
//! locks are taken, the state's comes first; a connection's own comes before either.

use std::sync::Arc;

use parking_lot::Mutex;

use super::audience::Audience;
use crate::presence::{self, ListLog};

/// One channel.
#[derive(Debug)]
pub(super) struct Room {
    /// The channel's name.
    pub(super) name: Arc<str>,
    pub(super) state: Mutex<State>,
    pub(super) audience: Mutex<Audience>,
}

/// What has been decided.
#[derive(Debug)]
pub(super) struct State {
    pub(super) presence: presence::Channel,
    /// It was empty and has left the registry; whoever still holds it looks it up again.
    pub(super) retired: bool,
    /// The count of subscriptions that back ends have been told.
    pub(super) told_count: u64,
    /// The lists that the members' events out have.
    pub(super) lists: ListLog,
}

impl Room {
    pub(super) fn new(name: Arc<str>) -> Self {
        let presence = presence::Channel::new(&name);
        Self {
            name,
            state: Mutex::new(State {
                presence,
                retired: false,
                told_count: 0,
                lists: ListLog::default(),
            }),
            audience: Mutex::default(),
        }
    }
}
