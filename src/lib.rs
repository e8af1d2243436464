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
//! hub            the running system: connections, channels, commands in, commits, frames out, timers
//! presence       who is in a channel: members, order, byte total, absence and grace       (pure)
//! events         events out: the outbox's readers, webhooks
//! messages       ids that only grow, history, reactions                                   (pure)
//! store          the database: keyspaces, records, batches, opening and checking
//! auth           keys, tokens, patterns, permissions                                      (pure)
//! protocol       the wire: names, limits, requests, frames, error codes                   (pure)
//!                PROTOCOL.md tells it in full: the sections that comments name are its own
//! tls            certificates, keys and authorities, for whoever needs them
//! world          the outside world behind one door: time, random numbers, tasks and threads
//! config         file, environment and flags into one checked `Config`
//! telemetry      logs
//! ```
//!
//! Arrows point down: `main → cli → server → hub → {presence, messages, events, store} → {auth, protocol}`; `tls`, `world`,
//! `config` and `telemetry` may be used from above. A pure room has no clock, no I/O and no runtime: it takes a command and
//! the time, and returns what changed.
//!
//! # One join, from socket to disk and back
//!
//! A session reads the frame and hands it to the hub. The hub lets the channel's pure
//! roster decide, under that channel's lock, and gives the records that changed to the committer. The committer
//! gathers what has come in, makes it durable in one batch, and only then releases the frames, in order: whoever
//! is told something may rely on it.

pub mod auth;
#[cfg(test)]
mod bytes;
pub mod cli;
pub mod config;
pub mod events;
pub mod hub;
pub mod messages;
pub mod presence;
pub mod protocol;
pub mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod store;
pub mod telemetry;
mod tls;
mod world;
