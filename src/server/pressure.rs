//! Memory pressure: the server drops slow readers when the system is short of memory.
//!
//! systemd 254 and later names a file in `MEMORY_PRESSURE_WATCH` that signals when the service stalls for want of memory
//! (systemd.io/MEMORY_PRESSURE). The only memory that the server can spare are the queues of clients that do not read. Under
//! pressure these clients lose their connections early; all others keep theirs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use tracing::warn;

use crate::config;
use crate::hub::Hub;

/// How often pressure is logged while it costs no connection.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What signals pressure.
enum Source {
    /// A pressure file of the kernel, by an exceptional condition (`POLLPRI`).
    Kernel(File),
    /// Another manager or a test, by bytes in a pipe.
    Pipe(File),
}

/// Drops connections with more than `bytes` in their queue whenever there is pressure. It has a thread of its own, because
/// the runtime cannot wait for such a file. Does nothing where no file is named.
pub(super) fn watch(hub: &Arc<Hub>, bytes: usize) -> io::Result<()> {
    let Some(path) = std::env::var_os("MEMORY_PRESSURE_WATCH").map(PathBuf::from) else {
        return Ok(());
    };
    // A unit turns the watching off by this name.
    if path == Path::new("/dev/null") {
        return Ok(());
    }
    let hub = Arc::downgrade(hub);
    std::thread::Builder::new()
        .name("memory".into())
        .spawn(move || {
            if let Err(error) = drop_under_pressure(&hub, bytes, &path) {
                warn!(file = %path.display(), %error, "memory pressure is not watched");
            }
        })?;
    Ok(())
}

/// Returns when the hub is gone.
fn drop_under_pressure(hub: &Weak<Hub>, bytes: usize, path: &Path) -> io::Result<()> {
    let mut source = Source::open(path)?;
    let mut logged: Option<Instant> = None;
    loop {
        source.wait()?;
        let Some(hub) = hub.upgrade() else {
            return Ok(());
        };
        let dropped = hub.drop_slow(bytes);
        if dropped > 0 || logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            logged = Some(Instant::now());
            warn!(
                dropped,
                connections = hub.connection_count(),
                "memory is short: those who do not read are dropped"
            );
        }
    }
}

impl Source {
    fn open(path: &Path) -> io::Result<Self> {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nonblocking);
        if std::fs::metadata(path)?.file_type().is_fifo() {
            return Ok(Self::Pipe(options.open(path)?));
        }
        let mut file = options.write(true).open(path)?;
        // The threshold that the kernel is to signal.
        if let Ok(terms) = std::env::var("MEMORY_PRESSURE_WRITE") {
            let terms = config::base64(&terms)
                .ok_or_else(|| io::Error::other("MEMORY_PRESSURE_WRITE is not Base64"))?;
            file.write_all(&terms)?;
        }
        Ok(Self::Kernel(file))
    }

    /// Waits until there is pressure.
    fn wait(&mut self) -> io::Result<()> {
        let (file, wanted) = match self {
            Self::Kernel(file) => (file, PollFlags::PRI),
            Self::Pipe(file) => (file, PollFlags::IN),
        };
        let mut polled = [PollFd::new(file, wanted)];
        loop {
            match poll(&mut polled, None) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if polled.iter().any(|fd| !fd.revents().contains(wanted)) {
            return Err(io::Error::other("whoever told of it has stopped"));
        }
        match self {
            Self::Kernel(_) => Ok(()),
            Self::Pipe(file) => file.read(&mut [0; 64]).map(drop),
        }
    }
}
