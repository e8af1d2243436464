//! Arbitrary bytes against the readers of what comes over the network: queries, headers, bodies and WebSocket frames.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::Request;
use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;
use super::{body, feed, server_api, strict, upgrade};
use crate::bytes::{JSON_WORDS, Trial};
use crate::events::EventId;
use crate::protocol::{Json, Reaction};

#[test]
fn queries() {
    let samples = [
        "connectionId=WlpaWlpaWlpaWlpaWlpaWg&connectionSecret=abc%2Bdef",
        "after=5f0c9a31-42&types=hotsock.memberAdded,hotsock.memberRemoved&follow=false",
        "token=eyJ.e30.AA&prefix=presence.%F0%9F%98%80+a",
        "after=0",
    ];
    let words = [
        "%", "%00", "%FF", "%u0041", "&", "&&", "=", "+", ";", "after", "-", "é",
    ];
    Trial::of(samples, &words).run_text(|query| {
        for name in ["after", "prefix", "types", "token", "connectionId", ""] {
            let value = body::parameter(Some(query), name);
            let written = form_urlencoded::Serializer::new(String::new())
                .append_pair(name, value.as_deref().unwrap_or_default())
                .finish();
            let again = body::parameter(Some(&written), name);
            assert_eq!(again.unwrap_or_default(), value.unwrap_or_default());
        }
        let _ = server_api::decode_segment(query);
        let after = body::parameter(Some(query), "after").unwrap_or_default();
        if let Ok(id) = after.parse::<EventId>() {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        feed::start(&after).is_ok()
    });
}

#[test]
fn headers() {
    let samples = [
        "Bearer 0123456789abcdef",
        "bearer  x ",
        "rollcall.example:8443",
        "[2001:db8::1]:443",
        "chunked",
    ];
    let words = [
        "Bearer ", " ", "\t", ",", ":", "@", "[", "]", "/", "é", "\u{7f}",
    ];
    Trial::of(samples, &words).run(|bytes| {
        let Ok(value) = HeaderValue::from_bytes(bytes) else {
            return false;
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.clone());
        headers.insert(header::USER_AGENT, value.clone());
        if let Some(secret) = upgrade::bearer(&headers) {
            assert_eq!(secret.trim(), secret);
        }
        assert!(body::user_agent(&headers).is_none_or(|agent| agent.len() <= bytes.len()));
        for name in [header::HOST, header::TRANSFER_ENCODING] {
            let request = Request::builder()
                .header(header::HOST, "a")
                .header(name, value.clone())
                .body(());
            let _ = strict::check(&request.unwrap());
        }
        true
    });
}

#[test]
fn bodies() {
    let samples = [
        r#"{"channel":"live-updates","event":"say","data":{"text":"hello"},"store":60.0,"deduplicationId":"a","emitPubSubEvent":true,"eagerIdGeneration":false}"#,
        r#"{"channel":"a","event":"hotsock.messageReaction","data":{"uid":"Jim","umd":{"a":1},"messageId":"01H2BSNHFJXKF2XDFD8KMM36FF","reaction":"up","action":"remove"}}"#,
        r#"{"channel":"a","messageId":"01H2BSNHFJXKF2XDFD8KMM36FF","after":{"reaction":"up","uid":"Jim"},"before":null,"reverse":true}"#,
    ];
    let words = [
        JSON_WORDS,
        &[
            "\"store\"",
            "\"data\"",
            "\"after\":{}",
            "\"scheduleExpression\":1",
        ],
    ]
    .concat();
    Trial::of(samples, &words).run_text(|text| {
        let Ok(object) = body::object(text) else {
            return false;
        };
        if let Ok(data) = object.json("data") {
            assert_eq!(Json::parse(data.as_str()), Ok(data));
        }
        if let Ok(data) = object.data() {
            let _ = (
                data.required("uid"),
                data.json("umd"),
                Reaction::from_object(&data),
            );
        }
        if let Ok(Some(after)) = object.object("after") {
            let _ = (after.required("reaction"), after.required("uid"));
        }
        let _ = (
            object.integer("store"),
            object.flag("reverse"),
            object.unscheduled(),
        );
        let _ = (object.channel(), server_api::deduplication_id(&object));
        true
    });
}

/// A client that has said all that it will say, and takes whatever it is told.
struct Peer<'a>(&'a [u8]);

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A frame of a client: masked, with a mask that changes nothing, so that damage is damage to what it says.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ ..126) => frame.push(0x80 | short as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn sockets() {
    const FRAME_BYTES: usize = 4_096;
    let ping = br#"{"event":"hotsock.ping"}"#;
    let samples = [
        masked(0x81, ping),
        [
            masked(0x01, b"{\"event\":"),
            masked(0x89, b"now"),
            masked(0x80, b"1}"),
        ]
        .concat(),
        [
            masked(0x81, &[b' '; 300]),
            masked(0x8a, b""),
            masked(0x88, b"\x03\xe8bye"),
        ]
        .concat(),
    ];
    // What has come is held three times at the most: read, unmasked, and as one message.
    Trial::of(samples, &["\u{0}", "\u{1}", "\u{7f}", "\u{fe}", "é"])
        .memory(64 << 10, 8)
        .run(|bytes| {
            let mut socket = Socket::new(Peer(bytes), &[], FRAME_BYTES);
            let mut cx = Context::from_waker(Waker::noop());
            let mut read = 0;
            // Every message has a header of two bytes at the least; a pong that waits for its turn is one more try.
            for _ in 0..bytes.len() + 2 {
                match socket.poll_read(&mut cx) {
                    Poll::Ready(Ok(message)) => {
                        assert!(message.len() <= FRAME_BYTES);
                        read += 1;
                    }
                    Poll::Ready(Err(_)) => return read > 0,
                    Poll::Pending => {
                        let _ = socket.poll_drain(&mut cx);
                    }
                }
            }
            panic!("it reads more messages than there are");
        });
}
