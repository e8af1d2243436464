//! Why a database cannot be opened, and what mends it.
//!
//! "Damaged" is said only of what was read and judged. What the system refuses (room, rights, descriptors, a failing disk)
//! is an error of its own, wherever sled puts it: an operator who takes it for damage throws sound data away.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::StoreError;

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
    #[error("the data folder {} cannot be used: {error} ({what}){}", folder.display(), mend(error))]
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
    /// Whether only a person can mend it: a damaged database, or one of a later version. Everything else may pass by itself.
    pub fn is_for_a_person(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::NewerFormat { .. } => true,
            Self::InUse { .. } | Self::Io { .. } => false,
        }
    }
}

/// What to do about what the system said.
fn mend(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            ": the disk is full; make room on it and start again. The database was not found to be damaged"
        }
        Some(Errno::IO) => {
            ": the disk fails; look at the kernel's log (`dmesg`) and at the disk, and start again when it can be read. Whether the database is sound is not known"
        }
        Some(Errno::ROFS) => {
            ": the file system cannot be written to, which the kernel sees to after a fault; look at its log (`dmesg`), then mount it for writing again. The database was not found to be damaged"
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            ": let the user that rollcall runs as own the folder and everything in it. The database was not found to be damaged"
        }
        Some(Errno::MFILE | Errno::NFILE) => {
            ": no file can be opened any more; raise LimitNOFILE (or fs.file-max). The database was not found to be damaged"
        }
        Some(Errno::NOMEM | Errno::AGAIN) => {
            ": the system has no memory or no thread to spare. The database was not found to be damaged"
        }
        _ => "",
    }
}

/// What the system said, if it is the reason: sled also puts it into texts of its own, and into panics.
pub(super) fn system_error(error: &StoreError) -> Option<io::Error> {
    match error {
        StoreError::Database(sled::Error::Io(error)) => match error.raw_os_error() {
            Some(number) => Some(io::Error::from_raw_os_error(number)),
            None => in_text(&error.to_string()).or_else(|| of_kind(error.kind())),
        },
        StoreError::Database(sled::Error::ReportableBug(text)) | StoreError::Panicked(text) => {
            in_text(text)
        }
        StoreError::Sync(error) | StoreError::Thread(error) => {
            error.raw_os_error().map(io::Error::from_raw_os_error)
        }
        StoreError::Database(_) | StoreError::Record { .. } => None,
    }
}

/// An error of the system as Rust prints it for programmers: `Os { code: 28, …`.
fn in_text(text: &str) -> Option<io::Error> {
    let (_, rest) = text.split_once("Os { code: ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(io::Error::from_raw_os_error)
}

/// sled's copies of an error keep its kind alone.
fn of_kind(kind: io::ErrorKind) -> Option<io::Error> {
    let number = match kind {
        io::ErrorKind::StorageFull => Errno::NOSPC,
        io::ErrorKind::QuotaExceeded => Errno::DQUOT,
        io::ErrorKind::PermissionDenied => Errno::ACCESS,
        io::ErrorKind::ReadOnlyFilesystem => Errno::ROFS,
        io::ErrorKind::OutOfMemory => Errno::NOMEM,
        _ => return None,
    };
    Some(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: io::Error) -> String {
        let error = OpenError::Io {
            folder: "/data".into(),
            what: "opening the database",
            error,
        };
        assert!(!error.is_for_a_person());
        error.to_string()
    }

    #[test]
    fn what_the_system_refuses_has_a_mend_of_its_own_and_is_not_called_damage() {
        for (errno, mend) in [
            (Errno::NOSPC, "make room"),
            (Errno::IO, "the disk fails"),
            (Errno::ROFS, "mount it for writing"),
            (Errno::ACCESS, "own the folder"),
            (Errno::MFILE, "LimitNOFILE"),
            (Errno::NFILE, "LimitNOFILE"),
        ] {
            let said = said(errno.into());
            assert!(said.contains(mend), "{said}");
            assert!(!said.contains("is damaged"), "{said}");
        }
    }

    #[test]
    fn it_is_found_wherever_sled_puts_it() {
        let number = |error: StoreError| system_error(&error)?.raw_os_error();
        let full = || io::Error::from_raw_os_error(28);
        assert_eq!(number(sled::Error::Io(full()).into()), Some(28));
        // As sled copies it for a second caller.
        assert_eq!(number(sled::Error::Io(full()).clone().into()), Some(28));
        let failing = sled::Error::Io(io::Error::from_raw_os_error(5));
        assert_eq!(number(failing.clone().into()), Some(5));
        let text = format!("called `Result::unwrap()` on an `Err` value: {failing:?}");
        assert_eq!(number(StoreError::Panicked(text)), Some(5));
        let kind = io::Error::new(io::ErrorKind::StorageFull, "no more");
        assert_eq!(number(sled::Error::Io(kind).into()), Some(28));
        // A file that ends too early is what was read.
        let short = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(number(sled::Error::Io(short).into()), None);
        assert_eq!(
            number(StoreError::Panicked("index out of bounds".into())),
            None
        );
    }
}
