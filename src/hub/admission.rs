//! The way in: who may connect, and how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::auth::{Claims, TokenError};

/// Places for connections: at most `connection.max_connections` at a time.
#[derive(Debug)]
pub(super) struct Slots {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// One taken place; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<AtomicUsize>,
}

impl Slots {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            taken: Arc::default(),
            limit,
        }
    }

    pub(super) fn take(&self) -> Option<Slot> {
        let slot = Slot {
            taken: Arc::clone(&self.taken),
        };
        // On refusal the slot's drop takes the count back.
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(slot)
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that may connect: its token is good (and, if it was for a single use, spent), and there is room for it.
#[derive(Debug)]
pub struct Admission {
    pub(super) claims: Claims,
    pub(super) slot: Slot,
}

/// Why a client may not connect (section 1).
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The token is no good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is not for connecting.
    #[error("this token is not for connecting: its scope needs `connect`")]
    Scope,
    /// The token is bound to a connection that exists already.
    #[error("this token belongs to one connection and cannot open another")]
    BoundToConnection,
    /// The single-use token was used before.
    #[error("this token was for a single use, and it has been used")]
    AlreadyUsed,
    /// There is no room.
    #[error("the server has all the connections it may have; try again in a while")]
    Full,
    /// The server is stopping.
    #[error("the server is stopping; try again in a moment")]
    Stopping,
    /// The database cannot be read.
    #[error("the server cannot tell whether this token was used; try again in a moment")]
    Unavailable,
}

impl AdmissionError {
    /// The code of the HTTP error body.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::Scope => "TOKEN_SCOPE_MISSING",
            Self::BoundToConnection => "TOKEN_BOUND_TO_CONNECTION",
            Self::AlreadyUsed => "TOKEN_ALREADY_USED",
            Self::Full => "SERVER_FULL",
            Self::Stopping => "SERVER_STOPPING",
            Self::Unavailable => "SERVER_UNAVAILABLE",
        }
    }

    /// Whether the client is not to blame and may try again (503).
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Full | Self::Stopping | Self::Unavailable)
    }
}
