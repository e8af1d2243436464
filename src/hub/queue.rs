//! What waits to be sent to one connection.
//!
//! Whoever has a frame for a connection puts it here and goes on; the connection's own task drains it. The queue is
//! bounded in bytes: a client that does not read loses its connection (1008, `slow consumer`), and delays nobody.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::protocol::{CloseReason, Frame};

/// What a frame costs beyond its bytes, so that many small frames have a bound too.
const FRAME_OVERHEAD: usize = 64;
/// Above this capacity an emptied queue gives its memory back.
const KEPT_CAPACITY: usize = 16;

/// Frames waiting for one connection, and whether it is to be closed.
#[derive(Debug)]
pub struct SendQueue {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    /// Bytes waiting: those queued, and those that the socket has taken over but not yet written.
    bytes: usize,
    close: Option<CloseReason>,
    /// The connection's task, while it waits.
    waker: Option<Waker>,
    /// What it waits for: frames, or else only the word that it is too slow.
    wants_frames: bool,
}

/// What the connection's task found to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Frames have been handed over.
    Frames,
    /// Nothing is left to send: close for this reason.
    Close(CloseReason),
}

impl SendQueue {
    /// An empty queue for at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State::default()),
            limit,
        }
    }

    /// Queues a frame. Nothing happens on a queue that is closing.
    pub fn push(&self, frame: Frame) {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return;
        }
        let cost = frame.wire_len() + FRAME_OVERHEAD;
        let mut wake = state.wants_frames;
        if state.bytes + cost > self.limit && state.bytes > 0 {
            state.give_up();
            wake = true;
        } else {
            state.bytes += cost;
            state.frames.push_back(frame);
        }
        let waker = if wake { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Gives up on a client for which more than `limit` bytes wait. Returns whether it was so.
    pub fn drop_over(&self, limit: usize) -> bool {
        let mut state = self.state.lock();
        if state.close.is_some() || state.bytes <= limit {
            return false;
        }
        state.give_up();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Asks for the connection to be closed after what is queued. The first reason counts.
    pub fn close(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        state.close.get_or_insert(reason);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Hands all waiting frames over to `into`. Pending while there are none.
    pub fn poll_take(&self, cx: &Context<'_>, into: &mut VecDeque<Frame>) -> Poll<Taken> {
        let mut state = self.state.lock();
        if let Some(CloseReason::SlowConsumer) = state.close {
            return Poll::Ready(Taken::Close(CloseReason::SlowConsumer));
        }
        if !state.frames.is_empty() {
            if into.is_empty() {
                std::mem::swap(into, &mut state.frames);
            } else {
                into.append(&mut state.frames);
            }
            if state.frames.capacity() > KEPT_CAPACITY {
                state.frames = VecDeque::new();
            }
            return Poll::Ready(Taken::Frames);
        }
        match state.close {
            Some(reason) => Poll::Ready(Taken::Close(reason)),
            None => {
                state.wait(cx, true);
                Poll::Pending
            }
        }
    }

    /// Ready when the client has been found not to read. For a task that waits for the socket, which such a client
    /// never lets it write to again.
    pub fn poll_too_slow(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.close == Some(CloseReason::SlowConsumer) {
            return Poll::Ready(());
        }
        state.wait(cx, false);
        Poll::Pending
    }

    /// The connection's task has written this frame to the socket.
    pub fn written(&self, frames: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes + frames * FRAME_OVERHEAD);
    }

    /// Bytes waiting.
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl State {
    /// What the client has not read by now it will not read: the memory is given back at once.
    fn give_up(&mut self) {
        self.frames = VecDeque::new();
        self.close = Some(CloseReason::SlowConsumer);
    }

    fn wait(&mut self, cx: &Context<'_>, wants_frames: bool) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.wants_frames = wants_frames;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    fn take(queue: &SendQueue) -> (Poll<Taken>, usize) {
        let mut frames = VecDeque::new();
        let taken = queue.poll_take(&Context::from_waker(Waker::noop()), &mut frames);
        (taken, frames.len())
    }

    fn too_slow(queue: &SendQueue) -> Poll<()> {
        queue.poll_too_slow(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn frames_come_first_and_the_close_after_them() {
        let queue = SendQueue::new(10_000);
        assert_eq!(take(&queue), (Poll::Pending, 0));
        queue.push(frame::pong());
        queue.push(frame::pong());
        queue.close(CloseReason::Lifetime);
        queue.push(frame::pong());
        assert_eq!(take(&queue), (Poll::Ready(Taken::Frames), 2));
        assert_eq!(
            take(&queue),
            (Poll::Ready(Taken::Close(CloseReason::Lifetime)), 0)
        );
    }

    #[test]
    fn who_is_behind_can_be_given_up_early() {
        let frame = frame::pong();
        let cost = frame.wire_len() + FRAME_OVERHEAD;
        let queue = SendQueue::new(10 * cost);
        queue.push(frame.clone());
        assert!(!queue.drop_over(cost));
        assert_eq!(too_slow(&queue), Poll::Pending);
        queue.push(frame);
        assert!(queue.drop_over(cost));
        assert_eq!(too_slow(&queue), Poll::Ready(()));
        assert_eq!(
            take(&queue),
            (Poll::Ready(Taken::Close(CloseReason::SlowConsumer)), 0)
        );
        // Once is enough.
        assert!(!queue.drop_over(0));
    }

    #[test]
    fn who_does_not_read_is_dropped_at_the_bound() {
        let frame = frame::pong();
        let cost = frame.wire_len() + FRAME_OVERHEAD;
        let queue = SendQueue::new(3 * cost);
        for _ in 0..3 {
            queue.push(frame.clone());
        }
        assert_eq!(take(&queue), (Poll::Ready(Taken::Frames), 3));
        // Handed over is not yet written: it still counts.
        queue.written(1, frame.wire_len());
        queue.push(frame.clone());
        assert_eq!(too_slow(&queue), Poll::Pending);
        queue.push(frame);
        assert_eq!(too_slow(&queue), Poll::Ready(()));
        assert_eq!(
            take(&queue),
            (Poll::Ready(Taken::Close(CloseReason::SlowConsumer)), 0)
        );
    }

    #[test]
    fn a_task_that_waits_for_the_socket_is_woken_only_when_its_client_is_too_slow() {
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let frame = frame::pong();
        let queue = SendQueue::new(2 * (frame.wire_len() + FRAME_OVERHEAD));
        assert_eq!(queue.poll_too_slow(&cx), Poll::Pending);
        queue.push(frame.clone());
        queue.push(frame.clone());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        queue.push(frame);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(queue.poll_too_slow(&cx), Poll::Ready(()));
    }

    #[test]
    fn one_frame_over_the_bound_may_pass_alone() {
        let queue = SendQueue::new(1);
        queue.push(frame::pong());
        assert_eq!(take(&queue), (Poll::Ready(Taken::Frames), 1));
    }
}
