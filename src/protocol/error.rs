//! What a client is told when it cannot have what it asked for (section 14).

use std::borrow::Cow;

/// The codes of `hotsock.error` frames and HTTP error bodies. Clients rely on them: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "each is named as on the wire, and told in section 14"
)]
pub enum ErrorCode {
    NotSubscribed,
    AlreadySubscribed,
    SubscribePermissionDenied,
    InvalidSubscribeToken,
    PresenceChannelCapacityReached,
    PresenceChannelUserIdRequired,
    InvalidMessage,
    UnknownEvent,
    InvalidChannelName,
    InvalidEventName,
    DataTooLarge,
    PublishPermissionDenied,
    InvalidUmdToken,
    UmdUpdatePermissionDenied,
    InvalidReaction,
    ReactionPermissionDenied,
    MessageNotFound,
    InvalidSchedule,
    SubscriptionLimitReached,
    StorageLimitReached,
    InternalError,
    InfoPermissionDenied,
    ConnectionUnknown,
    /// The server is stopping. Over HTTP that has a code of its own; a WebSocket is told `INTERNAL_ERROR`, and why in the
    /// message.
    ServerStopping,
}

impl ErrorCode {
    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSubscribed => "NOT_SUBSCRIBED",
            Self::AlreadySubscribed => "ALREADY_SUBSCRIBED",
            Self::SubscribePermissionDenied => "SUBSCRIBE_PERMISSION_DENIED",
            Self::InvalidSubscribeToken => "INVALID_SUBSCRIBE_TOKEN",
            Self::PresenceChannelCapacityReached => "PRESENCE_CHANNEL_CAPACITY_REACHED",
            Self::PresenceChannelUserIdRequired => "PRESENCE_CHANNEL_USER_ID_REQUIRED",
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::UnknownEvent => "UNKNOWN_EVENT",
            Self::InvalidChannelName => "INVALID_CHANNEL_NAME",
            Self::InvalidEventName => "INVALID_EVENT_NAME",
            Self::DataTooLarge => "DATA_TOO_LARGE",
            Self::PublishPermissionDenied => "PUBLISH_PERMISSION_DENIED",
            Self::InvalidUmdToken => "INVALID_UMD_TOKEN",
            Self::UmdUpdatePermissionDenied => "UMD_UPDATE_PERMISSION_DENIED",
            Self::InvalidReaction => "INVALID_REACTION",
            Self::ReactionPermissionDenied => "REACTION_PERMISSION_DENIED",
            Self::MessageNotFound => "MESSAGE_NOT_FOUND",
            Self::InvalidSchedule => "INVALID_SCHEDULE",
            Self::SubscriptionLimitReached => "SUBSCRIPTION_LIMIT_REACHED",
            Self::StorageLimitReached => "STORAGE_LIMIT_REACHED",
            Self::InternalError | Self::ServerStopping => "INTERNAL_ERROR",
            Self::InfoPermissionDenied => "INFO_PERMISSION_DENIED",
            Self::ConnectionUnknown => "CONNECTION_UNKNOWN",
        }
    }
}

/// A request turned down: the code for the program, the message for the person. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Refusal {
    /// What the client's program acts on.
    pub code: ErrorCode,
    /// What was wrong and what would mend it. Never holds a token or a secret.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this code and message.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The request itself is malformed: says which field and what was expected.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidMessage, message)
    }
}
