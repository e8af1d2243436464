//! What the protocol promises, each promise by itself. Nothing here knows how the server is made: these models see frames,
//! answers, posted events and what clients do.

pub mod ear;
pub mod events_out;
pub mod list;
pub mod membership;
pub mod messages;
pub mod order;
pub mod reactions;
pub mod single_use;
