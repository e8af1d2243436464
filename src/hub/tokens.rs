//! Tokens at run time: verified against the clock, and spent where they serve only once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::admission::{Admission, AdmissionError};
use super::connection::Connection;
use super::delivery::Delivery;
use super::{Hub, clock};
use crate::auth::Claims;
use crate::protocol::{ErrorCode, MessageId, Refusal};
use crate::store::Changes;

/// What a token is used for; a single-use token serves once for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Connect,
    Subscribe,
    Umd,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Umd => "umd",
        }
    }

    fn refused(self) -> ErrorCode {
        match self {
            Self::Umd => ErrorCode::InvalidUmdToken,
            Self::Connect | Self::Subscribe => ErrorCode::InvalidSubscribeToken,
        }
    }
}

/// Single-use tokens whose use is on its way to the disk. Those that have arrived are found in the database.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// Each with what ends when its use is decided.
    names: Mutex<HashMap<Box<[u8]>, watch::Receiver<()>>>,
}

/// The sole right to use a single-use token. Dropped without a commit, it gives the token back.
#[derive(Debug)]
pub(super) struct Reservation {
    spending: Arc<Spending>,
    name: Box<[u8]>,
    until: u64,
    /// Dropped after the name is given back or found in the database.
    _decided: watch::Sender<()>,
}

/// What became of the wish to use something that serves only once.
#[derive(Debug)]
pub(super) enum Once {
    /// It is to be used now.
    Reserved(Reservation),
    /// It has been used, for this message if it was for one.
    Spent(Option<MessageId>),
    /// It is being used; this ends when that is decided.
    Pending(watch::Receiver<()>),
}

/// Why there is no reservation.
#[derive(Debug)]
pub(super) enum NotReserved {
    Spent,
    Unavailable,
}

impl Reservation {
    /// Writes the use down, in the same commit as what it was used for.
    pub(super) fn write(&self, changes: &mut Changes) {
        changes.spend(&self.name, self.until);
    }

    /// The same, for a message.
    pub(super) fn write_for(&self, message: MessageId, changes: &mut Changes) {
        changes.spend_on(&self.name, self.until, message);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.spending.names.lock().remove(&self.name);
    }
}

impl Hub {
    /// Decides whether a client may connect with this token. If it is for a single use, it is spent (and that is
    /// durable) when this returns.
    ///
    /// # Errors
    /// See [`AdmissionError`]; a single-use token is not spent then.
    pub async fn admit(&self, token: &str) -> Result<Admission, AdmissionError> {
        if self.is_stopping() {
            return Err(AdmissionError::Stopping);
        }
        let now = clock::now_seconds();
        let claims = self.verifier.verify(token, now.cast_signed())?;
        if !claims.scopes.connect {
            return Err(AdmissionError::Scope);
        }
        if claims.connection_id.is_some() {
            return Err(AdmissionError::BoundToConnection);
        }
        let slot = self.slots.take().ok_or(AdmissionError::Full)?;
        let reservation =
            self.reserve(Scope::Connect, &claims)
                .await
                .map_err(|error| match error {
                    NotReserved::Spent => AdmissionError::AlreadyUsed,
                    NotReserved::Unavailable => AdmissionError::Unavailable,
                })?;
        if let Some(reservation) = reservation {
            let permit = self.permit().await.ok_or(AdmissionError::Stopping)?;
            let (mut delivery, durable) = Delivery::nothing(permit);
            let mut changes = Changes::new();
            reservation.write(&mut changes);
            delivery.spent = Some(reservation);
            self.committer.submit(changes, delivery);
            durable.await.map_err(|_| AdmissionError::Stopping)?;
        }
        Ok(Admission { claims, slot })
    }

    /// Verifies a token that a connection presents for something.
    pub(super) fn verify_for(
        &self,
        connection: &Connection,
        scope: Scope,
        token: &str,
    ) -> Result<Claims, Refusal> {
        let refuse = |message: String| Refusal::new(scope.refused(), message);
        let now = clock::now_seconds().cast_signed();
        let claims = self
            .verifier
            .verify(token, now)
            .map_err(|error| refuse(error.to_string()))?;
        let allowed = match scope {
            Scope::Connect => claims.scopes.connect,
            Scope::Subscribe => claims.scopes.subscribe,
            Scope::Umd => claims.scopes.umd,
        };
        if !allowed {
            return Err(refuse(format!(
                "this token is not for that: its scope needs `{}`",
                scope.name()
            )));
        }
        if !claims.serves(&connection.id.to_string(), connection.uid.as_deref()) {
            return Err(refuse(
                "this token names another connection, or another uid".to_owned(),
            ));
        }
        Ok(claims)
    }

    /// [`Hub::reserve`], refused in the words of the WebSocket.
    pub(super) async fn reserve_for(
        &self,
        scope: Scope,
        claims: &Claims,
    ) -> Result<Option<Reservation>, Refusal> {
        let reserved = self.reserve(scope, claims).await;
        reserved.map_err(|error| match error {
            NotReserved::Spent => Refusal::new(
                scope.refused(),
                "this token was for a single use, and it has been used",
            ),
            NotReserved::Unavailable => super::internal(),
        })
    }

    /// Reserves a token's one use; `None` where it may be used again and again.
    async fn reserve(
        &self,
        scope: Scope,
        claims: &Claims,
    ) -> Result<Option<Reservation>, NotReserved> {
        let Some(jti) = &claims.single_use else {
            return Ok(None);
        };
        let until = u64::try_from(claims.expires_at).unwrap_or_default();
        match self.reserve_name(scope.name(), jti, until).await {
            Ok(Once::Reserved(reservation)) => Ok(Some(reservation)),
            Ok(Once::Spent(_) | Once::Pending(_)) => Err(NotReserved::Spent),
            Err(_) => Err(NotReserved::Unavailable),
        }
    }

    /// Reserves what may be used only once until `until` (Unix time in seconds).
    ///
    /// # Errors
    /// `INTERNAL_ERROR` where the database cannot be read.
    pub(super) async fn reserve_name(
        &self,
        space: &str,
        name: &str,
        until: u64,
    ) -> Result<Once, Refusal> {
        let name: Box<[u8]> = [space.as_bytes(), b"\0", name.as_bytes()].concat().into();
        let reservation = match self.spending.names.lock().entry(name) {
            Entry::Occupied(pending) => return Ok(Once::Pending(pending.get().clone())),
            Entry::Vacant(free) => {
                let name = free.key().clone();
                let (decided, pending) = watch::channel(());
                free.insert(pending);
                Reservation {
                    spending: Arc::clone(&self.spending),
                    name,
                    until,
                    _decided: decided,
                }
            }
        };
        // Looked up only now: had it been committed in between, it would have been found reserved or spent.
        let spent = {
            let name = reservation.name.clone();
            self.read_ahead(move |store| store.spent(&name, clock::now_seconds()))
                .await?
        };
        Ok(match spent {
            None => Once::Reserved(reservation),
            Some(message) => Once::Spent(message),
        })
    }
}
