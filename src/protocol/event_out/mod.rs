//! Events out (section 13): what back ends are told, each as one JSON document.
//!
//! The keys come in the order of the protocol, which is why the text is written by hand and not derived from structs.

mod kinds;

use super::json::{Json, write_string};

pub use kinds::{EventKind, EventKinds, RemovalReason};

/// Who events come from.
const SOURCE: &str = "hotsock.v1";
/// The level of the protocol.
const VERSION: &str = "1.13.0";

/// What caused an event, as far as its metadata tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Where the request came in.
    pub via: Via,
    /// The client's connection, where a client caused it.
    pub connection_id: Option<String>,
    /// The address that the request came from, where it came over the network.
    pub source_ip: Option<String>,
    /// What the program that sent it calls itself.
    pub user_agent: Option<String>,
}

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A frame of a client.
    ClientWebSocket,
    /// The Client HTTP API.
    ClientHttp,
    /// The server HTTP API.
    ServerHttp,
}

impl Via {
    const ALL: [Self; 3] = [Self::ClientWebSocket, Self::ClientHttp, Self::ServerHttp];

    /// The way in of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.name() == name)
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientWebSocket => "client.websocket",
            Self::ClientHttp => "client.http",
            Self::ServerHttp => "server.http",
        }
    }
}

/// The data of a connection's events.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionData<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it was made, RFC 3339.
    pub connected_at: &'a str,
    /// When it ended, RFC 3339.
    pub disconnected_at: Option<&'a str>,
    /// Whether the server keeps it alive.
    pub keep_alive: bool,
    /// The client's address.
    pub source_ip: &'a str,
    /// Who.
    pub uid: Option<&'a str>,
    /// Their metadata, as JSON.
    pub umd: &'a str,
    /// What the client calls itself.
    pub user_agent: Option<&'a str>,
}

