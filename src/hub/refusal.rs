//! Refusals that several requests have in common.

use tracing::error;

use crate::protocol::{ErrorCode, Refusal};
use crate::store::StoreError;
use crate::world::random;

/// Nothing is committed any more: the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

impl From<Stopped> for Refusal {
    fn from(Stopped: Stopped) -> Self {
        Self::new(
            ErrorCode::ServerStopping,
            "the server is stopping; connect again in a moment",
        )
    }
}

/// The database cannot be read. The details go to the log, under an id that the client is told.
pub(super) fn database(error: &StoreError) -> Refusal {
    let mut bytes = [0; 4];
    let _ = random::fill(&mut bytes);
    let incident = u32::from_be_bytes(bytes);
    error!(%error, incident = format_args!("{incident:08x}"), "the database cannot be read");
    Refusal::new(
        ErrorCode::InternalError,
        format!("the server failed at this; its log knows more under {incident:08x}"),
    )
}

pub(super) fn not_subscribed() -> Refusal {
    Refusal::new(
        ErrorCode::NotSubscribed,
        "this connection is not subscribed to the channel",
    )
}
