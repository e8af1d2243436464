//! Arbitrary bytes against the readers of the wire, and arbitrary text through its writers.

use proptest::prelude::*;
use serde_json::Value;

use super::event_out::{self, MessageData};
use super::*;
use crate::bytes::{JSON_WORDS, Trial};

/// What clients send.
const FRAMES: &[&str] = &[
    r#"{"event":"hotsock.subscribe","channel":"presence.live-chat","data":{"token":"eyJhbGciOi"}}"#,
    r#"{"event":"hotsock.subscribe","channel":"live-updates"}"#,
    r#"{"event":"hotsock.unsubscribe","channel":"presence.live-chat"}"#,
    r#"{"event":"hotsock.ping","data":null}"#,
    r#"{"event":"hotsock.heartbeat"}"#,
    r#"{"event":"hotsock.umdUpdate","channel":"a","data":{"token":"eyJhbGciOi"}}"#,
    r##"{"event":"hotsock.messageReaction","channel":"a","data":{"messageId":"01H2BSNHFJXKF2XDFD8KMM36FF","reaction":"👍","action":"add"}}"##,
    r#"{"event":"move","channel":"game.123","data":{"x":1.10,"y":[1e2,-0.5,"J\u00f6rg \ud83d\ude00"],"z":{"z":null}}}"#,
    r#" { "event" : "say" , "channel" : "c" , "data" : "text" , "unknown" : [ { } ] } "#,
];

/// Names that frames know.
const FRAME_WORDS: &[&str] = &[
    "\"event\"",
    "\"channel\"",
    "\"data\"",
    "\"scheduleExpression\":\"at(1)\"",
    "hotsock.",
    "\"hotsock.ping\"",
    "presence.",
    "*",
    "#",
];

fn id() -> MessageId {
    MessageId::from_parts(1_700_000_000_000, 7)
}

/// What is wrong with a frame's JSON, or its fields.
fn fields(frame: &Frame) -> Value {
    serde_json::from_str(frame.json()).unwrap_or_else(|error| panic!("{frame:?}: {error}"))
}

#[test]
fn frames() {
    let words = [JSON_WORDS, FRAME_WORDS].concat();
    Trial::of(FRAMES, &words).run_text(|text| match Request::parse(text) {
        Ok(Request::Publish {
            channel,
            event,
            data,
        }) => {
            // What is passed on reads as what came.
            let frame = frame::message(id(), &event, &channel, &data, None);
            let again = Request::parse(frame.json());
            assert_eq!(
                again,
                Ok(Request::Publish {
                    channel,
                    event,
                    data
                })
            );
            true
        }
        Ok(_) => true,
        Err(bad) => {
            let told = fields(&frame::error(bad.channel.as_deref(), &bad.refusal));
            assert_eq!(told["error"]["code"], bad.refusal.code.as_str());
            assert_eq!(told["error"]["message"], *bad.refusal.message);
            assert_eq!(
                told.get("channel").map(Value::as_str),
                bad.channel.as_deref().map(Some)
            );
            false
        }
    });
}

#[test]
fn json() {
    let words = [JSON_WORDS, &["1.10", "\"\\/\"", "\"\\b\""]].concat();
    // The other parser has a map for each object.
    Trial::of(FRAMES, &words)
        .memory(64 << 10, 1_024)
        .run_text(|text| {
            let known = serde_json::from_str::<Value>(text);
            match Json::parse(text) {
                Ok(json) => {
                    assert_eq!(Json::parse(json.as_str()).as_ref(), Ok(&json));
                    assert!(json.same_value(&json));
                    // Another parser reads the same from both; it knows no number that no double holds.
                    if let Ok(known) = known {
                        assert_eq!(serde_json::from_str::<Value>(json.as_str()).unwrap(), known);
                        assert!(json.same_value(&Json::from_value(&known)) || has_number(&known));
                    }
                    true
                }
                // It counts the levels as we do, or earlier.
                Err(error) => {
                    assert!(known.is_err(), "{error}");
                    false
                }
            }
        });
}

/// Whether something in a value may have been rounded.
fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_number),
        Value::Object(fields) => fields.values().any(has_number),
        _ => false,
    }
}

#[test]
fn sameness() {
    let pairs: Vec<_> = FRAMES
        .iter()
        .map(|frame| format!("{frame}\n{frame}"))
        .collect();
    let words = [JSON_WORDS, &["1.10", "11e-1", "\n"]].concat();
    Trial::of(pairs, &words)
        .memory(64 << 10, 1_024)
        .run_text(|text| {
            // Samples have no other line break than the one between the two.
            let (one, other) = text.split_once('\n').unwrap_or((text, text));
            let (Ok(one), Ok(other)) = (Json::parse(one), Json::parse(other)) else {
                return false;
            };
            assert_eq!(one.same_value(&other), other.same_value(&one));
            assert!(one.as_str() != other.as_str() || one.same_value(&other));
            let known = |json: &Json| serde_json::from_str::<Value>(json.as_str()).ok();
            if let (Some(first), Some(second)) = (known(&one), known(&other))
                && !has_number(&first)
                && !has_number(&second)
            {
                assert_eq!(one.same_value(&other), first == second, "{one:?} {other:?}");
            }
            true
        });
}

