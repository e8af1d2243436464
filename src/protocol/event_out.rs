//! Events out (section 13): what back ends are told, each as one JSON document.
//!
//! The keys come in the order of the protocol, which is why the text is written by hand and not derived from structs.

use super::json::{Json, write_string};

/// Who events come from.
const SOURCE: &str = "hotsock.v1";
/// The level of the protocol.
const VERSION: &str = "1.13.0";

/// The type of an event out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    /// A connection was made.
    Connected,
    /// A connection is over.
    Disconnected,
    /// A connection's metadata changed.
    ConnectionUpdated,
    /// A connection subscribed to a channel.
    Subscribed,
    /// A subscription ended.
    Unsubscribed,
    /// A channel's count of subscriptions changed.
    ChannelUpdated,
    /// A new member.
    MemberAdded,
    /// A member is gone.
    MemberRemoved,
    /// What a member shows changed.
    MemberUpdated,
    /// A message was published.
    MessagePublished,
    /// A storage entry changed.
    ChannelStorageUpdated,
    /// Somebody reacted to a message.
    MessageReactionAdded,
    /// Somebody took a reaction back.
    MessageReactionRemoved,
}

impl EventKind {
    /// All of them, in the order of the protocol.
    pub const ALL: [Self; 13] = [
        Self::Connected,
        Self::Disconnected,
        Self::ConnectionUpdated,
        Self::Subscribed,
        Self::Unsubscribed,
        Self::ChannelUpdated,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::MemberUpdated,
        Self::MessagePublished,
        Self::ChannelStorageUpdated,
        Self::MessageReactionAdded,
        Self::MessageReactionRemoved,
    ];

    /// Its `type` on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "hotsock.connected",
            Self::Disconnected => "hotsock.disconnected",
            Self::ConnectionUpdated => "hotsock.connectionUpdated",
            Self::Subscribed => "hotsock.subscribed",
            Self::Unsubscribed => "hotsock.unsubscribed",
            Self::ChannelUpdated => "hotsock.channelUpdated",
            Self::MemberAdded => "hotsock.memberAdded",
            Self::MemberRemoved => "hotsock.memberRemoved",
            Self::MemberUpdated => "hotsock.memberUpdated",
            Self::MessagePublished => "hotsock.messagePublished",
            Self::ChannelStorageUpdated => "hotsock.channelStorageUpdated",
            Self::MessageReactionAdded => "hotsock.messageReactionAdded",
            Self::MessageReactionRemoved => "hotsock.messageReactionRemoved",
        }
    }

    /// The kind of this `type`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    const fn data_type(self) -> &'static str {
        match self {
            Self::Connected | Self::Disconnected | Self::ConnectionUpdated => "connection",
            Self::Subscribed | Self::Unsubscribed => "subscription",
            Self::ChannelUpdated => "channel",
            Self::MemberAdded | Self::MemberRemoved | Self::MemberUpdated => "channelMember",
            Self::MessagePublished => "message",
            Self::ChannelStorageUpdated => "channelStorage",
            Self::MessageReactionAdded | Self::MessageReactionRemoved => "messageReaction",
        }
    }
}

/// A set of event types.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct EventKinds(u16);

impl EventKinds {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self((1 << EventKind::ALL.len()) - 1);

    /// Whether it has this one.
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// This set and that one.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What this set has and that one has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its bits, lowest for the first of [`EventKind::ALL`]; part of the database's format.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set of these bits; unknown ones are left out.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Its members.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<EventKind> for EventKinds {
    fn from_iter<T: IntoIterator<Item = EventKind>>(kinds: T) -> Self {
        Self(
            kinds
                .into_iter()
                .fold(0, |bits, kind| bits | 1 << kind as u8),
        )
    }
}

impl std::fmt::Debug for EventKinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.iter().map(EventKind::name))
            .finish()
    }
}

/// Why a member was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalReason {
    /// It asked to.
    Unsubscribed,
    /// Its connection ended.
    Disconnected,
    /// The roll call did not find it.
    Reconciled,
}

impl RemovalReason {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Disconnected => "disconnected",
            Self::Reconciled => "reconciled",
        }
    }

    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Unsubscribed, Self::Disconnected, Self::Reconciled]
            .into_iter()
            .find(|reason| reason.name() == name)
    }
}

/// What caused an event, as far as its metadata tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Where the request came in.
    pub via: Via,
    /// The client's connection, where a client caused it.
    pub client: Option<TriggerClient>,
}

/// The client that caused an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerClient {
    /// Its connection.
    pub connection_id: String,
    /// Its address.
    pub source_ip: String,
    /// What it calls itself.
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
    const fn name(self) -> &'static str {
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
        .text(r#""channel":"#)
        .string(channel)
        .text(",")
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
        .text(r#""channel":"#)
        .string(name)
        .text(",")
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
    writer.text(r#""channel":"#).string(channel).text(",");
    if let Some(reason) = reason {
        writer.text(r#""reason":"#).string(reason.name()).text(",");
    }
    writer.end_metadata();
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
        .text(r#""channel":"#)
        .string(message.channel)
        .connection_id(trigger)
        .text(r#","event":"#)
        .string(message.event)
        .request(trigger, request_id)
        .end_metadata()
        .text(r#"{"channel":"#)
        .string(message.channel)
        .text(r#","event":"#)
        .string(message.event)
        .text(r#","id":"#)
        .string(message.id)
        .text(r#","data":"#)
        .text(message.data.as_str());
    if let Some((uid, umd)) = message.sender {
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
        .text(r#""channel":"#)
        .string(data.channel)
        .connection_id(trigger)
        .text(r#","reaction":"#)
        .string(data.reaction)
        .request(trigger, request_id)
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

    fn connection_id(&mut self, trigger: &Trigger) -> &mut Self {
        if let Some(client) = &trigger.client {
            self.text(r#","connectionId":"#)
                .string(&client.connection_id);
        }
        self
    }

    /// What the metadata of messages and reactions end in.
    fn request(&mut self, trigger: &Trigger, request_id: &str) -> &mut Self {
        self.text(r#","requestId":"#).string(request_id);
        if let Some(client) = &trigger.client {
            self.text(r#","sourceIp":"#).string(&client.source_ip);
        }
        self.text(r#","trigger":"#).string(trigger.via.name());
        if let Some(user_agent) = trigger
            .client
            .as_ref()
            .and_then(|c| c.user_agent.as_deref())
        {
            self.text(r#","userAgent":"#).string(user_agent);
        }
        self.text(",")
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
