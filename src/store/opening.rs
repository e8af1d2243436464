//! The steps of an opening, with every reason to refuse.
//!
//! sled repairs what it reads: a log that ends in nonsense is cut off there, and written on. That is right after a torn
//! write, and after damage it destroys what a person could still save. So a start first reads a copy (`scratch`) from end
//! to end and judges it (`judge`). Until it is found sound, not one byte of the original changes; from then on sled's own
//! recovery and the commits change it, and nothing else does. No start ever puts anything in the place of the original, so
//! a start may be cut short anywhere: the next one finds the original, and whatever else it finds may go.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tracing::{debug, info, warn};

use super::contain::contain;
use super::engine::sled::Sled;
use super::engine::{Batch, Engine as _};
use super::judge::{self, SCHEMA_VERSION, Soundness, Unfit};
use super::open_error::{OpenError, system_error};
use super::records::encode;
use super::scratch::{self, CopyError, Place};
use super::{StoreError, keys, log};

/// How long sled's threads may take to let go of a database that was closed.
const RELEASE: Duration = Duration::from_secs(1);
/// What an earlier version left behind when it was cut short: copies, or the database itself.
const LEFT_BY_EARLIER: [&str; 2] = ["db.before-start", "db.scratch"];
/// The page cache of a copy, in bytes.
const SCRATCH_CACHE: u64 = 32 << 20;

/// An opening of the database in a data folder.
pub(super) struct Opening<'a> {
    pub(super) folder: &'a Path,
    /// sled's own folder.
    pub(super) database: PathBuf,
}

impl<'a> Opening<'a> {
    pub(super) fn of(folder: &'a Path) -> Self {
        Self {
            folder,
            database: folder.join("db"),
        }
    }

    fn io(&self, what: &'static str, error: io::Error) -> OpenError {
        OpenError::Io {
            folder: self.folder.to_owned(),
            what,
            error,
        }
    }

