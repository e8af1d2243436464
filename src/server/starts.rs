//! The pause before a start that follows failed ones. It grows with each failure. So the unit can restart for ever on a host
//! that nobody looks at, and the loop wears neither the flash nor the log.
//!
//! The number of failures is a file in the service's runtime directory, which systemd keeps between automatic restarts and
//! removes at a stop. A start counts as failed from its first moment on, because a killed process cannot count itself.
//! Without such a directory nothing is counted, and no start waits.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

/// The pause after one start that failed; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a server must have been ready before its start counts as good: as long as the longest pause. A fault that ends a
/// server sooner, at its first commits or when its clients come back, will also end the next one.
const PROVEN: Duration = LONGEST;
const FILE: &str = "failed-starts";
/// How much of the file is read, in bytes: more digits than any count has.
const FILE_BYTES: u64 = 16;

/// The starts before this one that failed in a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starts {
    file: Option<PathBuf>,
    failed: u32,
}

impl Starts {
    /// Counts this start as failed for now. Call it before anything that can fail.
    pub(crate) fn count() -> Self {
        let directories = std::env::var_os("RUNTIME_DIRECTORY").unwrap_or_default();
        let directory = std::env::split_paths(&directories).next();
        let directory = directory.filter(|path| path.is_absolute());
        // Where systemd started another process, and that started us, the directory belongs to the other.
        let is_ours = std::env::var("SYSTEMD_EXEC_PID")
            .map_or(true, |pid| pid == std::process::id().to_string());
        match directory {
            Some(directory) if is_ours => Self::count_in(&directory),
            _ => Self::default(),
        }
    }

    fn count_in(directory: &Path) -> Self {
        let file = directory.join(FILE);
        // An unreadable count is no reason not to start.
        let Ok(failed) = read(&file) else {
            return Self::default();
        };
        // Where it cannot be written, the pauses do not grow.
        let _ = fs::write(&file, failed.saturating_add(1).to_string());
        Self {
            file: Some(file),
            failed,
        }
    }

    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// How long this start waits.
    pub(super) fn pause(&self) -> Option<Duration> {
        let doublings = self.failed.checked_sub(1)?;
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        Some(FIRST.saturating_mul(factor).min(LONGEST))
    }

    /// Waits until this start counts as good, and forgets the failed ones.
    pub(super) async fn prove(self) {
        tokio::time::sleep(PROVEN).await;
        if self.failed > 0 {
            info!(
                failed = self.failed,
                "this start lasts; those that failed before it are forgotten"
            );
        }
        self.forget();
    }

    /// Forgets the failed starts, and this one. Also for a stop, which somebody wanted and which is no failure.
    pub(super) fn forget(&self) {
        let Some(file) = &self.file else { return };
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(%error, file = %file.display(), "cannot forget the starts that failed");
            }
            _ => {}
        }
    }
}

/// Reads the count. A file that makes no sense counts as one: some start has written it.
fn read(file: &Path) -> io::Result<u32> {
    let file = match File::open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut text)?;
    let number = std::str::from_utf8(&text).ok();
    Ok(number
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pause = |failed| {
            let starts = Starts { file: None, failed };
            starts.pause().map(|pause| pause.as_secs())
        };
        assert_eq!(pause(0), None);
        let pauses: Vec<_> = (1..8).filter_map(pause).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
        for failed in [31, 32, 33, 34, u32::MAX] {
            assert_eq!(pause(failed), Some(60));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_counts_as_failed_until_it_has_been_ready_for_a_minute() {
        let run = TempDir::new().unwrap();
        for before in 0..3 {
            assert_eq!(Starts::count_in(run.path()).failed(), before);
        }
        let starts = Starts::count_in(run.path());
        let begun = Instant::now();
        let proving = tokio::spawn(starts.prove());
        tokio::time::sleep(PROVEN / 2).await;
        assert!(run.path().join(FILE).exists());
        proving.await.unwrap();
        assert_eq!(begun.elapsed(), PROVEN);
        assert_eq!(Starts::count_in(run.path()).failed(), 0);
    }

    #[test]
    fn nothing_that_the_file_may_hold_stops_a_start_or_hides_that_one_failed() {
        let run = TempDir::new().unwrap();
        let file = run.path().join(FILE);
        for (content, failed) in [
            ("", 1),
            ("\u{0}\u{0}", 1),
            ("-1", 1),
            ("7\n", 7),
            ("4294967295", u32::MAX),
            ("4294967296", 1),
            ("99999999999999999999999999", 1),
        ] {
            fs::write(&file, content).unwrap();
            assert_eq!(Starts::count_in(run.path()).failed(), failed, "{content:?}");
            assert!(read(&file).unwrap() >= failed, "{content:?}");
        }
        assert_eq!(Starts::count_in(Path::new("/nowhere")).failed(), 0);
    }
}
