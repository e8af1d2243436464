//! From a request to a WebSocket (section 1).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::Shared;
use super::answer::{Answer, Body, Refused, error, unavailable};
use super::arrival::Arrival;
use super::socket::Socket;
use super::{body, session, strict};
use crate::hub::{Admission, AdmissionError, ClientInfo, Connection};

/// The stream under a connection.
type Stream = TokioIo<TlsStream<Arrival>>;

/// Turns a request into a WebSocket connection (section 1).
pub(super) async fn upgrade(
    shared: Arc<Shared>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Answer {
    let accept = match check_handshake(&request) {
        Ok(key) => derive_accept_key(key.as_bytes()),
        Err(refused) => return *refused,
    };
    if !origin_allowed(&shared.allowed_origins, request.headers()) {
        return error(
            StatusCode::FORBIDDEN,
            "ORIGIN_NOT_ALLOWED",
            "connections from this web origin are not allowed here",
        );
    }
    let Some(token) = token(&request) else {
        return error(
            StatusCode::UNAUTHORIZED,
            "TOKEN_MISSING",
            "a token is needed: `?token=…` or `Authorization: Bearer …`",
        );
    };
    let admission = match Box::pin(shared.hub.admit(&token)).await {
        Ok(admission) => admission,
        Err(refused) => return refuse(&refused),
    };
    let client = body::client(body::ip(peer), request.headers());
    let upgraded = hyper::upgrade::on(&mut request);
    let opening = Box::pin(open(Arc::clone(&shared), admission, client, upgraded));
    tokio::spawn(serve(shared, opening));
    let mut response = Response::new(Body::Left(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Serves the connection that an upgrade becomes, on a task of its own: hyper's is over then, and its memory free.
///
/// This task is most of what an idle connection holds. So the opening comes in a box, which is free once the connection
/// is open.
async fn serve(shared: Arc<Shared>, opening: Pin<Box<impl Future<Output = Option<Opened>>>>) {
    let opened = opening.await;
    if let Some((connection, socket)) = opened {
        session::run(&shared.hub, connection, socket, &shared.limits).await;
    }
}

/// A connection and its socket; in a box, because a future has room twice for what it is given.
type Opened = (Arc<Connection>, Box<Socket<TlsStream<Arrival>>>);

/// Takes the stream over from hyper, whose buffer is free afterwards, and makes a connection of it. `None` where the
/// client has gone meanwhile.
async fn open(
    shared: Arc<Shared>,
    admission: Admission,
    client: ClientInfo,
    upgraded: hyper::upgrade::OnUpgrade,
) -> Option<Opened> {
    let parts = upgraded.await.ok()?.downcast::<Stream>().ok()?;
    let mut stream = parts.io.into_inner();
    stream.get_mut().0.settle();
    let socket = Box::new(Socket::new(
        stream,
        &parts.read_buf,
        shared.limits.frame_bytes,
    ));
    match shared.hub.connect(admission, client).await {
        Ok(connection) => Some((connection, socket)),
        Err(error) => {
            tracing::error!(%error, "the system has no random numbers");
            None
        }
    }
}

/// What RFC 6455 asks of a client's request (4.2.1). Returns the client's key.
fn check_handshake(request: &Request<Incoming>) -> Result<&HeaderValue, Refused> {
    let headers = request.headers();
    let has = |name: header::HeaderName, token: &str| {
        headers.get_all(name).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(token))
            })
        })
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        let mut answer = error(
            StatusCode::UPGRADE_REQUIRED,
            "UPGRADE_REQUIRED",
            "this is a WebSocket endpoint: connect with a WebSocket client",
        );
        answer
            .headers_mut()
            .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        answer
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        return Err(answer.into());
    }
    if request.version() != Version::HTTP_11 {
        return Err(strict::invalid("a WebSocket needs HTTP/1.1"));
    }
    if !request.body().is_end_stream() {
        return Err(strict::invalid(
            "a request for a WebSocket has no body: what follows it is the WebSocket",
        ));
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        let mut answer = error(
            StatusCode::UPGRADE_REQUIRED,
            "WEBSOCKET_VERSION_UNSUPPORTED",
            "version 13 of the WebSocket protocol is spoken here",
        );
        answer.headers_mut().insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        return Err(answer.into());
    }
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| {
            base64::engine::general_purpose::STANDARD
                .decode(key)
                .is_ok_and(|key| key.len() == 16)
        })
        .ok_or_else(|| {
            error(
                StatusCode::BAD_REQUEST,
                "WEBSOCKET_KEY_INVALID",
                "the header Sec-WebSocket-Key must be 16 bytes in Base64",
            )
            .into()
        })
}

/// An empty list allows everybody; who sends no `Origin` is no browser, and may connect.
fn origin_allowed(allowed: &[String], headers: &HeaderMap) -> bool {
    allowed.is_empty()
        || headers.get(header::ORIGIN).is_none_or(|origin| {
            allowed
                .iter()
                .any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
        })
}

fn token(request: &Request<Incoming>) -> Option<String> {
    let from_query = request.uri().query().and_then(|query| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "token")
            .map(|(_, token)| token.into_owned())
    });
    from_query
        .or_else(|| {
            let value = request
                .headers()
                .get(header::AUTHORIZATION)?
                .to_str()
                .ok()?;
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        })
        .filter(|token| !token.is_empty())
}

/// What follows `Bearer` in the `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn refuse(refused: &AdmissionError) -> Answer {
    debug!(code = refused.code(), "a connection was refused");
    if refused.is_temporary() {
        unavailable(refused.code(), &refused.to_string())
    } else {
        error(
            StatusCode::UNAUTHORIZED,
            refused.code(),
            &refused.to_string(),
        )
    }
}
