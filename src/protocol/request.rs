//! What clients send (sections 1, 3, 5, 6, 7 and 9): one text frame becomes one [`Request`].

use std::borrow::Cow;

use super::error::{ErrorCode, Refusal};
use super::{InvalidMessageId, Json, MessageId, Object, ReactionEvent, names};

/// A client's request, well-formed but not yet permitted.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `hotsock.subscribe`; the channel may be an alias.
    Subscribe {
        /// Channel or alias.
        channel: Cow<'a, str>,
        /// The subscribe token, where one came.
        token: Option<Cow<'a, str>>,
    },
    /// `hotsock.unsubscribe`; the channel may be an alias.
    Unsubscribe {
        /// Channel or alias.
        channel: Cow<'a, str>,
    },
    /// `hotsock.ping`.
    Ping,
    /// `hotsock.heartbeat`.
    Heartbeat,
    /// `hotsock.umdUpdate`; without a channel, the connection's own metadata.
    UmdUpdate {
        /// Channel or alias.
        channel: Option<Cow<'a, str>>,
        /// The umd token.
        token: Cow<'a, str>,
    },
    /// `hotsock.messageReaction`.
    React {
        /// Channel or alias.
        channel: Cow<'a, str>,
        /// What is to become of which reaction.
        reaction: Reaction<'a>,
    },
    /// A message of the application.
    Publish {
        /// Channel or alias.
        channel: Cow<'a, str>,
        /// Its event, a valid name.
        event: Cow<'a, str>,
        /// Its data; `null` where none came.
        data: Json,
    },
}

/// A reaction to a stored message, to be added or removed (section 9).
#[derive(Debug, PartialEq, Eq)]
pub struct Reaction<'a> {
    /// The message.
    pub message: MessageId,
    /// The reaction: 1 to 100 bytes without `#`, not blank.
    pub reaction: Cow<'a, str>,
    /// What is to become of it.
    pub event: ReactionEvent,
}

/// A frame that could not become a request: the refusal, and the channel it spoke of, for the error frame.
#[derive(Debug, PartialEq, Eq)]
pub struct BadRequest<'a> {
    /// The channel as the client sent it.
    pub channel: Option<Cow<'a, str>>,
    /// What was wrong.
    pub refusal: Refusal,
}

impl<'a> Request<'a> {
    /// Reads one text frame.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` for what is no JSON object or has a field of a wrong type, `UNKNOWN_EVENT` for an unknown
    /// `hotsock.*` event, and the name errors of sections 3, 5 and 9. The size of `data` is not checked here: the limit
    /// is the operator's.
    pub fn parse(text: &'a str) -> Result<Self, BadRequest<'a>> {
        let bad = |channel, refusal| BadRequest { channel, refusal };
        let object = Object::parse(text, "the frame")
            .map_err(|refusal| bad(Object::find_string(text, "channel"), refusal))?;
        let channel = object
            .string("channel")
            .map_err(|refusal| bad(None, refusal))?;
        Self::from_object(&object, channel.clone()).map_err(|refusal| bad(channel, refusal))
    }

    fn from_object(
        object: &Object<'a, '_>,
        channel: Option<Cow<'a, str>>,
    ) -> Result<Self, Refusal> {
        let event = object.required("event")?;
        if let Some(name) = &channel {
            names::check_channel(name)?;
        }
        let channel_needed = || {
            Refusal::invalid("field `channel` is missing: this event needs the name of a channel")
        };
        Ok(match &*event {
            "hotsock.subscribe" => Self::Subscribe {
                channel: channel.ok_or_else(channel_needed)?,
                token: match object.object("data")? {
                    Some(data) => data.string("token")?,
                    None => None,
                },
            },
            "hotsock.unsubscribe" => Self::Unsubscribe {
                channel: channel.ok_or_else(channel_needed)?,
            },
            "hotsock.ping" => Self::Ping,
            "hotsock.heartbeat" => Self::Heartbeat,
            "hotsock.umdUpdate" => Self::UmdUpdate {
                channel,
                token: object.data()?.required("token")?,
            },
            Reaction::EVENT => {
                object.unscheduled()?;
                Self::React {
                    channel: channel.ok_or_else(channel_needed)?,
                    reaction: Reaction::from_object(&object.data()?)?,
                }
            }
            own if own.starts_with(names::RESERVED_EVENT_PREFIX) => {
                let name = own.get(..own.floor_char_boundary(names::MAX_EVENT_CHARS));
                return Err(Refusal::new(
                    ErrorCode::UnknownEvent,
                    format!(
                        "`{}` is no event that a client can send",
                        name.unwrap_or_default()
                    ),
                ));
            }
            name => {
                names::check_event(name)?;
                object.unscheduled()?;
                Self::Publish {
                    channel: channel.ok_or_else(channel_needed)?,
                    data: object.json("data")?,
                    event,
                }
            }
        })
    }
}

impl<'a> Reaction<'a> {
    /// The event that asks for it.
    pub const EVENT: &'static str = "hotsock.messageReaction";

