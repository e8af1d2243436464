//! HTTP answers: JSON, and errors that a program and a person can read.

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::protocol::{ErrorCode, Refusal};

pub(super) type Answer = Response<Body>;

/// A whole body, or a stream.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes>>;

/// The error side of a handler's result: the answer that refuses the request. Boxed, because an answer is large.
pub(super) struct Refused(Box<Answer>);

impl From<Answer> for Refused {
    fn from(answer: Answer) -> Self {
        Self(Box::new(answer))
    }
}

impl From<Refusal> for Refused {
    fn from(refused: Refusal) -> Self {
        refusal(&refused).into()
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        *refused.0
    }
}

/// How long a client should wait before it tries a full or stopping server again, in seconds.
const RETRY_AFTER: &str = "1";

/// An error body: `{"error":{"code":…,"message":…}}`.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Inner<'a>,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        code: &'a str,
        message: &'a str,
    }
    value(
        status,
        &Body {
            error: Inner { code, message },
        },
    )
}

/// As [`error`], for the error side of a result.
pub(super) fn refused(status: StatusCode, code: &str, message: &str) -> Refused {
    error(status, code, message).into()
}

/// The answer to a request that the hub refuses.
pub(super) fn refusal(refusal: &Refusal) -> Answer {
    let status = match refusal.code {
        ErrorCode::InvalidMessage
        | ErrorCode::UnknownEvent
        | ErrorCode::InvalidChannelName
        | ErrorCode::InvalidEventName
        | ErrorCode::InvalidReaction
        | ErrorCode::InvalidSchedule
        | ErrorCode::DataTooLarge
        | ErrorCode::PresenceChannelUserIdRequired => StatusCode::BAD_REQUEST,
        ErrorCode::MessageNotFound => StatusCode::NOT_FOUND,
        ErrorCode::ConnectionUnknown => StatusCode::UNAUTHORIZED,
        ErrorCode::StorageLimitReached => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::ServerStopping => return unavailable("SERVER_STOPPING", &refusal.message),
        ErrorCode::AlreadySubscribed | ErrorCode::PresenceChannelCapacityReached => {
            StatusCode::CONFLICT
        }
        ErrorCode::NotSubscribed
        | ErrorCode::SubscribePermissionDenied
        | ErrorCode::InvalidSubscribeToken
        | ErrorCode::PublishPermissionDenied
        | ErrorCode::InvalidUmdToken
        | ErrorCode::UmdUpdatePermissionDenied
        | ErrorCode::ReactionPermissionDenied
        | ErrorCode::InfoPermissionDenied
        | ErrorCode::SubscriptionLimitReached => StatusCode::FORBIDDEN,
    };
    error(status, refusal.code.as_str(), &refusal.message)
}

/// 503, with `Retry-After`.
pub(super) fn unavailable(code: &str, message: &str) -> Answer {
    let answer = error(StatusCode::SERVICE_UNAVAILABLE, code, message);
    with(answer, [(header::RETRY_AFTER, RETRY_AFTER)])
}

/// The last answer on its connection.
pub(super) fn last(answer: Answer) -> Answer {
    with(answer, [(header::CONNECTION, "close")])
}

pub(super) fn not_found(message: &str) -> Answer {
    error(StatusCode::NOT_FOUND, "NOT_FOUND", message)
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    let message = format!("use {allowed}");
    let answer = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        &message,
    );
    with(answer, [(header::ALLOW, allowed)])
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}

pub(super) fn value(status: StatusCode, value: &impl Serialize) -> Answer {
    // Invariant: our bodies hold nothing that JSON cannot say.
    json(status, serde_json::to_vec(value).unwrap_or_default())
}

/// A text that is JSON already.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    with(answer, [(header::CONTENT_TYPE, "application/json")])
}

/// Sets headers of an answer.
pub(super) fn with<const N: usize>(
    mut answer: Answer,
    headers: [(HeaderName, &'static str); N],
) -> Answer {
    for (name, value) in headers {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_stops_says_when_to_come_again() {
        let stopping = refusal(&Refusal::new(ErrorCode::ServerStopping, "soon"));
        assert_eq!(stopping.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(stopping.headers()[header::RETRY_AFTER], "1");
        let failed = refusal(&Refusal::new(ErrorCode::InternalError, "never"));
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
