//! The space on the disk, looked at now and then: what is stored and can be done without is refused before the disk is
//! full, so that the membership has space for longest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use crate::protocol::{ErrorCode, Refusal};
use crate::store::disk_space::{DiskGauge, DiskSpace};
use crate::world::clock::Instant;
use crate::world::tasks::{Step, Thread};

/// How often it is looked at: the reserve must not be used up between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The same where there is little.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
/// What is not known.
const UNKNOWN: u64 = u64::MAX;

/// How much space there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Level {
    /// Enough.
    Enough,
    /// It is time to make room.
    Little,
    /// What is left is for the membership.
    Reserve,
}

/// The space, as it was when it was last looked at.
#[derive(Debug)]
pub struct DiskWatch {
    gauge: DiskGauge,
    /// Bytes.
    free: AtomicU64,
    level: AtomicU8,
}

impl DiskWatch {
    /// Looks, and from then on again and again until this is dropped; on a thread of its own, since a disk may be slow to
    /// answer.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn begin(gauge: DiskGauge) -> io::Result<Arc<Self>> {
        let this = Arc::new(Self {
            gauge,
            free: AtomicU64::new(UNKNOWN),
            level: AtomicU8::new(Level::Enough as u8),
        });
        this.look();
        let watched = Arc::downgrade(&this);
        let mut is_first = true;
        Thread::start("disk-space", move || {
            let Some(this) = watched.upgrade() else {
                return Step::Over;
            };
            if !std::mem::take(&mut is_first) {
                this.look();
            }
            let pause = match this.level() {
                Level::Enough => PAUSE,
                Level::Little | Level::Reserve => SHORT_PAUSE,
            };
            Step::Idle(Some(Instant::now() + pause))
        })?;
        Ok(this)
    }

    fn look(&self) {
        // What cannot be told is taken for no change; a commit that fails tells more.
        let Ok(space) = self.gauge.look() else {
            return;
        };
        let before = self.level();
        let now = level(before, space);
        self.free.store(space.free, Ordering::Relaxed);
        self.level.store(now as u8, Ordering::Relaxed);
        let free_bytes = space.free;
        match (before, now) {
            _ if before == now => {}
            (_, Level::Reserve) => warn!(
                free_bytes,
                "the disk is nearly full: messages are not stored any more, to leave room for who is here; make room on it"
            ),
            (Level::Enough, Level::Little) => warn!(
                free_bytes,
                database_bytes = space.database,
                "the disk has little room left; make some before it is full"
            ),
            (_, Level::Little) => info!(
                free_bytes,
                "messages are stored again; the disk still has little room"
            ),
            (_, Level::Enough) => info!(free_bytes, "the disk has room again"),
        }
    }

    /// What the operator should look at, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mebibytes = self.free().unwrap_or_default() >> 20;
        match self.level() {
            Level::Enough => Vec::new(),
            Level::Little => vec![format!(
                "the disk has {mebibytes} MiB left: make room before it is full"
            )],
            Level::Reserve => vec![format!(
                "the disk has {mebibytes} MiB left: messages are not stored any more; make room"
            )],
        }
    }

    /// Whether there is room to store what can be done without.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.level() {
            Level::Reserve => Err(Refusal::new(
                ErrorCode::StorageLimitReached,
                "the server has no room to store messages and reactions at present; messages without `store` go on",
            )),
            Level::Enough | Level::Little => Ok(()),
        }
    }

    fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Enough,
            1 => Level::Little,
            _ => Level::Reserve,
        }
    }

    /// The bytes that are free on the database's disk, if that is known.
    pub fn free(&self) -> Option<u64> {
        let free = self.free.load(Ordering::Relaxed);
        (free != UNKNOWN).then_some(free)
    }
}

/// What the space comes to. It has to be a little more before it counts as more, so that the log does not speak of it at
/// each look.
fn level(before: Level, space: DiskSpace) -> Level {
    let is_below = |limit: u64, level| {
        let slack = if before >= level { limit / 8 } else { 0 };
        space.free < limit.saturating_add(slack)
    };
    if is_below(space.reserve(), Level::Reserve) {
        Level::Reserve
    } else if is_below(space.warn_below(), Level::Little) {
        Level::Little
    } else {
        Level::Enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_little_more_to_be_enough_again() {
        let at = |before, mebibytes: u64| {
            let space = DiskSpace {
                free: mebibytes << 20,
                total: 100 << 30,
                database: 100 << 20,
            };
            level(before, space)
        };
        for (before, mebibytes, now) in [
            (Level::Enough, 201, Level::Enough),
            (Level::Enough, 199, Level::Little),
            (Level::Little, 201, Level::Little),
            (Level::Little, 226, Level::Enough),
            (Level::Little, 65, Level::Little),
            (Level::Little, 63, Level::Reserve),
            (Level::Reserve, 65, Level::Reserve),
            (Level::Reserve, 73, Level::Little),
            (Level::Reserve, 300, Level::Enough),
            (Level::Enough, 1, Level::Reserve),
        ] {
            assert_eq!(at(before, mebibytes), now, "{before:?} {mebibytes}");
        }
    }
}
