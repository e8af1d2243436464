//! Whether the disk answers. A disk that hangs fails nothing: it only lets everybody wait, so whoever watches the server
//! must be told by how long. What is told here is known without asking the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::{info, warn};

use super::pipeline::Pipeline;
use crate::world::tasks;

/// How long a change may wait for the disk before the server is no longer ready: longer than the pauses that flash makes
/// for itself, and short enough for whoever sends clients elsewhere. Beyond it the disk hangs, or has too much to do.
pub const MAX_DISK_WAIT: Duration = Duration::from_secs(5);
/// How often the log looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long the size of the database may take to be found out.
const SIZE_TIMEOUT: Duration = Duration::from_secs(1);

/// The disk, as far as commits show how it is.
#[derive(Debug)]
pub struct Disk {
    pipeline: Arc<Pipeline>,
    /// Held by whoever asks the disk something that a hanging disk would not answer.
    asking: Arc<Mutex<()>>,
}

impl Disk {
    pub(super) fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            asking: Arc::default(),
        }
    }

    /// For how long the oldest change waits that is not on disk yet; `None` where all of them are.
    pub fn oldest_waiting(&self) -> Option<Duration> {
        self.pipeline.oldest_waiting()
    }

    /// For how long changes wait and nothing has got to the disk; `None` where nothing waits.
    pub fn stalled(&self) -> Option<Duration> {
        self.pipeline.stalled()
    }

    /// The age of the oldest change that waits, where it is longer than it should ever be.
    pub fn waiting_too_long(&self) -> Option<Duration> {
        self.oldest_waiting().filter(|age| *age > MAX_DISK_WAIT)
    }

    /// What the database takes on disk, in bytes, if that can be told within a second. A disk that hangs keeps one thread
    /// at the most.
    pub async fn database_bytes(&self) -> Option<u64> {
        let asking = Arc::clone(&self.asking);
        let store = self.pipeline.store().clone();
        let ask = async move {
            let turn = asking.lock_owned().await;
            let size = tasks::blocking(move || {
                let _turn = turn;
                store.size_on_disk().ok()
            });
            size.await.flatten()
        };
        tasks::timeout(SIZE_TIMEOUT, ask).await.flatten()
    }

    /// Tells the log when changes wait for too long, and when they do no longer.
    pub(super) async fn watch(&self) {
        let mut longest = None;
        loop {
            tasks::sleep(LOOK).await;
            match (self.waiting_too_long(), longest) {
                (Some(age), None) => {
                    warn!(
                        waiting_s = age.as_secs(),
                        "the disk is behind: changes wait for it"
                    );
                    longest = Some(age);
                }
                (Some(age), Some(_)) => longest = Some(age),
                (None, Some(age)) => {
                    info!(waited_s = age.as_secs(), "the disk keeps up again");
                    longest = None;
                }
                (None, None) => {}
            }
        }
    }
}
