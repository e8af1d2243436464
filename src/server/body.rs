//! Reading a request: its sender, its query, and its body as a JSON object.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Request, StatusCode};
use tokio::time::timeout;

use super::answer::{Refused, refused};
use super::entrance::Guest;
use crate::hub::ClientInfo;
use crate::protocol::{Limits, Object};

/// Room in a body for all but data and metadata, in bytes: names, ids, a token, a hundred storage keys.
const AROUND_DATA: usize = 64 * 1024;
/// How much longer than compact JSON the same JSON may be: every ASCII character may be spelled as `\u0041`.
const SPELLED: usize = 6;
/// How long a body may take to arrive.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a `User-Agent` is kept, in bytes. Records of the database hold it, and their size is bounded.
const USER_AGENT_BYTES: usize = 1_024;

/// The address of a peer. A socket for both families shows IPv4 clients as ::ffff:192.0.2.1.
pub(super) fn ip(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}

pub(super) fn client(source_ip: IpAddr, headers: &HeaderMap) -> ClientInfo {
    ClientInfo {
        source_ip,
        user_agent: user_agent(headers),
    }
}

/// The `User-Agent`, cut to [`USER_AGENT_BYTES`].
pub(super) fn user_agent(headers: &HeaderMap) -> Option<Box<str>> {
    headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.get(..text.len().min(USER_AGENT_BYTES)))
        .map(Box::from)
}

/// The largest body, in bytes: the largest data or metadata in its longest spelling, and [`AROUND_DATA`].
pub(super) fn max_bytes(limits: &Limits) -> usize {
    SPELLED * limits.data_bytes.max(limits.umd_bytes) + AROUND_DATA
}

/// Reads the body's text.
pub(super) async fn text(request: Request<Incoming>, limits: &Limits) -> Result<String, Refused> {
    let max = max_bytes(limits);
    // Until it has come, the server waits for the client.
    let guest = request.extensions().get::<Arc<Guest>>().cloned();
    if let Some(guest) = &guest {
        guest.await_body();
    }
    let body = Limited::new(request.into_body(), max).collect();
    let come = timeout(BODY_TIMEOUT, body).await;
    if let Some(guest) = &guest {
        guest.serve();
    }
    let bytes = match come {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(failure)) if failure.is::<LengthLimitError>() => {
            return Err(refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                &format!("a body has at most {max} bytes"),
            ));
        }
        Ok(Err(_)) => {
            return Err(refused(
                StatusCode::BAD_REQUEST,
                "BODY_INCOMPLETE",
                "the body did not arrive whole",
            ));
        }
        Err(_) => {
            return Err(refused(
                StatusCode::REQUEST_TIMEOUT,
                "BODY_TIMEOUT",
                "the body did not arrive within 10 seconds",
            ));
        }
    };
    String::from_utf8(bytes.into()).map_err(|_| {
        refused(
            StatusCode::BAD_REQUEST,
            "INVALID_MESSAGE",
            "the body is not UTF-8",
        )
    })
}

/// The body's fields.
pub(super) fn object(text: &str) -> Result<Object<'_, 'static>, Refused> {
    Ok(Object::parse(text, "the body")?)
}

/// The first parameter of this name in the query.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value)
}
