//! From a TCP connection to HTTP: accepting, the TLS handshake, and the time that either may take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{Error, Shared, Sockets, http};

/// How long a TLS handshake may take, and how long a request's headers.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes; tokens travel in it.
const MAX_HEAD: usize = 65_536;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4_096;
/// How long accepting rests when the system has no descriptor for us.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The first byte of a TLS connection: a record of the handshake.
const TLS_HANDSHAKE: u8 = 22;

/// What is said to a client that speaks HTTP without TLS.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 91\r\nConnection: close\r\n\r\n{\"error\":{\"code\":\"TLS_REQUIRED\",\"message\":\"this port speaks TLS: use https:// or wss://\"}}\n";

/// What to accept from: the sockets that systemd handed over or, where there are none, the addresses.
pub(super) fn all(sockets: Sockets, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    if sockets.is_empty() {
        let bind = |&address| bind(address).map_err(|error| Error::Listen { address, error });
        return addresses.iter().map(bind).collect();
    }
    let adopt = |socket| TcpListener::from_std(socket).map_err(Error::System);
    sockets.into_iter().map(adopt).collect()
}

/// Binds an address.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for the connections of the run before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts for ever. A connection holds one of `room` until it has become a WebSocket or is over.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, room: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(serve(Arc::clone(&shared), stream, peer, permit));
            }
            Err(error) => {
                if !matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let handshake = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first.first() == Some(&TLS_HANDSHAKE) {
            let acceptor = TlsAcceptor::from(shared.tls.current());
            acceptor.accept(stream).await
        } else {
            answer_plain(stream).await
        }
    };
    let stream = match Box::pin(timeout(HANDSHAKE_TIMEOUT, handshake)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%peer, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            debug!(%peer, "TLS handshake timed out");
            return;
        }
    };
    let service = service_fn(|request| http::route(Arc::clone(&shared), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        debug!(%peer, %error, "HTTP connection failed");
    }
}

/// Tells a client that does not speak TLS that it must, in plain HTTP, in case it is that.
async fn answer_plain<T>(mut stream: TcpStream) -> io::Result<T> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    // What it still sends is thrown away: closing before would make its system throw away our answer.
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "the client does not speak TLS",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_answer_counts_its_own_bytes() {
        let text = std::str::from_utf8(PLAIN_HTTP).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
