//! What the kernel knows of the server's process.

use std::fs;
use std::time::Duration;

use crate::Result;

/// Ticks of `/proc/PID/stat` in a second; the kernel's interface has had this value on all of Linux for ever.
const TICKS: u64 = 100;

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
}

/// Its memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// CPU time so far, in user mode and in the kernel, of all threads.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The second field is the name in parentheses, and may hold anything; `utime` is the 14th.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<std::result::Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }

    pub(crate) fn memory(self) -> Result<Memory> {
        let status = self.read("status")?;
        let bytes = |key| Ok::<_, crate::Error>(value(&status, key)? * 1024);
        Ok(Memory {
            resident: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }

    /// Bytes that it had written to storage so far.
    pub(crate) fn written(self) -> Result<u64> {
        value(&self.read("io")?, "write_bytes:")
    }

    fn read(self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.pid))?)
    }
}

/// The number behind `key` in a file of one key a line.
fn value(text: &str, key: &str) -> Result<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .ok_or_else(|| format!("no {key} in /proc"))?;
    let number = line.split_whitespace().next().unwrap_or_default();
    Ok(number.parse()?)
}
