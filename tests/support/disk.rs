//! File systems of a test's own: one whose disk can be copied at one moment, and small ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::ioctl_ficlone;
use tempfile::TempDir;

use super::{has, skipped};

/// An ext4 file system whose disk is a file that can be copied in one step.
pub struct Disk {
    // In the order in which they have to go.
    inner: Mount,
    outer: Mount,
    _folder: TempDir,
}

impl Disk {
    /// Makes one of so many MiB; `None`, and a word about it, where that is not possible here.
    pub fn make(mebibytes: u64) -> Option<Self> {
        let skip = |why: &str| {
            skipped(why);
            None
        };
        if !rustix::process::geteuid().is_root() {
            return skip("to cut the power of a file system takes root");
        }
        for program in ["mkfs.xfs", "mkfs.ext4", "mount"] {
            if !has(program) {
                return None;
            }
        }
        let folder = TempDir::new().unwrap();
        let pool = folder.path().join("pool");
        sized(&pool, 4 << 30);
        run("mkfs.xfs", &["-q", "-m", "reflink=1", path(&pool)]);
        let Some(outer) = Mount::of(&pool, &folder.path().join("outer"), &[]) else {
            return skip("no loop device can be mounted here");
        };
        let image = outer.path.join("disk");
        sized(&image, mebibytes << 20);
        run("mkfs.ext4", &["-q", "-F", "-m", "0", path(&image)]);
        let inner = Mount::of(&image, &folder.path().join("inner"), &[]).unwrap();
        Some(Self {
            inner,
            outer,
            _folder: folder,
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Where the file system is mounted that can share the blocks of one file with another.
    pub fn pool(&self) -> &Path {
        &self.outer.path
    }

    /// Copies the disk as it is now. The file system below does not let anybody write meanwhile.
    pub fn copy(&self, name: &str) {
        let from = File::open(self.outer.path.join("disk")).unwrap();
        let to = File::create_new(self.outer.path.join(name)).unwrap();
        ioctl_ficlone(&to, &from).unwrap();
    }

    /// Mounts a copy, which is when its journal is played back.
    pub fn mount_copy(&self, name: &str) -> Mount {
        let folder = self.outer.path.with_file_name("copy");
        Mount::of(&self.outer.path.join(name), &folder, &[]).unwrap()
    }

    /// Gives its room back.
    pub fn remove_copy(&self, name: &str) {
        fs::remove_file(self.outer.path.join(name)).unwrap();
    }
}

/// A file system that is mounted for as long as this is there.
pub struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Mounts an image.
    pub fn of(image: &Path, at: &Path, options: &[&str]) -> Option<Self> {
        let mut all = vec!["-o", "loop"];
        all.extend(options);
        all.extend([path(image), path(at)]);
        Self::by(&all, at)
    }

    fn by(arguments: &[&str], at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(arguments).output().unwrap();
        if !mounted.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self {
            path: at.to_owned(),
        })
    }

    /// A small ext4 file system of so many MiB in `folder`; `None`, and a word about it, where that is not possible here.
    pub fn small(folder: &Path, mebibytes: u64) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("to mount a file system takes root");
            return None;
        }
        let image = folder.join("image");
        sized(&image, mebibytes << 20);
        run("mkfs.ext4", &["-q", "-F", "-m", "0", path(&image)]);
        let mounted = Self::of(&image, &folder.join("mounted"), &[]);
        if mounted.is_none() {
            skipped("no loop device can be mounted here");
        }
        mounted
    }

    /// Fills it until so many KiB are left.
    pub fn fill(&self, left: u64) {
        use std::io::Write as _;
        // What is there stays: whoever looks meanwhile sees less and less room.
        let mut options = File::options();
        let mut filler = options
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        let piece = vec![0xa5; 16 << 10];
        let free = || {
            let fs = rustix::fs::statvfs(&self.path).unwrap();
            (fs.f_bavail * fs.f_frsize) >> 10
        };
        // More is set aside for what is written than it takes once the disk has it.
        for _ in 0..8 {
            while free() > left && filler.write_all(&piece).is_ok() {}
            let _ = filler.sync_all();
        }
    }

    /// Gives back what filled it.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, because a server that was killed a moment ago may still be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn sized(file: &Path, bytes: u64) {
    File::create_new(file).unwrap().set_len(bytes).unwrap();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program}: {done:?}");
}
