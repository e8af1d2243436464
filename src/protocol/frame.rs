//! What the server sends: each frame is encoded once, WebSocket header included, and shared by all its receivers.
//!
//! Frames from a server are not masked (RFC 6455, 5.1), so the same bytes serve everybody. The keys of the JSON come in
//! the order of the protocol, which is why the text is written by hand and not derived from structs.

use bytes::Bytes;

use super::error::Refusal;
use super::id::MessageId;
use super::json::{Json, write_string};

/// The most bytes that a WebSocket header of a server's frame takes.
const MAX_HEADER: usize = 10;

/// One text frame, ready for the socket. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    header: u8,
}

impl Frame {
    /// The frame as it goes over the socket.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its length on the wire, in bytes.
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }

    /// The JSON text alone.
    pub fn json(&self) -> &str {
        let payload = self
            .bytes
            .get(usize::from(self.header)..)
            .unwrap_or_default();
        std::str::from_utf8(payload).unwrap_or_default()
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.json())
    }
}

/// `uid` and `umd` as others see them; the `meta` of many frames.
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    /// The user, where there is one.
    pub uid: Option<&'a str>,
    /// Their metadata.
    pub umd: &'a Json,
}

/// What became of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberEvent {
    /// A new uid.
    Added,
    /// A uid's last subscription ended.
    Removed,
    /// What a member shows has changed.
    Updated,
}

impl MemberEvent {
    /// The event's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "hotsock.memberAdded",
            Self::Removed => "hotsock.memberRemoved",
            Self::Updated => "hotsock.memberUpdated",
        }
    }
}

/// What became of a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReactionEvent {
    /// Somebody reacted.
    Added,
    /// Somebody took a reaction back.
    Removed,
}

impl ReactionEvent {
    /// The event's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "hotsock.messageReactionAdded",
            Self::Removed => "hotsock.messageReactionRemoved",
        }
    }

    /// The client's word for it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Added => "add",
            Self::Removed => "remove",
        }
    }
}

