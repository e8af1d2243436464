//! One WebSocket over one TLS stream. Reading and writing do not wait for each other.
//!
//! tungstenite reads: it parses, unmasks and checks what the client sends, and answers pings and closes. What it writes goes
//! into a small buffer (`control`). The server's own frames are encoded already, once for all their receivers. They go to the
//! stream as they are, many in one write and one TLS record. The control buffer goes out between two frames, never inside
//! one, so a ping or pong overtakes all queued frames.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Role, WebSocketConfig, WebSocketContext,
};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::arrival::Arrival;
use super::line::{self, Line};
use crate::hub::{SendQueue, Taken};
use crate::protocol::{CloseReason, Frame};

/// The read buffer of an idle connection, in bytes.
const READ_BUFFER: usize = 1_024;
/// The most frames in one write.
const FRAMES_PER_WRITE: usize = 64;
/// The most unwritten pongs, in bytes. Beyond, reading stops.
const CONTROL_LIMIT: usize = 16_384;
/// Above this capacity an emptied buffer gives its memory back.
const KEPT_CAPACITY: usize = 8;

/// A stream over TCP.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TlsStream<Arrival> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0.tcp()
    }
}

pub(super) struct Socket<S> {
    stream: S,
    protocol: WebSocketContext,
    /// Written by tungstenite: pings, pongs and the close frame.
    control: Vec<u8>,
    control_written: usize,
    /// Frames taken from the queue.
    frames: VecDeque<Frame>,
    /// How much of the first frame has been written.
    written: usize,
    needs_flush: bool,
    heard: bool,
    taken: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A WebSocket on an upgraded stream. `read` has been read from it already. Frames over `frame_bytes` are refused.
    pub(super) fn new(stream: S, read: &[u8], frame_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_frame_size(Some(frame_bytes))
            .max_message_size(Some(frame_bytes));
        Self {
            stream,
            protocol: WebSocketContext::from_partially_read(
                read.to_vec(),
                Role::Server,
                Some(config),
            ),
            control: Vec::new(),
            control_written: 0,
            frames: VecDeque::new(),
            written: 0,
            needs_flush: false,
            heard: false,
            taken: 0,
        }
    }

    /// Whether any bytes, if only a part of a frame, have come since the last call.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// How many bytes the stream has taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether pings, pongs or the close frame are still to be written.
    pub(super) fn owes_control(&self) -> bool {
        self.control.len() > self.control_written
    }

    /// Puts a ping before all queued frames.
    pub(super) fn ping(&mut self) {
        // The buffer takes everything; an error says that a close frame has been sent before.
        let _ = self.write(|protocol, shim| {
            protocol.write(shim, Message::Ping(Bytes::new()))?;
            protocol.flush(shim)
        });
    }

    /// Drops the queued frames and answers the client's close frame, if there is one. Call it only when no more is read.
    pub(super) fn answer_close(&mut self) {
        self.drop_frames();
        // The error says that the protocol's part of the connection is closed now.
        let _ = self.write(|protocol, shim| protocol.flush(shim));
    }

    /// Has tungstenite write into `control`.
    fn write<T>(
        &mut self,
        write: impl FnOnce(&mut WebSocketContext, &mut Shim<'_, '_, S>) -> T,
    ) -> T {
        self.with_shim(&mut Context::from_waker(Waker::noop()), write)
    }

