//! What the tests over the wire are made of: the real binary with a folder of its own, and clients that speak TLS to it.
//!
//! - `process`, `setup`, `server`, `certificate`, `token`, `wire`, `usage`: the load generator is made of these too
//! - `signals`: the tests of systemd have `process` and these
//! - `operate`, `api`, `tokens`: more that tests do with a server and with tokens
//! - `client`: a WebSocket client that knows what to expect
//! - `receiver`: a back end that takes webhooks
//! - `disk`, `trouble`: file systems, and programs that make system calls fail
//! - `scenes`: what many tests begin with
//!
//! Everything has a deadline and nothing sleeps: a test waits for what must come, and knows that something did not come
//! by what came instead. A process that is dropped is killed; if its test is failing, what it said is printed.

mod api;
mod certificate;
mod client;
mod dice;
mod disk;
mod operate;
mod process;
mod receiver;
mod scenes;
mod server;
mod setup;
mod signals;
mod token;
mod tokens;
mod trouble;
pub mod usage;
mod wire;

use std::fs;
use std::path::Path;
use std::time::Duration;

pub use api::{Answer, id_of, ids};
pub(crate) use certificate::{connector, handshake};
pub use client::{Client, tls};
pub use dice::Dice;
pub use disk::{Disk, Mount};
pub(crate) use process::Process;
pub use receiver::{Mood, Received, Receiver};
pub use scenes::{HEARTBEAT, PING, PONG, burst, react, subscribe, uids, unsubscribe, update};
pub(crate) use server::Server;
pub(crate) use setup::{API_KEY, Setup, public_key, secret_key};
pub(crate) use token::{Token, now};
pub use trouble::{Strace, has, skipped};
pub(crate) use wire::{put_frame, upgrade};

/// How long anything may take that must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for `future`, and fails with `what` if it does not come in time.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Asks again and again until it is so; fails with `what` if that does not come in time.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    in_time(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Rows of a table, one a line, as tuples: `rows! { input => expected; … }`.
macro_rules! rows {
    ($($($cell:expr)=>+;)+) => { [$(($($cell),+)),+] };
}
pub(crate) use rows;

/// Copies a folder of files and folders.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
