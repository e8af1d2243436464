//! A client that speaks frames, byte by byte, over TLS.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{CLOSE, PONG, TEXT, Want};
use crate::support::{Server, Token, put_frame, tls, upgrade};

/// A frame with this first byte, masked.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = Vec::new();
    put_frame(&mut bytes, first, MASK, payload);
    bytes
}

/// What came from the server.
#[derive(Debug)]
pub(super) enum Came {
    Frame(Want),
    Close(Option<u16>),
    /// The end of TLS.
    End,
}

/// A connection that has got its first frame.
pub(super) struct Peer {
    stream: TlsStream<TcpStream>,
}

pub(super) struct Reader<'a>(ReadHalf<&'a mut TlsStream<TcpStream>>);
pub(super) struct Writer<'a>(WriteHalf<&'a mut TlsStream<TcpStream>>);

impl Peer {
    pub(super) async fn connect(server: &Server) -> Self {
        let mut stream = tls(server, server.roots()).await.unwrap();
        let token = Token::of("peer").for_server(server);
        stream.write_all(upgrade(&token).as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 101 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        let mut peer = Self { stream };
        let (first, payload) = peer.split().0.read().await.unwrap();
        let connected: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(first, 0x80 | TEXT);
        assert_eq!(connected["event"], "hotsock.connected");
        peer
    }

    pub(super) fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        let (reader, writer) = tokio::io::split(&mut self.stream);
        (Reader(reader), Writer(writer))
    }
}

impl Writer<'_> {
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }
}

impl Reader<'_> {
    /// What comes next.
    pub(super) async fn next(&mut self) -> Result<Came, String> {
        let (first, payload) = match self.read().await {
            Ok(frame) => frame,
            // rustls says so where TLS was not ended before the stream was.
            Err(error) if error.to_string().contains("close_notify") => {
                return Err("TLS was cut off".to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Came::End),
            Err(error) => return Err(error.to_string()),
        };
        let strange = || Err(format!("{first:#x} {}", String::from_utf8_lossy(&payload)));
        Ok(match first {
            0x81 => {
                let json: Value = serde_json::from_slice(&payload).map_err(|e| e.to_string())?;
                match (json["event"].as_str(), json["error"]["code"].as_str()) {
                    (Some("hotsock.pong"), _) => Came::Frame(Want::Answer),
                    (Some("hotsock.error"), Some("INVALID_MESSAGE")) => Came::Frame(Want::Refusal),
                    _ => return strange(),
                }
            }
            0x88 => match payload.as_slice() {
                [] => Came::Close(None),
                [high, low, reason @ ..] if std::str::from_utf8(reason).is_ok() => {
                    Came::Close(Some(u16::from_be_bytes([*high, *low])))
                }
                _ => return strange(),
            },
            first if first == 0x80 | PONG => Came::Frame(Want::Pong(payload)),
            _ => return strange(),
        })
    }

    /// The end must come, and nothing before it.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        match self.next().await? {
            Came::End => Ok(()),
            other => Err(format!("{other:?} in place of the end")),
        }
    }

    async fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await?;
        let len = match self.0.read_u8().await? {
            126 => self.0.read_u16().await?.into(),
            127 => self.0.read_u64().await?,
            len => len.into(),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap_or_default()];
        self.0.read_exact(&mut payload).await?;
        if first == 0x80 | CLOSE && payload.len() > 125 {
            return Err(io::Error::other("a close frame that is too long"));
        }
        Ok((first, payload))
    }
}
