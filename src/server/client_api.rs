//! The Client HTTP API (section 11): requests in the name of a connection, besides its WebSocket.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode, header};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::answer::{
    Answer, Refused, empty, json, method_not_allowed, not_found, refused, unavailable, value, with,
};
use super::{Shared, body};
use crate::hub::{
    ChannelInfo, ClientInfo, ClientMessage, Connection, Listed, Origin, PageRequest, Reacted,
    Reactor,
};
use crate::protocol::{
    ErrorCode, InvalidMessageId, Json, MessageId, Object, Reaction, Refusal, names,
};

const VERBS: [&str; 5] = [
    "publishMessage",
    "listMessages",
    "listReactions",
    "getChannelInfo",
    "umdUpdate",
];

/// Answers `POST /connection/<verb>`, and the preflights of browsers. Pages of all origins may ask: there are no cookies, and
/// each request needs the connection's secret.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    peer: IpAddr,
    verb: &str,
    request: Request<Incoming>,
) -> Answer {
    let answer = match *request.method() {
        _ if !VERBS.contains(&verb) => not_found("this API has no such verb"),
        Method::POST => act(shared, peer, verb, request)
            .await
            .unwrap_or_else(Answer::from),
        Method::OPTIONS => with(
            empty(StatusCode::NO_CONTENT),
            [
                (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
                (
                    header::ACCESS_CONTROL_ALLOW_HEADERS,
                    "content-type, authorization",
                ),
                (header::ACCESS_CONTROL_MAX_AGE, "86400"),
            ],
        ),
        _ => method_not_allowed("POST, OPTIONS"),
    };
    with(answer, [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")])
}

async fn act(
    shared: &Arc<Shared>,
    peer: IpAddr,
    verb: &str,
    request: Request<Incoming>,
) -> Result<Answer, Refused> {
    let connection = authenticate(shared, &request)?;
    let from = body::client(peer, request.headers());
    let text = body::text(request, shared.hub.limits()).await?;
    let object = body::object(&text)?;
    let result = match verb {
        "publishMessage" => publish_message(shared, &connection, &from, &object).await,
        "listMessages" => list_messages(shared, &connection, &object).await,
        "listReactions" => list_reactions(shared, &connection, &object).await,
        "getChannelInfo" => channel_info(shared, &connection, &object).await,
        _ => umd_update(shared, &connection, &object).await,
    };
    result.map_err(|refused| match refused.code {
        ErrorCode::ConnectionUnknown if shared.hub.is_stopping() => closed_by_stop(),
        _ => refused.into(),
    })
}

/// Refuses a request of a connection that is over, perhaps because the server stops.
fn closed_by_stop() -> Refused {
    unavailable("SERVER_STOPPING", "the server is stopping").into()
}

fn authenticate(shared: &Shared, request: &Request<Incoming>) -> Result<Arc<Connection>, Refused> {
    let query = request.uri().query();
    let id = body::parameter(query, "connectionId").unwrap_or_default();
    let secret = body::parameter(query, "connectionSecret").unwrap_or_default();
    shared.hub.authenticate(&id, &secret).ok_or_else(|| {
        if shared.hub.is_stopping() {
            return closed_by_stop();
        }
        refused(
            StatusCode::UNAUTHORIZED,
            ErrorCode::ConnectionUnknown.as_str(),
            "connectionId and connectionSecret must be those of a live connection",
        )
    })
}

async fn publish_message(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    from: &ClientInfo,
    object: &Object<'_, '_>,
) -> Result<Answer, Refusal> {
    let channel = object.channel()?;
    let event = object.required("event")?;
    object.unscheduled()?;
    let eager = object.flag("eagerIdGeneration")?;
    if event == Reaction::EVENT {
        let reaction = Reaction::from_object(&object.data()?)?;
        let origin = Origin::Http(from);
        let hub = &shared.hub;
        let (channel, id) = hub
            .react_from(connection, &channel, &reaction, origin)
            .await?;
        return Ok(accepted(id.filter(|_| eager), &channel, &event));
    }
    names::check_published(&event)?;
    let message = ClientMessage {
        channel: &channel,
        event: &event,
        data: object.json("data")?,
    };
    let (channel, published) = shared
        .hub
        .publish_from(connection, message, Origin::Http(from))
        .await?;
    let Some(id) = published.settled().await else {
        return Ok(stopping());
    };
    Ok(accepted(eager.then_some(id), &channel, &event))
}

/// 202: the message is on its way, and on disk where it is to be kept.
pub(super) fn accepted(id: Option<MessageId>, channel: &str, event: &str) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        channel: &'a str,
        event: &'a str,
    }
    let body = Body {
        id: id.map(|id| id.to_string()),
        channel,
        event,
    };
    value(StatusCode::ACCEPTED, &body)
}

pub(super) fn stopping() -> Answer {
    unavailable(
        "SERVER_STOPPING",
        "the server is stopping; whether this was done is not known",
    )
}

async fn list_messages(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    object: &Object<'_, '_>,
) -> Result<Answer, Refusal> {
    let channel = object.channel()?;
    let expand = object.flag("expandReactions")?;
    let reverse = object.flag("reverse")?;
    // The bound of the other direction is not even read.
    let bound = |name, applies| match applies {
        true => message_id(object, name),
        false => Ok(None),
    };
    let request = PageRequest {
        channel: &channel,
        after: bound("after", !reverse)?,
        before: bound("before", reverse)?,
        reverse,
        expand,
    };
    let (channel, page) = shared.hub.list_messages(connection, &request).await?;
    #[derive(Serialize)]
    struct Body<'a> {
        messages: Vec<MessageBody<'a>>,
    }
    let messages = page
        .iter()
        .map(|listed| MessageBody::new(&channel, listed, expand))
        .collect();
    Ok(value(StatusCode::OK, &Body { messages }))
}

