//! Opening the database, with every reason not to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::contain::{contain, contain_store};
use super::outbox::{Lists, Outbox, OutboxState};
use super::pages::SEGMENT_BYTES;
use super::records::{HeadRecord, decode, encode};
use super::safeguard::Safeguard;
use super::tripwire::Tripwire;
use super::{StoreError, keys};

/// The format that this version reads and writes.
const SCHEMA_VERSION: u32 = 1;
/// The tree that holds everything.
const TREE: &[u8] = b"rollcall";
/// How long sled's threads may take to let go of a database that was closed.
const RELEASE: Duration = Duration::from_secs(1);

/// How to open the database.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; made where it does not exist. The database is in `db` below it.
    pub folder: PathBuf,
    /// The page cache's bound, in bytes.
    pub cache_bytes: u64,
}

/// Why the database cannot be opened. Nothing in it has been changed by us.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data folder {} is in use by {holder}: only one server may use it at a time; stop that one, or give this one a data_dir of its own",
        folder.display()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// Who holds it, as well as we know.
        holder: String,
    },
    /// A later version wrote it.
    #[error(
        "the database in {} has format {found}, and this version knows formats up to {known}: install the version that wrote it (or a later one); it was left as it is",
        folder.display()
    )]
    NewerFormat {
        /// The data folder.
        folder: PathBuf,
        /// The format found.
        found: u32,
        /// The latest format known.
        known: u32,
    },
    /// It is damaged.
    #[error(
        "the database in {} is damaged: {detail}. Put a backup in its place; or, if who was here may be forgotten, move the folder away (`mv {0} {0}.damaged`) and start again with an empty one: clients reconnect by themselves",
        folder.display()
    )]
    Damaged {
        /// The data folder.
        folder: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The folder or a file in it cannot be read or written.
    #[error("the data folder {} cannot be used: {error} ({what})", folder.display())]
    Io {
        /// The data folder.
        folder: PathBuf,
        /// What we were doing.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl OpenError {
    /// Whether only a person can mend it; anything else may pass by itself.
    pub fn is_for_a_person(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::NewerFormat { .. })
    }
}

/// The open database.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) db: sled::Db,
    pub(super) tree: sled::Tree,
    /// sled's log, by a handle of ours: its own flush does not survive a power cut.
    pub(super) log: File,
    pub(super) tripwire: Tripwire,
    /// The number of the last commit in the database when it was opened.
    pub(super) last_commit: u64,
    /// The number of the last commit that readers may see something of.
    pub(super) applied: AtomicU64,
    /// The number of the last commit that is on disk.
    pub(super) synced: AtomicU64,
    /// The outbox, as far as it is durable.
    pub(super) outbox: Mutex<OutboxState>,
    pub(super) lists: Mutex<Lists>,
    /// Released with the first commit; until then, what closes the database puts it back as it was before it was opened.
    pub(super) safeguard: Mutex<Safeguard>,
    /// Held for as long as the database is open.
    _lock: File,
}

