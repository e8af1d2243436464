//! The wire: names, limits, requests, frames and error codes of the Hotsock protocol. Pure: bytes in, values out, and
//! back again.
//!
//! - `names`: what channels and events may be called
//! - `id`: the name of a connection
//! - `json`: an application's JSON, passed through as compact text
//! - `request`: what clients send
//! - `frame`: what the server sends
//! - `error`: the codes of refusals
//! - `close`: why a connection is closed

mod close;
mod error;
pub mod frame;
mod id;
mod json;
pub mod names;
mod request;

pub use close::CloseReason;
pub use error::{ErrorCode, Refusal};
pub use frame::{Frame, MemberEvent, Meta};
pub use id::{ConnectionId, InvalidConnectionId};
pub use json::{Json, JsonError};
pub use request::{BadRequest, Request};