    /// Reads the `data` of a reaction.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` for a wrong field, `INVALID_REACTION` for a reaction that is none.
    pub fn from_object(data: &Object<'a, '_>) -> Result<Self, Refusal> {
        let message = data.required("messageId")?;
        let reaction = data.required("reaction")?;
        names::check_reaction(&reaction)?;
        Ok(Self {
            message: message.parse().map_err(|e: InvalidMessageId| {
                Refusal::invalid(format!("field `data.messageId`: {e}"))
            })?,
            reaction,
            event: match &*data.required("action")? {
                "add" => ReactionEvent::Added,
                "remove" => ReactionEvent::Removed,
                _ => {
                    return Err(Refusal::invalid(
                        "field `data.action` must be `add` or `remove`",
                    ));
                }
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> (ErrorCode, String) {
        let bad = Request::parse(text).unwrap_err();
        (bad.refusal.code, bad.refusal.message.into_owned())
    }

    #[test]
    fn the_requests_of_the_protocol() {
        assert_eq!(
            Request::parse(r#"{"event":"hotsock.subscribe", "channel":"presence.live-chat"}"#),
            Ok(Request::Subscribe {
                channel: "presence.live-chat".into(),
                token: None
            })
        );
        assert_eq!(
            Request::parse(r#"{"event":"hotsock.subscribe","channel":"c","data":{"token":"t"}}"#),
            Ok(Request::Subscribe {
                channel: "c".into(),
                token: Some("t".into())
            })
        );
        assert_eq!(
            Request::parse(r#"{"event":"hotsock.ping","data":null}"#),
            Ok(Request::Ping)
        );
        assert_eq!(
            Request::parse(r#"{"event":"m\u00f6ve","channel":"c","data":{ "x" : 1 }}"#),
            Ok(Request::Publish {
                channel: "c".into(),
                event: "möve".into(),
                data: Json::parse(r#"{"x":1}"#).unwrap()
            })
        );
    }

    #[test]
    fn an_error_names_the_field_and_what_was_expected() {
        for (text, code, needle) in [
            ("nope", ErrorCode::InvalidMessage, "not valid JSON"),
            ("[]", ErrorCode::InvalidMessage, "no JSON object"),
            ("5", ErrorCode::InvalidMessage, "no JSON object"),
            (
                r#"{"event":"a","event":"b"}"#,
                ErrorCode::InvalidMessage,
                "duplicate field",
            ),
            ("{}", ErrorCode::InvalidMessage, "`event` is missing"),
            (
                r#"{"event":5}"#,
                ErrorCode::InvalidMessage,
                "`event` is a number",
            ),
            (
                r#"{"event":"x","channel":[]}"#,
                ErrorCode::InvalidMessage,
                "`channel` is an array",
            ),
            (
                r#"{"event":"hotsock.subscribe"}"#,
                ErrorCode::InvalidMessage,
                "`channel` is missing",
            ),
            (
                r#"{"event":"hotsock.subscribe","channel":"a b"}"#,
                ErrorCode::InvalidChannelName,
                "space",
            ),
            (
                r#"{"event":"hotsock.subscribe","channel":"a","data":5}"#,
                ErrorCode::InvalidMessage,
                "`data` is a number",
            ),
            (
                r#"{"event":"hotsock.subscribe","channel":"a","data":{"token":5}}"#,
                ErrorCode::InvalidMessage,
                "`data.token` is a number",
            ),
            (
                r#"{"event":"hotsock.umdUpdate"}"#,
                ErrorCode::InvalidMessage,
                "`data` is missing",
            ),
            (
                r#"{"event":"hotsock.nope"}"#,
                ErrorCode::UnknownEvent,
                "`hotsock.nope`",
            ),
            (
                r##"{"event":"#x","channel":"a"}"##,
                ErrorCode::InvalidEventName,
                "`#`",
            ),
        ] {
            let (got, message) = refused(text);
            assert_eq!(got, code, "{text}");
            assert!(message.contains(needle), "{text}: {message}");
        }
    }

    #[test]
    fn an_error_carries_the_channel_as_it_was_sent() {
        let bad = Request::parse(r#"{"event":"hotsock.nope","channel":"c"}"#).unwrap_err();
        assert_eq!(bad.channel.as_deref(), Some("c"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = Request::parse(&text);
        }

        #[test]
        fn no_object_makes_it_panic(event in ".*", channel in ".*", data in ".*") {
            let text = serde_json::json!({"event": event, "channel": channel, "data": data});
            let _ = Request::parse(&text.to_string());
        }
    }
}