impl Store {
    /// Opens the database, or makes an empty one where there is none.
    ///
    /// # Errors
    /// See [`OpenError`]: in use, of a newer format, damaged, or not to be read or written.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let folder = &options.folder;
        let io = |what| {
            move |error| OpenError::Io {
                folder: folder.clone(),
                what,
                error,
            }
        };
        let damaged = |detail: String| OpenError::Damaged {
            folder: folder.clone(),
            detail,
        };
        fs::create_dir_all(folder).map_err(io("making the folder"))?;
        let lock = lock(folder)?;
        let tripwire = Tripwire::open(folder).map_err(io("opening the file `last-commit`"))?;
        let path = folder.join("db");
        let known_before = path.join("db").exists();
        if !known_before && tripwire.last() > 0 {
            return Err(damaged(format!(
                "{} commits were made, but its log is missing",
                tripwire.last()
            )));
        }
        let safeguard = Safeguard::make(folder, &path).map_err(io("copying the database"))?;
        let config = sled::Config::new()
            .path(&path)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None)
            .segment_size(SEGMENT_BYTES)
            .mode(sled::Mode::HighThroughput);
        let db = open_released(&config).map_err(|error| match error {
            StoreError::Database(sled::Error::Io(error))
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                io("opening the database")(error)
            }
            error => damaged(error.to_string()),
        })?;
        let tree = contain(|| db.open_tree(TREE)).map_err(|e| damaged(e.to_string()))?;
        let schema = contain(|| tree.get(keys::SCHEMA)).map_err(|e| damaged(e.to_string()))?;
        match schema {
            Some(value) => {
                let found: u32 = decode("meta", &value).map_err(|e| damaged(e.to_string()))?;
                if found > SCHEMA_VERSION {
                    return Err(OpenError::NewerFormat {
                        folder: folder.clone(),
                        found,
                        known: SCHEMA_VERSION,
                    });
                }
            }
            None if tripwire.last() > 0 => {
                return Err(damaged(format!(
                    "{} commits were made, but none of them is there",
                    tripwire.last()
                )));
            }
            None => {
                contain(|| tree.insert(keys::SCHEMA, encode(&SCHEMA_VERSION)))
                    .map_err(|e| damaged(e.to_string()))?;
            }
        }
        let last_commit = match contain(|| tree.get(keys::HEAD)) {
            Ok(Some(value)) => {
                let head: HeadRecord =
                    decode("meta", &value).map_err(|e| damaged(e.to_string()))?;
                head.commit
            }
            Ok(None) => 0,
            Err(error) => return Err(damaged(error.to_string())),
        };
        if last_commit < tripwire.last() {
            return Err(damaged(format!(
                "it ends at commit {last_commit}, but commit {} was made",
                tripwire.last()
            )));
        }
        let outbox = contain_store(|| Outbox::open(&tree)).map_err(|e| damaged(e.to_string()))?;
        let log = File::open(path.join("db")).map_err(io("opening the database's log"))?;
        sync_folder(folder).map_err(io("making the folder durable"))?;
        sync_folder(&path).map_err(io("making the folder durable"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                db,
                tree,
                log,
                tripwire,
                last_commit,
                applied: AtomicU64::new(last_commit),
                synced: AtomicU64::new(last_commit),
                outbox: Mutex::new(outbox.state()),
                lists: Mutex::default(),
                safeguard: Mutex::new(safeguard),
                _lock: lock,
            }),
        })
    }

    /// Whether everything that was read up to now is on disk. If not, it is when the next commit is.
    pub fn is_durable(&self) -> bool {
        let applied = self.inner.applied.load(Ordering::Acquire);
        self.inner.synced.load(Ordering::Acquire) >= applied
    }

    /// The database's size on disk, in bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        contain(|| self.inner.db.size_on_disk())
    }
}

/// Opens the database that nobody but us has a right to. If this process had it open before, a thread of sled's may be
/// about to let go of it, some microseconds after everything was closed.
fn open_released(config: &sled::Config) -> Result<sled::Db, StoreError> {
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

/// Takes the folder for this process, and leaves our pid in it for whoever finds it taken.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let io = |what| {
        move |error| OpenError::Io {
            folder: folder.to_owned(),
            what,
            error,
        }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join("lock"))
        .map_err(io("opening the file `lock`"))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(io("writing the file `lock`"))?;
            file.rewind().map_err(io("writing the file `lock`"))?;
            writeln!(file, "{}", std::process::id()).map_err(io("writing the file `lock`"))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Err(OpenError::InUse {
                folder: folder.to_owned(),
                holder: match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("the process {pid}"),
                },
            })
        }
        Err(TryLockError::Error(error)) => Err(io("locking the file `lock`")(error)),
    }
}

/// Makes new names in a folder survive a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
