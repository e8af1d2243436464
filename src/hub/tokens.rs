//! Tokens at run time: verified against the clock, and spent where they serve only once.

use super::Hub;
use super::admission::{Admission, AdmissionError};
use super::connection::Connection;
use super::once::{Once, Reservation};
use super::refusal::Stopped;
use crate::auth::Claims;
use crate::protocol::{ErrorCode, Refusal};
use crate::store::Changes;
use crate::world::clock;

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

/// Why there is no reservation.
#[derive(Debug)]
pub(super) enum NotReserved {
    Spent,
    Unavailable,
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
            let mut changes = Changes::new();
            reservation.write(&mut changes);
            let spent = self.pipeline.commit(changes, reservation).await;
            spent.map_err(|Stopped| AdmissionError::Stopping)?;
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
            NotReserved::Unavailable => Stopped.into(),
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
        let name = (scope.name(), &**jti);
        match self.once.reserve(&self.pipeline, name, until).await {
            Ok(Once::Reserved(reservation)) => Ok(Some(reservation)),
            Ok(Once::Spent(_) | Once::Pending(_)) => Err(NotReserved::Spent),
            Err(_) => Err(NotReserved::Unavailable),
        }
    }
}
