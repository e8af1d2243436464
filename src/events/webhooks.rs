//! Webhooks: events out, posted to back ends (section 13).
//!
//! Each webhook has a task of its own, which reads the outbox from where it stands, posts one event after the other, and
//! goes on only when the receiver has taken it. One that is down or slow delays nobody: the outbox waits for it, on disk,
//! for as long as events are kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::retry;
use super::signature::Signer;
use super::transport::{Http, Post, Reply, Transport, TransportError};
use super::{Cursor, Event, Outbox, OutboxError};
use crate::protocol::EventKinds;

/// How many events are read at a time; about a megabyte at the most.
const AT_ONCE: usize = 32;
/// How long a webhook rests when the outbox cannot be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(5);
/// How often a failure that lasts is logged.
const LOG_AGAIN: Duration = Duration::from_secs(3_600);

/// One webhook, as it is configured.
pub struct Webhook {
    /// What it is called.
    pub name: String,
    /// Where events are posted to.
    pub url: String,
    /// What they are signed with.
    pub secret: Box<[u8]>,
    /// The types that it wants.
    pub kinds: EventKinds,
    /// The certificate authorities to trust; without, the system's.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Webhook {
    /// Without its secrets, of which the URL may be one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.name)
    }
}

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
    _tasks: JoinSet<()>,
}

