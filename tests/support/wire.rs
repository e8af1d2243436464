//! HTTP and WebSocket as their bytes.

use std::error::Error;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::API_KEY;

/// A connection for requests, one after the other.
pub(crate) type Requests = SendRequest<String>;

/// Makes a connection one for requests. It ends when what is returned is dropped.
pub(crate) async fn requests(stream: TlsStream<TcpStream>) -> hyper::Result<Requests> {
    let (requests, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(requests)
}

/// A request of the server HTTP API, with the key.
pub(crate) fn api_request(method: &str, target: &str, body: &str) -> Request<String> {
    Request::builder()
        .method(method)
        .uri(target)
        .header("authorization", format!("Bearer {API_KEY}"))
        .body(body.to_owned())
        .unwrap()
}

/// Sends a request and waits for the whole answer.
pub(crate) async fn ask(
    requests: &mut Requests,
    mut request: Request<String>,
) -> Result<Response<String>, Box<dyn Error + Send + Sync>> {
    let headers = request.headers_mut();
    headers.entry("host").or_insert("localhost".parse()?);
    requests.ready().await?;
    let (head, body) = requests.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, String::from_utf8(body.into())?))
}

/// The head of the request that opens a WebSocket.
pub(crate) fn upgrade(token: &str) -> String {
    format!(
        "GET /v1?token={token} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
}

/// Appends a client's frame with this first byte. A mask of zeros costs nothing.
pub(crate) fn put_frame(frames: &mut Vec<u8>, first: u8, mask: [u8; 4], payload: &[u8]) {
    frames.push(first);
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frames.push(0x80 | length as u8),
        Ok(length) => {
            frames.push(0x80 | 126);
            frames.extend(length.to_be_bytes());
        }
        Err(_) => {
            frames.push(0x80 | 127);
            frames.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frames.extend(mask);
    if mask == [0; 4] {
        frames.extend(payload);
    } else {
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
        frames.extend(masked);
    }
}
