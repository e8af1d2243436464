//! The outside world behind one door: time, random numbers, tasks and threads.
//!
//! The hub, events out and the store ask nobody else for them. So the whole server also runs in a simulated world, in which
//! one seed decides what time it is, which numbers are drawn and what runs next. That world is compiled with the cargo
//! feature `simulation` alone, and serves the thread that has entered it; without it each of these functions is a
//! thin cover of the system's.
//!
//! - [`clock`]: the time of day, and the time that only passes
//! - [`random`]: random bytes, and how keys are hashed
//! - [`tasks`]: tasks, threads, and waiting

pub(crate) mod clock;
mod instant;
#[cfg(feature = "simulation")]
pub(crate) mod machine;
pub(crate) mod random;
pub(crate) mod tasks;
