//! Leave to have one change on its way to the disk: the bound of everything that waits for a commit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Stopped;

/// How many changes may be on their way to the disk at a time. Whoever has one more waits.
const CHANGES_IN_FLIGHT: usize = 8_192;

/// Leave for one change; given back when it has been told.
pub(super) type Permit = OwnedSemaphorePermit;

#[derive(Debug)]
pub(super) struct Permits(Arc<Semaphore>);

impl Permits {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CHANGES_IN_FLIGHT)))
    }

    pub(super) async fn take(&self) -> Result<Permit, Stopped> {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        permit.map_err(|_| Stopped)
    }

    /// How many changes are on their way.
    #[cfg(feature = "simulation")]
    pub(super) fn out(&self) -> usize {
        CHANGES_IN_FLIGHT - self.0.available_permits()
    }
}
