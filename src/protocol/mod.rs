//! The wire: names, limits, requests, frames and error codes of the Hotsock protocol. Pure: bytes in, values out, and
//! back again. `PROTOCOL.md`, beside this file, is the wire in full; where a comment says "section 4", it is that page's.
//!
//! - `names`: what channels and events may be called
//! - `limits`: how much a uid, its metadata and the data of a message may be
//! - `id`: the names of connections and messages
//! - `object`: a JSON object, field by field, with errors that name the field: frames, bodies and claims
//! - `json`: an application's JSON, passed through as compact text
//! - `request`: what clients send
//! - `frame`: what the server sends
//! - `event_out`: what back ends are told
//! - `writer`: JSON as both are written
//! - `error`: the codes of refusals
//! - `close`: why a connection is closed

#[cfg(test)]
mod bytes;
mod close;
mod error;
pub mod event_out;
pub mod frame;
mod id;
mod json;
mod limits;
pub mod names;
mod object;
mod request;
mod same;
mod writer;

pub use close::CloseReason;
pub use error::{ErrorCode, Refusal};
pub use event_out::{EventKind, EventKinds, RemovalReason};
pub use frame::{Frame, MemberEvent, Meta, ReactionEvent};
pub use id::{ConnectionId, InvalidMessageId, MessageId};
pub use json::{Json, JsonError};
pub use limits::{Limits, MAX_KEEP_SECONDS};
pub use object::{Field, Misfit, Object};
pub use request::{Reaction, Request};
pub(crate) use same::same_value;
