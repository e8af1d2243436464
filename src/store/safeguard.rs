//! A copy of the database for the length of a start.
//!
//! sled repairs what it reads: a log that ends in nonsense is cut off there, and written on. That is right after a torn
//! write and destroys evidence, or what a person could still save, after damage. So a start works with a copy at hand, and
//! if it comes to the conclusion that the database is damaged, the copy takes its place again, bit for bit. The copy goes
//! before the first commit. One that is still there belongs to a start that was cut short; it is the database, then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

/// A whole copy, made by a start that has not come to a conclusion.
const COPY: &str = "db.before-start";
/// A copy that is being made, or anything else that may go.
const SCRATCH: &str = "db.scratch";

/// The copy. Dropped without [`Safeguard::release`], it takes the database's place again.
#[derive(Debug)]
pub(super) struct Safeguard {
    database: PathBuf,
    copy: PathBuf,
    scratch: PathBuf,
    armed: bool,
}

impl Safeguard {
    /// Copies the database (a folder) in `folder`, if there is one. Without room for a copy the start goes on without.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(super) fn make(folder: &Path, database: &Path) -> io::Result<Self> {
        let mut safeguard = Self {
            database: database.to_owned(),
            copy: folder.join(COPY),
            scratch: folder.join(SCRATCH),
            armed: false,
        };
        remove(&safeguard.scratch)?;
        if safeguard.copy.exists() {
            info!("the last start was cut short; the database is as it was before");
            safeguard.restore()?;
        }
        if !database.join("db").exists() {
            return Ok(safeguard);
        }
        match copy(database, &safeguard.scratch) {
            Ok(()) => {
                fs::rename(&safeguard.scratch, &safeguard.copy)?;
                safeguard.armed = true;
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                warn!(
                    "no room for a copy of the database; should it be damaged, it will not be left as it is"
                );
                remove(&safeguard.scratch)?;
            }
            Err(error) => return Err(error),
        }
        Ok(safeguard)
    }

    /// The database is sound: the copy goes.
    pub(super) fn release(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.armed) {
            // By a rename first, so that a half-removed copy is never taken for a whole one.
            fs::rename(&self.copy, &self.scratch)?;
            remove(&self.scratch)?;
        }
        Ok(())
    }

    fn restore(&self) -> io::Result<()> {
        if self.database.exists() {
            fs::rename(&self.database, &self.scratch)?;
        }
        fs::rename(&self.copy, &self.database)?;
        remove(&self.scratch)
    }
}

impl Drop for Safeguard {
    fn drop(&mut self) {
        if self.armed
            && let Err(error) = self.restore()
        {
            warn!(%error, copy = %self.copy.display(), "the database as it was before this start is in the copy");
        }
    }
}

/// Copies a folder of files and folders. The file system shares the blocks where it can.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &Path) -> PathBuf {
        let database = folder.join("db");
        fs::create_dir_all(database.join("blobs")).unwrap();
        fs::write(database.join("db"), "before").unwrap();
        database
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_start_that_fails_leaves_the_database_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        let safeguard = Safeguard::make(folder.path(), &database).unwrap();
        fs::write(database.join("db"), "cut").unwrap();
        fs::write(database.join("snap.1"), "new").unwrap();
        drop(safeguard);
        assert_eq!(fs::read(database.join("db")).unwrap(), b"before");
        assert!(!database.join("snap.1").exists());
        assert_eq!(names(folder.path()), ["db"]);
    }

    #[test]
    fn a_start_that_succeeds_keeps_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        let mut safeguard = Safeguard::make(folder.path(), &database).unwrap();
        fs::write(database.join("db"), "after").unwrap();
        safeguard.release().unwrap();
        drop(safeguard);
        assert_eq!(fs::read(database.join("db")).unwrap(), b"after");
        assert_eq!(names(folder.path()), ["db"]);
    }

    #[test]
    fn a_start_that_was_cut_short_is_undone_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        let safeguard = Safeguard::make(folder.path(), &database).unwrap();
        fs::write(database.join("db"), "cut").unwrap();
        std::mem::forget(safeguard);
        let mut next = Safeguard::make(folder.path(), &database).unwrap();
        assert_eq!(fs::read(database.join("db")).unwrap(), b"before");
        next.release().unwrap();
        assert_eq!(names(folder.path()), ["db"]);
    }
}
