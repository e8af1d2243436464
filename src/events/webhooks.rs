//! Webhooks: events out, posted to back ends (section 13).
//!
//! Each webhook has a task of its own, which reads the outbox from where it stands, posts one event after the other, and
//! goes on only when the receiver has taken it. One that is down or slow delays nobody: the outbox waits for it, on disk,
//! for as long as events are kept.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::retry;
use super::signature::Signer;
use super::transport::{Http, Post, Reply, Transport, TransportError};
use super::{Cursor, Event, EventSource, OutboxError};
use crate::config::Webhook;
use crate::world::clock::{Instant, now_seconds};
use crate::world::{random, tasks};

/// How many events are read at a time; about a megabyte at the most.
const AT_ONCE: usize = 32;
/// How long a webhook rests when the outbox cannot be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(5);
/// How often a failure that lasts is logged.
const LOG_AGAIN: Duration = Duration::from_secs(3_600);

/// A webhook cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("the webhook `{name}`: {error}")]
pub struct WebhookError {
    name: String,
    error: StartError,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// How a webhook is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookStatus {
    /// What it is called.
    pub name: String,
    /// The scheme and host that it posts to.
    pub host: String,
    /// The last event that was dealt with.
    pub position: u64,
    /// When an event was last taken: Unix time in seconds.
    pub delivered_at: Option<u64>,
    /// How many tries have failed since.
    pub failures: u32,
    /// What went wrong last, while it does.
    pub last_error: Option<String>,
    /// Whether the receiver has said that it is gone: nothing is sent any more.
    pub gone: bool,
}

/// All webhooks, at work until this is dropped.
#[derive(Debug)]
pub struct Webhooks {
    states: Vec<Arc<Mutex<WebhookStatus>>>,
    _tasks: Vec<tasks::Task>,
}

/// Whether a webhook can be served, as far as that can be told without sending anything: its URL, and whom to trust there.
///
/// # Errors
/// When [`Webhooks::start`] would fail for the same reason.
pub fn check(webhook: &Webhook) -> Result<(), WebhookError> {
    connect(webhook).map(drop)
}

fn connect(webhook: &Webhook) -> Result<Http, WebhookError> {
    Http::new(&webhook.url, webhook.ca_file.as_deref()).map_err(|error| WebhookError {
        name: webhook.name.clone(),
        error: error.into(),
    })
}

impl WebhookError {
    /// Whether only a person can mend it.
    pub fn is_for_a_person(&self) -> bool {
        matches!(self.error, StartError::Transport(_))
    }
}

impl Webhooks {
    /// Starts them. A new one begins with what comes from now on, so call it before anything happens that it should hear
    /// of.
    ///
    /// # Errors
    /// When one of them cannot be served at all: its authorities cannot be read, or the system has none, or the outbox
    /// cannot be read.
    pub fn start(
        webhooks: Vec<Webhook>,
        outbox: &Arc<dyn EventSource>,
    ) -> Result<Self, WebhookError> {
        Self::start_over(webhooks, outbox, connect)
    }

    /// The same, over ways to the receivers that `connect` makes.
    pub(crate) fn start_over<T: Transport>(
        webhooks: Vec<Webhook>,
        outbox: &Arc<dyn EventSource>,
        connect: impl Fn(&Webhook) -> Result<T, WebhookError>,
    ) -> Result<Self, WebhookError> {
        let mut tasks = Vec::new();
        let mut states = Vec::new();
        for webhook in webhooks {
            let transport = connect(&webhook)?;
            let name = webhook.name.clone();
            let courier = Courier::new(webhook, Arc::clone(outbox), transport);
            let courier = courier.map_err(|error| WebhookError {
                name,
                error: error.into(),
            })?;
            states.push(Arc::clone(&courier.state));
            tasks.push(tasks::spawn_owned(courier.run()));
        }
        Ok(Self {
            states,
            _tasks: tasks,
        })
    }

    /// How each of them is doing.
    pub fn status(&self) -> Vec<WebhookStatus> {
        self.states
            .iter()
            .map(|state| state.lock().clone())
            .collect()
    }
}

/// Takes events to one webhook.
struct Courier<T> {
    webhook: Webhook,
    signer: Signer,
    outbox: Arc<dyn EventSource>,
    transport: T,
    state: Arc<Mutex<WebhookStatus>>,
    durable: watch::Receiver<u64>,
    cursor: Cursor,
    /// Whether it has just been configured: there is nothing yet that it could have missed.
    is_new: bool,
    logged: Option<Instant>,
}

/// What became of one event.
enum Outcome {
    Taken,
    /// After this pause it is to be tried again.
    Failed(Duration),
    Gone,
}