/// `hotsock.connected`, `.disconnected` and `.connectionUpdated`.
pub fn connection(kind: EventKind, data: ConnectionData<'_>) -> Vec<u8> {
    Writer::begin(kind)
        .end_metadata()
        .text(r#"{"id":"#)
        .string(data.id)
        .text(r#","connectedAt":"#)
        .string(data.connected_at)
        .text(r#","disconnectedAt":"#)
        .optional(data.disconnected_at)
        .text(r#","keepAlive":"#)
        .text(if data.keep_alive { "true" } else { "false" })
        .text(r#","sourceIp":"#)
        .string(data.source_ip)
        .text(r#","uid":"#)
        .optional(data.uid)
        .text(r#","umd":"#)
        .text(data.umd)
        .text(r#","userAgent":"#)
        .optional(data.user_agent)
        .text("}")
        .end(kind)
}

/// `hotsock.subscribed` and `.unsubscribed`. `who` is `{"uid":…,"umd":…}`, JSON already.
pub fn subscription(kind: EventKind, channel: &str, connection_id: &str, who: &[u8]) -> Vec<u8> {
    let mut writer = Writer::begin(kind);
    writer
        .channel(channel)
        .end_metadata()
        .text(r#"{"channel":"#)
        .string(channel)
        .text(r#","connectionId":"#)
        .string(connection_id)
        .text(",");
    // Its own fields and closing brace.
    writer
        .0
        .extend_from_slice(who.strip_prefix(b"{").unwrap_or(who));
    writer.end(kind)
}

/// `hotsock.channelUpdated`.
pub fn channel(name: &str, subscriptions: u64) -> Vec<u8> {
    let kind = EventKind::ChannelUpdated;
    Writer::begin(kind)
        .channel(name)
        .end_metadata()
        .text(r#"{"name":"#)
        .string(name)
        .text(r#","subscriptionsCount":"#)
        .text(&subscriptions.to_string())
        .text("}")
        .end(kind)
}

/// `hotsock.memberAdded`, `.memberRemoved` and `.memberUpdated`. `member` is `{"uid":…,"umd":…}` and `list` the members
/// right after the event, both JSON already.
pub fn member(
    kind: EventKind,
    channel: &str,
    reason: Option<RemovalReason>,
    member: &[u8],
    list: &[u8],
) -> Vec<u8> {
    let mut writer = Writer::begin(kind);
    writer.0.reserve(member.len() + list.len() + channel.len());
    writer
        .channel(channel)
        .field("reason", reason.map(RemovalReason::name))
        .end_metadata();
    // The member's own fields, then the list: its entry without the closing brace.
    writer
        .0
        .extend_from_slice(member.strip_suffix(b"}").unwrap_or(member));
    writer.text(r#","members":"#);
    writer.0.extend_from_slice(list);
    writer.text("}").end(kind)
}

/// The data of `hotsock.messagePublished`.
#[derive(Debug, Clone, Copy)]
pub struct MessageData<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The message's event.
    pub event: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its data.
    pub data: &'a Json,
    /// Who sent it (uid and metadata), if a client did.
    pub sender: Option<(Option<&'a str>, &'a Json)>,
}

/// `hotsock.messagePublished`.
pub fn message(trigger: &Trigger, request_id: &str, message: MessageData<'_>) -> Vec<u8> {
    let kind = EventKind::MessagePublished;
    let mut writer = Writer::begin(kind);
    writer
        .channel(message.channel)
        .request(trigger, request_id, "event", message.event)
        .end_metadata()
        .text(r#"{"channel":"#)
        .string(message.channel)
        .text(r#","event":"#)
        .string(message.event)
        .text(r#","id":"#)
        .string(message.id)
        .text(r#","data":"#)
        .text(message.data.as_str());
    // Of nobody in particular there is nothing to say.
    if let Some((uid, umd)) = message.sender
        && (uid.is_some_and(|uid| !uid.is_empty()) || !umd.is_null())
    {
        writer
            .text(r#","meta":{"uid":"#)
            .optional(uid)
            .text(r#","umd":"#)
            .text(umd.as_str())
            .text("}");
    }
    writer.text("}").end(kind)
}

/// The data of a reaction's events.
#[derive(Debug, Clone, Copy)]
pub struct ReactionData<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The message.
    pub message_id: &'a str,
    /// The event's own id.
    pub id: &'a str,
    /// The reaction.
    pub reaction: &'a str,
    /// Who.
    pub uid: &'a str,
    /// Their metadata.
    pub umd: &'a Json,
    /// When it was made, RFC 3339.
    pub created_at: &'a str,
    /// When it goes with its message, RFC 3339.
    pub expires_at: Option<&'a str>,
}

/// `hotsock.messageReactionAdded` and `.messageReactionRemoved`.
pub fn reaction(
    kind: EventKind,
    trigger: &Trigger,
    request_id: &str,
    data: ReactionData<'_>,
) -> Vec<u8> {
    Writer::begin(kind)
        .channel(data.channel)
        .request(trigger, request_id, "reaction", data.reaction)
        .end_metadata()
        .text(r#"{"channel":"#)
        .string(data.channel)
        .text(r#","messageId":"#)
        .string(data.message_id)
        .text(r#","id":"#)
        .string(data.id)
        .text(r#","reaction":"#)
        .string(data.reaction)
        .text(r#","uid":"#)
        .string(data.uid)
        .text(r#","umd":"#)
        .text(data.umd.as_str())
        .text(r#","createdAt":"#)
        .string(data.created_at)
        .text(r#","expiresAt":"#)
        .optional(data.expires_at)
        .text("}")
        .end(kind)
}

struct Writer(Vec<u8>);

impl Writer {
    fn begin(kind: EventKind) -> Self {
        let mut writer = Self(Vec::with_capacity(384));
        writer
            .text(r#"{"source":"#)
            .string(SOURCE)
            .text(r#","type":"#)
            .string(kind.name())
            .text(r#","metadata":{"#);
        writer
    }

    fn end_metadata(&mut self) -> &mut Self {
        self.text(r#""hotsockVersion":"#)
            .string(VERSION)
            .text(r#"},"data":"#)
    }

    fn end(&mut self, kind: EventKind) -> Vec<u8> {
        self.text(r#","dataType":"#)
            .string(kind.data_type())
            .text("}");
        std::mem::take(&mut self.0)
    }

    /// The metadata of what happened in a channel.
    fn channel(&mut self, channel: &str) -> &mut Self {
        self.text(r#""channel":"#).string(channel).text(",")
    }

    /// The metadata of what somebody asked for; `name` and `value` say what it was about.
    fn request(
        &mut self,
        trigger: &Trigger,
        request_id: &str,
        name: &'static str,
        value: &str,
    ) -> &mut Self {
        self.field("connectionId", trigger.connection_id.as_deref())
            .field(name, Some(value))
            .field("requestId", Some(request_id))
            .field("sourceIp", trigger.source_ip.as_deref())
            .field("trigger", Some(trigger.via.name()))
            .field("userAgent", trigger.user_agent.as_deref())
    }

    /// A field of the metadata that is left out where there is nothing to say.
    fn field(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self
                .text("\"")
                .text(name)
                .text("\":")
                .string(value)
                .text(","),
            None => self,
        }
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn string(&mut self, text: &str) -> &mut Self {
        write_string(&mut self.0, text);
        self
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.text("null"),
        }
    }
}
