//! The room on the disk.

use std::io;
use std::path::Path;

/// What is kept free for the membership, in bytes; a twentieth of a disk for which that is less.
pub const RESERVE: u64 = 64 << 20;

/// The room on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What we may still use.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// Looks at the disk that `folder` is on. It may wait for the disk.
///
/// # Errors
/// When the system does not say.
pub fn look(folder: &Path) -> io::Result<Room> {
    let fs = rustix::fs::statvfs(folder)?;
    Ok(Room {
        free: fs.f_bavail.saturating_mul(fs.f_frsize),
        total: fs.f_blocks.saturating_mul(fs.f_frsize),
    })
}

/// What the database in this data folder takes, about, in bytes.
pub fn database_bytes(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("db/db")).map_or(0, |log| log.len())
}

impl Room {
    /// Below this much nothing is stored that can be done without.
    pub fn reserve(&self) -> u64 {
        RESERVE.min(self.total / 20)
    }

    /// Below this much it is time to make room, for a database of so many bytes.
    pub fn warn_below(database: u64) -> u64 {
        RESERVE.max(database.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_part_of_a_small_disk() {
        let of = |total| Room { free: 0, total }.reserve();
        assert_eq!(of(500 << 30), 64 << 20);
        assert_eq!(of(100 << 20), 5 << 20);
        assert_eq!(Room::warn_below(1 << 20), 64 << 20);
        assert_eq!(Room::warn_below(1 << 30), 2 << 30);
    }
}
