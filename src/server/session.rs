//! One WebSocket connection from its first frame to its close (sections 1 and 6).
//!
//! Whatever a session waits for, it goes on to write queued frames, and notices when its client is too slow or when it is
//! to be closed. A client over its rate is not refused: the session reads on only as fast as the rate allows (section 15).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::debug;

use super::deadlines::{Deadlines, Due, Times};
use super::liveness::Need;
use super::socket::{Socket, Wire};
use crate::hub::{Bucket, Connection, Heard, Hub};
use crate::protocol::{CloseReason, Refusal, frame};
use crate::world::clock;

/// How long a client gets to take its last frames and answer our close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a client that reads slowly, so that it learns why it was closed.
const SLOW_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the kernel keeps unacknowledged bytes of a closed connection. Its own default is a quarter of an hour.
const LINGER: Duration = Duration::from_secs(20);
/// How long a session goes on with what a client over its rate sent before it left.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How many bytes are read, in whole messages, behind a request that waits for its turn. Beyond, reading stops.
const READ_AHEAD: usize = 65_536;
/// What a message counts for beyond its bytes, so that many small ones have a bound too.
const MESSAGE_OVERHEAD: usize = 64;

/// The configured limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) times: Times,
    pub(super) frame_bytes: usize,
    pub(super) frames_per_second: u32,
}

/// What a session has to react to.
enum Event {
    Message(Message),
    /// Nothing more can be read. Messages read before are still to be handled.
    End(Over),
    /// The client is gone or is to be closed. Messages read before are dropped.
    Over(Over),
    Timer,
}

/// The connection is over: why the server closes it, or `None` where the client has.
#[derive(Debug, Clone, Copy)]
struct Over(Option<CloseReason>);

/// Serves a connection until it is over.
pub(super) async fn run<S: Wire>(
    hub: &Arc<Hub>,
    connection: Arc<Connection>,
    mut socket: Box<Socket<S>>,
    limits: &Limits,
) {
    let reason = converse(hub, &connection, &mut socket, limits).await;
    // The other members learn of it now, and not only after the closing handshake.
    Box::pin(hub.disconnect(&connection)).await;
    debug!(connection = %connection.id, ?reason, "closing");
    Box::pin(close(&mut socket, reason)).await;
}

/// Returns why the server closes, or `None` where the client has.
async fn converse<S: Wire>(
    hub: &Arc<Hub>,
    connection: &Arc<Connection>,
    socket: &mut Socket<S>,
    limits: &Limits,
) -> Option<CloseReason> {
    let start = Instant::now();
    let rate = f64::from(limits.frames_per_second);
    let timer = pin!(sleep_until(start));
    // Boxed, because a future reserves room twice for a value that is moved into it.
    let mut session = Box::new(Session {
        hub,
        connection,
        socket,
        timer,
        deadlines: Deadlines::new(connection, &limits.times, start),
        rate: Bucket::new(rate, 2.0 * rate, clock::Instant::now()),
        ahead: Ahead::default(),
        left: None,
    });
    let first = session.deadlines.next();
    session.timer.as_mut().reset(first);
    let Err(Over(reason)) = session.talk().await;
    reason
}

struct Session<'a, S> {
    hub: &'a Arc<Hub>,
    connection: &'a Arc<Connection>,
    socket: &'a mut Socket<S>,
    timer: Pin<&'a mut Sleep>,
    deadlines: Deadlines,
    rate: Bucket,
    ahead: Ahead,
    /// When a client over its rate was found to have left.
    left: Option<Instant>,
}

/// Messages that were read while a request before them waited for its turn.
#[derive(Default)]
struct Ahead {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Set when nothing comes behind them.
    end: Option<Over>,
}

/// What a session waits for before it goes on to the next message.
enum Wait {
    /// The client's rate. Nothing is read meanwhile: all that it has sent, a close frame too, is handled in order.
    Rate,
    /// A request. It can be given up until its turn has come.
    Request,
}

