//! Signals to a process, and its end.

use std::process::ExitStatus;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::DEADLINE;
use super::process::{OUTPUTS, Process};

impl Process {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended; returns how, and what it said.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
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
