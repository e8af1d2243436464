//! What a client knows of the channel, and the line that it shows for each frame. Pure: frames in, lines out.

use serde::Deserialize;

use crate::protocol::Json;

use super::super::output::harmless;

/// The most names on a line; the others are counted.
const NAMES_SHOWN: usize = 20;

/// The parts of a server's frame that the client reads.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    event: String,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    data: Option<Json>,
    #[serde(default)]
    meta: Option<Meta>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    channel_alias: Option<String>,
}

/// An error frame's `error`, and that of a refused upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Member {
    uid: String,
    #[serde(default)]
    umd: Json,
}

#[derive(Debug, Default, Deserialize)]
struct MemberData {
    #[serde(default)]
    member: Option<Member>,
    #[serde(default)]
    members: Option<Vec<Member>>,
}

/// What a frame means for the user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The connection is open: subscribe now.
    Connected,
    /// We have joined. Shows the line.
    Joined(String),
    /// Something happened. `list`: the list may have changed.
    Event {
        line: String,
        list: bool,
    },
    /// The server refuses us the channel.
    Refused(Refusal),
    /// Our subscription is over.
    Left,
    Nothing,
}

/// The channel after the last frame.
#[derive(Debug)]
pub(super) struct View {
    asked_for: String,
    channel: Option<String>,
    uid: Option<String>,
    members: Option<Vec<Member>>,
}

impl View {
    pub(super) fn new(channel: &str) -> Self {
        Self {
            asked_for: channel.to_owned(),
            channel: None,
            uid: None,
            members: None,
        }
    }

    /// The connection is gone: what we knew holds no more.
    pub(super) fn forget(&mut self) {
        self.channel = None;
        self.members = None;
    }

    /// The channel's real name, once we have joined.
    pub(super) fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    pub(super) fn uid(&self) -> Option<String> {
        self.uid.as_deref().map(harmless)
    }

    /// How many are here. `None` where the channel has no list.
    pub(super) fn count(&self) -> Option<usize> {
        self.members.as_ref().map(Vec::len)
    }

    /// The names of the members in joining order, at most `limit` of them and then a number.
    pub(super) fn names(&self, limit: usize) -> String {
        let members = self.members.as_deref().unwrap_or_default();
        let mut names: Vec<String> = members
            .iter()
            .take(limit)
            .map(|member| harmless(&member.uid))
            .collect();
        if members.len() > limit {
            names.push(format!("and {} more", members.len() - limit));
        }
        names.join(", ")
    }

    /// `2 here: Jim, Dwight`. `None` where the channel has no list.
    pub(super) fn here(&self) -> Option<String> {
        self.count()
            .map(|count| format!("{count} here: {}", self.names(NAMES_SHOWN)))
    }

    pub(super) fn take(&mut self, frame: Frame) -> News {
        match frame.event.as_str() {
            "hotsock.connected" => {
                self.uid = frame.meta.and_then(|meta| meta.uid);
                News::Connected
            }
            "hotsock.error" => self.refused(frame.error),
            "hotsock.subscribed" => self.subscribed(frame),
            "hotsock.unsubscribed" if self.is_ours(&frame) => {
                self.forget();
                News::Left
            }
            "hotsock.memberAdded" | "hotsock.memberRemoved" | "hotsock.memberUpdated"
                if self.is_ours(&frame) =>
            {
                self.member(&frame)
            }
            // Answers to our own pings and the server's keep-alives.
            event if event.starts_with("hotsock.") => News::Nothing,
            _ if self.is_ours(&frame) => message(&frame),
            _ => News::Nothing,
        }
    }

    fn is_ours(&self, frame: &Frame) -> bool {
        self.channel.is_some() && frame.channel == self.channel
    }

    fn refused(&self, refusal: Option<Refusal>) -> News {
        match refusal {
            // With a token that subscribes automatically, our own request comes second.
            Some(refusal) if refusal.code == "ALREADY_SUBSCRIBED" => News::Nothing,
            Some(refusal) if self.channel.is_none() => News::Refused(refusal),
            Some(refusal) => News::Event {
                line: format!("! {}", refusal.show()),
                list: false,
            },
            None => News::Nothing,
        }
    }

