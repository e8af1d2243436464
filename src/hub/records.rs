//! The hub's state as records of the database, and back.

use std::sync::Arc;

use serde_bytes::ByteArray;

use super::connection::Connection;
use super::room::State;
use crate::presence::{self, Subscription};
use crate::protocol::{ConnectionId, Json, JsonError};
use crate::store::{ChannelRecord, ConnectionRecord, SubscriptionRecord};

pub(super) fn subscription(subscription: &Subscription) -> SubscriptionRecord {
    SubscriptionRecord {
        connection: ByteArray::new(*subscription.connection.as_bytes()),
        joined: subscription.joined,
        stamp: subscription.stamp,
        uid: subscription.uid.as_deref().map(str::to_owned),
        umd: subscription.umd.as_str().to_owned(),
        alias: subscription.alias.as_deref().map(str::to_owned),
        uncounted: !subscription.counted,
    }
}

/// A stored subscription; it is absent, since its connection is of an earlier start.
pub(super) fn restored(
    sequence: u64,
    record: SubscriptionRecord,
) -> Result<Subscription, JsonError> {
    Ok(Subscription {
        connection: ConnectionId::from_bytes(record.connection.into_array()),
        sequence,
        joined: record.joined,
        stamp: record.stamp,
        uid: record.uid.map(Arc::from),
        umd: Json::parse(&record.umd)?,
        alias: record.alias.map(Box::from),
        counted: !record.uncounted,
        absent: true,
    })
}

pub(super) fn channel(state: &State) -> ChannelRecord {
    let presence = &state.presence;
    ChannelRecord {
        bytes: presence.roster().map_or(0, presence::Roster::bytes),
        subscriptions: presence.subscriptions_count(),
        next: presence.next_sequence(),
        run: state.lists.run().map(ByteArray::new),
    }
}

pub(super) fn connection(
    connection: &Connection,
    umd: &Json,
    boot: ByteArray<16>,
) -> ConnectionRecord {
    ConnectionRecord {
        boot,
        uid: connection.uid.as_deref().map(str::to_owned),
        umd: umd.as_str().to_owned(),
        connected_at: connection.connected_at,
        keep_alive: connection.keep_alive,
        source_ip: connection.client.source_ip.to_string(),
        user_agent: connection.client.user_agent.as_deref().map(str::to_owned),
    }
}
