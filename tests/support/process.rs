//! A process of one's own, and what it says.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::DEADLINE;

/// A running process. If it is dropped it is killed; if its test is failing, what it said is printed.
pub(crate) struct Process {
    pub(super) child: Child,
    pub(super) said: Arc<Said>,
}

/// Everything that a process has said, line by line.
#[derive(Default)]
pub(super) struct Said {
    pub(super) state: Mutex<State>,
    pub(super) grown: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    lines: Vec<String>,
    /// How many of its outputs have come to their end.
    pub(super) ended: usize,
}

/// Both, stdout and stderr.
pub(super) const OUTPUTS: usize = 2;

impl Process {
    /// Starts a process. Its input stays open and is empty.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::follow(command.stdin(Stdio::piped()).env_remove("NOTIFY_SOCKET"))
    }

    /// The same with the input and the environment of `command`.
    pub(crate) fn follow(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Said::default());
        said.follow(child.stdout.take().unwrap());
        said.follow(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said a line that has `text`, and returns the first one; `None` if it ends without, or does
    /// not say it in time.
    pub(crate) fn line(&self, text: &str) -> Option<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.said.state.lock().unwrap();
        let mut seen = 0;
        loop {
            if let Some(line) = state.lines[seen..].iter().find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            seen = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended == OUTPUTS || left.is_zero() {
                return None;
            }
            state = self.said.grown.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The same, where it must come.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.line(text)
            .unwrap_or_else(|| panic!("no {text:?} in what it said:\n{}", self.text()))
    }

    /// What it has said so far.
    pub(crate) fn text(&self) -> String {
        self.said.state.lock().unwrap().lines.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("process {} said:\n{}", self.id(), self.text());
        }
    }
}

impl Said {
    /// Reads an output as it grows.
    fn follow(self: &Arc<Self>, output: impl Read + Send + 'static) {
        let said = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                said.state.lock().unwrap().lines.push(line);
                said.grown.notify_all();
            }
            said.state.lock().unwrap().ended += 1;
            said.grown.notify_all();
        });
    }
}
