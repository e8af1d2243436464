//! What the server sends: each frame is encoded once, WebSocket header included, and shared by all its receivers.
//!
//! Frames from a server are not masked (RFC 6455, 5.1), so the same bytes serve everybody.

use bytes::Bytes;

use super::error::Refusal;
use super::id::MessageId;
use super::json::Json;
use super::writer::Writer;

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
    let mut writer = begin(256);
    writer
        .string(
            r#"{"event":"hotsock.connected","data":{"connectionId":"#,
            connection_id,
        )
        .string(r#","connectionExpiresAt":"#, expires_at)
        .string(r#","connectionSecret":"#, secret)
        .who(r#"},"meta":{"#, meta.uid, meta.umd)
        .text("}}");
    finish(writer)
}

/// The answer to a subscribe (sections 3 and 4). `members` is a presence channel's list, already JSON.
pub fn subscribed(
    channel: &str,
    alias: Option<&str>,
    auto: bool,
    members: Option<&[u8]>,
    meta: Meta<'_>,
) -> Frame {
    let mut writer = begin(160 + channel.len() + members.map_or(0, <[u8]>::len));
    writer
        .string(r#"{"event":"hotsock.subscribed","channel":"#, channel)
        .text(r#","data":{"#);
    if auto {
        writer.text(r#""autoSubscribed":true"#);
    }
    if let Some(members) = members {
        let comma = if auto { "," } else { "" };
        writer.text(comma).json(r#""members":"#, members);
    }
    writer.text("}");
    write_meta(&mut writer, alias, meta);
    finish(writer)
}

/// The answer to an unsubscribe (section 3): with an alias it has `meta`, without one it has none.
pub fn unsubscribed(channel: &str, alias: Option<&str>, meta: Meta<'_>) -> Frame {
    let mut writer = begin(160 + channel.len());
    writer
        .string(r#"{"event":"hotsock.unsubscribed","channel":"#, channel)
        .text(r#","data":{}"#);
    match alias {
        Some(_) => write_meta(&mut writer, alias, meta),
        None => drop(writer.text("}")),
    }
    finish(writer)
}

/// `memberAdded`, `memberRemoved` or `memberUpdated` (section 4). `member` is the one concerned and `members` the list
/// right after the event, both already JSON.
pub fn member(event: MemberEvent, channel: &str, member: &[u8], members: &[u8]) -> Frame {
    let mut writer = begin(128 + channel.len() + member.len() + members.len());
    writer
        .plain(r#"{"event":""#, event.name())
        .string(r#"","channel":"#, channel)
        .json(r#","data":{"member":"#, member)
        .json(r#","members":"#, members)
        .text("}}");
    finish(writer)
}

/// A message (section 5); `meta` is that of a client who sent it.
pub fn message(
    id: MessageId,
    event: &str,
    channel: &str,
    data: &Json,
    meta: Option<Meta<'_>>,
) -> Frame {
    let mut writer = begin(128 + event.len() + channel.len() + data.as_str().len());
    writer
        .plain(r#"{"id":""#, id)
        .string(r#"","event":"#, event)
        .string(r#","channel":"#, channel)
        .json(r#","data":"#, data.as_str().as_bytes());
    match meta {
        Some(meta) => write_meta(&mut writer, None, meta),
        None => drop(writer.text("}")),
    }
    finish(writer)
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
    let mut writer = begin(256 + channel.len());
    writer
        .plain(r#"{"id":""#, id)
        .plain(r#"","event":""#, event.name())
        .string(r#"","channel":"#, channel)
        .plain(r#","data":{"messageId":""#, message)
        .string(r#"","reaction":"#, reaction)
        .plain(r#","action":""#, event.action())
        .text(r#""}"#);
    write_meta(&mut writer, None, meta);
    finish(writer)
}

/// The answer to a ping (section 6).
pub fn pong() -> Frame {
    whole(r#"{"event":"hotsock.pong","data":{}}"#)
}

/// Sent before the idle timeout strikes (section 6).
pub fn keep_alive() -> Frame {
    whole(r#"{"event":"hotsock.keepAlive","data":{}}"#)
}

/// A refusal (section 14); `channel` is what the client sent.
pub fn error(channel: Option<&str>, refusal: &Refusal) -> Frame {
    let mut writer = begin(128 + refusal.message.len());
    writer.text(r#"{"event":"hotsock.error","#);
    if let Some(channel) = channel {
        writer.string(r#""channel":"#, channel).text(",");
    }
    writer
        .plain(r#""error":{"code":""#, refusal.code.as_str())
        .string(r#"","message":"#, &refusal.message)
        .text("}}");
    finish(writer)
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
    let capacity = 20 + meta.uid.map_or(4, str::len) + meta.umd.as_str().len();
    let mut writer = Writer::behind(0, capacity);
    writer.who("{", meta.uid, meta.umd).text("}").finish()
}

/// The last field of many frames, and their end.
fn write_meta(writer: &mut Writer, alias: Option<&str>, meta: Meta<'_>) {
    writer.text(r#","meta":{"#);
    if let Some(alias) = alias {
        writer.string(r#""channelAlias":"#, alias).text(",");
    }
    writer.who("", meta.uid, meta.umd).text("}}");
}

fn whole(text: &str) -> Frame {
    let mut writer = begin(text.len());
    writer.text(text);
    finish(writer)
}

/// A frame's JSON, behind room for its header.
fn begin(capacity: usize) -> Writer {
    Writer::behind(MAX_HEADER, capacity)
}

/// Puts the header right before the payload and hands the frame out.
fn finish(mut writer: Writer) -> Frame {
    const FIN_TEXT: u8 = 0x81;
    let mut buffer = writer.finish();
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
