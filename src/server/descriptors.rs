//! File descriptors: each connection takes one, and some are reserved.
//!
//! With the reserve the admin socket, the database and the webhooks still work when clients have taken all else. The kernel
//! gives out the lowest free number. So a connection may have its descriptor if the number lies below the reserve, and
//! nothing needs to be counted.

use std::net::TcpStream as StdStream;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// How many descriptors connections may not have.
const RESERVE: u64 = 64;

/// Raises the limit as far as the system allows, and warns if it is too low for so many connections.
pub(super) fn raise_limit(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "cannot raise the limit of open files");
    }
    let needed = connections as u64 + RESERVE;
    if let Some(limit) = getrlimit(Resource::Nofile).current
        && limit < needed
    {
        warn!(
            limit,
            needed,
            "the limit of open files is lower than connection.max_connections needs; raise LimitNOFILE"
        );
    }
}

/// Whether a connection has a descriptor of the reserve.
pub(super) fn is_reserved(connection: impl AsFd) -> bool {
    let number = connection.as_fd().as_raw_fd();
    // The limit can be changed from outside while we run.
    getrlimit(Resource::Nofile)
        .current
        .is_some_and(|limit| u64::try_from(number).is_ok_and(|number| number >= ceiling(limit)))
}

/// The same connection with a descriptor below the reserve, if one is free.
pub(super) fn unreserved(connection: impl AsFd) -> Option<StdStream> {
    let other: OwnedFd = fcntl_dupfd_cloexec(connection, 0).ok()?;
    (!is_reserved(&other)).then(|| other.into())
}

/// The first number of the reserve. The reserve is at most a quarter of the limit.
fn ceiling(limit: u64) -> u64 {
    limit - RESERVE.min(limit / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_never_all_there_is() {
        assert_eq!(ceiling(20_000), 19_936);
        assert_eq!(ceiling(256), 192);
        assert_eq!(ceiling(100), 75);
        assert_eq!(ceiling(1), 1);
        assert_eq!(ceiling(0), 0);
    }
}
