//! One WebSocket connection from its first frame to its close (sections 1 and 6).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::debug;

use super::rate::{RateLimit, Verdict};
use super::socket::{Socket, Wrote};
use crate::hub::{Connection, Heard, Hub};
use crate::protocol::{CloseReason, ErrorCode, Refusal, frame};

/// How long a client gets to take its last frames and answer our close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client that does not read gets to find out why it was closed.
const SLOW_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the operator can set of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_lifetime: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) frame_bytes: usize,
    pub(super) frames_per_second: u32,
}

/// What a session has to react to.
enum Event {
    Message(Message),
    /// The client is gone, or has said goodbye.
    Gone,
    Close(CloseReason),
    Timer,
}

/// Serves a connection until it is over.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Arc<Hub>,
    connection: Arc<Connection>,
    mut socket: Box<Socket<S>>,
    limits: Limits,
) {
    let reason = converse(hub, &connection, &mut socket, limits).await;
    // Whoever is left behind learns of it now, and not when the last packets have been exchanged.
    Box::pin(hub.disconnect(&connection)).await;
    debug!(connection = %connection.id, ?reason, "closing");
    Box::pin(close(&mut socket, reason)).await;
}

/// Requests in, frames out; returns why the server closes, or `None` where the client has.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Arc<Hub>,
    connection: &Arc<Connection>,
    socket: &mut Socket<S>,
    limits: Limits,
) -> Option<CloseReason> {
    let mut deadlines = Deadlines::new(connection, limits);
    let mut rate = RateLimit::new(limits.frames_per_second, deadlines.start.into_std());
    let mut timer = pin!(sleep_until(deadlines.next()));
    loop {
        let event =
            poll_fn(|cx| poll_event(cx, connection, socket, timer.as_mut(), &mut deadlines)).await;
        match event {
            Event::Message(message @ (Message::Text(_) | Message::Binary(_))) => {
                match rate.frame(deadlines.active.into_std()) {
                    Verdict::Pass => {}
                    Verdict::Refuse => {
                        let refusal = Refusal::new(
                            ErrorCode::RateLimited,
                            format!(
                                "more than {} frames in a second; this one was dropped",
                                limits.frames_per_second
                            ),
                        );
                        connection.send(frame::error(None, &refusal));
                        continue;
                    }
                    Verdict::Close => return Some(CloseReason::RateLimited),
                }
                if let Message::Text(text) = message {
                    // Boxed, so that an idle connection does not hold room for the largest request.
                    let heard = Box::pin(hub.request(connection, text.as_str())).await;
                    if heard == Heard::Heartbeat {
                        deadlines.heartbeat();
                    }
                } else {
                    let refusal = Refusal::invalid(
                        "binary frames are not understood: send JSON in text frames",
                    );
                    connection.send(frame::error(None, &refusal));
                }
            }
            Event::Message(Message::Close(_)) | Event::Gone => return None,
            // Control frames are answered by the socket, but a flood of them is a flood.
            Event::Message(_) => {
                if rate.frame(deadlines.active.into_std()) == Verdict::Close {
                    return Some(CloseReason::RateLimited);
                }
            }
            Event::Close(reason) => return Some(reason),
            Event::Timer => {
                match deadlines.due(Instant::now()) {
                    Some(Due::Close(reason)) => return Some(reason),
                    Some(Due::KeepAlive) => connection.send(frame::keep_alive()),
                    None => {}
                }
                timer.as_mut().reset(deadlines.next());
            }
        }
    }
}

/// Writing first, so that what waits goes out before more is asked for.
fn poll_event<S: AsyncRead + AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    connection: &Connection,
    socket: &mut Socket<S>,
    timer: Pin<&mut Sleep>,
    deadlines: &mut Deadlines,
) -> Poll<Event> {
    if timer.poll_elapsed_event(cx) {
        return Poll::Ready(Event::Timer);
    }
    let mut progress = 0;
    let wrote = socket.poll_write(cx, &connection.queue, &mut progress);
    if progress > 0 {
        deadlines.active = Instant::now();
    }
    match wrote {
        Poll::Ready(Ok(Wrote::Close(reason))) => return Poll::Ready(Event::Close(reason)),
        Poll::Ready(Err(_)) => return Poll::Ready(Event::Gone),
        Poll::Pending => {}
    }
    match socket.poll_read(cx) {
        Poll::Ready(Ok(message)) => {
            deadlines.active = Instant::now();
            Poll::Ready(Event::Message(message))
        }
        Poll::Ready(Err(error)) => Poll::Ready(match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Event::Close(CloseReason::TooBig)
            }
            Error::Utf8(_) => Event::Close(CloseReason::InvalidText),
            Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            ) => Event::Gone,
            Error::Protocol(_) => Event::Close(CloseReason::Protocol),
            _ => Event::Gone,
        }),
        Poll::Pending => Poll::Pending,
    }
}

