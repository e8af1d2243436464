//! From an HTTP request to a WebSocket (section 1).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::Shared;
use super::answer::{Answer, Refused, empty, error, refused, unavailable, with};
use super::arrival::Arrival;
use super::socket::Socket;
use super::{body, session, strict};
use crate::hub::{Admission, AdmissionError, ClientInfo, Connection};

/// Turns a request into a WebSocket connection.
pub(super) async fn upgrade(
    shared: Arc<Shared>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Answer, Refused> {
    let accept = derive_accept_key(check_handshake(&request)?.as_bytes());
    if !origin_allowed(&shared.allowed_origins, request.headers()) {
        return Err(refused(
            StatusCode::FORBIDDEN,
            "ORIGIN_NOT_ALLOWED",
            "connections from this web origin are not allowed here",
        ));
    }
    let token = token(&request).ok_or_else(|| {
        refused(
            StatusCode::UNAUTHORIZED,
            "TOKEN_MISSING",
            "a token is needed: `?token=…` or `Authorization: Bearer …`",
        )
    })?;
    let admission = Box::pin(shared.hub.admit(&token))
        .await
        .map_err(|error| refuse(&error))?;
    let client = body::client(body::ip(peer), request.headers());
    let upgraded = hyper::upgrade::on(&mut request);
    let opening = Box::pin(open(Arc::clone(&shared), admission, client, upgraded));
    tokio::spawn(serve(shared, opening));
    let mut answer = with(
        empty(StatusCode::SWITCHING_PROTOCOLS),
        [
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "websocket"),
        ],
    );
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        answer
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(answer)
}

/// Serves the connection on a task of its own, so that hyper's task ends and its memory is free.
///
/// This task is most of what an idle connection holds. So the opening is boxed, and freed once the connection is open.
async fn serve(shared: Arc<Shared>, opening: Pin<Box<impl Future<Output = Option<Opened>>>>) {
    let opened = opening.await;
    if let Some((connection, socket)) = opened {
        session::run(&shared.hub, connection, socket, &shared.limits).await;
    }
}

/// The socket is boxed, because a future reserves room twice for a value that is moved into it.
type Opened = (Arc<Connection>, Box<Socket<TlsStream<Arrival>>>);

/// Takes the stream over from hyper and makes a connection of it. `None` where the client has gone meanwhile.
async fn open(
    shared: Arc<Shared>,
    admission: Admission,
    client: ClientInfo,
    upgraded: hyper::upgrade::OnUpgrade,
) -> Option<Opened> {
    let parts = upgraded
        .await
        .ok()?
        .downcast::<TokioIo<TlsStream<Arrival>>>()
        .ok()?;
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

/// Checks what RFC 6455 (4.2.1) demands of a client's request. Returns the client's key.
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
        let answer = error(
            StatusCode::UPGRADE_REQUIRED,
            "UPGRADE_REQUIRED",
            "this is a WebSocket endpoint: connect with a WebSocket client",
        );
        let headers = [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "Upgrade"),
        ];
        return Err(with(answer, headers).into());
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
        let answer = error(
            StatusCode::UPGRADE_REQUIRED,
            "WEBSOCKET_VERSION_UNSUPPORTED",
            "version 13 of the WebSocket protocol is spoken here",
        );
        return Err(with(answer, [(header::SEC_WEBSOCKET_VERSION, "13")]).into());
    }
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| {
            base64::engine::general_purpose::STANDARD
                .decode(key)
                .is_ok_and(|key| key.len() == 16)
        })
        .ok_or_else(|| {
            refused(
                StatusCode::BAD_REQUEST,
                "WEBSOCKET_KEY_INVALID",
                "the header Sec-WebSocket-Key must be 16 bytes in Base64",
            )
        })
}

/// An empty list allows all origins. A client without an `Origin` is no browser, and may connect.
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
        .or_else(|| bearer(request.headers()).map(str::to_owned))
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

fn refuse(error: &AdmissionError) -> Refused {
    debug!(code = error.code(), "a connection was refused");
    if error.is_temporary() {
        unavailable(error.code(), &error.to_string()).into()
    } else {
        refused(StatusCode::UNAUTHORIZED, error.code(), &error.to_string())
    }
}
