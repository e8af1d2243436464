//! The space on the disk.

use std::io;
use std::path::Path;

/// What is kept free for the membership, in bytes; a twentieth of a disk for which that is less.
pub const RESERVE: u64 = 64 << 20;

/// The space on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What we may still use.
    pub free: u64,
    /// All there is.
    pub total: u64,
    /// What the database takes of it, about.
    pub database: u64,
}

/// Looks at a disk whenever it is asked to. It keeps no database open.
pub struct DiskGauge(Box<dyn Fn() -> io::Result<DiskSpace> + Send + Sync>);

impl DiskGauge {
    pub(super) fn new(look: impl Fn() -> io::Result<DiskSpace> + Send + Sync + 'static) -> Self {
        Self(Box::new(look))
    }

    /// Looks. It may wait for the disk.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn look(&self) -> io::Result<DiskSpace> {
        (self.0)()
    }
}

impl std::fmt::Debug for DiskGauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiskGauge")
    }
}

/// Looks at the disk that `folder` is on, and at the database that is in it, if there is one. It may wait for the disk.
///
/// # Errors
/// When the system does not say.
pub fn look(folder: &Path) -> io::Result<DiskSpace> {
    let fs = rustix::fs::statvfs(folder)?;
    Ok(DiskSpace {
        free: fs.f_bavail.saturating_mul(fs.f_frsize),
        total: fs.f_blocks.saturating_mul(fs.f_frsize),
        database: std::fs::metadata(folder.join("db/db")).map_or(0, |log| log.len()),
    })
}

impl DiskSpace {
    /// Below so many free bytes nothing is stored that can be done without.
    pub fn reserve(&self) -> u64 {
        RESERVE.min(self.total / 20)
    }

    /// Below so many free bytes it is time to make room.
    pub fn warn_below(&self) -> u64 {
        RESERVE.max(self.database.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_part_of_a_small_disk() {
        let of = |total, database| DiskSpace {
            free: 0,
            total,
            database,
        };
        assert_eq!(of(500 << 30, 0).reserve(), 64 << 20);
        assert_eq!(of(100 << 20, 0).reserve(), 5 << 20);
        assert_eq!(of(0, 1 << 20).warn_below(), 64 << 20);
        assert_eq!(of(0, 1 << 30).warn_below(), 2 << 30);
    }
}