    fn subscribed(&mut self, frame: Frame) -> News {
        let alias = frame.meta.as_ref().and_then(|m| m.channel_alias.as_deref());
        let name = frame.channel.as_deref();
        if name != Some(&self.asked_for) && alias != Some(&self.asked_for) {
            return News::Nothing;
        }
        self.members = member_data(&frame).members;
        self.channel = frame.channel;
        if let Some(uid) = frame.meta.and_then(|meta| meta.uid) {
            self.uid = Some(uid);
        }
        let channel = harmless(self.channel.as_deref().unwrap_or_default());
        News::Joined(match self.uid() {
            Some(uid) => format!("= {uid} joined {channel}"),
            None => format!("= joined {channel}"),
        })
    }

    fn member(&mut self, frame: &Frame) -> News {
        let data = member_data(frame);
        let (Some(member), Some(members)) = (data.member, data.members) else {
            return News::Nothing;
        };
        self.members = Some(members);
        let who = harmless(&member.uid);
        let umd = match member.umd.is_null() {
            true => String::new(),
            false => format!(" {}", harmless(member.umd.as_str())),
        };
        let line = match frame.event.as_str() {
            "hotsock.memberAdded" => format!("+ {who} came{umd}"),
            "hotsock.memberRemoved" => format!("- {who} left"),
            _ => format!(
                "~ {who} is now{}",
                if umd.is_empty() { " null" } else { &umd }
            ),
        };
        News::Event { line, list: true }
    }
}

impl Refusal {
    /// `CODE: message`.
    pub(super) fn show(&self) -> String {
        harmless(&format!("{}: {}", self.code, self.message))
    }
}

fn member_data(frame: &Frame) -> MemberData {
    frame
        .data
        .as_ref()
        .and_then(|data| serde_json::from_str(data.as_str()).ok())
        .unwrap_or_default()
}

