//! Programs that look on at system calls, and make them late or fail.

use std::io::Write as _;
use std::process::Command;

use super::{Process, Server};

/// Says why something is not tried, also where the test passes, whose output nobody sees: `tests/run` tells it at its end.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Whether a program is installed; a word about it where it is not.
pub fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("-V").output().is_ok();
    if !is_there {
        skipped(&format!("{program} is not installed"));
    }
    is_there
}

/// How strace is called.
pub struct Strace(Vec<String>);

impl Strace {
    /// It looks on at these calls, and writes what it sees to `output`.
    pub fn trace(calls: &str, output: &str) -> Self {
        let words = [
            "strace",
            "-f",
            "-o",
            output,
            "-e",
            &format!("trace={calls}"),
        ];
        Self(words.map(str::to_owned).to_vec())
    }

    /// It does `what` to these calls.
    pub fn inject(calls: &str, what: &str) -> Self {
        let traced = Self::trace(calls, "/dev/null");
        traced.and(&["-qq", "-e", &format!("inject={calls}:{what}")])
    }

    /// More of its options.
    pub fn and(mut self, options: &[&str]) -> Self {
        self.0
            .extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// What a server is started through: our child is the server, and strace looks on from outside and ends with it.
    pub fn around(self) -> Vec<String> {
        self.and(&["-D"]).0
    }

    /// Lays hands on a running server until the process is dropped; `None`, and a word about it, where that cannot be.
    pub fn attach(self, server: &Server) -> Option<Process> {
        if !has("strace") {
            return None;
        }
        let all = self.and(&["-p", &server.pid().to_string()]).0;
        let strace = Process::start(Command::new(&all[0]).args(&all[1..]));
        if strace.line("attached").is_none() {
            skipped(&format!("strace may not look on here: {}", strace.text()));
            return None;
        }
        Some(strace)
    }
}
