//! Resident memory per idle connection, in presence channels of ten. Only the server's own is counted: the kernel's
//! socket buffers are not part of a process.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::client::Client;
use crate::crowd;
use crate::figures::{figure, kibibytes, mebibytes, title};
use crate::server::{Place, Server, Settings};

/// By then the server has forgotten what it keeps of its connections' beginnings.
const FORGOTTEN: Duration = Duration::from_secs(12);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many connections there are when memory is looked at.
    #[arg(long, value_delimiter = ',', default_value = "2000,8000")]
    connections: Vec<usize>,
    /// How many members a channel has.
    #[arg(long, default_value_t = 10)]
    members: usize,
}

pub(crate) async fn run(place: &Place, options: Options) -> Result<()> {
    let server = Arc::new(Server::start(place, &Settings::default())?);
    title(&format!(
        "memory of idle connections in presence channels of {}",
        options.members
    ));
    let before = settled(&server).await;
    figure("resident with no connection", mebibytes(before), "");
    let mut clients = Vec::new();
    for count in options.connections {
        add(&server, &mut clients, count, options.members).await?;
        let now = settled(&server).await;
        figure(
            &format!("resident per connection, of {count}"),
            kibibytes(now.saturating_sub(before) as f64 / count as f64),
            "≤ 16 KiB",
        );
    }
    let count = clients.len();
    figure("resident", mebibytes(settled(&server).await), "");
    clients.clear();
    figure(
        "resident when all are gone",
        mebibytes(settled(&server).await),
        "",
    );
    add(&server, &mut clients, count, options.members).await?;
    figure(
        "resident when as many are there again",
        mebibytes(settled(&server).await),
        "as before",
    );
    Ok(())
}

/// Has more clients connect, until there are `count`.
async fn add(
    server: &Arc<Server>,
    clients: &mut Vec<Client>,
    count: usize,
    members: usize,
) -> Result<()> {
    let more = crowd::connect(server, clients.len()..count, |n| {
        vec![format!("presence.room-{}", n / members)]
    });
    clients.extend(more.await?);
    Ok(())
}

/// Waits until what the server forgets in time is forgotten, and until memory changes no more, at the most for ten seconds.
async fn settled(server: &Server) -> u64 {
    tokio::time::sleep(FORGOTTEN).await;
    let mut last = server.resident();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = server.resident();
        if now == last {
            break;
        }
        last = now;
    }
    last
}