    fn with_shim<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut WebSocketContext, &mut Shim<'_, '_, S>) -> T,
    ) -> T {
        let mut shim = Shim {
            stream: &mut self.stream,
            control: &mut self.control,
            heard: &mut self.heard,
            cx,
        };
        act(&mut self.protocol, &mut shim)
    }

    /// Drops the frames that wait, but not one that is half written.
    fn drop_frames(&mut self) {
        self.frames.truncate(usize::from(self.written > 0));
    }

    /// The next message of the client.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if self.is_held_back() {
            // Its pongs have to go out first; writing wakes us.
            return Poll::Pending;
        }
        let owed = self.control.len();
        match self.with_shim(cx, |protocol, shim| protocol.read(shim)) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.control.len() > owed {
                    // Reading has made a pong, but the session has already polled the writing side: poll again. Bytes owed
                    // before wait for the stream, which wakes us.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            other => Poll::Ready(other),
        }
    }

    /// Whether reading stops because the client does not take its pongs.
    fn is_held_back(&self) -> bool {
        self.control.len() - self.control_written > CONTROL_LIMIT
    }

    /// Writes queued frames and control frames for as long as the stream takes them. Adds the bytes written to `progress`.
    /// Ready only when the connection has failed, or is to be closed for this reason.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &SendQueue,
        progress: &mut usize,
    ) -> Poll<io::Result<CloseReason>> {
        loop {
            if self.frames.is_empty() {
                match queue.poll_take(cx, &mut self.frames) {
                    Poll::Ready(Taken::Frames) => {}
                    Poll::Ready(Taken::Close(reason)) => {
                        if reason != CloseReason::SlowConsumer {
                            ready!(self.poll_drain(cx))?;
                        }
                        return Poll::Ready(Ok(reason));
                    }
                    Poll::Pending => {
                        ready!(self.poll_drain(cx))?;
                        return Poll::Pending;
                    }
                }
            }
            match self.poll_frames(cx, queue) {
                Poll::Ready(written) => *progress += written?,
                Poll::Pending => {
                    ready!(queue.poll_too_slow(cx));
                    return Poll::Ready(Ok(CloseReason::SlowConsumer));
                }
            }
        }
    }

    /// Begins the closing handshake. The close frame goes behind a half-written frame; all other frames are dropped.
    pub(super) fn start_close(&mut self, reason: CloseReason) {
        self.drop_frames();
        let frame = CloseFrame {
            code: CloseCode::from(reason.code()),
            reason: reason.text().into(),
        };
        // The buffer takes everything; an error says that a close frame has been sent before.
        let _ = self.write(|protocol, shim| protocol.close(shim, Some(frame)));
    }

    /// Writes the half-written frame, if any, and the control frames.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(frame) = self.frames.front().filter(|_| self.written > 0) {
            let frame = frame.clone();
            while let Some(rest) = frame
                .bytes()
                .get(self.written..)
                .filter(|rest| !rest.is_empty())
            {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
                self.written += nonzero(written)?;
                self.taken += written as u64;
                self.needs_flush = true;
            }
            self.written = 0;
            self.frames.pop_front();
        }
        ready!(self.poll_control(cx))?;
        if self.needs_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and discards; 0 at the end of the stream.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [0; 1024];
        let mut buffer = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Ends our side of the stream, with TLS's `close_notify`.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Writes control frames. Call it only between two frames.
    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .control
            .get(self.control_written..)
            .filter(|rest| !rest.is_empty())
        {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            self.control_written += nonzero(written)?;
            self.taken += written as u64;
            self.needs_flush = true;
        }
        if self.control_written > 0 {
            self.control = Vec::new();
            self.control_written = 0;
            // Reading may have stopped for the pongs that are out now.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes control frames where it may, and then frames once; returns how many bytes of frames went out.
    fn poll_frames(&mut self, cx: &mut Context<'_>, queue: &SendQueue) -> Poll<io::Result<usize>> {
        if self.written == 0 {
            ready!(self.poll_control(cx))?;
        }
        let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
        // Large writes might always end inside a frame. Where control frames wait, the write must be able to end with one.
        let most = if self.owes_control() {
            1
        } else {
            FRAMES_PER_WRITE
        };
        let mut skip = self.written;
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames).take(most) {
            *slice = IoSlice::new(frame.bytes().get(skip..).unwrap_or_default());
            skip = 0;
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        nonzero(written)?;
        self.taken += written as u64;
        self.needs_flush = true;
        let mut rest = self.written + written;
        let mut frames = 0;
        let mut bytes = 0;
        while let Some(frame) = self.frames.front().filter(|frame| frame.wire_len() <= rest) {
            rest -= frame.wire_len();
            bytes += frame.wire_len();
            frames += 1;
            self.frames.pop_front();
        }
        self.written = rest;
        queue.written(frames, bytes);
        if self.frames.is_empty() && self.frames.capacity() > KEPT_CAPACITY {
            self.frames = VecDeque::new();
        }
        Poll::Ready(Ok(written))
    }
}

impl<S: Wire> Socket<S> {
    /// What the kernel knows of the TCP connection.
    pub(super) fn line(&self) -> Option<Line> {
        line::look(self.stream.tcp())
    }

    /// Whether a read that has just found nothing means that nothing has come. It does not where this task's budget is spent,
    /// or where bytes have come that the runtime has not seen yet. While reading is held back for the client's pongs, what it
    /// sends does not count.
    pub(super) fn is_read_to_the_end(&self) -> bool {
        self.is_held_back() || (has_budget_remaining() && !line::has_unread(self.stream.tcp()))
    }

    /// Whether the client will send nothing more. What it sent before may still be unread.
    pub(super) fn client_has_left(&self) -> bool {
        line::has_left(self.stream.tcp())
    }

    /// The connection is over: the kernel keeps its unacknowledged bytes only for so long.
    pub(super) fn give_up_after(&self, silence: Duration) {
        line::give_up_after(self.stream.tcp(), silence);
    }
}

fn nonzero(written: usize) -> io::Result<usize> {
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(written)
}

/// The stream as tungstenite sees it during one call: reads come from the stream, writes go into `control`.
struct Shim<'a, 'b, S> {
    stream: &'a mut S,
    control: &'a mut Vec<u8>,
    heard: &'a mut bool,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Shim<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let len = buffer.filled().len();
                *self.heard |= len > 0;
                Ok(len)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S> Write for Shim<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
