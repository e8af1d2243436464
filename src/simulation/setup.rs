//! What a world is to be like, and what can be done to it.

use std::time::Duration;

use crate::config::{Webhook, WebhookSecret};
use crate::hub::Settings;
use crate::protocol::{EventKind, EventKinds};
use crate::store::{Durability, Fault};

/// What a world is to be like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Draws all that is drawn: the order in which tasks run, ids, what of a client's last frames arrives.
    pub seed: u64,
    /// How many deliveries may run at a time.
    pub lanes: usize,
    /// `presence.boot_grace`.
    pub boot_grace: Duration,
    /// `presence.disconnect_grace`.
    pub disconnect_grace: Duration,
    /// `presence.channel_bytes`.
    pub channel_bytes: u64,
    /// `connection.queue_bytes`.
    pub queue_bytes: usize,
    /// `connection.max_subscriptions`.
    pub max_subscriptions: usize,
    /// `presence.fanout_bytes_per_second`.
    pub fanout_bytes_per_second: u64,
    /// `presence.fanout_burst_bytes`.
    pub fanout_burst_bytes: u64,
    /// Whether `store.durability` is `periodic`.
    pub periodic: bool,
    /// `events.retention`.
    pub outbox_retention: Duration,
    /// `events.max_bytes`.
    pub outbox_max_bytes: u64,
    /// Webhooks: the name, and the types that it wants; without any, all.
    pub webhooks: Vec<(String, Vec<String>)>,
}

/// How the server goes down at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The process is killed: what it has applied stays.
    Kill,
    /// The power fails: what is durable stays.
    Power {
        /// Of the batches that are applied and not durable, how many survive all the same: the first ones.
        keep: usize,
    },
}

/// What the disk does at its next call of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// A batch is refused.
    RefuseApply(Errno),
    /// What was applied is not made durable.
    RefuseSync(Errno),
    /// Half of a batch does not outlast a crash. No disk of ours does that: it is there to be found.
    TornBatch,
    /// Nothing of a batch outlasts a crash. No disk of ours does that: it is there to be found.
    LostBatch,
}

/// Why the disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// ENOSPC.
    NoSpace,
    /// EIO.
    Io,
}

impl Errno {
    fn of_the_system(self) -> rustix::io::Errno {
        match self {
            Self::NoSpace => rustix::io::Errno::NOSPC,
            Self::Io => rustix::io::Errno::IO,
        }
    }
}

impl DiskFault {
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::RefuseApply(errno) => Fault::RefuseApply(errno.of_the_system()),
            Self::RefuseSync(errno) => Fault::RefuseSync(errno.of_the_system()),
            Self::TornBatch => Fault::TornBatch,
            Self::LostBatch => Fault::LostBatch,
        }
    }
}

impl Setup {
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.presence.channel_bytes = self.channel_bytes;
        settings.presence.boot_grace = self.boot_grace;
        settings.presence.disconnect_grace = self.disconnect_grace;
        settings.presence.fanout_bytes_per_second = self.fanout_bytes_per_second;
        settings.presence.fanout_burst_bytes = self.fanout_burst_bytes;
        settings.connection.max_connections = 1_000;
        settings.connection.max_subscriptions = self.max_subscriptions;
        settings.connection.queue_bytes = self.queue_bytes;
        if self.periodic {
            settings.store.durability = Durability::Periodic;
        }
        settings.events.retention = self.outbox_retention;
        settings.events.max_bytes = self.outbox_max_bytes;
        settings.events.webhooks = self.webhooks.iter().map(webhook).collect();
        settings
    }
}

fn webhook((name, types): &(String, Vec<String>)) -> Webhook {
    Webhook {
        name: name.clone(),
        url: format!("https://{name}.test/"),
        secret: WebhookSecret::new(b"a secret of the simulation alone".to_vec()),
        types: kinds(types),
        ca_file: None,
    }
}

/// The kinds of these types; of none, all. A type that is none is left out.
fn kinds(types: &[String]) -> EventKinds {
    if types.is_empty() {
        return EventKinds::ALL;
    }
    types
        .iter()
        .filter_map(|name| EventKind::from_name(name))
        .collect()
}
