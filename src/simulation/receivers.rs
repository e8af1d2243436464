//! Who takes webhooks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Posted;
use crate::events::{Post, Reply, Transport};
use crate::world::{machine, tasks};

/// How long a try may take, as over the network.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How a receiver is disposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverMood {
    /// It takes what comes.
    Takes,
    /// It answers with this status.
    Fails(u16),
    /// It answers 410.
    Gone,
    /// It does not answer.
    Hangs,
}

/// All receivers.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    moods: Mutex<BTreeMap<String, ReceiverMood>>,
    taken: Mutex<Vec<Posted>>,
}

impl Receivers {
    pub(super) fn set(&self, webhook: &str, mood: ReceiverMood) {
        self.moods.lock().insert(webhook.to_owned(), mood);
    }

    pub(super) fn taken(&self) -> Vec<Posted> {
        std::mem::take(&mut *self.taken.lock())
    }

    fn mood(&self, webhook: &str) -> ReceiverMood {
        let moods = self.moods.lock();
        moods.get(webhook).copied().unwrap_or(ReceiverMood::Takes)
    }
}

/// The way to one of them.
pub(super) struct Way {
    pub(super) webhook: String,
    pub(super) receivers: Arc<Receivers>,
}

impl Transport for Way {
    async fn post(&self, post: Post) -> Result<Reply, String> {
        machine::rest().await;
        let status = match self.receivers.mood(&self.webhook) {
            ReceiverMood::Takes => {
                self.receivers.taken.lock().push(Posted {
                    webhook: self.webhook.clone(),
                    id: post.id,
                    body: String::from_utf8_lossy(&post.body).into_owned(),
                });
                200
            }
            ReceiverMood::Fails(status) => status,
            ReceiverMood::Gone => 410,
            ReceiverMood::Hangs => {
                tasks::sleep(TIMEOUT).await;
                return Err("no answer".to_owned());
            }
        };
        // The answer is on its way, and may not arrive.
        machine::rest().await;
        Ok(Reply {
            status,
            retry_after: None,
        })
    }
}
