//! A process of a test's own, and what it says.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A running process. If it is dropped it is killed; if its test is failing, what it said is printed.
pub struct Process {
    child: Child,
    said: Arc<Said>,
}

/// Everything that a process has said, line by line, and how it ended.
#[derive(Default)]
struct Said {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// How many of its outputs have come to their end.
    ended: usize,
}

/// Both, stdout and stderr.
const OUTPUTS: usize = 2;

impl Process {
    /// Starts a process. Its input stays open and is empty.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_remove("NOTIFY_SOCKET")
            .spawn()
            .unwrap();
        let said = Arc::new(Said::default());
        said.follow(child.stdout.take().unwrap());
        said.follow(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said a line that has `text`, and returns the first one; `None` if it ends without, or does
    /// not say it in time.
    pub fn line(&self, text: &str) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
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
    pub fn wait_for(&self, text: &str) -> String {
        self.line(text)
            .unwrap_or_else(|| panic!("no {text:?} in what it said:\n{}", self.text()))
    }

    /// What it has said so far.
    pub fn text(&self) -> String {
        self.said.state.lock().unwrap().lines.join("\n")
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended; returns how, and what it said.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.said.state.lock().unwrap();
        while state.ended < OUTPUTS {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not end");
            state = self.said.grown.wait_timeout(state, left).unwrap().0;
        }
        drop(state);
        (self.child.wait().unwrap(), self.text())
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