impl<S: Wire> Session<'_, S> {
    async fn talk(&mut self) -> Result<Infallible, Over> {
        let (hub, connection) = (self.hub, self.connection);
        if connection.has_auto_subscriptions() {
            let work = Box::pin(hub.auto_subscribe(connection));
            self.during(work, Wait::Request).await?;
        }
        loop {
            let message = self.next().await?;
            match &message {
                Message::Text(_) | Message::Binary(_) => {}
                Message::Close(_) => return Err(Over(None)),
                // The socket answers control frames.
                _ => continue,
            }
            let now = clock::Instant::now();
            self.rate.spend(1.0, now);
            let wait = self.rate.until(0.0, now);
            if !wait.is_zero() {
                self.hold_back(wait).await?;
            }
            if let Message::Text(text) = message {
                // Boxed, so that an idle connection does not hold room for the largest request.
                let work = Box::pin(hub.request(connection, text.as_str()));
                if self.during(work, Wait::Request).await? == Heard::Heartbeat {
                    self.deadlines.heartbeat();
                }
            } else {
                let refusal =
                    Refusal::invalid("binary frames are not understood: send JSON in text frames");
                connection.send(frame::error(None, &refusal));
            }
        }
    }

    /// The next message.
    async fn next(&mut self) -> Result<Message, Over> {
        if let Some(message) = self.ahead.pop() {
            return Ok(message);
        }
        if let Some(over) = self.ahead.end {
            return Err(over);
        }
        loop {
            match poll_fn(|cx| self.poll_event(cx, true)).await {
                Event::Message(message) => return Ok(message),
                Event::End(over) | Event::Over(over) => return Err(over),
                Event::Timer => self.strike()?,
            }
        }
    }

    /// Waits for the client's rate.
    async fn hold_back(&mut self, wait: Duration) -> Result<(), Over> {
        // The end of the connection waits behind the client's messages. But a client that has left is not kept for long.
        if self.socket.client_has_left() {
            let left = *self.left.get_or_insert_with(Instant::now);
            if left.elapsed() > LAST_WORDS {
                return Err(Over(None));
            }
        }
        self.during(Box::pin(sleep(wait)), Wait::Rate).await
    }

    /// Does `work`. Meanwhile the session goes on, but handles no further message.
    async fn during<T>(
        &mut self,
        mut work: Pin<Box<dyn Future<Output = T> + Send + '_>>,
        wait: Wait,
    ) -> Result<T, Over> {
        // Most requests are done at once.
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            return Ok(done);
        }
        let is_request = matches!(wait, Wait::Request);
        self.deadlines.rest(Instant::now(), is_request);
        self.timer.as_mut().reset(self.deadlines.next());
        let over = loop {
            let reads = is_request && self.ahead.has_room();
            let event = poll_fn(|cx| match (work.as_mut().poll(cx), self.ahead.end) {
                (Poll::Ready(done), _) => Poll::Ready(Ok(done)),
                // Leaving does not wait for a turn, and a request that does is given up.
                (_, Some(over)) if self.connection.waits_for_its_turn() => {
                    Poll::Ready(Err(Event::Over(over)))
                }
                _ => self.poll_event(cx, reads).map(Err),
            });
            match event.await {
                Ok(done) => {
                    self.deadlines.resume(Instant::now());
                    self.timer.as_mut().reset(self.deadlines.next());
                    return Ok(done);
                }
                Err(Event::Message(Message::Close(_))) => self.ahead.end = Some(Over(None)),
                Err(Event::Message(message)) => self.ahead.push(message),
                Err(Event::End(over)) => self.ahead.end = Some(over),
                Err(Event::Over(over)) => break over,
                Err(Event::Timer) => {
                    if let Err(over) = self.strike() {
                        break over;
                    }
                }
            }
        };
        // A request whose turn has come is finished. One that waits for its turn, now or later, is given up.
        let connection = self.connection;
        poll_fn(|cx| {
            let is_idle = !is_request || connection.waits_for_its_turn();
            if is_idle || work.as_mut().poll(cx).is_ready() || connection.waits_for_its_turn() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        Err(over)
    }

    /// The timer has fired.
    fn strike(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        self.deadlines.struck(self.timer.deadline(), now);
        while let Some(due) = self.deadlines.due(now) {
            match due {
                Due::Close(reason) => return Err(Over(Some(reason))),
                Due::KeepAlive => self.connection.send(frame::keep_alive()),
                // All messages read are handled, except a request that waits for its turn: leaving gives it up.
                Due::Look
                    if self.connection.waits_for_its_turn() && self.socket.client_has_left() =>
                {
                    return Err(Over(None));
                }
                Due::Look => {}
                Due::Client(need) => self.find_out(need, now)?,
            }
        }
        self.timer.as_mut().reset(self.deadlines.next());
        Ok(())
    }

    /// Finds out whether the client is still there.
    fn find_out(&mut self, need: Need, now: Instant) -> Result<(), Over> {
        let is_gone = match need {
            Need::Ping => {
                self.socket.ping();
                false
            }
            Need::Look => {
                let (line, taken) = (self.socket.line(), self.socket.taken());
                let is_sent = !self.socket.owes_control();
                let liveness = &mut self.deadlines.liveness;
                liveness.looked(line, taken, is_sent, now).is_some()
            }
            Need::Drop => true,
        };
        if is_gone {
            self.note_silent();
            return Err(Over(Some(CloseReason::Silent)));
        }
        Ok(())
    }

    /// Counts and logs that the client gives no sign of life.
    fn note_silent(&self) {
        let liveness = &self.deadlines.liveness;
        self.hub.count_silent();
        debug!(
            connection = %self.connection.id,
            last_heard_ms = liveness.last_heard().elapsed().as_millis() as u64,
            ping_arrived = liveness.has_arrived(),
            "no sign of life: dropped"
        );
    }

    /// Writes before it reads, so that queued frames go out before another request adds to them.
    fn poll_event(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Event> {
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Timer);
        }
        let mut progress = 0;
        let wrote = self
            .socket
            .poll_write(cx, &self.connection.queue, &mut progress);
        if progress > 0 {
            self.deadlines.wrote(Instant::now());
        }
        match wrote {
            Poll::Ready(Ok(reason)) => return Poll::Ready(Event::Over(Over(Some(reason)))),
            Poll::Ready(Err(error)) => return Poll::Ready(Event::Over(self.failed(&error))),
            Poll::Pending => {}
        }
        if !reads {
            return Poll::Pending;
        }
        // The time before the read: what comes during the read may be missed by it.
        let asked = self.deadlines.is_in_doubt().then(Instant::now);
        let read = self.socket.poll_read(cx);
        if let Some(asked) = asked
            && read.is_pending()
            && self.socket.is_read_to_the_end()
        {
            self.deadlines.found_nothing(asked);
        }
        let is_frame =
            matches!(&read, Poll::Ready(Ok(message)) if !message.is_ping() && !message.is_pong());
        if self.socket.take_heard() || is_frame {
            self.deadlines.heard(is_frame, Instant::now());
        }
        read.map(|read| match read {
            Ok(message) => Event::Message(message),
            Err(error) => Event::End(match error {
                Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                    Over(Some(CloseReason::TooBig))
                }
                Error::Utf8(_) => Over(Some(CloseReason::InvalidText)),
                Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Over(None),
                Error::Protocol(_) => Over(Some(CloseReason::Protocol)),
                Error::Io(error) => self.failed(&error),
                _ => Over(None),
            }),
        })
    }

    fn failed(&self, error: &std::io::Error) -> Over {
        if error.kind() == std::io::ErrorKind::TimedOut {
            // The kernel has given the client up: its host is gone, or the network is down.
            self.note_silent();
        }
        Over(None)
    }
}

