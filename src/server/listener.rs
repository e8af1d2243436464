//! From a TCP connection to HTTP: accepting, the TLS handshake, and their timeouts. The `entrance` decides who gets a place.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::arrival::Arrival;
use super::entrance::{Guest, Stage, Visit};
use super::{Error, Shared, Sockets, http};

/// How long a TLS handshake may take, and how long a request's headers.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes; tokens travel in it.
const MAX_HEAD: usize = 65_536;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4_096;
/// How long an HTTP connection that gives way may take to end: an answer may still be on its way.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long accepting pauses after it failed for want of descriptors.
pub(super) const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The first byte of a TLS connection: the type of a handshake record.
const TLS_HANDSHAKE: u8 = 22;

/// The answer to a client that speaks HTTP without TLS.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 91\r\nConnection: close\r\n\r\n{\"error\":{\"code\":\"TLS_REQUIRED\",\"message\":\"this port speaks TLS: use https:// or wss://\"}}\n";

/// The listeners: the sockets that systemd handed over or, where there are none, the addresses.
pub(super) fn all(sockets: Sockets, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    if sockets.is_empty() {
        let bind = |&address| bind(address).map_err(|error| Error::Listen { address, error });
        return addresses.iter().map(bind).collect();
    }
    let adopt = |socket| TcpListener::from_std(socket).map_err(Error::System);
    sockets.into_iter().map(adopt).collect()
}

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

/// Accepts for ever.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let entrance = &shared.entrance;
    loop {
        entrance.lobby_place().await;
        let accepted = match listener.accept().await {
            Ok((stream, peer)) => entrance
                .with_descriptor(stream)
                .await
                .map(|stream| (stream, peer)),
            Err(error) => Err(error),
        };
        match accepted {
            Ok((stream, peer)) => {
                let visit = entrance.come(peer);
                tokio::spawn(serve(Arc::clone(&shared), stream, peer, visit));
            }
            Err(error) => {
                if !matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) {
                    entrance.not_accepted(&error);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

/// Serves a connection until it is over, has become a WebSocket, or gives way. The later steps are boxed, so that a
/// connection in the lobby holds no memory for them.
async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, visit: Visit) {
    let _ = stream.set_nodelay(true);
    let guest = visit.guest();
    let first = match first_byte(&stream, guest).await {
        Ok(first) => first,
        Err(error) => {
            debug!(%peer, %error, "a connection ended before its first byte");
            return;
        }
    };
    if !guest.handshake_place().await {
        debug!(%peer, "a connection gave way before its handshake");
        return;
    }
    let stream = Arrival::new(stream, Arc::clone(guest));
    let stream = match Box::pin(handshake(&shared, stream, first, guest)).await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%peer, %error, "TLS handshake failed");
            return;
        }
    };
    guest.finished();
    if let Err(error) = Box::pin(requests(shared, stream, peer, guest)).await {
        debug!(%peer, %error, "HTTP connection failed");
    }
}

/// Waits for a connection's first byte, and does not consume it.
async fn first_byte(stream: &TcpStream, guest: &Guest) -> io::Result<u8> {
    let mut first = [0];
    let come = tokio::select! {
        biased;
        come = timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)) => come??,
        _ = guest.asked() => {
            // It may have come without our having seen it yet.
            let (_, come) = recv(stream, first.as_mut_slice(), RecvFlags::PEEK | RecvFlags::DONTWAIT)
                .inspect_err(|_| guest.gave_way())?;
            come
        }
    };
    if come == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let [first] = first;
    Ok(first)
}

/// The TLS handshake, unless it takes too long or has to give way.
async fn handshake(
    shared: &Shared,
    stream: Arrival,
    first: u8,
    guest: &Guest,
) -> io::Result<TlsStream<Arrival>> {
    let handshake = async {
        if first == TLS_HANDSHAKE {
            TlsAcceptor::from(shared.tls.current()).accept(stream).await
        } else {
            answer_plain(stream).await
        }
    };
    tokio::select! {
        biased;
        stream = timeout(HANDSHAKE_TIMEOUT, handshake) => stream?,
        _ = guest.asked() => {
            guest.gave_way();
            Err(io::Error::new(io::ErrorKind::TimedOut, "it gave way to others"))
        }
    }
}

/// Answers requests, until the connection is over or has become a WebSocket.
async fn requests(
    shared: Arc<Shared>,
    stream: TlsStream<Arrival>,
    peer: SocketAddr,
    guest: &Arc<Guest>,
) -> hyper::Result<()> {
    let service = service_fn(|request| http::serve(Arc::clone(&shared), peer, guest, request));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HANDSHAKE_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let stage = tokio::select! {
        biased;
        over = connection.as_mut() => return over,
        stage = guest.asked() => stage,
    };
    guest.gave_way();
    if stage == Stage::Kept {
        // A request that has just come is still answered.
        connection.as_mut().graceful_shutdown();
        let _ = timeout(GOODBYE_TIMEOUT, connection).await;
    }
    Ok(())
}

/// Tells a client without TLS, which probably speaks plain HTTP, that it must use TLS.
async fn answer_plain<T>(mut stream: Arrival) -> io::Result<T> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    // Closing on unread bytes would reset the connection, and the client would lose our answer.
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