#[test]
fn names() {
    let words = &[
        "hotsock.",
        "#",
        "*",
        ",",
        " ",
        "\u{0}",
        "\u{85}",
        "\u{a0}",
        "é",
        "presence.",
    ];
    let samples = ["presence.live-chat", "game.123", "👍", &"é".repeat(128)];
    Trial::of(samples, words).run_text(|name| {
        let quoted = Json::from_value(&Value::from(name));
        let text = format!(r#"{{"channel":{quoted:?},"event":{quoted:?},"data":{quoted:?}}}"#);
        let channel = names::check_channel(name);
        let event = names::check_event(name);
        let wanted = channel.as_ref().err().or(event.as_ref().err());
        match Request::parse(&text) {
            Ok(request) => {
                assert!(channel.is_ok());
                assert!(event.is_ok() || matches!(request, Request::Ping | Request::Heartbeat));
            }
            Err(bad) => {
                assert_eq!(bad.channel.as_deref(), Some(name));
                assert!(wanted.is_some());
            }
        }
        let _ = names::check_reaction(name);
        names::check_published(name).is_ok() || names::check_reaction(name).is_ok()
    });
}

#[test]
fn ids() {
    let connection = ConnectionId::from_bytes([0x5a; 16]).to_string();
    let samples = [
        "01H2BSNHFJXKF2XDFD8KMM36FF",
        "7zzzzzzzzzzzzzzzzzzzzzzzzz",
        &connection,
    ];
    Trial::of(samples, &["=", "8", "U", "-", "é", "\u{0}"]).run_text(|text| {
        let message = text.parse::<MessageId>();
        if let Ok(id) = message {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(id.to_string().eq_ignore_ascii_case(text));
            assert_eq!(MessageId::from_bytes(id.to_bytes()), id);
        }
        let connection = text.parse::<ConnectionId>();
        if let Ok(id) = connection {
            assert_eq!(id.to_string(), text);
        }
        message.is_ok() || connection.is_ok()
    });
}

proptest! {
    /// What is written is JSON, whatever the names and texts in it are.
    #[test]
    fn written(channel: String, event: String, uid: Option<String>, umd: String, text: String) {
        let umd = Json::from_value(&Value::from(umd));
        let meta = Meta { uid: uid.as_deref(), umd: &umd };
        let who = serde_json::json!({"uid": uid, "umd": serde_json::from_str::<Value>(umd.as_str()).unwrap()});
        let refusal = Refusal::invalid(text.clone());
        let member = frame::meta_json(meta);
        let list = [b"[".as_slice(), &member, b"]"].concat();
        for frame in [
            frame::connected(&event, &text, &channel, meta),
            frame::subscribed(&channel, None, true, Some(&list), meta),
            frame::message(id(), &event, &channel, &umd, Some(meta)),
            frame::reaction(ReactionEvent::Added, id(), &channel, id(), &text, meta),
        ] {
            prop_assert_eq!(&fields(&frame)["meta"], &who);
        }
        for alias in [None, Some(&*event)] {
            let told = fields(&frame::unsubscribed(&channel, alias, meta));
            prop_assert_eq!(told["meta"]["channelAlias"].as_str(), alias);
            let told = fields(&frame::subscribed(&channel, alias, false, None, meta));
            prop_assert_eq!(told["channel"].as_str(), Some(&*channel));
        }
        let told = fields(&frame::member(MemberEvent::Updated, &channel, &member, &list));
        prop_assert_eq!(&told["data"]["member"], &who);
        let told = fields(&frame::error(Some(&channel), &refusal));
        prop_assert_eq!(told["error"]["message"].as_str(), Some(&*text));
        let trigger = event_out::Trigger {
            via: event_out::Via::ClientHttp,
            connection_id: uid.clone(),
            source_ip: None,
            user_agent: Some(text.clone()),
        };
        let told = event_out::message(&trigger, &text, MessageData {
            channel: &channel, event: &event, id: &text, data: &umd, sender: Some((uid.as_deref(), &umd)),
        });
        let told: Value = serde_json::from_slice(&told).unwrap();
        prop_assert_eq!(told["metadata"]["userAgent"].as_str(), Some(&*text));
        prop_assert_eq!(told["data"]["channel"].as_str(), Some(&*channel));
        let told = event_out::member(EventKind::MemberRemoved, &channel, Some(RemovalReason::Reconciled), &member, &list);
        let told: Value = serde_json::from_slice(&told).unwrap();
        prop_assert_eq!(&told["data"]["members"][0], &who);
        let told = event_out::subscription(EventKind::Subscribed, &channel, &text, &member);
        let told: Value = serde_json::from_slice(&told).unwrap();
        prop_assert_eq!(told["data"]["uid"].as_str(), uid.as_deref());
    }
}
