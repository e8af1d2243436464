//! Events out (section 13): what back ends are told, each as one JSON document.

mod kinds;

use super::json::Json;
use super::writer::Writer;

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
    let mut writer = begin(kind, 0);
    version(&mut writer)
        .string(r#"{"id":"#, data.id)
        .string(r#","connectedAt":"#, data.connected_at)
        .optional(r#","disconnectedAt":"#, data.disconnected_at)
        .plain(r#","keepAlive":"#, data.keep_alive)
        .string(r#","sourceIp":"#, data.source_ip)
        .optional(r#","uid":"#, data.uid)
        .json(r#","umd":"#, data.umd.as_bytes())
        .optional(r#","userAgent":"#, data.user_agent);
    end(writer, kind)
}

/// `hotsock.subscribed` and `.unsubscribed`. `who` is `{"uid":…,"umd":…}`, JSON already.
pub fn subscription(kind: EventKind, channel: &str, connection_id: &str, who: &[u8]) -> Vec<u8> {
    let mut writer = begin(kind, 0);
    field(&mut writer, "channel", Some(channel));
    version(&mut writer)
        .string(r#"{"channel":"#, channel)
        .string(r#","connectionId":"#, connection_id)
        .json(",", fields(who));
    end(writer, kind)
}

/// `hotsock.channelUpdated`.
pub fn channel(name: &str, subscriptions: u64) -> Vec<u8> {
    let kind = EventKind::ChannelUpdated;
    let mut writer = begin(kind, 0);
    field(&mut writer, "channel", Some(name));
    version(&mut writer)
        .string(r#"{"name":"#, name)
        .plain(r#","subscriptionsCount":"#, subscriptions);
    end(writer, kind)
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
    let mut writer = begin(kind, member.len() + list.len() + channel.len());
    field(&mut writer, "channel", Some(channel));
    field(&mut writer, "reason", reason.map(RemovalReason::name));
    version(&mut writer)
        .json("{", fields(member))
        .json(r#","members":"#, list);
    end(writer, kind)
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
    let mut writer = begin(kind, 0);
    field(&mut writer, "channel", Some(message.channel));
    request(&mut writer, trigger, request_id, "event", message.event);
    version(&mut writer)
        .string(r#"{"channel":"#, message.channel)
        .string(r#","event":"#, message.event)
        .string(r#","id":"#, message.id)
        .json(r#","data":"#, message.data.as_str().as_bytes());
    // Of nobody in particular there is nothing to say.
    if let Some((uid, umd)) = message.sender
        && (uid.is_some_and(|uid| !uid.is_empty()) || !umd.is_null())
    {
        writer.who(r#","meta":{"#, uid, umd).text("}");
    }
    end(writer, kind)
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
    let mut writer = begin(kind, 0);
    field(&mut writer, "channel", Some(data.channel));
    request(&mut writer, trigger, request_id, "reaction", data.reaction);
    version(&mut writer)
        .string(r#"{"channel":"#, data.channel)
        .string(r#","messageId":"#, data.message_id)
        .string(r#","id":"#, data.id)
        .string(r#","reaction":"#, data.reaction)
        .who(",", Some(data.uid), data.umd)
        .string(r#","createdAt":"#, data.created_at)
        .optional(r#","expiresAt":"#, data.expires_at);
    end(writer, kind)
}

/// What most events take, in bytes.
const CAPACITY: usize = 384;

/// Begins an event, of which `capacity` bytes are not in [`CAPACITY`], up to the fields of its metadata.
fn begin(kind: EventKind, capacity: usize) -> Writer {
    let mut writer = Writer::behind(0, CAPACITY + capacity);
    writer
        .string(r#"{"source":"#, SOURCE)
        .string(r#","type":"#, kind.name())
        .text(r#","metadata":{"#);
    writer
}

/// Ends the metadata; the data's fields follow.
fn version(writer: &mut Writer) -> &mut Writer {
    writer
        .string(r#""hotsockVersion":"#, VERSION)
        .text(r#"},"data":"#)
}

/// Ends the data's fields, and the event.
fn end(mut writer: Writer, kind: EventKind) -> Vec<u8> {
    writer
        .string(r#"},"dataType":"#, kind.data_type())
        .text("}")
        .finish()
}

/// The metadata of what somebody asked for; `name` and `value` say what it was about.
fn request(writer: &mut Writer, trigger: &Trigger, request_id: &str, name: &str, value: &str) {
    for (name, value) in [
        ("connectionId", trigger.connection_id.as_deref()),
        (name, Some(value)),
        ("requestId", Some(request_id)),
        ("sourceIp", trigger.source_ip.as_deref()),
        ("trigger", Some(trigger.via.name())),
        ("userAgent", trigger.user_agent.as_deref()),
    ] {
        field(writer, name, value);
    }
}

/// A field of the metadata, which is left out where there is nothing to say.
fn field(writer: &mut Writer, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        writer.string("", name).string(":", value).text(",");
    }
}

/// The fields of an object, JSON, without its braces.
fn fields(object: &[u8]) -> &[u8] {
    object
        .strip_prefix(b"{")
        .and_then(|object| object.strip_suffix(b"}"))
        .unwrap_or(object)
}
