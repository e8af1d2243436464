//! The open database, and how it comes to be open; `opening` has the steps.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::contain::contain_store;
use super::disk_space::DiskGauge;
use super::engine::Engine;
use super::engine::sled::{Files, Sled};
use super::judge::{Soundness, Unfit};
use super::open_error::OpenError;
use super::opening::{Opening, open_released, sync};
use super::outbox::{Lists, OutboxState, OutboxWriter};
use super::tripwire::{self, Tripwire};
use super::{StoreError, judge, scratch};

/// How to open the database.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; made where it does not exist. The database is in `db` below it.
    pub folder: PathBuf,
    /// The page cache's bound, in bytes.
    pub cache_bytes: u64,
}

/// The open database.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) engine: Arc<dyn Engine>,
    /// The number of the last commit in the database when it was opened.
    pub(super) last_commit: u64,
    /// The number of the last commit that readers may see something of.
    pub(super) applied: AtomicU64,
    /// The number of the last commit that is on disk.
    pub(super) synced: AtomicU64,
    /// The outbox, as far as it is durable.
    pub(super) outbox: Mutex<OutboxState>,
    pub(super) lists: Mutex<Lists>,
}

impl Store {
    /// Opens the database, or makes an empty one where there is none.
    ///
    /// # Errors
    /// See [`OpenError`]: in use, of a newer format, damaged, or not to be read or written.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let opening = Opening::of(&options.folder);
        opening.make_folder()?;
        let lock = opening.lock()?;
        let io = |what| opening.failed(what);
        scratch::clear(opening.folder);
        let tripwire =
            Tripwire::open(opening.folder).map_err(io("opening the file `last-commit`"))?;
        let made = tripwire.last();
        if opening.has_log()? {
            let sound = opening.judge(scratch::places, made)?;
            opening
                .tidy()
                .map_err(io("removing what an earlier start left"))?;
            if sound == Soundness::Sound {
                opening.forget_earlier();
            }
        } else {
            opening.expect_nothing(made)?;
            opening.make_database()?;
        }
        let config = judge::configure(&opening.database, options.cache_bytes);
        let database = open_released(&config)
            .and_then(Sled::new)
            .map_err(|error| opening.unfit("opening the database", error.into()))?;
        let log =
            File::open(opening.database.join("db")).map_err(io("opening the database's log"))?;
        // What is told from now on must not be lost with a name.
        for folder in [&opening.database, opening.folder] {
            sync(folder).map_err(io("making the folder durable"))?;
        }
        let engine = database.with(Files {
            folder: options.folder.clone(),
            log,
            tripwire,
            _lock: lock,
        });
        Self::on(Arc::new(engine), made)
            .map_err(|unfit| opening.unfit("reading the database", unfit))
    }

    /// Opens a database of which `made` commits are known to have been durable.
    pub(crate) fn on(engine: Arc<dyn Engine>, made: u64) -> Result<Self, Unfit> {
        let last_commit = judge::last_commit(&*engine, made)?;
        let outbox = OutboxWriter::open(&*engine)?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                last_commit,
                applied: AtomicU64::new(last_commit),
                synced: AtomicU64::new(last_commit),
                outbox: Mutex::new(outbox.state()),
                lists: Mutex::default(),
            }),
        })
    }

    /// Opens the database on a disk in memory. The error says why it is not to be opened.
    #[cfg(feature = "simulation")]
    pub(crate) fn of_memory(disk: super::Memory) -> Result<Self, String> {
        let made = disk.noted();
        Self::on(Arc::new(disk), made).map_err(|unfit| format!("{unfit:?}"))
    }

    /// Looks at the database in a data folder, and changes nothing there. Where there is not memory enough for a copy,
    /// only its log is read. A server may start meanwhile.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::InUse`] where a server has it open.
    pub fn inspect(folder: &Path) -> Result<Soundness, OpenError> {
        let opening = Opening::of(folder);
        opening.expect_unlocked()?;
        let made = tripwire::last(folder);
        let outcome = opening.has_log().and_then(|has_log| match has_log {
            true => opening.judge(scratch::places_to_look, made),
            false => opening.expect_nothing(made).map(|()| Soundness::None),
        });
        // Whoever has started meanwhile was writing while this was reading.
        opening.expect_unlocked()?;
        outcome
    }

    /// Whether everything that was read up to now is on disk. If not, it is when the next commit is.
    pub fn is_durable(&self) -> bool {
        let applied = self.inner.applied.load(Ordering::Acquire);
        self.inner.synced.load(Ordering::Acquire) >= applied
    }

    /// Calls `read`, which may panic where the database is damaged.
    ///
    /// # Errors
    /// Those of `read`, and [`StoreError::Panicked`].
    pub fn contained<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        contain_store(|| read(self))
    }

    /// The database's size on disk, in bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.inner.engine.size_on_disk()
    }

    /// What looks at the space on the database's disk.
    pub fn disk_gauge(&self) -> DiskGauge {
        self.inner.engine.disk_gauge()
    }
}
