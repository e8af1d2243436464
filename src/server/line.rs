//! What the kernel knows of a TCP connection: how many sent bytes have been acknowledged, and whether the peer has left.
//!
//! The kernel is asked through its socket diagnostics (netlink), because that needs no unsafe code. The answer holds what
//! `SIOCOUTQ` and `TCP_INFO` would tell. A sandbox may lack netlink; then nothing is known.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{LazyLock, Once};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, sendto, socket_with};
use tokio::net::TcpStream;
use tracing::warn;

/// How far the bytes sent on a connection have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// Bytes that the peer has acknowledged since the connection began.
    pub(super) acknowledged: u64,
    /// Bytes that it has not.
    pub(super) waiting: u64,
}

/// The netlink socket for all connections. An answer is ready as soon as the question has been sent.
static DIAGNOSTICS: LazyLock<Option<Mutex<OwnedFd>>> = LazyLock::new(|| {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    socket_with(family, kind, SocketFlags::CLOEXEC, Some(SOCK_DIAG))
        .inspect_err(|error| note_silence(&(*error).into()))
        .map(Mutex::new)
        .ok()
});

/// Logs once that the kernel does not answer.
fn note_silence(error: &io::Error) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        warn!(%error, "the system does not tell what clients have acknowledged: slow ones may be taken for dead");
    });
}

// Of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The header of a message, in bytes.
const HEADER: usize = 16;
/// The offset of `idiag_wqueue` in an answer.
const WAITING: usize = HEADER + 60;
/// The offset of the attributes in an answer.
const ATTRIBUTES: usize = HEADER + 72;
/// The offset of `tcpi_bytes_acked` in `tcp_info`.
const ACKNOWLEDGED: usize = 120;

/// Asks the kernel. `None` where it does not answer.
pub(super) fn look(stream: &TcpStream) -> Option<Line> {
    let question = question(stream.local_addr().ok()?, stream.peer_addr().ok()?);
    let line = ask(DIAGNOSTICS.as_ref()?, &question).inspect_err(|error| {
        // That it does not know a connection that has failed meanwhile means nothing. Without `inet_diag` it knows none.
        if stream.peer_addr().is_ok() {
            note_silence(error);
        }
    });
    line.ok()
}

fn ask(socket: &Mutex<OwnedFd>, question: &[u8]) -> io::Result<Line> {
    let socket = socket.lock();
    let to = SocketAddrNetlink::new(0, 0);
    sendto(&*socket, question, SendFlags::empty(), &to)?;
    let mut answer = [0; 2_048];
    let (len, _) = recv(&*socket, &mut answer[..], RecvFlags::DONTWAIT)?;
    let answer = answer.get(..len).unwrap_or_default();
    read_answer(answer).ok_or_else(|| refusal(answer))
}

/// Why an answer tells nothing.
fn refusal(answer: &[u8]) -> io::Error {
    let kind = part(answer, 4).map(u16::from_ne_bytes);
    match part(answer, HEADER).map(i32::from_ne_bytes) {
        Some(code) if kind == Some(NLMSG_ERROR) && code < 0 => {
            io::Error::from_raw_os_error(code.saturating_neg())
        }
        _ => io::ErrorKind::InvalidData.into(),
    }
}

