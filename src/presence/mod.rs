//! Who is in a channel. Pure: no clock, no I/O, no runtime; a command goes in, and what it changed comes out.
//!
//! - [`Channel`]: the subscriptions of one channel and, on a presence channel, the roster they make up. Every join,
//!   leave, update and absence is decided here.
//! - [`Roster`]: the members in joining order, with the list kept serialised and its byte total.
//! - [`ListLog`]: the list of every moment, kept for whoever tells of it later.
//!
//! A *subscription* is a connection in a channel; a *member* is a distinct uid with at least one of them. A subscription
//! is *absent* when its connection is gone but its grace is not over: it keeps its member's place, and whoever
//! subscribes again under the same uid takes the place over in silence.

mod channel;
mod list_log;
#[cfg(test)]
mod model;
mod roster;

pub use channel::{Change, Channel, Join, JoinError, MemberChange, Subscription};
pub use list_log::{ListLog, Place, Record, Wanted};
pub use roster::{Edit, Roster};
