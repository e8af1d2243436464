//! `rollcall events`: what back ends are told.

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{Failure, admin, output};

/// Show events out: what back ends are told
///
/// Prints the events that are kept and ends, or, with --follow, those that happen from now on: when it happened, the
/// event's id, its type, the channel, and who and what. It speaks to the server on
/// this machine by its admin socket (admin.socket in the configuration); whoever may open that file may ask. Types that
/// neither a webhook nor a reader of GET /events wants are not kept; asking for them here keeps them from now on, for
/// events.retention.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: admin::Server,
    /// Go on with what happens
    #[arg(long)]
    follow: bool,
    /// Only these, as in memberAdded,memberRemoved
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Begin after the event of this id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Print each event as the JSON that back ends get, one a line
    #[arg(long)]
    json: bool,
}

impl Args {
    fn target(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("follow", if self.follow { "true" } else { "false" });
        let oldest = (!self.follow).then_some("0");
        if let Some(after) = self.after.as_deref().or(oldest) {
            query.append_pair("after", after);
        }
        if !self.types.is_empty() {
            let full = |name: &String| match name.starts_with("hotsock.") {
                true => name.clone(),
                false => format!("hotsock.{name}"),
            };
            let types: Vec<String> = self.types.iter().map(full).collect();
            query.append_pair("types", &types.join(","));
        }
        format!("/events?{}", query.finish())
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    admin::block_on(async {
        let mut body = args.server.get(&args.target()).await?.into_body();
        let mut unread = BytesMut::new();
        let mut event = ServerSentEvent::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                Failure::Failed("the server has stopped, or the connection broke off".into())
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            unread.extend_from_slice(&data);
            while let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
                let line = unread.split_to(end + 1);
                let line =
                    String::from_utf8_lossy(line.get(..end).unwrap_or_default()).into_owned();
                if let Some(whole) = event.line(&line) {
                    print(&whole, args.json)?;
                }
            }
        }
        Ok(())
    })
}

/// One event of a stream, read line by line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct ServerSentEvent {
    /// When it happened, from the comment before it.
    time: String,
    id: String,
    kind: String,
    data: String,
}

impl ServerSentEvent {
    /// Takes the next line; an empty one ends the event.
    fn line(&mut self, line: &str) -> Option<Self> {
        if line.is_empty() {
            let whole = std::mem::take(self);
            return (!whole.data.is_empty()).then_some(whole);
        }
        if let Some(time) = line.strip_prefix(": ") {
            time.clone_into(&mut self.time);
        } else if let Some(id) = line.strip_prefix("id: ") {
            id.clone_into(&mut self.id);
        } else if let Some(kind) = line.strip_prefix("event: ") {
            kind.clone_into(&mut self.kind);
        } else if let Some(data) = line.strip_prefix("data: ") {
            self.data.push_str(data);
        }
        None
    }
}

fn print(event: &ServerSentEvent, json: bool) -> Result<(), Failure> {
    if event.kind == "rollcall.gap" {
        output::remark(
            "rollcall: events before this are lost: they were not kept, or not for so long",
        );
        return Ok(());
    }
    if json {
        return output::say(&event.data);
    }
    let body: Value = serde_json::from_str(&event.data)
        .map_err(|error| Failure::Failed(format!("an event makes no sense: {error}")))?;
    let line = format!("{} {} {}", event.time, event.id, summary(&body));
    output::say(&output::harmless(&line))
}

/// An event on one line: its type, the channel, the uid, and other fields by name.
fn summary(body: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let kind = text(&body["type"]).unwrap_or_default();
    let mut words = vec![format!("{:<22}", kind.trim_start_matches("hotsock."))];
    let (metadata, data) = (&body["metadata"], &body["data"]);
    words.extend(text(&metadata["channel"]));
    if let Some(uid) = text(&data["uid"]).or_else(|| text(&data["meta"]["uid"])) {
        words.push(format!("uid={uid}"));
    }
    for (name, value) in [
        ("reason", &metadata["reason"]),
        ("event", &data["event"]),
        ("reaction", &data["reaction"]),
        ("connection", &data["connectionId"]),
        ("connection", &metadata["connectionId"]),
        ("id", &data["id"]),
    ] {
        words.extend(text(value).map(|value| format!("{name}={value}")));
    }
    if let Some(count) = data["subscriptionsCount"].as_u64() {
        words.push(format!("subscriptions={count}"));
    }
    if let Some(members) = data["members"].as_array() {
        words.push(format!("members={}", members.len()));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_is_taken_apart() {
        let mut event = ServerSentEvent::default();
        let mut all = Vec::new();
        for line in [
            "retry: 2000",
            "",
            ":",
            "",
            ": 2026-11-24T14:00:00Z",
            "id: a-1",
            "event: x",
            "data: {}",
            "",
            "data: 1",
        ] {
            all.extend(event.line(line));
        }
        assert_eq!(all.len(), 1);
        let expected = ServerSentEvent {
            time: "2026-11-24T14:00:00Z".to_owned(),
            id: "a-1".to_owned(),
            kind: "x".to_owned(),
            data: "{}".to_owned(),
        };
        assert_eq!(all[0], expected);
    }

    #[test]
    fn an_event_fits_on_a_line() {
        let body = json!({
            "type": "hotsock.memberRemoved", "metadata": {"channel": "presence.a", "reason": "reconciled"},
            "data": {"uid": "Jim", "umd": null, "members": [1, 2]},
        });
        assert_eq!(
            summary(&body),
            "memberRemoved          presence.a uid=Jim reason=reconciled members=2"
        );
    }

    #[test]
    fn what_is_asked_for() {
        let args = |follow, types: &[&str], after: Option<&str>| {
            Args {
                server: clap_server(),
                follow,
                types: types.iter().map(|&t| t.to_owned()).collect(),
                after: after.map(str::to_owned),
                json: false,
            }
            .target()
        };
        assert_eq!(args(false, &[], None), "/events?follow=false&after=0");
        assert_eq!(args(true, &[], None), "/events?follow=true");
        assert_eq!(
            args(true, &["memberAdded", "hotsock.connected"], Some("a-1")),
            "/events?follow=true&after=a-1&types=hotsock.memberAdded%2Chotsock.connected"
        );
    }

    fn clap_server() -> admin::Server {
        use clap::{Args as _, FromArgMatches as _};
        let command = admin::Server::augment_args(clap::Command::new("x"));
        admin::Server::from_arg_matches(&command.get_matches_from(["x"])).unwrap()
    }
}
