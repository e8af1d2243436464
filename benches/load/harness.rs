//! What the load generator shares with the tests: `tests/support` says more. It panics where something that must be there
//! is not, and that ends the run.

#[path = "../../tests/support/certificate.rs"]
mod certificate;
#[path = "../../tests/support/process.rs"]
mod process;
#[path = "../../tests/support/server.rs"]
mod server;
#[path = "../../tests/support/setup.rs"]
mod setup;
#[path = "../../tests/support/token.rs"]
mod token;
#[path = "../../tests/support/usage.rs"]
pub(crate) mod usage;
#[path = "../../tests/support/wire.rs"]
mod wire;

use std::time::Duration;

pub(crate) use certificate::{connector, handshake};
use process::Process;
pub(crate) use server::Server;
pub(crate) use setup::{API_KEY, Setup, public_key, secret_key};
pub(crate) use token::{Token, now};
pub(crate) use wire::{Requests, api_request, ask, put_frame, requests, upgrade};

/// How long a start, or anything else that the log tells, may take.
const DEADLINE: Duration = Duration::from_secs(120);
