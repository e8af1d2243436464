//! What the tests over the wire are made of: the real binary with a folder of its own, and clients that speak TLS to it.
//!
//! Everything has a deadline and nothing sleeps: a test waits for what must come, and knows that something did not come
//! by what came instead. A process that is dropped is killed; if its test is failing, what it said is printed.

mod client;
mod dice;
mod disk;
mod http;
mod process;
mod receiver;
mod server;
mod token;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub use client::{Client, tls};
pub use dice::Dice;
pub use disk::{Disk, Mount};
pub use http::{Answer, ids};
pub use process::Process;
pub use receiver::{Mood, Received, Receiver};
pub use server::{API_KEY, Server, Setup};
pub use token::{Token, now};

/// How long anything may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, and fails with `what` if it does not come in time.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Whether a program is installed.
pub fn has(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok()
}

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
