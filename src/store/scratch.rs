//! Copies of the database that a start reads in place of the original, until it knows that the original is sound.
//!
//! Nothing depends on a copy: it may be removed at any time, and whatever a start that was cut short has left is removed by
//! the next one. It has no files any more as soon as sled has opened it. It is made where it costs least:
//!
//! - beside the original, where the file system lets two files share their blocks
//! - in memory, where there is enough of it: nothing is written to the disk then
//! - beside the original as a plain copy, where that leaves enough room, and does not take too long

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::ioctl_ficlone;
use rustix::process::geteuid;
use rustix::system::sysinfo;
use tracing::debug;

use super::disk_space::{self, RESERVE};

/// The folder beside the database.
const NAME: &str = "scratch.may-be-removed";
/// What the folder in memory begins with; which data folder it belongs to comes behind.
const NAME_IN_MEMORY: &str = "rollcall.may-be-removed";
/// The largest plain copy, in bytes: a slow disk takes a minute for it.
const LARGEST_PLAIN: u64 = 512 << 20;
/// How much is read at a time.
const CHUNK: usize = 1 << 20;
/// What a file system in memory says that it is.
const TMPFS: i64 = 0x0102_1994;

/// How a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Shared,
    Plain,
}

/// A place for a copy.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    way: Way,
}

/// Why there is no copy.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The original cannot be read.
    Original(io::Error),
    /// The place does not take it; another may.
    Place(io::Error),
}

/// A copy. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
}

/// The folder beside the database of this data folder.
pub(super) fn beside(data: &Path) -> PathBuf {
    data.join(NAME)
}

/// Removes what a start that was cut short has left. What cannot be removed is in nobody's way: there are other places.
pub(super) fn clear(data: &Path) {
    let name = name_in_memory(data);
    let mut left = vec![beside(data)];
    for parent in memory_folders() {
        let names = fs::read_dir(parent).into_iter().flatten().flatten();
        let ours = names.map(|entry| entry.path()).filter(|path| {
            let this = path.file_name().and_then(|name| name.to_str());
            this.is_some_and(|this| this.starts_with(&name))
        });
        left.extend(ours);
    }
    for folder in left {
        if let Err(error) = remove(&folder) {
            debug!(folder = %folder.display(), %error, "what a start left cannot be removed");
        }
    }
}

/// The places for a copy of a database of so many bytes, the best one first.
pub(super) fn places(data: &Path, bytes: u64) -> Vec<Place> {
    let place = |way| move |folder| Place { folder, way };
    let mut places = vec![place(Way::Shared)(beside(data))];
    places.extend(memory_places(data, bytes, String::new()));
    if bytes <= LARGEST_PLAIN
        && disk_space::look(data).is_ok_and(|space| space.free >= bytes.saturating_add(RESERVE))
    {
        places.push(place(Way::Plain)(beside(data)));
    }
    places
}

/// Places for whoever only looks, beside whom a server may start. Nothing is made beside the database.
pub(super) fn places_to_look(data: &Path, bytes: u64) -> Vec<Place> {
    memory_places(data, bytes, std::process::id().to_string())
}

/// Places in memory, whose names end like this.
fn memory_places(data: &Path, bytes: u64, end: String) -> Vec<Place> {
    if bytes > spare_memory() {
        return Vec::new();
    }
    let name = name_in_memory(data) + &end;
    let fits = |folder: &PathBuf| {
        let in_memory = rustix::fs::statfs(folder).is_ok_and(|fs| fs.f_type == TMPFS);
        in_memory && disk_space::look(folder).is_ok_and(|space| space.free / 2 >= bytes)
    };
    let folders = memory_folders().into_iter().filter(fits);
    folders
        .map(|folder| Place {
            folder: folder.join(&name),
            way: Way::Plain,
        })
        .collect()
}

/// Where there may be memory: the service's own folder, and everybody's.
fn memory_folders() -> Vec<PathBuf> {
    // systemd puts a colon between several.
    let own = std::env::var("RUNTIME_DIRECTORY").unwrap_or_default();
    let all = own.split(':').chain(["/dev/shm"]);
    all.filter(|folder| folder.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// What the copies of this data folder are called there.
fn name_in_memory(data: &Path) -> String {
    let (device, number) = fs::metadata(data).map_or((0, 0), |data| (data.dev(), data.ino()));
    format!("{NAME_IN_MEMORY}.{device:x}-{number:x}.")
}

/// How many bytes of memory a copy may take: a quarter of what is free, or a sixteenth of all there is, where caches take
/// what is free.
fn spare_memory() -> u64 {
    let info = sysinfo();
    let unit = u64::from(info.mem_unit);
    let (free, all) = (info.freeram as u64 * unit, info.totalram as u64 * unit);
    (free / 4).max(all / 16).min(control_group_room() / 4)
}

/// What is left to us by the control groups that we are in.
fn control_group_room() -> u64 {
    let root = Path::new("/sys/fs/cgroup");
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return u64::MAX;
    };
    let own = root.join(own);
    let figure = |folder: &Path, name| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    own.ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| {
            let limit = ["memory.max", "memory.high"]
                .into_iter()
                .filter_map(|name| figure(folder, name))
                .min()?;
            Some(limit.saturating_sub(figure(folder, "memory.current").unwrap_or(0)))
        })
        .min()
        .unwrap_or(u64::MAX)
}

impl Place {
    /// Copies a database to this place. What sled left of a file that it was writing when it was cut short is left out.
    pub(super) fn copy(&self, database: &Path) -> Result<Scratch, CopyError> {
        remove(&self.folder).map_err(CopyError::Place)?;
        make(&self.folder).map_err(CopyError::Place)?;
        let scratch = Scratch {
            folder: self.folder.clone(),
        };
        self.copy_folder(database, &self.folder)?;
        Ok(scratch)
    }

    fn copy_folder(&self, from: &Path, to: &Path) -> Result<(), CopyError> {
        for entry in fs::read_dir(from).map_err(CopyError::Original)? {
            let entry = entry.map_err(CopyError::Original)?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type().map_err(CopyError::Original)?.is_dir() {
                make(&target).map_err(CopyError::Place)?;
                self.copy_folder(&source, &target)?;
            } else if !is_unfinished(&source) {
                let from = File::open(&source).map_err(CopyError::Original)?;
                let to = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&target)
                    .map_err(CopyError::Place)?;
                match self.way {
                    Way::Shared => {
                        ioctl_ficlone(&to, &from).map_err(|error| CopyError::Place(error.into()))?
                    }
                    Way::Plain => copy_file(from, to)?,
                }
            }
        }
        Ok(())
    }
}

fn copy_file(mut from: File, mut to: File) -> Result<(), CopyError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Original(error)),
        };
        to.write_all(buffer.get(..read).unwrap_or_default())
            .map_err(CopyError::Place)?;
    }
}

/// Whether this is a file of sled's that it had not finished. It is to be renamed when it is whole, but sled itself would
/// read it in the place of a whole one.
pub(super) fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "generating")
}

impl Scratch {
    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next start tries again.
        let _ = remove(&self.folder);
    }
}

/// Makes a folder that nobody else can look into.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)
}

/// Removes a folder of ours. In a place that everybody may write to, something else may have its name.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(there) if there.is_dir() && there.uid() == geteuid().as_raw() => {
            fs::remove_dir_all(folder)
        }
        Ok(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