/// The closing handshake: our close frame (or the answer to theirs) goes out, theirs comes in, and the stream ends.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    reason: Option<CloseReason>,
) {
    let patience = match reason {
        Some(CloseReason::SlowConsumer) => SLOW_CLOSE_TIMEOUT,
        _ => CLOSE_TIMEOUT,
    };
    if let Some(reason) = reason {
        socket.start_close(reason);
    }
    // After a violation of the protocol, what follows makes no sense.
    let intelligible = !matches!(
        reason,
        Some(CloseReason::TooBig | CloseReason::Protocol | CloseReason::InvalidText)
    );
    let _ = timeout(patience, async {
        poll_fn(|cx| socket.poll_drain(cx)).await.ok()?;
        if reason.is_some() && intelligible {
            // Until they have answered, what they send is thrown away.
            while !matches!(
                poll_fn(|cx| socket.poll_read(cx)).await,
                Ok(Message::Close(_)) | Err(_)
            ) {}
        }
        poll_fn(|cx| socket.poll_shutdown(cx)).await.ok()?;
        if !intelligible {
            // Closing on unread bytes would make the client's system throw away our close frame.
            while poll_fn(|cx| socket.poll_discard(cx)).await.ok()? > 0 {}
        }
        Some(())
    })
    .await;
}

/// When a session has to do something though nothing comes.
#[derive(Debug)]
struct Deadlines {
    start: Instant,
    lifetime: Instant,
    idle_timeout: Duration,
    /// The last frame in either direction.
    active: Instant,
    keep_alive: Option<(Duration, Instant)>,
    heartbeat: Option<(Duration, Instant)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Due {
    Close(CloseReason),
    KeepAlive,
}

impl Deadlines {
    fn new(connection: &Connection, limits: Limits) -> Self {
        let start = Instant::now();
        let keep_alive = connection.keep_alive.then(|| {
            let pause = limits.idle_timeout.mul_f64(0.95);
            (pause, start + pause)
        });
        Self {
            start,
            lifetime: start + limits.max_lifetime,
            idle_timeout: limits.idle_timeout,
            active: start,
            keep_alive,
            heartbeat: connection
                .heartbeat_timeout
                .map(|timeout| (timeout, start + timeout)),
        }
    }

    fn heartbeat(&mut self) {
        if let Some((timeout, due)) = &mut self.heartbeat {
            *due = self.active + *timeout;
        }
    }

    /// The next moment at which something may be due. Activity only moves it further away, so the timer is set anew
    /// when it strikes and not with every frame.
    fn next(&self) -> Instant {
        [
            Some(self.lifetime),
            Some(self.active + self.idle_timeout),
            self.keep_alive.map(|(_, due)| due),
            self.heartbeat.map(|(_, due)| due),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.lifetime)
    }

    fn due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.lifetime {
            return Some(Due::Close(CloseReason::Lifetime));
        }
        if self.heartbeat.is_some_and(|(_, due)| now >= due) {
            return Some(Due::Close(CloseReason::Heartbeat));
        }
        if let Some((pause, due)) = &mut self.keep_alive
            && now >= *due
        {
            *due = now + *pause;
            return Some(Due::KeepAlive);
        }
        if now >= self.active + self.idle_timeout {
            return Some(Due::Close(CloseReason::Idle));
        }
        None
    }
}

/// A timer that can be asked inside a larger poll.
trait PollElapsed {
    fn poll_elapsed_event(self, cx: &mut Context<'_>) -> bool;
}

impl PollElapsed for Pin<&mut Sleep> {
    fn poll_elapsed_event(self, cx: &mut Context<'_>) -> bool {
        std::future::Future::poll(self, cx).is_ready()
    }
}
