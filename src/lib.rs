//! Rollcall: a presence server in one binary.
//!
//! It ends TLS, speaks the Hotsock protocol, tells every member of a channel who else is there, and keeps that in an
//! embedded database, so that no restart, crash or power cut leaves a ghost in the room.
//!
//! # The map
//!
//! ```text
//! main.rs        parse the command line, run one command
//! cli            one file per command
//! server         the listener, TLS, the HTTP routes, the WebSocket session
//! hub            the running system: requests in, one pipeline from decision to disk to telling, timers
//! presence       who is in a channel: members, order, byte total, absence and grace       (pure)
//! events         events out: the readers of the outbox, webhooks
//! messages       ids that only grow, history, reactions                                   (pure)
//! config         each key declared once; file, environment and flags into one checked `Config`
//! store          the database: keyspaces, records, batches, opening and checking; FORMAT.md has it on a page
//! auth           keys, tokens, patterns, permissions                                      (pure)
//! protocol       the wire: names, limits, requests, frames, error codes                   (pure)
//!                PROTOCOL.md tells it in full: the sections that comments name are its own
//! tls            certificates, keys and authorities, for whoever needs them
//! world          the outside world behind one door: time, random numbers, tasks and threads
//! telemetry      logs
//! simulation     the hub, the store and the webhooks in a world drawn from a seed, for tests alone
//! ```
//!
//! Arrows point down: `main → cli → server → hub → {presence, messages, events} → config → {store, auth, protocol}`; `tls`,
//! `world` and `telemetry` may be used from above. A pure room has no clock, no I/O and no runtime: it takes a command and
//! the time, and returns what changed.
//!
//! # One join, from socket to disk and back
//!
//! | step | where |
//! | --- | --- |
//! | a session reads the frame and hands it over | `server::session` → `hub::Hub::request` |
//! | the token allows it | `hub::membership` → `auth` |
//! | a decision opens: the room's state is locked, and its pure roster decides | `hub::rooms` → `presence` |
//! | the decision records what changed: records, events out, the frame for the members | `hub::rooms` → `hub::telling`, `protocol::frame` |
//! | it is submitted under the same lock, with what it releases | `hub::pipeline` → `store::committer` |
//! | the committer gathers what has come in and makes it durable in one batch | `store::committer` → `store::engine` |
//! | a lane tells the audience, in the order of the decisions | `hub::release` → `hub::audience` |
//! | the sessions write the frame, encoded once | `hub::SendQueue` → `server::session` |
//!
//! Whoever is told something may rely on it: it is on disk.

mod auth;
#[cfg(test)]
mod bytes;
mod cli;
mod config;
mod events;
mod hub;
mod messages;
mod presence;
mod protocol;
mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
mod store;
mod telemetry;
mod tls;
mod world;

// What the program, its tests, its benchmarks and its package need.
pub use auth::{Algorithm, KeyError, SigningKey};
pub use cli::{command, main};
pub use config::{Key, Shown, Standing, keys, reference};
pub use events::EventId;
pub use protocol::event_out::Via;
pub use protocol::{EventKind, Limits, MessageId, RemovalReason, names};
