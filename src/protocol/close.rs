//! Why a connection is closed (section 14).

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// It has lived its time.
    Lifetime,
    /// No frame in either direction for the idle timeout.
    Idle,
    /// Its heartbeat stayed out.
    Heartbeat,
    /// It gave no sign of life after a ping.
    Silent,
    /// The server is stopping.
    Stopping,
    /// An operator wants it gone.
    Kicked,
    /// It does not read what is sent to it.
    SlowConsumer,
    /// It sent a frame over the limit.
    TooBig,
    /// It broke the WebSocket protocol.
    Protocol,
    /// It sent text that is no UTF-8.
    InvalidText,
}

impl CloseReason {
    /// The close code on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Lifetime | Self::Idle | Self::Heartbeat | Self::Silent | Self::Stopping => 1001,
            Self::Protocol => 1002,
            Self::InvalidText => 1007,
            Self::Kicked | Self::SlowConsumer => 1008,
            Self::TooBig => 1009,
        }
    }

    /// The reason's text on the wire.
    pub fn text(self) -> &'static str {
        match self {
            Self::Lifetime => "connection lifetime over",
            Self::Idle => "idle",
            Self::Heartbeat => "heartbeat timeout",
            Self::Silent => "no sign of life",
            Self::Stopping => "server stopping",
            Self::Kicked => "closed by an operator",
            Self::SlowConsumer => "slow consumer",
            Self::TooBig => "frame too large",
            Self::Protocol => "protocol error",
            Self::InvalidText => "invalid UTF-8",
        }
    }
}