/// The first frame of every connection (section 1). `expires_at` is RFC 3339 in UTC.
pub fn connected(connection_id: &str, expires_at: &str, secret: &str, meta: Meta<'_>) -> Frame {
    Writer::new(256)
        .text(r#"{"event":"hotsock.connected","data":{"connectionId":"#)
        .string(connection_id)
        .text(r#","connectionExpiresAt":"#)
        .string(expires_at)
        .text(r#","connectionSecret":"#)
        .string(secret)
        .text(r#"},"meta":"#)
        .meta(None, meta)
        .text("}")
        .finish()
}

/// The answer to a subscribe (sections 3 and 4). `members` is a presence channel's list, already JSON.
pub fn subscribed(
    channel: &str,
    alias: Option<&str>,
    auto: bool,
    members: Option<&[u8]>,
    meta: Meta<'_>,
) -> Frame {
    let mut writer = Writer::new(160 + channel.len() + members.map_or(0, <[u8]>::len));
    writer
        .text(r#"{"event":"hotsock.subscribed","channel":"#)
        .string(channel)
        .text(r#","data":{"#);
    if auto {
        writer.text(r#""autoSubscribed":true"#);
    }
    if let Some(members) = members {
        writer
            .text(if auto {
                r#","members":"#
            } else {
                r#""members":"#
            })
            .raw(members);
    }
    writer
        .text(r#"},"meta":"#)
        .meta(alias, meta)
        .text("}")
        .finish()
}

/// The answer to an unsubscribe (section 3): with an alias it has `meta`, without one it has none.
pub fn unsubscribed(channel: &str, alias: Option<&str>, meta: Meta<'_>) -> Frame {
    let mut writer = Writer::new(160 + channel.len());
    writer
        .text(r#"{"event":"hotsock.unsubscribed","channel":"#)
        .string(channel)
        .text(r#","data":{}"#);
    if alias.is_some() {
        writer.text(r#","meta":"#).meta(alias, meta);
    }
    writer.text("}").finish()
}

/// `memberAdded`, `memberRemoved` or `memberUpdated` (section 4). `member` is the one concerned and `members` the list
/// right after the event, both already JSON.
pub fn member(event: MemberEvent, channel: &str, member: &[u8], members: &[u8]) -> Frame {
    Writer::new(128 + channel.len() + member.len() + members.len())
        .text(r#"{"event":""#)
        .text(event.name())
        .text(r#"","channel":"#)
        .string(channel)
        .text(r#","data":{"member":"#)
        .raw(member)
        .text(r#","members":"#)
        .raw(members)
        .text("}}")
        .finish()
}

/// A message (section 5); `meta` is that of a client who sent it.
pub fn message(
    id: MessageId,
    event: &str,
    channel: &str,
    data: &Json,
    meta: Option<Meta<'_>>,
) -> Frame {
    let mut writer = Writer::new(128 + event.len() + channel.len() + data.as_str().len());
    writer
        .text(r#"{"id":""#)
        .display(id)
        .text(r#"","event":"#)
        .string(event)
        .text(r#","channel":"#)
        .string(channel)
        .text(r#","data":"#)
        .text(data.as_str());
    if let Some(meta) = meta {
        writer.text(r#","meta":"#).meta(None, meta);
    }
    writer.text("}").finish()
}

/// A reaction to a message, or its end (section 9). `id` is the event's own, `message` the message's.
pub fn reaction(
    event: ReactionEvent,
    id: MessageId,
    channel: &str,
    message: MessageId,
    reaction: &str,
    meta: Meta<'_>,
) -> Frame {
    Writer::new(256 + channel.len())
        .text(r#"{"id":""#)
        .display(id)
        .text(r#"","event":""#)
        .text(event.name())
        .text(r#"","channel":"#)
        .string(channel)
        .text(r#","data":{"messageId":""#)
        .display(message)
        .text(r#"","reaction":"#)
        .string(reaction)
        .text(r#","action":""#)
        .text(event.action())
        .text(r#""},"meta":"#)
        .meta(None, meta)
        .text("}")
        .finish()
}

/// The answer to a ping (section 6).
pub fn pong() -> Frame {
    Writer::new(48)
        .text(r#"{"event":"hotsock.pong","data":{}}"#)
        .finish()
}

/// Sent before the idle timeout strikes (section 6).
pub fn keep_alive() -> Frame {
    Writer::new(48)
        .text(r#"{"event":"hotsock.keepAlive","data":{}}"#)
        .finish()
}

/// A refusal (section 14); `channel` is what the client sent.
pub fn error(channel: Option<&str>, refusal: &Refusal) -> Frame {
    let mut writer = Writer::new(128 + refusal.message.len());
    writer.text(r#"{"event":"hotsock.error","#);
    if let Some(channel) = channel {
        writer.text(r#""channel":"#).string(channel).text(",");
    }
    writer
        .text(r#""error":{"code":"#)
        .string(refusal.code.as_str())
        .text(r#","message":"#)
        .string(&refusal.message)
        .text("}}")
        .finish()
}

/// `{"uid":…,"umd":…}`: how a member stands in a list, and what counts towards a channel's bytes.
pub fn member_json(uid: &str, umd: &Json) -> Vec<u8> {
    meta_json(Meta {
        uid: Some(uid),
        umd,
    })
}

/// The same of somebody who may have no uid.
pub fn meta_json(meta: Meta<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 + meta.uid.map_or(4, str::len) + meta.umd.as_str().len());
    out.extend_from_slice(b"{\"uid\":");
    match meta.uid {
        Some(uid) => write_string(&mut out, uid),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"umd\":");
    out.extend_from_slice(meta.umd.as_str().as_bytes());
    out.push(b'}');
    out
}

/// Writes a frame's JSON behind room for its header.
struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    fn new(capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(MAX_HEADER + capacity);
        buffer.extend_from_slice(&[0; MAX_HEADER]);
        Self { buffer }
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes())
    }

    fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(json);
        self
    }

    fn string(&mut self, text: &str) -> &mut Self {
        write_string(&mut self.buffer, text);
        self
    }

    fn display(&mut self, value: impl std::fmt::Display) -> &mut Self {
        use std::io::Write as _;
        // Writing into a Vec has no way to fail.
        let _ = write!(self.buffer, "{value}");
        self
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.text("null"),
        }
    }

    fn meta(&mut self, alias: Option<&str>, meta: Meta<'_>) -> &mut Self {
        self.text("{");
        if let Some(alias) = alias {
            self.text(r#""channelAlias":"#).string(alias).text(",");
        }
        self.text(r#""uid":"#)
            .optional(meta.uid)
            .text(r#","umd":"#)
            .text(meta.umd.as_str())
            .text("}")
    }

    /// Puts the header right before the payload and hands the frame out.
    fn finish(&mut self) -> Frame {
        const FIN_TEXT: u8 = 0x81;
        let mut buffer = std::mem::take(&mut self.buffer);
        let payload = buffer.len() - MAX_HEADER;
        let mut header = [0u8; MAX_HEADER];
        let start = if let Ok(short @ 0..=125) = u8::try_from(payload) {
            header[8] = FIN_TEXT;
            header[9] = short;
            8
        } else if let Ok(medium) = u16::try_from(payload) {
            header[6] = FIN_TEXT;
            header[7] = 126;
            header[8..].copy_from_slice(&medium.to_be_bytes());
            6
        } else {
            header[0] = FIN_TEXT;
            header[1] = 127;
            header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            0
        };
        buffer[..MAX_HEADER].copy_from_slice(&header);
        Frame {
            bytes: Bytes::from(buffer).slice(start..),
            header: (MAX_HEADER - start) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorCode;

    fn meta<'a>(uid: Option<&'a str>, umd: &'a Json) -> Meta<'a> {
        Meta { uid, umd }
    }

    #[test]
    fn the_seeds_frames_byte_for_byte() {
        let null = Json::null();
        let jim = member_json("Jim", &null);
        let dwight = member_json("Dwight", &null);
        let both = br#"[{"uid":"Jim","umd":null},{"uid":"Dwight","umd":null}]"#;
        assert_eq!(
            subscribed(
                "presence.live-chat",
                None,
                false,
                Some(br#"[{"uid":"Jim","umd":null}]"#),
                meta(Some("Jim"), &null)
            )
            .json(),
            r#"{"event":"hotsock.subscribed","channel":"presence.live-chat","data":{"members":[{"uid":"Jim","umd":null}]},"meta":{"uid":"Jim","umd":null}}"#
        );
        assert_eq!(
            member(MemberEvent::Added, "presence.live-chat", &dwight, both).json(),
            r#"{"event":"hotsock.memberAdded","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":null},"members":[{"uid":"Jim","umd":null},{"uid":"Dwight","umd":null}]}}"#
        );
        let list = [b"[".as_slice(), &jim, b"]"].concat();
        assert_eq!(
            member(MemberEvent::Removed, "presence.live-chat", &dwight, &list).json(),
            r#"{"event":"hotsock.memberRemoved","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":null},"members":[{"uid":"Jim","umd":null}]}}"#
        );
    }

    #[test]
    fn subscribed_without_members_with_alias_and_automatic() {
        let null = Json::null();
        assert_eq!(
            subscribed("live-updates", None, false, None, meta(None, &null)).json(),
            r#"{"event":"hotsock.subscribed","channel":"live-updates","data":{},"meta":{"uid":null,"umd":null}}"#
        );
        assert_eq!(
            subscribed(
                "presence.a",
                Some("user"),
                true,
                Some(b"[]"),
                meta(None, &null)
            )
            .json(),
            r#"{"event":"hotsock.subscribed","channel":"presence.a","data":{"autoSubscribed":true,"members":[]},"meta":{"channelAlias":"user","uid":null,"umd":null}}"#
        );
        assert_eq!(
            unsubscribed("live-updates", None, meta(None, &null)).json(),
            r#"{"event":"hotsock.unsubscribed","channel":"live-updates","data":{}}"#
        );
        assert_eq!(
            unsubscribed("a", Some("user"), meta(Some("J"), &null)).json(),
            r#"{"event":"hotsock.unsubscribed","channel":"a","data":{},"meta":{"channelAlias":"user","uid":"J","umd":null}}"#
        );
    }

    #[test]
    fn messages_and_reactions() {
        let id: MessageId = "01H2BSNHFJXKF2XDFD8KMM36FF".parse().unwrap();
        let data = Json::parse(r#"{"x":1}"#).unwrap();
        let umd = Json::null();
        assert_eq!(
            message(id, "move", "game.123", &data, None).json(),
            r#"{"id":"01H2BSNHFJXKF2XDFD8KMM36FF","event":"move","channel":"game.123","data":{"x":1}}"#
        );
        assert_eq!(
            message(
                id,
                "move",
                "game.123",
                &Json::null(),
                Some(meta(Some("Jim"), &umd))
            )
            .json(),
            r#"{"id":"01H2BSNHFJXKF2XDFD8KMM36FF","event":"move","channel":"game.123","data":null,"meta":{"uid":"Jim","umd":null}}"#
        );
        assert_eq!(
            reaction(
                ReactionEvent::Added,
                id,
                "c",
                id,
                "thumbsup",
                meta(Some("Jim"), &umd)
            )
            .json(),
            r#"{"id":"01H2BSNHFJXKF2XDFD8KMM36FF","event":"hotsock.messageReactionAdded","channel":"c","data":{"messageId":"01H2BSNHFJXKF2XDFD8KMM36FF","reaction":"thumbsup","action":"add"},"meta":{"uid":"Jim","umd":null}}"#
        );
    }

    #[test]
    fn errors_with_and_without_a_channel() {
        let refusal = Refusal::new(ErrorCode::AlreadySubscribed, "again");
        assert_eq!(
            error(Some("a\"b"), &refusal).json(),
            r#"{"event":"hotsock.error","channel":"a\"b","error":{"code":"ALREADY_SUBSCRIBED","message":"again"}}"#
        );
        assert_eq!(
            error(None, &refusal).json(),
            r#"{"event":"hotsock.error","error":{"code":"ALREADY_SUBSCRIBED","message":"again"}}"#
        );
    }

    #[test]
    fn the_header_tells_the_length() {
        for size in [0usize, 60, 61, 62, 70, 65_000, 65_400, 65_500, 70_000] {
            let members = vec![b' '; size];
            let frame = member(MemberEvent::Added, "c", b"", &members);
            let bytes = frame.bytes();
            assert_eq!(bytes[0], 0x81);
            let (length, header) = match bytes[1] {
                126 => (u16::from_be_bytes([bytes[2], bytes[3]]) as usize, 4),
                127 => (
                    u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize,
                    10,
                ),
                short => (short as usize, 2),
            };
            assert_eq!(length, bytes.len() - header);
            assert_eq!(frame.json().len(), length);
        }
    }
}