/// Asks for the `tcp_info` of one TCP connection.
fn question(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 56);
    bytes.extend(72_u32.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    bytes.extend([family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    // In any state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(peer.port().to_be_bytes());
    for address in [local, peer] {
        match address {
            SocketAddr::V4(v4) => {
                bytes.extend(v4.ip().octets());
                bytes.extend([0; 12]);
            }
            SocketAddr::V6(v6) => bytes.extend(v6.ip().octets()),
        }
    }
    let interface = match peer {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    };
    bytes.extend(interface.to_ne_bytes());
    // No cookie: any socket with these addresses.
    bytes.extend([0xff; 8]);
    bytes
}

fn read_answer(answer: &[u8]) -> Option<Line> {
    if u16::from_ne_bytes(part(answer, 4)?) != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let waiting = u32::from_ne_bytes(part(answer, WAITING)?).into();
    let mut at = ATTRIBUTES;
    loop {
        let len = usize::from(u16::from_ne_bytes(part(answer, at)?));
        if u16::from_ne_bytes(part(answer, at + 2)?) == INET_DIAG_INFO {
            return Some(Line {
                acknowledged: u64::from_ne_bytes(part(answer, at + 4 + ACKNOWLEDGED)?),
                waiting,
            });
        }
        // Attributes begin at multiples of four; none is shorter than its header.
        at += len.max(4).next_multiple_of(4);
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Whether the peer will send nothing more. What it sent before may still be unread.
pub(super) fn has_left(stream: &TcpStream) -> bool {
    is(stream, PollFlags::RDHUP)
}

/// Whether bytes, the end or an error of the connection have come and are unread.
pub(super) fn has_unread(stream: &TcpStream) -> bool {
    is(stream, PollFlags::IN)
}

/// Whether a socket is `ready` now, or has failed.
fn is(stream: &TcpStream, ready: PollFlags) -> bool {
    let wanted = ready | PollFlags::HUP | PollFlags::ERR;
    let mut polled = [PollFd::new(stream, ready)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0)
        && polled.iter().any(|fd| fd.revents().intersects(wanted))
}

/// Has the kernel drop a connection and its unsent bytes when none of them is acknowledged for so long.
///
/// Only for connections that are over. For a live one the kernel is too quick: while the window stays smaller than a segment
/// it counts from the first probe on, however many bytes are acknowledged meanwhile. (Measured on loopback: a reader that took
/// 1 Mbit/s through a small buffer was dropped when that time was over.)
pub(super) fn give_up_after(stream: &TcpStream, silence: Duration) {
    let millis = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
    // Without this option the kernel drops it too, only later.
    let _ = set_tcp_user_timeout(stream, millis);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    async fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).await.unwrap();
        let to = listener.local_addr().unwrap();
        let client = TcpStream::connect((to.ip().to_canonical(), to.port())).await;
        (client.unwrap(), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_is_sent_waits_and_then_is_acknowledged() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut client, server) = pair(address).await;
            let before = look(&client).unwrap();
            // The other side takes some megabytes that nobody reads, and then no more.
            let chunk = [0; 65_536];
            let mut sent = 0;
            while let Ok(Ok(len)) =
                tokio::time::timeout(Duration::from_millis(100), client.write(&chunk)).await
            {
                sent += len as u64;
            }
            let after = look(&client).unwrap();
            assert!(after.waiting > 0, "{after:?}");
            let acknowledged = after.acknowledged - before.acknowledged;
            assert_eq!(acknowledged + after.waiting - before.waiting, sent);
            assert!(!has_left(&client));
            drop(server);
            assert!(has_left(&client));
        }
    }

    #[tokio::test]
    async fn what_is_unread_is_seen() {
        let (mut client, server) = pair("127.0.0.1:0").await;
        assert!(!has_unread(&server));
        client.write_all(b"a").await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), server.readable())
            .await
            .unwrap()
            .unwrap();
        assert!(has_unread(&server));
        assert_eq!(server.try_read(&mut [0; 10]).unwrap(), 1);
        assert!(!has_unread(&server));
        drop(client);
        server.readable().await.unwrap();
        assert!(has_unread(&server));
    }

    #[test]
    fn a_refusal_says_why() {
        // Nobody can be connected with port 0.
        let nobody = "127.0.0.1:0".parse().unwrap();
        let error = ask(DIAGNOSTICS.as_ref().unwrap(), &question(nobody, nobody)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        assert_eq!(refusal(&[]).kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_answer_that_is_none_tells_nothing() {
        assert_eq!(read_answer(&[]), None);
        assert_eq!(read_answer(&[0; 36]), None);
        let mut answer = vec![0; ATTRIBUTES];
        answer.splice(4..6, SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        assert_eq!(read_answer(&answer), None);
        answer.extend([0; 64]);
        assert_eq!(read_answer(&answer), None);
    }
}