fn message(frame: &Frame) -> News {
    let who = match frame.meta.as_ref().and_then(|meta| meta.uid.as_deref()) {
        Some(uid) => format!("{}, ", harmless(uid)),
        None => String::new(),
    };
    let data = frame.data.clone().unwrap_or_default();
    // A text is shown as such, anything else as the JSON that it is.
    let data = serde_json::from_str(data.as_str()).unwrap_or_else(|_| data.as_str().to_owned());
    News::Event {
        line: format!("> {who}{}: {}", harmless(&frame.event), harmless(&data)),
        list: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(view: &mut View, frame: &str) -> News {
        view.take(serde_json::from_str(frame).unwrap())
    }

    fn line(view: &mut View, frame: &str) -> String {
        match take(view, frame) {
            News::Joined(line) | News::Event { line, .. } => line,
            other => panic!("{other:?}"),
        }
    }

    /// Jim, in the channel of the protocol's own example.
    fn jim() -> View {
        let mut view = View::new("presence.live-chat");
        assert_eq!(
            take(
                &mut view,
                r#"{"event":"hotsock.connected","data":{"connectionId":"c"},"meta":{"uid":"Jim","umd":null}}"#
            ),
            News::Connected
        );
        assert_eq!(
            line(
                &mut view,
                r#"{"event":"hotsock.subscribed","channel":"presence.live-chat","data":{"members":[{"uid":"Jim","umd":null}]},"meta":{"uid":"Jim","umd":null}}"#
            ),
            "= Jim joined presence.live-chat"
        );
        view
    }

    #[test]
    fn people_come_change_and_go() {
        let mut view = jim();
        assert_eq!(view.here().unwrap(), "1 here: Jim");
        assert_eq!(
            line(
                &mut view,
                r#"{"event":"hotsock.memberAdded","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":null},"members":[{"uid":"Jim","umd":null},{"uid":"Dwight","umd":null}]}}"#
            ),
            "+ Dwight came"
        );
        assert_eq!(view.here().unwrap(), "2 here: Jim, Dwight");
        assert_eq!(
            line(
                &mut view,
                r#"{"event":"hotsock.memberUpdated","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":{"status":"away"}},"members":[{"uid":"Jim","umd":null},{"uid":"Dwight","umd":{"status":"away"}}]}}"#
            ),
            r#"~ Dwight is now {"status":"away"}"#
        );
        assert_eq!(
            line(
                &mut view,
                r#"{"event":"hotsock.memberRemoved","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":null},"members":[{"uid":"Jim","umd":null}]}}"#
            ),
            "- Dwight left"
        );
        assert_eq!(view.here().unwrap(), "1 here: Jim");
        assert_eq!(
            take(
                &mut view,
                r#"{"event":"hotsock.unsubscribed","channel":"presence.live-chat","data":{}}"#
            ),
            News::Left
        );
        assert_eq!(view.here(), None);
    }

    #[test]
    fn messages_are_shown_as_text_or_as_json() {
        let mut view = jim();
        for (data, shown) in [
            (r#""hello""#, "hello"),
            (r#"{"x":1.10}"#, r#"{"x":1.10}"#),
            ("null", "null"),
            (r#""a\u001b[2J""#, "a\\u{1b}[2J"),
        ] {
            let frame = format!(
                r#"{{"id":"1","event":"chat","channel":"presence.live-chat","data":{data},"meta":{{"uid":"Pam","umd":null}}}}"#
            );
            assert_eq!(line(&mut view, &frame), format!("> Pam, chat: {shown}"));
        }
        assert_eq!(
            line(
                &mut view,
                r#"{"id":"1","event":"move","channel":"presence.live-chat","data":1}"#
            ),
            "> move: 1"
        );
        for other in [
            r#"{"id":"1","event":"move","channel":"presence.other","data":1}"#,
            r#"{"event":"hotsock.pong","data":{}}"#,
            r#"{"event":"hotsock.brandNew","channel":"presence.live-chat"}"#,
        ] {
            assert_eq!(take(&mut view, other), News::Nothing, "{other}");
        }
    }

    #[test]
    fn a_refusal_before_joining_is_final_and_later_is_news() {
        let frame = r#"{"event":"hotsock.error","channel":"presence.live-chat","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"no"}}"#;
        let mut view = View::new("presence.live-chat");
        assert_eq!(
            take(&mut view, frame),
            News::Refused(Refusal {
                code: "SUBSCRIBE_PERMISSION_DENIED".into(),
                message: "no".into()
            })
        );
        assert_eq!(line(&mut jim(), frame), "! SUBSCRIBE_PERMISSION_DENIED: no");
        let already = frame.replace("SUBSCRIBE_PERMISSION_DENIED", "ALREADY_SUBSCRIBED");
        assert_eq!(take(&mut view, &already), News::Nothing);
    }

    #[test]
    fn an_alias_leads_to_the_real_name() {
        let mut view = View::new("me");
        assert_eq!(
            line(
                &mut view,
                r#"{"event":"hotsock.subscribed","channel":"user.1","data":{},"meta":{"channelAlias":"me","uid":null,"umd":null}}"#
            ),
            "= joined user.1"
        );
        assert_eq!(view.channel(), Some("user.1"));
        // A channel without presence has no list.
        assert_eq!(view.here(), None);
    }

    #[test]
    fn long_lists_end_in_a_number() {
        let mut view = jim();
        let members: Vec<String> = (0..25).map(|n| format!(r#"{{"uid":"u{n}"}}"#)).collect();
        let frame = format!(
            r#"{{"event":"hotsock.memberAdded","channel":"presence.live-chat","data":{{"member":{{"uid":"u24"}},"members":[{}]}}}}"#,
            members.join(",")
        );
        line(&mut view, &frame);
        let here = view.here().unwrap();
        assert!(here.starts_with("25 here: u0, u1, "), "{here}");
        assert!(here.ends_with("u19, and 5 more"), "{here}");
    }
}
