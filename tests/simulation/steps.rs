//! What may happen in a seed, one step at a time. A step names seats and channels and nothing that only exists while it
//! is played: so any of them can be left out, and the others still mean the same.

use std::fmt;

use rollcall::simulation::{Cut, DiskFault, ReceiverMood};

/// The channels of every seed.
pub const CHANNELS: [&str; 4] = ["presence.a", "presence.b", "plain", "news"];
pub const UIDS: [&str; 5] = ["Jim", "Pam", "Dwight", "Anna", "Bob"];
/// What a uid may show, as JSON.
pub const UMDS: [&str; 5] = [
    "null",
    r#"{"is":"away"}"#,
    r#"{"is":"here"}"#,
    "7",
    r#"{"is":"busy with something that takes long to say, and longer to do"}"#,
];
pub const REACTIONS: [&str; 2] = ["up", "down"];

/// A kind of message: the event, and what the token says of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kind {
    pub event: &'static str,
    pub echo: bool,
    pub store: i64,
    pub emit: bool,
}

pub const KINDS: [Kind; 5] = [
    kind("say", false, 0, false),
    kind("ping", true, 0, false),
    kind("note", true, 600, false),
    kind("deed", false, -1, true),
    kind("shout", true, 0, true),
];

const fn kind(event: &'static str, echo: bool, store: i64, emit: bool) -> Kind {
    Kind {
        event,
        echo,
        store,
        emit,
    }
}

/// A token to connect with.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    pub uid: Option<&'static str>,
    pub umd: &'static str,
    /// Subscribed to these on connecting.
    pub auto: Vec<&'static str>,
    /// Does not count in `subscriptionsCount`.
    pub omit: bool,
    /// Serves once, under this name.
    pub once: Option<u8>,
    /// Reads at once what comes; else only when it is told to.
    pub reads: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Connect {
        seat: usize,
        pass: Pass,
    },
    /// With a token of its own, where it brings metadata; that may serve once.
    Subscribe {
        seat: usize,
        channel: &'static str,
        umd: Option<&'static str>,
        once: Option<u8>,
    },
    Unsubscribe {
        seat: usize,
        channel: &'static str,
    },
    /// Of one subscription, or of the connection and all of them.
    Update {
        seat: usize,
        channel: Option<&'static str>,
        umd: &'static str,
        http: bool,
    },
    Say {
        seat: usize,
        channel: &'static str,
        kind: Kind,
        http: bool,
    },
    /// By a back end.
    Publish {
        channel: &'static str,
        kind: Kind,
        once: Option<u8>,
    },
    /// To one of the stored messages. By a client or, without a seat, by a back end.
    React {
        seat: Option<usize>,
        uid: &'static str,
        message: usize,
        reaction: &'static str,
        remove: bool,
        http: bool,
    },
    List {
        seat: usize,
        channel: &'static str,
    },
    Info {
        channel: &'static str,
    },
    Kick {
        seat: usize,
    },
    Read {
        seat: usize,
        bytes: usize,
    },
    HangUp {
        seat: usize,
    },
    Receiver {
        webhook: usize,
        mood: ReceiverMood,
    },
    Wait {
        millis: u64,
    },
    WaitForTimer,
    SetClock {
        by_millis: i64,
    },
    Run {
        at_most: usize,
    },
    Settle,
    /// Lets everything that is due come to its end, and reads it.
    Quiet,
    Room {
        bytes: u64,
    },
    Fault {
        fault: DiskFault,
    },
    Stop,
    Crash {
        cut: Cut,
    },
    Start,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { seat, pass } => write!(f, "seat {seat} connects: {pass}"),
            Self::Subscribe {
                seat,
                channel,
                umd,
                once,
            } => {
                write!(f, "seat {seat} subscribes to {channel}")?;
                umd.map_or(Ok(()), |umd| write!(f, ", by a token with umd {umd}"))?;
                once.map_or(Ok(()), |once| {
                    write!(f, ", by a token to serve once, t{once}")
                })
            }
            Self::Unsubscribe { seat, channel } => {
                write!(f, "seat {seat} unsubscribes from {channel}")
            }
            Self::Update {
                seat,
                channel,
                umd,
                http,
            } => {
                write!(
                    f,
                    "seat {seat} shows {umd} in {}{}",
                    channel.unwrap_or("all channels"),
                    by(*http)
                )
            }
            Self::Say {
                seat,
                channel,
                kind,
                http,
            } => {
                write!(
                    f,
                    "seat {seat} sends a {} to {channel}{}",
                    kind.event,
                    by(*http)
                )
            }
            Self::Publish {
                channel,
                kind,
                once,
            } => {
                write!(f, "a back end sends a {} to {channel}", kind.event)?;
                once.map_or(Ok(()), |once| write!(f, ", deduplicated as d{once}"))
            }
            Self::React {
                seat,
                uid,
                message,
                reaction,
                remove,
                http,
            } => {
                match seat {
                    Some(seat) => write!(f, "seat {seat}")?,
                    None => write!(f, "a back end for {uid}")?,
                }
                let verb = if *remove { "takes back" } else { "gives" };
                write!(f, " {verb} `{reaction}`, message {message}{}", by(*http))
            }
            Self::List { seat, channel } => {
                write!(f, "seat {seat} lists the messages of {channel}")
            }
            Self::Info { channel } => write!(f, "a back end looks at {channel}"),
            Self::Kick { seat } => write!(f, "an operator kicks seat {seat}"),
            Self::Read { seat, bytes } => write!(f, "seat {seat} reads {bytes} bytes"),
            Self::HangUp { seat } => write!(f, "seat {seat} hangs up"),
            Self::Receiver { webhook, mood } => write!(f, "webhook {webhook}: {mood:?}"),
            Self::Wait { millis } => write!(f, "{millis} ms pass"),
            Self::WaitForTimer => write!(f, "time passes until the next timer"),
            Self::SetClock { by_millis } => write!(f, "the wall clock is set by {by_millis} ms"),
            Self::Run { at_most } => write!(f, "the server runs, {at_most} steps at the most"),
            Self::Settle => write!(f, "the server runs until nothing is ready"),
            Self::Quiet => write!(f, "quiet"),
            Self::Room { bytes } => write!(f, "the disk has room for {bytes} bytes"),
            Self::Fault { fault } => write!(f, "the disk: {fault:?}"),
            Self::Stop => write!(f, "the server is told to stop"),
            Self::Crash { cut } => write!(f, "crash: {cut:?}"),
            Self::Start => write!(f, "the server is started"),
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.uid.unwrap_or("nobody"), self.umd)?;
        if !self.auto.is_empty() {
            write!(f, ", subscribed to {}", self.auto.join(" and "))?;
        }
        self.once
            .map_or(Ok(()), |once| write!(f, ", token t{once} serves once"))?;
        f.write_str(if self.omit { ", does not count" } else { "" })?;
        f.write_str(if self.reads { "" } else { ", reads late" })
    }
}

fn by(http: bool) -> &'static str {
    if http { ", by HTTP" } else { "" }
}
