//! The whole server in a simulated world: one thread, one seed, one trace.
//!
//! The hub, the store, the outbox and the webhooks in it are the real ones, and so are tokens. Clocks, random numbers, tasks
//! and the commit thread are those of [`crate::world`]'s machine, the disk is the store's engine in memory, and network and
//! receivers are made here. Nothing runs but by [`World::run`] and [`World::settle`].
//!
//! - [`World`]: what a test holds; `life` starts and stops the server in it, as `server` does
//! - `line`, `session`: a client and what the server does for it, as `server/session.rs` does
//! - `asks`: the HTTP requests
//! - `receivers`: who takes webhooks

mod asks;
mod life;
mod line;
mod receivers;
mod session;
mod setup;
#[cfg(test)]
mod tests;
mod world;

pub use crate::hub::leftovers::Leftovers;
pub use crate::store::kept::{
    Kept, KeptChannel, KeptMessage, KeptReaction, KeptSubscription, Posted,
};
pub use asks::{Answer, Ask, Call};
pub use life::State;
pub use line::{Client, Heard};
pub use receivers::ReceiverMood;
pub use setup::{Cut, DiskFault, Errno, Setup};
pub use world::World;