    /// What to make of an error of the system's.
    pub(super) fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
        move |error| self.io(what, error)
    }

    fn damaged(&self, detail: String) -> OpenError {
        OpenError::Damaged {
            folder: self.folder.to_owned(),
            detail,
        }
    }

    /// What the system said is not the database's fault.
    pub(super) fn unfit(&self, what: &'static str, unfit: Unfit) -> OpenError {
        match unfit {
            Unfit::Newer(found) => OpenError::NewerFormat {
                folder: self.folder.to_owned(),
                found,
                known: SCHEMA_VERSION,
            },
            Unfit::Damaged(detail) => self.damaged(detail),
            Unfit::Unreadable(error) => match system_error(&error) {
                Some(error) => self.io(what, error),
                None => self.damaged(error.to_string()),
            },
        }
    }

    /// Makes the data folder, which is there after a power cut too.
    pub(super) fn make_folder(&self) -> Result<(), OpenError> {
        let io = |error| self.io("making the folder", error);
        let missing = self.folder.ancestors().take_while(|at| !at.exists());
        let missing: Vec<&Path> = missing.filter(|at| !at.as_os_str().is_empty()).collect();
        let mut maker = DirBuilder::new();
        maker
            .recursive(true)
            .mode(0o700)
            .create(self.folder)
            .map_err(io)?;
        for made in missing {
            match made.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => sync(parent).map_err(io)?,
                _ => sync(Path::new(".")).map_err(io)?,
            }
        }
        Ok(())
    }

    /// Takes the folder for this process, and leaves our pid in it for whoever finds it taken.
    pub(super) fn lock(&self) -> Result<File, OpenError> {
        let io = |what| self.failed(what);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.folder.join("lock"))
            .map_err(io("opening the file `lock`"))?;
        match file.try_lock() {
            Ok(()) => {
                let written = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| writeln!(file, "{}", std::process::id()));
                // It is of use to a person alone.
                if let Err(error) = written {
                    debug!(%error, "the file `lock` does not say who holds it");
                }
                Ok(file)
            }
            Err(TryLockError::WouldBlock) => Err(self.in_use(file)),
            Err(TryLockError::Error(error)) => Err(io("locking the file `lock`")(error)),
        }
    }

    fn in_use(&self, mut lock: File) -> OpenError {
        let mut holder = String::new();
        let _ = lock.read_to_string(&mut holder);
        OpenError::InUse {
            folder: self.folder.to_owned(),
            holder: match holder.trim() {
                "" => "another process".to_owned(),
                pid => format!("the process {pid}"),
            },
        }
    }

    /// Nobody has it open now.
    pub(super) fn expect_unlocked(&self) -> Result<(), OpenError> {
        let lock = match File::open(self.folder.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io("opening the file `lock`", error)),
        };
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(self.in_use(lock)),
            // Given back at once: a start must not be kept out.
            _ => Ok(()),
        }
    }

    /// Whether there is a database: a log with anything in it.
    pub(super) fn has_log(&self) -> Result<bool, OpenError> {
        match fs::metadata(self.database.join("db")) {
            Ok(log) => Ok(log.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.io("looking for the database", error)),
        }
    }

    /// Without a log there must be nothing that could have been told.
    pub(super) fn expect_nothing(&self, made: u64) -> Result<(), OpenError> {
        let left = LEFT_BY_EARLIER.map(|name| self.folder.join(name));
        let left = left.iter().filter(|left| left.join("db").exists());
        let left: Vec<String> = left.map(|left| left.display().to_string()).collect();
        if !left.is_empty() {
            return Err(self.damaged(format!(
                "its log is missing, and an earlier version left what may be the database in {} (it can be moved to {})",
                left.join(" and in "),
                self.database.display()
            )));
        }
        if made > 0 {
            return Err(self.damaged(format!("{made} commits were made, but its log is missing")));
        }
        Ok(())
    }

    /// Reads everything, of a copy in the first of the places where that can be done. Without any, the log is read as it is.
    pub(super) fn judge(
        &self,
        places: impl FnOnce(&Path, u64) -> Vec<Place>,
        made: u64,
    ) -> Result<Soundness, OpenError> {
        const READING: &str = "reading the database";
        let bytes = size(&self.database).map_err(|error| self.io(READING, error))?;
        for place in places(self.folder, bytes) {
            let scratch = match place.copy(&self.database) {
                Ok(scratch) => scratch,
                Err(CopyError::Original(error)) => return Err(self.io(READING, error)),
                Err(CopyError::Place(error)) => {
                    debug!(?place, %error, "no copy of the database can be made here");
                    continue;
                }
            };
            let config = judge::configure(scratch.folder(), SCRATCH_CACHE);
            let opened = contain(|| config.open()).and_then(Sled::new);
            // sled has its files open and asks for none by its name any more.
            drop(scratch);
            let judged = opened.map_err(Unfit::from).and_then(|copy| {
                judge::last_commit(&copy, made)?;
                Ok(judge::read_all(&copy)?)
            });
            match judged {
                Ok(()) => {
                    debug!(
                        ?place,
                        bytes, "the database is sound: all of it has been read"
                    );
                    return Ok(Soundness::Sound);
                }
                Err(Unfit::Unreadable(error)) if system_error(&error).is_some() => {
                    debug!(?place, %error, "a copy of the database cannot be read here");
                }
                Err(unfit) => return Err(self.unfit(READING, unfit)),
            }
        }
        let summary = File::open(self.database.join("db")).and_then(|log| log::read(&log));
        let summary = summary.map_err(|error| self.io(READING, error))?;
        if summary.segments == 0 {
            return Err(self.damaged("its log has nothing in it that can be read".to_owned()));
        }
        if summary.last_commit < made {
            return Err(self.damaged(format!(
                "commit {} is the last in its log, but commit {made} was made",
                summary.last_commit
            )));
        }
        warn!(
            bytes,
            "there is no room for a copy of the database, in memory or on the disk: only its log was looked at before it is opened"
        );
        Ok(Soundness::LogIsSound)
    }

    /// Prepares the original, which is sound, for sled. What was read of it is to be on the disk before anything is
    /// derived from it, and files that sled had not finished would be taken for finished ones.
    pub(super) fn tidy(&self) -> io::Result<()> {
        File::open(self.database.join("db"))?.sync_data()?;
        for entry in fs::read_dir(&self.database)? {
            let path = entry?.path();
            if scratch::is_unfinished(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes copies that an earlier version made and did not come to remove. The database is sound without them.
    pub(super) fn forget_earlier(&self) {
        for left in LEFT_BY_EARLIER.map(|name| self.folder.join(name)) {
            match scratch::remove(&left) {
                Ok(()) => {}
                Err(error) => {
                    info!(folder = %left.display(), %error, "what an earlier version left cannot be removed; it may be");
                }
            }
        }
    }

    /// Makes an empty database. It has its name only when it is whole and on disk: sled does not find its way back from
    /// each step of the making.
    pub(super) fn make_database(&self) -> Result<(), OpenError> {
        let io = |error| self.io("making the database", error);
        // An earlier version could be cut short at it. What has anything in it stays, and is in the way.
        for name in ["db", "conf"] {
            let file = self.database.join(name);
            if name == "conf" || file.metadata().is_ok_and(|file| file.len() == 0) {
                let _ = fs::remove_file(file);
            }
        }
        let _ = fs::remove_dir(self.database.join("blobs"));
        match fs::remove_dir(&self.database) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.damaged(format!("its log is missing ({error})")));
            }
            _ => {}
        }
        let new = scratch::beside(self.folder);
        scratch::make(&new).map_err(io)?;
        let config = judge::configure(&new, SCRATCH_CACHE);
        let make = || {
            let database = Sled::new(contain(|| config.open())?)?;
            let mut schema = Batch::default();
            schema.put(keys::SCHEMA.to_vec(), encode(&SCHEMA_VERSION));
            database.apply(schema)?;
            database.make_durable(0)
        };
        make().map_err(|error| self.unfit("making the database", error.into()))?;
        sync_all(&new).map_err(io)?;
        match renameat_with(CWD, &new, CWD, &self.database, RenameFlags::NOREPLACE) {
            // A file system that cannot be told so does not replace a folder that has anything in it.
            Err(Errno::INVAL | Errno::NOSYS) => fs::rename(&new, &self.database).map_err(io),
            other => other.map_err(|error| io(error.into())),
        }
    }
}

/// Opens the database that nobody but us has a right to. If this process had it open before, a thread of sled's may be
/// about to let go of it, some microseconds after everything was closed.
pub(super) fn open_released(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let begun = Instant::now();
    loop {
        match contain(|| config.open()) {
            Err(StoreError::Database(sled::Error::Io(error)))
                if error.to_string().contains("could not acquire lock")
                    && begun.elapsed() < RELEASE =>
            {
                thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

/// What the files in a folder take, in bytes.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.metadata()? {
            metadata if metadata.is_dir() => size(&entry.path())?,
            metadata => metadata.len(),
        };
    }
    Ok(bytes)
}

/// Makes a folder and all in it survive a power cut.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => sync(&entry.path())?,
        }
    }
    sync(folder)
}

/// Makes a file, or new names in a folder, survive a power cut.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
