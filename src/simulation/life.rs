//! The server's life in a world: started and stopped as `server` does it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::receivers::{Receivers, Way};
use super::setup::Setup;
use crate::auth::{SigningKey, Verifier};
use crate::events::{EventSource, Webhooks};
use crate::hub::Hub;
use crate::store::{Memory, Store};
use crate::world::clock::Instant;
use crate::world::{machine, tasks};

/// How long a stop waits for the connections, as in `server`.
const DRAIN: Duration = Duration::from_secs(10);

/// What the server is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is not there.
    Down,
    /// It starts, and takes no connection yet.
    Starting,
    /// Clients can connect.
    Up,
    /// It stops, and takes no connection any more.
    Stopping,
    /// It has ended because it could not go on.
    Failed(String),
}

/// The server's life, as it and the world share it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) state: Mutex<State>,
    /// The hub, from its start on.
    pub(super) hub: Mutex<Option<Arc<Hub>>>,
    stop: Notify,
}

impl Life {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::Down),
            hub: Mutex::new(None),
            stop: Notify::new(),
        })
    }

    pub(super) fn state(&self) -> State {
        self.state.lock().clone()
    }

    pub(super) fn set(&self, state: State) {
        *self.state.lock() = state;
    }

    /// Whether the process is there.
    pub(super) fn is_running(&self) -> bool {
        !matches!(*self.state.lock(), State::Down | State::Failed(_))
    }

    /// SIGTERM.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }
}

/// From a start to the end, which the state tells.
pub(super) async fn live(
    life: Arc<Life>,
    setup: Setup,
    key: Arc<SigningKey>,
    disk: Memory,
    receivers: Arc<Receivers>,
) {
    let end = match run(&life, setup, &key, disk, receivers).await {
        Ok(()) => State::Down,
        Err(failure) => State::Failed(failure),
    };
    life.set(end);
}

async fn run(
    life: &Life,
    setup: Setup,
    key: &SigningKey,
    disk: Memory,
    receivers: Arc<Receivers>,
) -> Result<(), String> {
    disk.tidy();
    let store = Store::of_memory(disk)?;
    let (fail, failed) = oneshot::channel();
    let verifier = key.verification_key().map_err(|error| error.to_string())?;
    let settings = setup.settings();
    let webhooks = settings.events.webhooks.clone();
    let hub = Hub::start(
        settings,
        Verifier::new(vec![verifier], None, None),
        store,
        move |error| drop(fail.send(error)),
    )
    .map_err(|error| error.to_string())?;
    *life.hub.lock() = Some(Arc::clone(&hub));
    let outbox: Arc<dyn EventSource> = Arc::clone(hub.outbox()) as _;
    let _webhooks = Webhooks::start_over(webhooks, &outbox, |webhook| {
        Ok(Way {
            webhook: webhook.name.clone(),
            receivers: Arc::clone(&receivers),
        })
    })
    .map_err(|error| error.to_string())?;
    hub.before_ready().await;
    machine::rest().await;
    hub.ready();
    life.set(State::Up);
    let mut failed = pin!(failed);
    let mut stop = pin!(life.stop.notified());
    let failure = poll_fn(|cx| {
        if let Poll::Ready(Ok(failure)) = failed.as_mut().poll(cx) {
            return Poll::Ready(Some(failure));
        }
        stop.as_mut().poll(cx).map(|()| None)
    })
    .await;
    if let Some(failure) = failure {
        return Err(failure.to_string());
    }
    life.set(State::Stopping);
    let deadline = Instant::now() + DRAIN;
    hub.begin_stop();
    while hub.connection_count() > 0 && Instant::now() < deadline {
        tasks::sleep(Duration::from_millis(10)).await;
    }
    hub.finish();
    machine::thread_is_over("commit").await;
    Ok(())
}
