//! What the kernel knows of a process.

use std::fs;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second; the kernel's interface has had this value on all of Linux for ever.
const TICKS: u64 = 100;

/// CPU time so far, in user mode and in the kernel, of all threads.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is the name in parentheses, and may hold anything; `utime` is the 14th.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Resident memory, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    number(pid, "status", "VmRSS:") << 10
}

/// The most memory that was ever resident, in bytes.
pub(crate) fn peak(pid: u32) -> u64 {
    number(pid, "status", "VmHWM:") << 10
}

/// The number behind `key` in a file of one key a line.
pub(crate) fn number(pid: u32, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}
