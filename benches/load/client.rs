//! One client: a WebSocket over TLS, just what the load generator needs of it.
//!
//! Frames of the server are looked at where they were read, and not copied. What we send is masked with zeros, which
//! the protocol allows and which costs nothing.

use std::net::SocketAddr;
use std::ops::Range;

use rustls::RootCertStore;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Result;
use crate::harness::{Requests, connector, handshake, put_frame, requests, upgrade};

/// How much is read at a time, in bytes.
const READ: usize = 16 * 1024;
/// Zeros, which change nothing.
const NO_MASK: [u8; 4] = [0; 4];

/// Where the server is, and how to trust it.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    connector: TlsConnector,
    /// The receive buffer that a client asks the system for, where it is not the usual one.
    pub(crate) receive_buffer: Option<u32>,
}

/// What the server has sent.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    /// It closes, with this code.
    Close(u16),
}

/// A connected client.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    /// What the server said first: its id and secret are in it.
    introduction: String,
    buffer: Vec<u8>,
    /// What has been read and not yet looked at.
    unread: Range<usize>,
}

impl Target {
    /// A server whose certificate is among `roots`. Every connection is a full handshake.
    pub(crate) fn new(address: SocketAddr, roots: &RootCertStore) -> Self {
        Self {
            address,
            connector: connector(roots),
            receive_buffer: None,
        }
    }

    async fn stream(&self) -> Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(self.address).await?;
        Ok(handshake(&self.connector, stream).await?)
    }

    /// A connection for requests one after the other.
    pub(crate) async fn http(&self) -> Result<Requests> {
        Ok(requests(self.stream().await?).await?)
    }
}