impl<T: Transport> Courier<T> {
    fn new(
        webhook: Webhook,
        outbox: Arc<dyn EventSource>,
        transport: T,
    ) -> Result<Self, OutboxError> {
        let durable = outbox.durable();
        let known = outbox.cursor(&webhook.name)?;
        let is_new = known.is_none();
        let cursor = known.unwrap_or_else(|| Cursor {
            position: *durable.borrow(),
            gone: None,
        });
        if is_new {
            outbox.keep_cursor(&webhook.name, cursor.clone());
        }
        let state = WebhookStatus {
            name: webhook.name.clone(),
            host: host(&webhook.url),
            position: cursor.position,
            delivered_at: None,
            failures: 0,
            last_error: None,
            gone: cursor.gone.as_ref() == Some(&webhook.url),
        };
        Ok(Self {
            signer: Signer::new(webhook.secret.as_bytes()),
            webhook,
            outbox,
            transport,
            state: Arc::new(Mutex::new(state)),
            durable,
            cursor,
            is_new,
            logged: None,
        })
    }

    async fn run(mut self) {
        if self.state.lock().gone {
            error!(
                webhook = self.webhook.name,
                "a webhook's receiver has said that it is gone (410), and nothing is sent to it; give the webhook another url, or take it out of the configuration"
            );
            return;
        }
        self.cursor.gone = None;
        loop {
            self.durable.borrow_and_update();
            let position = self.cursor.position;
            let kinds = self.webhook.types;
            let batch = match super::read(&self.outbox, position, kinds, AT_ONCE).await {
                Ok(batch) => batch,
                Err(failure) => {
                    error!(webhook = self.webhook.name, error = %failure, "a webhook waits");
                    tasks::sleep(UNREADABLE_PAUSE).await;
                    continue;
                }
            };
            if batch.missed {
                self.skip_to(
                    batch
                        .events
                        .first()
                        .map_or(batch.position, |e| e.sequence - 1),
                );
            }
            self.is_new = false;
            let mut pause = None;
            for event in batch.events {
                match self.deliver(&event).await {
                    Outcome::Taken => self.move_to(event.sequence),
                    Outcome::Failed(wait) => {
                        pause = Some(wait);
                        break;
                    }
                    Outcome::Gone => {
                        self.cursor.gone = Some(self.webhook.url.clone());
                        self.move_to(self.cursor.position);
                        return;
                    }
                }
            }
            if let Some(pause) = pause {
                // Then it is read again: it may have been trimmed meanwhile, and holds no memory.
                tasks::sleep(pause).await;
            } else if batch.position != position {
                self.move_to(batch.position);
            } else if self.durable.changed().await.is_err() {
                return;
            }
        }
    }

    /// What is not there any more is not waited for.
    fn skip_to(&mut self, position: u64) {
        if !self.is_new {
            error!(
                webhook = self.webhook.name,
                from = self.cursor.position,
                to = position,
                "a webhook has missed events: they were older than events.retention, or did not fit into events.max_bytes"
            );
        }
        self.move_to(position);
    }

    fn move_to(&mut self, position: u64) {
        self.cursor.position = position;
        self.state.lock().position = position;
        self.outbox
            .keep_cursor(&self.webhook.name, self.cursor.clone());
    }

    /// One try.
    async fn deliver(&mut self, event: &Event) -> Outcome {
        let id = event.id.to_string();
        let timestamp = now_seconds();
        let signature = self.signer.sign(&id, timestamp, &event.body);
        let post = Post {
            id,
            timestamp,
            signature,
            body: event.body.clone(),
        };
        match self.transport.post(post).await {
            Ok(Reply {
                status: 200..=299, ..
            }) => {
                self.succeeded();
                Outcome::Taken
            }
            Ok(Reply { status: 410, .. }) => {
                let mut state = self.state.lock();
                state.gone = true;
                state.last_error = Some("410 Gone".to_owned());
                error!(
                    webhook = self.webhook.name,
                    "a webhook's receiver says that it is gone (410): nothing is sent to it any more; give the webhook another url, or take it out of the configuration"
                );
                Outcome::Gone
            }
            Ok(reply) => self.failed(format!("status {}", reply.status), reply.retry_after),
            Err(failure) => self.failed(failure, None),
        }
    }

    fn succeeded(&mut self) {
        let mut state = self.state.lock();
        state.delivered_at = Some(now_seconds());
        if state.failures > 0 {
            info!(
                webhook = self.webhook.name,
                failures = state.failures,
                "a webhook takes events again"
            );
            state.failures = 0;
            state.last_error = None;
            self.logged = None;
        }
    }

    fn failed(&mut self, failure: String, asked: Option<Duration>) -> Outcome {
        let mut drawn = [0; 1];
        // Without randomness there is no jitter.
        let _ = random::fill(&mut drawn);
        let jitter = f64::from(drawn[0]) / 255.0;
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        let pause = retry::pause(state.failures, asked, jitter);
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_AGAIN)
        {
            self.logged = Some(Instant::now());
            warn!(
                webhook = self.webhook.name,
                host = state.host,
                failures = state.failures,
                error = failure,
                "a webhook does not take events; it is tried again, and they are kept"
            );
        }
        state.last_error = Some(failure);
        Outcome::Failed(pause)
    }
}

/// The scheme and host of a URL; what follows may be secret.
fn host(url: &str) -> String {
    let end = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(end..).unwrap_or_default();
    let len = rest.find(['/', '?']).unwrap_or(rest.len());
    url.get(..end + len).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
