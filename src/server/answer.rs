//! HTTP answers: JSON, and errors that a program and a person can read.

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::protocol::{ErrorCode, Refusal};

/// An answer.
pub(super) type Answer = Response<Body>;

/// Its body: whole, or one that goes on.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes>>;

/// An answer that says why something cannot be, on its way up.
pub(super) type Refused = Box<Answer>;

/// How long a client should wait before it tries a full or stopping server again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

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

/// A refusal of the hub, with the status that fits its code.
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

/// 503, with a word on when to try again.
pub(super) fn unavailable(code: &str, message: &str) -> Answer {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, code, message);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, RETRY_AFTER);
    answer
}

/// The last answer on its connection.
pub(super) fn last(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// 404.
pub(super) fn not_found(message: &str) -> Answer {
    error(StatusCode::NOT_FOUND, "NOT_FOUND", message)
}

/// 405; `allowed` is what may be used instead.
pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        &format!("use {allowed}"),
    );
    answer
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// An answer that has only a status.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// A value as JSON.
pub(super) fn value(status: StatusCode, value: &impl Serialize) -> Answer {
    // Invariant: our bodies hold nothing that JSON cannot say.
    json(status, serde_json::to_vec(value).unwrap_or_default())
}

/// A text that is JSON already.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
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
