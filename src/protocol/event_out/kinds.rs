//! The types of events out, sets of them, and why a member was removed.

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

    pub(super) const fn data_type(self) -> &'static str {
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
