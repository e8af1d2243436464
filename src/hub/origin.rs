//! Whose request something was, as back ends are told (section 13).

use serde_bytes::ByteArray;

use super::connection::{ClientInfo, Connection};
use crate::protocol::MessageId;
use crate::protocol::event_out::{Trigger, Via};
use crate::store::OriginRecord;

/// How a client's request came in.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// On its WebSocket.
    Socket,
    /// Over the Client HTTP API: from there, by that program.
    Http(&'a ClientInfo),
}

/// A client's request, for the metadata of events out.
pub(super) fn client_trigger(connection: &Connection, origin: Origin<'_>) -> Trigger {
    let (via, from) = match origin {
        Origin::Socket => (Via::ClientWebSocket, &connection.client),
        Origin::Http(from) => (Via::ClientHttp, from),
    };
    Trigger {
        via,
        connection_id: Some(connection.id.to_string()),
        source_ip: Some(from.source_ip.to_string()),
        user_agent: from.user_agent.as_deref().map(str::to_owned),
    }
}

/// The request as it is kept with what it made.
pub(super) fn record(trigger: &Trigger, request: MessageId) -> OriginRecord {
    OriginRecord {
        request: ByteArray::new(request.to_bytes()),
        trigger: trigger.via.name().to_owned(),
        connection_id: trigger.connection_id.clone(),
        source_ip: trigger.source_ip.clone(),
        user_agent: trigger.user_agent.clone(),
    }
}

/// The same, read again. `None` where it is of a later version, which knows other ways in.
pub(super) fn restored(record: OriginRecord) -> Option<(Trigger, MessageId)> {
    let trigger = Trigger {
        via: Via::from_name(&record.trigger)?,
        connection_id: record.connection_id,
        source_ip: record.source_ip,
        user_agent: record.user_agent,
    };
    Some((trigger, MessageId::from_bytes(record.request.into_array())))
}