impl Ahead {
    fn has_room(&self) -> bool {
        self.bytes < READ_AHEAD && self.end.is_none()
    }

    fn push(&mut self, message: Message) {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            self.bytes += message.len() + MESSAGE_OVERHEAD;
            self.messages.push_back(message);
        }
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len() + MESSAGE_OVERHEAD;
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        Some(message)
    }
}

/// The closing handshake: our close frame, or the answer to theirs, goes out; theirs comes in; the stream ends, on our side
/// first.
async fn close<S: Wire>(socket: &mut Socket<S>, reason: Option<CloseReason>) {
    let limit = match reason {
        Some(CloseReason::SlowConsumer) => SLOW_CLOSE_TIMEOUT,
        _ => CLOSE_TIMEOUT,
    };
    socket.give_up_after(LINGER);
    match reason {
        Some(reason) => socket.start_close(reason),
        None => socket.answer_close(),
    }
    // After a violation of the protocol, further bytes cannot be parsed.
    let intelligible = !matches!(
        reason,
        Some(CloseReason::TooBig | CloseReason::Protocol | CloseReason::InvalidText)
    );
    let _ = timeout(limit, async {
        poll_fn(|cx| socket.poll_drain(cx)).await.ok()?;
        if reason.is_some() && intelligible {
            // Until they have answered, their messages are discarded.
            while !matches!(
                poll_fn(|cx| socket.poll_read(cx)).await,
                Ok(Message::Close(_)) | Err(_)
            ) {}
        }
        poll_fn(|cx| socket.poll_shutdown(cx)).await.ok()?;
        // Closing on unread bytes would reset the connection, and the client would lose our close frame.
        while poll_fn(|cx| socket.poll_discard(cx)).await.ok()? > 0 {}
        Some(())
    })
    .await;
}
