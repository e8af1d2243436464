//! The line between a client and the server: what is on its way in either direction.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::hub::{AdmissionError, Connection};
use crate::protocol::{CloseReason, Frame};

/// A client of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(pub usize);

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A text frame.
    Frame(String),
    /// The connection is closed, or there is nobody to connect to (1006). Nothing comes after it.
    Closed {
        /// The close code.
        code: u16,
        /// The reason's text.
        reason: String,
    },
    /// The server does not take the connection. Nothing comes after it.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
    },
}

/// A client's line. Locked for moments, and never while something is awaited.
#[derive(Debug)]
pub(super) struct Line(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What the client has sent and the session has not read.
    sent: VecDeque<String>,
    /// The client has hung up: nothing more comes from it than that.
    is_gone: bool,
    /// What is on its way to the client.
    coming: VecDeque<Heard>,
    /// How many bytes that is.
    coming_bytes: usize,
    /// How many bytes may be on their way to it.
    window: usize,
    /// The id and the secret, once the client knows them.
    credentials: Option<(String, String)>,
    session: Option<Waker>,
}

/// What the session finds on the line.
pub(super) enum Read {
    Text(String),
    Gone,
}

/// What became of a frame.
pub(super) enum Put {
    Taken,
    /// There is no room: the client does not read.
    Full,
    /// There is nobody to take it.
    Gone,
}

impl Line {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            sent: VecDeque::new(),
            is_gone: false,
            coming: VecDeque::new(),
            coming_bytes: 0,
            window: usize::MAX,
            credentials: None,
            session: None,
        }))
    }

    /// The client sends a text. Nothing of it arrives once it has hung up.
    pub(super) fn send(&self, text: &str) {
        let mut state = self.0.lock();
        if !state.is_gone {
            state.sent.push_back(text.to_owned());
            state.wake();
        }
    }

    /// The client reads, and from now on lets so many bytes be on their way to it.
    pub(super) fn read(&self, at_most: usize) -> Vec<Heard> {
        let mut state = self.0.lock();
        let (mut heard, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.coming.front().filter(|_| at_most > 0) {
            let cost = cost(next);
            if bytes + cost > at_most && bytes > 0 {
                break;
            }
            bytes += cost;
            state.coming_bytes -= cost;
            heard.extend(state.coming.pop_front());
        }
        state.window = at_most;
        state.wake();
        heard
    }

    /// The client hangs up. Of the texts that it sent and nobody has read yet the first `arrive` still do so.
    pub(super) fn hang_up(&self, arrive: impl FnOnce(usize) -> usize) {
        let mut state = self.0.lock();
        if !state.is_gone {
            state.is_gone = true;
            let arrive = arrive(state.sent.len());
            state.sent.truncate(arrive);
            state.coming.clear();
            state.coming_bytes = 0;
            state.wake();
        }
    }

    /// The server is no more. What is on its way to the client still comes, and nothing else does.
    pub(super) fn cut(&self) {
        let mut state = self.0.lock();
        state.is_gone = true;
        state.session = None;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.0.lock().is_gone
    }

    pub(super) fn credentials(&self) -> Option<(String, String)> {
        self.0.lock().credentials.clone()
    }

    /// The connection is made.
    pub(super) fn open(&self, connection: &Connection) {
        self.0.lock().credentials = Some(connection.credentials());
    }

    pub(super) fn refuse(&self, refused: &AdmissionError) {
        self.end(Heard::Refused {
            status: if refused.is_temporary() { 503 } else { 401 },
            code: refused.code().to_owned(),
        });
    }

    /// There is nobody to connect to.
    pub(super) fn fail(&self) {
        self.end(Heard::Closed {
            code: 1006,
            reason: String::new(),
        });
    }

    pub(super) fn close(&self, reason: Option<CloseReason>) {
        // Without a reason it is the client who has gone.
        if let Some(reason) = reason {
            self.end(Heard::Closed {
                code: reason.code(),
                reason: reason.text().to_owned(),
            });
        }
    }

    fn end(&self, last: Heard) {
        let mut state = self.0.lock();
        if !state.is_gone {
            state.coming.push_back(last);
            state.is_gone = true;
        }
    }

    /// Puts a frame on its way to the client; one always passes where the client reads at all.
    pub(super) fn put(&self, frame: &Frame, cx: &Context<'_>) -> Put {
        let mut state = self.0.lock();
        if state.is_gone {
            return Put::Gone;
        }
        let heard = Heard::Frame(frame.json().to_owned());
        let cost = cost(&heard);
        let is_full =
            state.coming_bytes > 0 && state.coming_bytes.saturating_add(cost) > state.window;
        if state.window == 0 || is_full {
            state.session = Some(cx.waker().clone());
            return Put::Full;
        }
        state.coming_bytes += cost;
        state.coming.push_back(heard);
        Put::Taken
    }

    /// The next text of the client.
    pub(super) fn poll_read(&self, cx: &Context<'_>) -> Poll<Read> {
        let mut state = self.0.lock();
        if let Some(text) = state.sent.pop_front() {
            return Poll::Ready(Read::Text(text));
        }
        if state.is_gone {
            return Poll::Ready(Read::Gone);
        }
        state.session = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the client has hung up; whoever asks is woken when it does.
    pub(super) fn poll_gone(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        state.session = Some(cx.waker().clone());
        state.is_gone
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(session) = self.session.take() {
            session.wake();
        }
    }
}

/// What something counts for in the window.
fn cost(heard: &Heard) -> usize {
    match heard {
        Heard::Frame(text) => text.len(),
        Heard::Closed { .. } | Heard::Refused { .. } => 0,
    }
}
