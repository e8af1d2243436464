//! Files that hold keys. They have the right mode from the first moment, and never replace an existing file.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use rustix::process::geteuid;

use super::Failure;

/// The mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Privacy {
    Private = 0o600,
    Public = 0o644,
}

/// Makes a new file and syncs it. A file made by root belongs to the owner of its directory: so keys for a service end up
/// with the service's user.
///
/// # Errors
/// When a file of that name exists, or it cannot be written.
pub(super) fn create(path: &Path, privacy: Privacy, text: &str) -> Result<(), Failure> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(privacy as u32)
            .open(path)?;
        if geteuid().is_root() {
            let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let owner = std::fs::metadata(parent.unwrap_or(Path::new(".")))?;
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Failed(format!(
            "{} exists already and is left as it is; move it away or choose another place with --out DIR",
            path.display()
        )),
        _ => Failure::Failed(format!("{} cannot be written: {error}", path.display())),
    })
}

/// Makes a directory and its parents, with mode 0700. Existing ones keep their mode.
pub(super) fn create_dir(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            Failure::Failed(format!(
                "the directory {} cannot be made: {error}",
                path.display()
            ))
        })
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_belongs_to_the_owner_of_its_directory() {
        let dir = TempDir::new().unwrap();
        // Only root can give a directory away; anybody else has none but their own.
        if geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(4_321), Some(4_322)).unwrap();
        }
        let owner = std::fs::metadata(dir.path()).unwrap();
        let file = dir.path().join("key.pem");
        create(&file, Privacy::Private, "key").unwrap();
        let made = std::fs::metadata(&file).unwrap();
        assert_eq!(made.uid(), owner.uid());
        assert_eq!(made.gid(), owner.gid());
        assert_eq!(made.mode() & 0o777, 0o600);
    }
}