#[derive(Serialize)]
struct MessageBody<'a> {
    id: String,
    event: &'a str,
    channel: &'a str,
    data: Json,
    /// `null` where no client sent it.
    meta: Option<MetaBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reactions: Option<Reactions<'a>>,
}

#[derive(Serialize)]
struct MetaBody<'a> {
    uid: Option<&'a str>,
    umd: Json,
}

impl<'a> MessageBody<'a> {
    fn new(channel: &'a str, listed: &'a Listed, expand: bool) -> Self {
        let record = &listed.message.record;
        Self {
            id: listed.message.id.to_string(),
            event: &record.event,
            channel,
            data: stored_json(&record.data),
            meta: record.has_meta.then(|| MetaBody {
                uid: record.uid.as_deref(),
                umd: stored_json(record.umd.as_bytes()),
            }),
            // An expanded list also says that there are none.
            reactions: (expand || !listed.reactions.is_empty()).then_some(Reactions {
                reactions: &listed.reactions,
                expand,
            }),
        }
    }
}

/// JSON that was compact when it was stored.
fn stored_json(text: &[u8]) -> Json {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| Json::parse(text).ok())
        .unwrap_or_default()
}

/// `{"thumbsup":{"count":2}}`, expanded with `"items":[…]` in each.
struct Reactions<'a> {
    reactions: &'a BTreeMap<String, Reacted>,
    expand: bool,
}

impl Serialize for Reactions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            count: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            items: Option<Vec<ReactorBody<'a>>>,
        }
        let mut map = serializer.serialize_map(Some(self.reactions.len()))?;
        for (reaction, reacted) in self.reactions {
            let entry = Entry {
                count: reacted.count,
                items: self
                    .expand
                    .then(|| reacted.by.iter().map(ReactorBody::from).collect()),
            };
            map.serialize_entry(reaction, &entry)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct ReactorBody<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    umd: Option<Json>,
}

impl<'a> From<&'a Reactor> for ReactorBody<'a> {
    fn from(reactor: &'a Reactor) -> Self {
        Self {
            uid: &reactor.uid,
            umd: (reactor.umd != "null").then(|| stored_json(reactor.umd.as_bytes())),
        }
    }
}

async fn list_reactions(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    object: &Object<'_, '_>,
) -> Result<Answer, Refusal> {
    #[derive(Serialize)]
    struct Body<'a> {
        reactions: Vec<ReactionBody<'a>>,
    }
    #[derive(Serialize)]
    struct ReactionBody<'a> {
        reaction: &'a str,
        #[serde(flatten)]
        reactor: ReactorBody<'a>,
    }
    let channel = object.channel()?;
    let message = message_id(object, "messageId")?.ok_or_else(|| {
        Refusal::invalid("field `messageId` is missing: a message id is expected")
    })?;
    let after = match object.object("after")? {
        Some(after) => Some((
            after.required("reaction")?.into_owned(),
            after.required("uid")?.into_owned(),
        )),
        None => None,
    };
    let page = shared
        .hub
        .list_reactions(connection, &channel, message, after)
        .await?;
    let reactions = page
        .iter()
        .map(|(reaction, reactor)| ReactionBody {
            reaction,
            reactor: reactor.into(),
        })
        .collect();
    Ok(value(StatusCode::OK, &Body { reactions }))
}

async fn channel_info(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    object: &Object<'_, '_>,
) -> Result<Answer, Refusal> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        channel: &'a str,
        subscriptions_count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<Json>,
    }
    let channel = object.channel()?;
    let info = shared.hub.channel_info_for(connection, &channel).await?;
    let body = Body {
        channel: &info.name,
        subscriptions_count: info.subscriptions_count,
        members: members(&info),
    };
    Ok(value(StatusCode::OK, &body))
}

/// `None` where the channel is no presence channel.
pub(super) fn members(info: &ChannelInfo) -> Option<Json> {
    info.members
        .as_ref()
        .map(|members| stored_json(&members.list))
}

async fn umd_update(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    object: &Object<'_, '_>,
) -> Result<Answer, Refusal> {
    let channel = object.string("channel")?;
    if let Some(channel) = &channel {
        names::check_channel(channel)?;
    }
    let token = object.required("token")?;
    shared
        .hub
        .update_metadata(connection, channel.as_deref(), &token)
        .await?;
    Ok(json(StatusCode::OK, "{}"))
}

fn message_id(object: &Object<'_, '_>, field: &str) -> Result<Option<MessageId>, Refusal> {
    object
        .string(field)?
        .map(|text| {
            text.parse()
                .map_err(|e: InvalidMessageId| Refusal::invalid(format!("field `{field}`: {e}")))
        })
        .transpose()
}
