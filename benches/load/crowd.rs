//! Many clients at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Result;
use crate::client::Client;
use crate::server::Server;

/// How long everything that is done at once may take; a run is bounded.
const DONE_WITHIN: Duration = Duration::from_secs(300);
/// How many connections are on their way in at once.
const CONNECTING: usize = 32;

/// Runs all of these at once and returns what came of them, in their order.
pub(crate) async fn together<T, F>(tasks: impl IntoIterator<Item = F>) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for (n, task) in tasks.into_iter().enumerate() {
        running.spawn(async move { task.await.map(|outcome| (n, outcome)) });
    }
    let all = async {
        let mut outcomes = Vec::with_capacity(running.len());
        while let Some(outcome) = running.join_next().await {
            outcomes.push(outcome??);
        }
        outcomes.sort_unstable_by_key(|(n, _)| *n);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    };
    timeout(DONE_WITHIN, all)
        .await
        .map_err(|_| format!("not done after {DONE_WITHIN:?}"))?
}

/// Connects clients named by their number, and has each subscribed to the channels of its number.
pub(crate) async fn connect(
    server: &Arc<Server>,
    numbers: std::ops::Range<usize>,
    channels: impl Fn(usize) -> Vec<String>,
) -> Result<Vec<Client>> {
    let room = Arc::new(Semaphore::new(CONNECTING));
    together(numbers.map(|n| {
        let (server, room, channels) = (Arc::clone(server), Arc::clone(&room), channels(n));
        async move {
            let _place = room.acquire().await?;
            let mut client = server.client(&format!("user-{n}")).await?;
            client.subscribe(&channels).await?;
            Ok(client)
        }
    }))
    .await
}