impl Webhooks {
    /// Starts them. A new one begins with what comes from now on, so call it before anything happens that it should hear
    /// of.
    ///
    /// # Errors
    /// When one of them cannot be served at all: its authorities cannot be read, or the system has none, or the outbox
    /// cannot be read.
    pub fn start(webhooks: Vec<Webhook>, outbox: &Arc<dyn Outbox>) -> Result<Self, WebhookError> {
        let mut tasks = JoinSet::new();
        let mut states = Vec::new();
        for webhook in webhooks {
            let http = Http::new(&webhook.url, webhook.ca_file.as_deref());
            let http = http.map_err(|error| WebhookError {
                name: webhook.name.clone(),
                error: error.into(),
            })?;
            let name = webhook.name.clone();
            let courier = Courier::new(webhook, Arc::clone(outbox), http);
            let courier = courier.map_err(|error| WebhookError {
                name,
                error: error.into(),
            })?;
            states.push(Arc::clone(&courier.state));
            tasks.spawn(courier.run());
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
    outbox: Arc<dyn Outbox>,
    transport: T,
    state: Arc<Mutex<WebhookStatus>>,
    durable: watch::Receiver<u64>,
    cursor: Cursor,
    /// Whether it has just been configured: there is nothing yet that it could have missed.
    is_new: bool,
    logged: Option<tokio::time::Instant>,
}

/// What became of one event.
enum Outcome {
    Taken,
    /// After this pause it is to be tried again.
    Failed(Duration),
    Gone,
}

impl<T: Transport> Courier<T> {
    fn new(webhook: Webhook, outbox: Arc<dyn Outbox>, transport: T) -> Result<Self, OutboxError> {
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
            signer: Signer::new(&webhook.secret),
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
            let batch = match self.outbox.read(position, self.webhook.kinds, AT_ONCE) {
                Ok(batch) => batch,
                Err(failure) => {
                    error!(webhook = self.webhook.name, error = %failure, "a webhook waits");
                    tokio::time::sleep(UNREADABLE_PAUSE).await;
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
                tokio::time::sleep(pause).await;
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
        let timestamp = now();
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
        state.delivered_at = Some(now());
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
        let mut random = [0; 1];
        // Without randomness there is no jitter.
        let _ = getrandom::fill(&mut random);
        let jitter = f64::from(random[0]) / 255.0;
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        let pause = retry::pause(state.failures, asked, jitter);
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_AGAIN)
        {
            self.logged = Some(tokio::time::Instant::now());
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

/// Unix time in seconds.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::events::{Batch, EventId};
    use crate::protocol::EventKind;

    /// An outbox in memory.
    struct Fake {
        last: watch::Sender<u64>,
        trimmed: Mutex<u64>,
        cursor: Mutex<Option<Cursor>>,
    }

    impl Outbox for Fake {
        fn id(&self) -> u32 {
            7
        }

        fn read(&self, position: u64, _: EventKinds, limit: usize) -> Result<Batch, OutboxError> {
            let (trimmed, last) = (*self.trimmed.lock(), *self.last.borrow());
            let start = position.max(trimmed);
            let events = (start + 1..=last).take(limit).map(|sequence| Event {
                sequence,
                id: EventId {
                    outbox: 7,
                    sequence,
                },
                kind: EventKind::MemberAdded,
                at: 0,
                body: sequence.to_string().into(),
            });
            let events: Vec<Event> = events.collect();
            Ok(Batch {
                position: events.last().map_or(start, |event| event.sequence),
                events,
                missed: position < trimmed,
            })
        }

        fn durable(&self) -> watch::Receiver<u64> {
            self.last.subscribe()
        }

        fn cursor(&self, _: &str) -> Result<Option<Cursor>, OutboxError> {
            Ok(self.cursor.lock().clone())
        }

        fn keep_cursor(&self, _: &str, cursor: Cursor) {
            *self.cursor.lock() = Some(cursor);
        }
    }

    /// Says what the test says, and tells the test what came.
    struct Script {
        replies: Mutex<mpsc::UnboundedReceiver<Result<Reply, String>>>,
        posts: mpsc::UnboundedSender<(Instant, String)>,
    }

    impl Transport for Script {
        async fn post(&self, post: Post) -> Result<Reply, String> {
            assert_eq!(
                post.id,
                format!("00000007-{}", String::from_utf8_lossy(&post.body))
            );
            self.posts.send((Instant::now(), post.id)).unwrap();
            self.replies.lock().try_recv().unwrap_or(status(200))
        }
    }

    fn status(status: u16) -> Result<Reply, String> {
        Ok(Reply {
            status,
            retry_after: None,
        })
    }

    struct Stage {
        outbox: Arc<Fake>,
        replies: mpsc::UnboundedSender<Result<Reply, String>>,
        posts: mpsc::UnboundedReceiver<(Instant, String)>,
        state: Arc<Mutex<WebhookStatus>>,
        task: tokio::task::JoinHandle<()>,
    }

    fn stage(cursor: Option<Cursor>, last: u64) -> Stage {
        let outbox = Arc::new(Fake {
            last: watch::Sender::new(last),
            trimmed: Mutex::new(0),
            cursor: Mutex::new(cursor),
        });
        let (replies, script) = mpsc::unbounded_channel();
        let (posts_in, posts) = mpsc::unbounded_channel();
        let webhook = Webhook {
            name: "app".into(),
            url: "https://app.example/hooks?secret=1".into(),
            secret: b"0123456789abcdef01234567".as_slice().into(),
            kinds: EventKinds::ALL,
            ca_file: None,
        };
        let transport = Script {
            replies: Mutex::new(script),
            posts: posts_in,
        };
        let courier = Courier::new(webhook, Arc::clone(&outbox) as _, transport).unwrap();
        let state = Arc::clone(&courier.state);
        let task = tokio::spawn(courier.run());
        Stage {
            outbox,
            replies,
            posts,
            state,
            task,
        }
    }

    fn at(position: u64) -> Option<Cursor> {
        Some(Cursor {
            position,
            gone: None,
        })
    }

    impl Stage {
        async fn next(&mut self) -> (Instant, u64) {
            let day = Duration::from_secs(86_400);
            let (at, id) = timeout(day, self.posts.recv()).await.unwrap().unwrap();
            (at, id.split_once('-').unwrap().1.parse().unwrap())
        }

        /// Nothing is left to do.
        async fn idle(&mut self) {
            let more = timeout(Duration::from_secs(3_600), self.posts.recv()).await;
            assert!(more.is_err(), "{more:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_webhook_begins_with_what_is_new() {
        let mut stage = stage(None, 5);
        stage.idle().await;
        stage.outbox.last.send_replace(7);
        assert_eq!(stage.next().await.1, 6);
        assert_eq!(stage.next().await.1, 7);
        stage.idle().await;
        assert_eq!(*stage.outbox.cursor.lock(), at(7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_tried_until_it_is_taken_and_the_next_one_waits() {
        let mut stage = stage(at(0), 2);
        stage.replies.send(Err("refused".into())).unwrap();
        for code in [500, 302, 404, 429] {
            stage.replies.send(status(code)).unwrap();
        }
        let mut tries = Vec::new();
        for _ in 0..6 {
            let (when, sequence) = stage.next().await;
            assert_eq!(sequence, 1);
            tries.push(when);
        }
        let pauses: Vec<f64> = tries
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
            .collect();
        for (pause, longest) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0]) {
            assert!(
                (longest * 0.74..=longest + 0.01).contains(pause),
                "{pauses:?}"
            );
        }
        assert_eq!(stage.next().await.1, 2);
        assert_eq!(stage.state.lock().failures, 0);
        assert_eq!(stage.state.lock().host, "https://app.example");
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_is_gone_for_a_day_misses_nothing() {
        let mut stage = stage(at(0), 3);
        let begun = Instant::now();
        let mut tries = 0;
        while begun.elapsed() < Duration::from_secs(86_400) {
            stage.replies.send(Err("no route to host".into())).unwrap();
            assert_eq!(stage.next().await.1, 1);
            tries += 1;
            stage.outbox.last.send_modify(|last| *last += 1);
        }
        assert!((280..420).contains(&tries), "{tries} tries in a day");
        let last = *stage.outbox.last.borrow();
        for sequence in 1..=last {
            assert_eq!(stage.next().await.1, sequence);
        }
        stage.idle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_trimmed_while_it_was_tried_is_not_tried_any_more() {
        let mut stage = stage(at(0), 9);
        stage.replies.send(status(500)).unwrap();
        assert_eq!(stage.next().await.1, 1);
        *stage.outbox.trimmed.lock() = 6;
        assert_eq!(stage.next().await.1, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_410_ends_it_until_it_has_another_url() {
        let mut stage = stage(at(0), 2);
        stage.replies.send(status(410)).unwrap();
        stage.next().await;
        (&mut stage.task).await.unwrap();
        assert!(stage.state.lock().gone);
        let gone = stage.outbox.cursor.lock().clone().unwrap();
        assert_eq!(gone.position, 0);
        assert_eq!(
            gone.gone.as_deref(),
            Some("https://app.example/hooks?secret=1")
        );

        let again = super::tests::stage(Some(gone.clone()), 2);
        again.task.await.unwrap();
        assert!(again.state.lock().gone);

        let other = Cursor {
            gone: Some("https://other.example/".into()),
            ..gone
        };
        let mut moved = super::tests::stage(Some(other), 2);
        assert_eq!(moved.next().await.1, 1);
    }
}
