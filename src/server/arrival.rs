//! The TCP stream under a connection. It reports the client's progress to the entrance until the WebSocket is open.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::entrance::Guest;

#[derive(Debug)]
pub(super) struct Arrival {
    stream: TcpStream,
    /// `None` once it is a WebSocket.
    guest: Option<Arc<Guest>>,
}

impl Arrival {
    pub(super) fn new(stream: TcpStream, guest: Arc<Guest>) -> Self {
        Self {
            stream,
            guest: Some(guest),
        }
    }

    /// It is a WebSocket now, and reports no more.
    pub(super) fn settle(&mut self) {
        self.guest = None;
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    /// The client has sent or taken so many bytes.
    fn progress(&self, bytes: usize) {
        if let Some(guest) = &self.guest
            && bytes > 0
        {
            guest.heard();
        }
    }
}

impl AsyncRead for Arrival {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.progress(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Arrival {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.progress(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        this.progress(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