impl Client {
    /// Connects, and waits for the server's first frame.
    pub(crate) async fn connect(target: &Target, token: &str) -> Result<Self> {
        let mut stream = target.stream().await?;
        stream.write_all(upgrade(token).as_bytes()).await?;
        let mut client = Self {
            stream,
            introduction: String::new(),
            buffer: Vec::new(),
            unread: 0..0,
        };
        loop {
            client.read().await?;
            let head = client.unread_bytes();
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                if !head.starts_with(b"HTTP/1.1 101") {
                    return Err(String::from_utf8_lossy(head).into());
                }
                client.unread.start += end + 4;
                break;
            }
        }
        let introduction = client.text().await?;
        if !is(introduction, "hotsock.connected") {
            return Err(String::from_utf8_lossy(introduction).into());
        }
        client.introduction = String::from_utf8_lossy(introduction).into();
        Ok(client)
    }

    /// What the Client HTTP API wants to see in a request's query.
    pub(crate) fn query(&self) -> Result<String> {
        let introduction: Value = serde_json::from_str(&self.introduction)?;
        let data = |name: &str| introduction["data"][name].as_str().unwrap_or_default();
        Ok(format!(
            "connectionId={}&connectionSecret={}",
            data("connectionId"),
            data("connectionSecret")
        ))
    }

    /// The next frame. Pings are answered, as every client does by itself.
    pub(crate) async fn next(&mut self) -> Result<Frame<'_>> {
        let (opcode, payload) = loop {
            let (opcode, payload) = self.whole().await?;
            if opcode != 9 {
                break (opcode, payload);
            }
            let mut pong = Vec::new();
            put_frame(
                &mut pong,
                0x8a,
                NO_MASK,
                self.buffer.get(payload).unwrap_or_default(),
            );
            self.stream.write_all(&pong).await?;
        };
        let payload = self.buffer.get(payload).unwrap_or_default();
        match (opcode, payload) {
            (8, [high, low, ..]) => Ok(Frame::Close(u16::from_be_bytes([*high, *low]))),
            (8, _) => Ok(Frame::Close(1005)),
            _ => Ok(Frame::Text(payload)),
        }
    }

    /// The next frame's opcode, and where its payload is in the buffer.
    async fn whole(&mut self) -> Result<(u8, Range<usize>)> {
        let (opcode, head, length) = loop {
            if let Some(found) = header(self.unread_bytes()) {
                let (_, head, length) = found;
                if self.unread.len() >= head + length {
                    break found;
                }
                self.make_room(head + length);
            }
            self.read().await?;
        };
        let start = self.unread.start + head;
        self.unread.start = start + length;
        Ok((opcode, start..start + length))
    }

    /// The next text frame; a close is an error.
    pub(crate) async fn text(&mut self) -> Result<&[u8]> {
        match self.next().await? {
            Frame::Text(text) => Ok(text),
            Frame::Close(code) => Err(format!("the server closed with {code}").into()),
        }
    }

    /// Reads until this event has come. Others are passed over, except errors.
    pub(crate) async fn expect(&mut self, event: &str) -> Result<()> {
        self.expect_many(event, 1).await
    }

    /// Reads until this event has come so many times.
    pub(crate) async fn expect_many(&mut self, event: &str, mut count: usize) -> Result<()> {
        while count > 0 {
            let text = self.text().await?;
            if is(text, event) {
                count -= 1;
            } else if is(text, "hotsock.error") {
                return Err(String::from_utf8_lossy(text).into());
            }
        }
        Ok(())
    }

    /// Sends these texts, a frame each, in one go.
    pub(crate) async fn send(&mut self, texts: &[String]) -> Result<()> {
        let mut frames = Vec::new();
        for text in texts {
            put_frame(&mut frames, 0x81, NO_MASK, text.as_bytes());
        }
        Ok(self.stream.write_all(&frames).await?)
    }

    pub(crate) async fn subscribe(&mut self, channels: &[String]) -> Result<()> {
        self.send(&frames("subscribe", channels)).await?;
        self.expect_many("hotsock.subscribed", channels.len()).await
    }

    pub(crate) async fn unsubscribe(&mut self, channels: &[String]) -> Result<()> {
        self.send(&frames("unsubscribe", channels)).await?;
        self.expect_many("hotsock.unsubscribed", channels.len())
            .await
    }

    /// Says goodbye and waits until the server has hung up.
    pub(crate) async fn close(mut self) -> Result<()> {
        let mut frame = Vec::new();
        put_frame(&mut frame, 0x88, NO_MASK, &1000_u16.to_be_bytes());
        self.stream.write_all(&frame).await?;
        while self.read().await.is_ok() {
            self.unread = 0..0;
        }
        Ok(())
    }

    fn unread_bytes(&self) -> &[u8] {
        self.buffer.get(self.unread.clone()).unwrap_or_default()
    }

    /// Moves what is unread to the front and sees to it that so many bytes fit.
    fn make_room(&mut self, bytes: usize) {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
    }

    async fn read(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        if self.unread.end == self.buffer.len() {
            self.make_room(self.unread.len() + READ);
        }
        let free = self.buffer.get_mut(self.unread.end..).unwrap_or_default();
        match self.stream.read(free).await? {
            0 => Err("the server hung up".into()),
            read => {
                self.unread.end += read;
                Ok(())
            }
        }
    }
}

/// Whether a frame of the server is this event. Its key comes first.
pub(crate) fn is(text: &[u8], event: &str) -> bool {
    text.strip_prefix(br#"{"event":""#)
        .and_then(|rest| rest.strip_prefix(event.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&b'"'))
}

fn frames(verb: &str, channels: &[String]) -> Vec<String> {
    channels
        .iter()
        .map(|channel| format!(r#"{{"event":"hotsock.{verb}","channel":"{channel}"}}"#))
        .collect()
}

/// Opcode, length of the header and length of the payload, once enough of the frame is there to tell.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let opcode = first & 0x0f;
    match second {
        126 => {
            let length = u16::from_be_bytes(*rest.first_chunk()?);
            Some((opcode, 4, length.into()))
        }
        127 => {
            let length = u64::from_be_bytes(*rest.first_chunk()?);
            Some((opcode, 10, usize::try_from(length).ok()?))
        }
        short => Some((opcode, 2, short.into())),
    }
}
