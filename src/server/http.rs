//! The HTTP routes of the main port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;

use super::answer::{Answer, Body, json, last, method_not_allowed, not_found, unavailable, value};
use super::entrance::Guest;
use super::{Shared, body, client_api, server_api, strict, upgrade};

/// The body of `/readyz` when clients may come.
#[derive(Serialize)]
struct Ready {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Answers one request of a guest.
pub(super) async fn serve(
    shared: Arc<Shared>,
    peer: SocketAddr,
    guest: &Arc<Guest>,
    mut request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    guest.serve();
    // `body::text` takes it from there.
    request.extensions_mut().insert(Arc::clone(guest));
    let answer = match strict::check(&request) {
        Ok(()) => Box::pin(route(shared, peer, request)).await,
        // Nobody knows where an ambiguous request ends and the next one begins.
        Err(refused) => last(refused.into()),
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        // It keeps its place until the WebSocket is open.
        guest.finished();
        return Ok(answer);
    }
    let goes_on = matches!(answer.body(), Body::Right(_));
    if guest.answered(goes_on) {
        return Ok(answer);
    }
    Ok(last(if goes_on {
        unavailable(
            "SERVER_FULL",
            "the server has all the readers and HTTP connections it may have; try again in a while",
        )
    } else {
        answer
    }))
}

async fn route(shared: Arc<Shared>, peer: SocketAddr, request: Request<Incoming>) -> Answer {
    // The path outlives the request, which the handlers take.
    let uri = request.uri().clone();
    let ip = body::ip(peer);
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    match path.as_slice() {
        [""] | ["v1"] | ["v1", ""] => match *request.method() {
            Method::GET => upgrade::upgrade(shared, peer, request)
                .await
                .unwrap_or_else(Answer::from),
            _ => method_not_allowed("GET"),
        },
        ["connection", verb] => client_api::answer(&shared, ip, verb, request).await,
        _ if server_api::has(&path) => {
            Box::pin(server_api::answer(&shared, ip, &path, request)).await
        }
        ["healthz"] => get(&request, || json(StatusCode::OK, r#"{"status":"ok"}"#)),
        ["readyz"] => get(&request, || {
            if shared.hub.is_stopping() {
                unavailable("SERVER_STOPPING", "the server is stopping")
            } else if let Some(age) = shared.hub.disk().waiting_too_long() {
                let message = format!(
                    "the disk is behind: a change has been waiting for it for {} s",
                    age.as_secs()
                );
                unavailable("DISK_BEHIND", &message)
            } else {
                value(
                    StatusCode::OK,
                    &Ready {
                        status: "ready",
                        warnings: shared.hub.disk_space().warnings(),
                    },
                )
            }
        }),
        ["openapi.json"] => get(&request, || json(StatusCode::OK, shared.openapi.clone())),
        _ => not_found("there is nothing here; /openapi.json tells what there is"),
    }
}

fn get(request: &Request<Incoming>, answer: impl FnOnce() -> Answer) -> Answer {
    match *request.method() {
        Method::GET | Method::HEAD => answer(),
        _ => method_not_allowed("GET, HEAD"),
    }
}
