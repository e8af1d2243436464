//! What clients send (sections 1, 3, 6, 7): one text frame becomes one [`Request`].

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{ErrorCode, Refusal};
use super::{Json, names};

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

/// A frame that could not become a request: the refusal, and the channel it spoke of, for the error frame.
#[derive(Debug, PartialEq, Eq)]
pub struct BadRequest<'a> {
    /// The channel as the client sent it.
    pub channel: Option<Cow<'a, str>>,
    /// What was wrong.
    pub refusal: Refusal,
}

/// The fields as they came. Each is checked by hand, so that an error can name the field and say what was expected.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TokenData<'a> {
    #[serde(borrow, default)]
    token: Option<&'a RawValue>,
}

impl<'a> Request<'a> {
    /// Reads one text frame.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` for what is no JSON object or has a field of a wrong type, `UNKNOWN_EVENT` for an unknown
    /// `hotsock.*` event, and the name errors of sections 3 and 5. The size of `data` is not checked here: the limit is
    /// the operator's.
    pub fn parse(text: &'a str) -> Result<Self, BadRequest<'a>> {
        let fields: Fields<'a> = match serde_json::from_str(text) {
            Ok(fields) if is_object(text) => fields,
            Err(error) if error.is_data() && is_object(text) => {
                return Err(bad(None, Refusal::invalid(format!("the frame: {error}"))));
            }
            Err(error) if !error.is_data() => {
                let message = format!("the frame is not valid JSON: {error}");
                return Err(bad(None, Refusal::invalid(message)));
            }
            _ => return Err(bad(None, not_an_object())),
        };
        let channel = match string(fields.channel, "channel") {
            Ok(channel) => channel,
            Err(refusal) => return Err(bad(None, refusal)),
        };
        Self::from_fields(channel.clone(), fields.event, fields.data)
            .map_err(|refusal| bad(channel, refusal))
    }

    fn from_fields(
        channel: Option<Cow<'a, str>>,
        event: Option<&'a RawValue>,
        data: Option<&'a RawValue>,
    ) -> Result<Self, Refusal> {
        let event = string(event, "event")?
            .ok_or_else(|| Refusal::invalid("field `event` is missing: a string is expected"))?;
        if let Some(name) = &channel {
            names::check_channel(name)?;
        }
        let channel_needed = || {
            Refusal::invalid("field `channel` is missing: this event needs the name of a channel")
        };
        Ok(match &*event {
            "hotsock.subscribe" => Self::Subscribe {
                channel: channel.ok_or_else(channel_needed)?,
                token: token(data)?,
            },
            "hotsock.unsubscribe" => Self::Unsubscribe {
                channel: channel.ok_or_else(channel_needed)?,
            },
            "hotsock.ping" => Self::Ping,
            "hotsock.heartbeat" => Self::Heartbeat,
            "hotsock.umdUpdate" => Self::UmdUpdate {
                channel,
                token: token(data)?.ok_or_else(|| {
                    Refusal::invalid("field `data.token` is missing: a umd token is expected")
                })?,
            },
            own if own.starts_with(names::RESERVED_EVENT_PREFIX) => {
                let mut name = own.to_owned();
                name.truncate(name.floor_char_boundary(names::MAX_EVENT_CHARS));
                return Err(Refusal::new(
                    ErrorCode::UnknownEvent,
                    format!("`{name}` is no event that a client can send"),
                ));
            }
            name => {
                names::check_event(name)?;
                Self::Publish {
                    channel: channel.ok_or_else(channel_needed)?,
                    data: match data {
                        Some(raw) => Json::from_raw(raw)
                            .map_err(|e| Refusal::invalid(format!("field `data`: {e}")))?,
                        None => Json::null(),
                    },
                    event,
                }
            }
        })
    }
}

fn bad(channel: Option<Cow<'_, str>>, refusal: Refusal) -> BadRequest<'_> {
    BadRequest { channel, refusal }
}

fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

fn not_an_object() -> Refusal {
    Refusal::invalid(
        "the frame is no JSON object: {\"event\":…,\"channel\":…,\"data\":…} is expected",
    )
}

/// A field that is a string, or absent, or null.
fn string<'a>(raw: Option<&'a RawValue>, field: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(raw) = raw else { return Ok(None) };
    let text = raw.get();
    if text == "null" {
        return Ok(None);
    }
    if !text.starts_with('"') {
        return Err(Refusal::invalid(format!(
            "field `{field}` is {}: a string is expected",
            kind(text)
        )));
    }
    // The common case needs no copy: a literal without an escape is its own value.
    let inner = text
        .get(1..text.len().saturating_sub(1))
        .unwrap_or_default();
    if !inner.contains('\\') {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    serde_json::from_str::<String>(text)
        .map(|value| Some(Cow::Owned(value)))
        .map_err(|e| Refusal::invalid(format!("field `{field}` is no valid string: {e}")))
}

/// `data.token` of a subscribe or umdUpdate.
fn token(data: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, Refusal> {
    let Some(data) = data.filter(|raw| raw.get() != "null") else {
        return Ok(None);
    };
    if !data.get().starts_with('{') {
        return Err(Refusal::invalid(format!(
            "field `data` is {}: an object is expected",
            kind(data.get())
        )));
    }
    let data: TokenData<'_> = serde_json::from_str(data.get())
        .map_err(|e| Refusal::invalid(format!("field `data`: {e}")))?;
    string(data.token, "data.token")
}

/// What sort of JSON value a text is, for a person.
fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
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
                "`data.token` is missing",
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
