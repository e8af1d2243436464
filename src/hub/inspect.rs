//! What can be asked about the running system (sections 11 and 12), and the operator's one deed: to close a connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Hub;
use super::connection::Connection;
use super::refusal::not_subscribed;
use super::room::Room;
use crate::auth::Permissions;
use crate::protocol::{CloseReason, ConnectionId, ErrorCode, Json, Refusal};
use crate::world::clock;

/// How many entries a page has.
pub const PAGE: usize = 100;

/// A channel, as it is now.
#[derive(Debug, Clone)]
pub struct ChannelInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its subscriptions.
    pub subscriptions_count: u64,
    /// Its members, where it is a presence channel: how many, the bytes of their entries, and the list as JSON.
    pub members: Option<MembersInfo>,
}

/// The members of a presence channel.
#[derive(Debug, Clone)]
pub struct MembersInfo {
    /// How many.
    pub count: usize,
    /// The bytes of their entries, and how many there may be.
    pub bytes: u64,
    /// The capacity.
    pub capacity: u64,
    /// The list, as JSON; empty where it was not asked for.
    pub list: Vec<u8>,
}

/// A connection, as it is now.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnectionId,
    /// When it was made, RFC 3339.
    pub connected_at: String,
    /// Where it comes from.
    pub source_ip: std::net::IpAddr,
    /// What the client calls itself.
    pub user_agent: Option<Box<str>>,
    /// Who.
    pub uid: Option<Arc<str>>,
    /// Their metadata.
    pub umd: Json,
    /// How many subscriptions it has.
    pub subscriptions: usize,
}

impl Hub {
    /// One channel, with its members, when what is told of it is on disk. A channel that nobody uses has none.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` while the server stops.
    pub async fn channel_info(&self, name: &str) -> Result<ChannelInfo, Refusal> {
        let info = self.channel_now(name);
        self.pipeline.settle().await?;
        Ok(info)
    }

    /// The same, of what has been decided.
    pub(super) fn channel_now(&self, name: &str) -> ChannelInfo {
        match self.rooms.get(name) {
            Some(room) => self.info(&room, true),
            None => self.info(&Room::new(name.into()), true),
        }
    }

    /// The channels that have subscriptions, by name: at most [`PAGE`] of those after `after` that begin with `prefix`.
    /// What is told of them is on disk.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` while the server stops.
    pub async fn channel_page(
        &self,
        after: &str,
        prefix: &str,
    ) -> Result<Vec<ChannelInfo>, Refusal> {
        let mut page: BTreeMap<Arc<str>, Arc<Room>> = BTreeMap::new();
        self.rooms.for_each(|room| {
            if *room.name > *after && room.name.starts_with(prefix) {
                page.insert(Arc::clone(&room.name), Arc::clone(room));
                if page.len() > PAGE {
                    page.pop_last();
                }
            }
        });
        let infos = page.values().map(|room| self.info(room, false)).collect();
        self.pipeline.settle().await?;
        Ok(infos)
    }

    /// The connections, by id: at most [`PAGE`] of those after `after`, only those of `uid` where one is given.
    pub fn connection_page(
        &self,
        after: Option<ConnectionId>,
        uid: Option<&str>,
    ) -> Vec<ConnectionInfo> {
        let mut page: BTreeMap<ConnectionId, Arc<Connection>> = BTreeMap::new();
        self.connections.for_each(|connection| {
            if after.is_none_or(|after| connection.id > after)
                && (uid.is_none() || connection.uid.as_deref() == uid)
            {
                page.insert(connection.id, Arc::clone(connection));
                if page.len() > PAGE {
                    page.pop_last();
                }
            }
        });
        page.into_values()
            .map(|connection| {
                let state = connection.state.lock();
                ConnectionInfo {
                    id: connection.id,
                    connected_at: clock::rfc3339(connection.connected_at / 1000),
                    source_ip: connection.client.source_ip,
                    user_agent: connection.client.user_agent.clone(),
                    uid: connection.uid.clone(),
                    umd: state.umd.clone(),
                    subscriptions: state.subscriptions.len(),
                }
            })
            .collect()
    }

    /// Closes a connection (1008). Returns whether there was one.
    pub fn kick(&self, id: ConnectionId) -> bool {
        match self.connections.get(&id) {
            Some(connection) => {
                connection.close(CloseReason::Kicked);
                true
            }
            None => false,
        }
    }

    /// Closes the connections for which more than `bytes` wait (1008), and gives that memory back at once. Returns how
    /// many there were.
    pub fn drop_slow(&self, bytes: usize) -> usize {
        let mut dropped = 0;
        self.connections.for_each(|connection| {
            dropped += usize::from(connection.queue.drop_over(bytes));
        });
        dropped
    }

    /// The connection of this id, if the secret is its.
    pub fn authenticate(&self, id: &str, secret: &str) -> Option<Arc<Connection>> {
        let connection = self.connections.get(&id.parse().ok()?)?;
        crate::auth::same_secret(connection.secret.0.as_bytes(), secret.as_bytes())
            .then_some(connection)
    }

    /// The info of a channel that a connection may read (`getInfo`).
    ///
    /// # Errors
    /// `INFO_PERMISSION_DENIED` where the token does not say `getInfo`; `INTERNAL_ERROR` while the server stops.
    pub async fn channel_info_for(
        &self,
        connection: &Connection,
        name: &str,
    ) -> Result<ChannelInfo, Refusal> {
        let held = connection.subscription(name);
        let token = held.as_ref().and_then(|held| held.grants.clone());
        let permissions = Permissions::new(&connection.grants, token.as_deref());
        let channel: Arc<str> = match held {
            Some(held) => Arc::clone(&held.room.name),
            None => permissions.resolve(name).0.into(),
        };
        if permissions.channel(&channel).get_info {
            self.channel_info(&channel).await
        } else {
            Err(Refusal::new(
                ErrorCode::InfoPermissionDenied,
                "the token does not allow `getInfo` on this channel",
            ))
        }
    }

    /// Metadata over HTTP: as [`Hub::request`] does for `hotsock.umdUpdate`. Returns when it is on disk.
    ///
    /// # Errors
    /// As there; `INTERNAL_ERROR` if the server stops before.
    pub async fn update_metadata(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        channel: Option<&str>,
        token: &str,
    ) -> Result<(), Refusal> {
        match channel {
            Some(channel) => {
                connection
                    .subscription(channel)
                    .ok_or_else(not_subscribed)?;
                self.update_subscription(connection, channel, token).await?;
            }
            None => self.update_connection(connection, token).await?,
        }
        Ok(self.pipeline.settle().await?)
    }

    fn info(&self, room: &Room, with_list: bool) -> ChannelInfo {
        let state = room.state.lock();
        ChannelInfo {
            name: Arc::clone(&room.name),
            subscriptions_count: state.presence.subscriptions_count(),
            members: state.presence.roster().map(|roster| MembersInfo {
                count: roster.len(),
                bytes: roster.bytes(),
                capacity: self.settings.presence.channel_bytes,
                list: if with_list {
                    roster.list().to_vec()
                } else {
                    Vec::new()
                },
            }),
        }
    }
}
