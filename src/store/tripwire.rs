//! Notices a database that has lost commits.
//!
//! sled reads a log up to the first place that makes no sense and takes that for the end, which is right after a torn
//! write and wrong after damage. So each commit has a number in its batch, and when it is durable the number also goes
//! into a small file beside the database. The file is never synced: after a power cut it may lag, but it can never be
//! ahead. A database behind the file has lost something that was durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The file's name in the data folder.
const FILE: &str = "last-commit";

#[derive(Debug)]
pub(super) struct Tripwire {
    file: File,
}

impl Tripwire {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(FILE))?;
        Ok(Self { file })
    }

    /// The last commit known to have been durable; 0 where nothing (or nothing sensible) is noted.
    pub(super) fn last(&self) -> u64 {
        read(&self.file)
    }

    /// Notes a commit as durable. Advisory: a failure here loses no data.
    pub(super) fn note(&self, commit: u64) {
        let _ = self.file.write_all_at(&commit.to_be_bytes(), 0);
    }
}

/// The same without opening the file for writing.
pub(super) fn last(folder: &Path) -> u64 {
    File::open(folder.join(FILE)).map_or(0, |file| read(&file))
}

fn read(file: &File) -> u64 {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => 0,
    }
}
