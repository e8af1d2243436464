//! The server HTTP API (section 12): for back ends, with an API key.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderMap, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;

use super::answer::{Answer, Refused, empty, error, method_not_allowed, not_found, value, with};
use super::client_api::{accepted, members, stopping};
use super::{Shared, body, feed, upgrade};
use crate::auth::same_secret;
use crate::hub::{NewReaction, Outgoing, PAGE};
use crate::messages::Keep;
use crate::protocol::event_out::{Trigger, Via};
use crate::protocol::{ConnectionId, ErrorCode, Json, Object, Reaction, Refusal, names};
use crate::world::clock;

/// The longest `deduplicationId`, in bytes.
pub(super) const MAX_DEDUPLICATION_ID: usize = 256;

/// Whether this API has a route of this path.
pub(super) fn has(path: &[&str]) -> bool {
    matches!(
        path,
        ["publish" | "channels" | "connections" | "events"] | ["channels" | "connections", _]
    )
}

/// Answers a request to one of the API's paths, if it has an API key.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    peer: IpAddr,
    path: &[&str],
    request: Request<Incoming>,
) -> Answer {
    if !authorized(shared, &request) {
        let answer = error(
            StatusCode::UNAUTHORIZED,
            "API_KEY_INVALID",
            "one of the server's API keys is needed: `Authorization: Bearer <API key>`",
        );
        return with(answer, [(WWW_AUTHENTICATE, "Bearer")]);
    }
    act(shared, Some(peer), path, request).await
}

/// Answers an authorized request. `peer` is `None` on the admin socket.
pub(super) async fn act(
    shared: &Arc<Shared>,
    peer: Option<IpAddr>,
    path: &[&str],
    request: Request<Incoming>,
) -> Answer {
    let method = request.method().clone();
    let answer = match (path, method) {
        (["publish"], Method::POST) => publish(shared, peer, request).await,
        (["publish"], _) => Ok(method_not_allowed("POST")),
        (["channels"], Method::GET) => channels(shared, &request).await,
        (["channels", name], Method::GET) => channel(shared, name).await,
        (["connections"], Method::GET) => connections(shared, &request),
        (["events"], Method::GET) => feed::answer(shared, &request).await,
        (["connections", id], Method::DELETE) => kick(shared, id),
        (["connections", _], _) => Ok(method_not_allowed("DELETE")),
        _ => Ok(method_not_allowed("GET")),
    };
    answer.unwrap_or_else(Answer::from)
}

fn authorized(shared: &Shared, request: &Request<Incoming>) -> bool {
    upgrade::bearer(request.headers()).is_some_and(|key| {
        shared
            .api_keys
            .iter()
            .any(|known| same_secret(known.as_bytes(), key.as_bytes()))
    })
}

async fn publish(
    shared: &Arc<Shared>,
    peer: Option<IpAddr>,
    request: Request<Incoming>,
) -> Result<Answer, Refused> {
    let trigger = server_trigger(peer, request.headers());
    let text = body::text(request, shared.hub.limits()).await?;
    let object = body::object(&text)?;
    object.unscheduled()?;
    match object.string("event") {
        Ok(Some(event)) if event == Reaction::EVENT => react(shared, trigger, &object).await,
        _ => publish_message(shared, trigger, &object).await,
    }
}

async fn publish_message(
    shared: &Arc<Shared>,
    trigger: Trigger,
    object: &Object<'_, '_>,
) -> Result<Answer, Refused> {
    let channel = object.channel()?;
    let event = object.required("event")?;
    names::check_published(&event)?;
    let store = object.integer("store")?.unwrap_or(0);
    let keep = Keep::from_store(store, clock::now_seconds()).ok_or_else(|| {
        Refusal::invalid(
            "field `store` must be -1 (for ever), 0 (not at all) or 1 to 3,155,695,200 seconds",
        )
    })?;
    let deduplication_id = deduplication_id(object)?;
    let eager = object.flag("eagerIdGeneration")?;
    let published = shared
        .hub
        .publish(Outgoing {
            channel: &channel,
            event: &event,
            data: object.json("data")?,
            sender: None,
            keep,
            except: None,
            deduplication_id: deduplication_id.as_deref(),
            event_out: object.flag("emitPubSubEvent")?.then_some(trigger),
        })
        .await?;
    let Some(id) = published.settled().await else {
        return Ok(stopping());
    };
    Ok(accepted(eager.then_some(id), &channel, &event))
}

pub(super) fn deduplication_id<'a>(
    object: &Object<'a, '_>,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    match object.string("deduplicationId")? {
        Some(id) if id.len() > MAX_DEDUPLICATION_ID => Err(Refusal::invalid(
            "field `deduplicationId` may have 256 bytes at the most",
        )),
        // An empty one is none.
        id => Ok(id.filter(|id| !id.is_empty())),
    }
}

fn server_trigger(peer: Option<IpAddr>, headers: &HeaderMap) -> Trigger {
    Trigger {
        via: Via::ServerHttp,
        connection_id: None,
        source_ip: peer.map(|ip| ip.to_string()),
        user_agent: body::user_agent(headers).map(String::from),
    }
}

/// Reacts to a message in the name of `data.uid`.
async fn react(
    shared: &Arc<Shared>,
    trigger: Trigger,
    object: &Object<'_, '_>,
) -> Result<Answer, Refused> {
    let channel = object.channel()?;
    let event = object.required("event")?;
    let data = object.data()?;
    let uid = data.required("uid")?;
    let limits = shared.hub.limits();
    if uid.is_empty() || !limits.allow_uid(&uid) {
        return Err(Refused::from(Refusal::invalid(format!(
            "field `data.uid` must have 1 to {} characters",
            limits.uid_characters
        ))));
    }
    let umd = data.json("umd")?;
    if !limits.allow_umd(&umd) {
        return Err(Refused::from(Refusal::invalid(format!(
            "field `data.umd` has {} bytes as compact JSON, and may have {}",
            umd.as_str().len(),
            limits.umd_bytes
        ))));
    }
    let reaction = Reaction::from_object(&data)?;
    let emit = object.flag("emitPubSubEvent")?;
    let eager = object.flag("eagerIdGeneration")?;
    let deduplication_id = deduplication_id(object)?;
    let new = NewReaction {
        channel: &channel,
        uid: &uid,
        umd: &umd,
        reaction: &reaction,
        trigger,
        deduplication_id: deduplication_id.as_deref(),
        sender: None,
    };
    let id = shared.hub.react(new, |_| Some(emit)).await?;
    Ok(accepted(id.filter(|_| eager), &channel, &event))
}

async fn channels(shared: &Shared, request: &Request<Incoming>) -> Result<Answer, Refused> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        channels: Vec<Entry<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<&'a str>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        name: &'a str,
        subscriptions_count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        member_count: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        capacity: Option<u64>,
    }
    let query = request.uri().query();
    let after = body::parameter(query, "after").unwrap_or_default();
    let prefix = body::parameter(query, "prefix").unwrap_or_default();
    let page = shared.hub.channel_page(&after, &prefix).await?;
    let channels = page
        .iter()
        .map(|info| {
            let members = info.members.as_ref();
            Entry {
                name: &info.name,
                subscriptions_count: info.subscriptions_count,
                member_count: members.map(|members| members.count),
                bytes: members.map(|members| members.bytes),
                capacity: members.map(|members| members.capacity),
            }
        })
        .collect();
    let next = full_page(&page).map(|last| &*last.name);
    Ok(value(StatusCode::OK, &Body { channels, next }))
}

async fn channel(shared: &Shared, name: &str) -> Result<Answer, Refused> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        name: &'a str,
        subscriptions_count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<Json>,
    }
    let name = decode_segment(name).ok_or_else(|| {
        Refusal::new(
            ErrorCode::InvalidChannelName,
            "the name in the path is not percent-encoded UTF-8",
        )
    })?;
    names::check_channel(&name)?;
    let info = shared.hub.channel_info(&name).await?;
    let body = Body {
        name: &info.name,
        subscriptions_count: info.subscriptions_count,
        members: members(&info),
    };
    Ok(value(StatusCode::OK, &body))
}

fn connections(shared: &Shared, request: &Request<Incoming>) -> Result<Answer, Refused> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        connections: Vec<Entry<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        id: String,
        connected_at: &'a str,
        source_ip: String,
        user_agent: Option<&'a str>,
        uid: Option<&'a str>,
        umd: &'a Json,
        subscriptions_count: usize,
    }
    let query = request.uri().query();
    let after = body::parameter(query, "after")
        .map(|after| after.parse::<ConnectionId>())
        .transpose()
        .map_err(|invalid| Refusal::invalid(format!("parameter `after`: {invalid}")))?;
    let uid = body::parameter(query, "uid");
    let page = shared.hub.connection_page(after, uid.as_deref());
    let connections = page
        .iter()
        .map(|info| Entry {
            id: info.id.to_string(),
            connected_at: &info.connected_at,
            source_ip: info.source_ip.to_string(),
            user_agent: info.user_agent.as_deref(),
            uid: info.uid.as_deref(),
            umd: &info.umd,
            subscriptions_count: info.subscriptions,
        })
        .collect();
    let next = full_page(&page).map(|last| last.id.to_string());
    Ok(value(StatusCode::OK, &Body { connections, next }))
}

/// The last entry of a full page, behind which there may be more.
fn full_page<T>(page: &[T]) -> Option<&T> {
    (page.len() == PAGE).then(|| page.last()).flatten()
}

fn kick(shared: &Shared, id: &str) -> Result<Answer, Refused> {
    let id = id
        .parse::<ConnectionId>()
        .map_err(|invalid| Refusal::invalid(invalid.to_string()))?;
    Ok(match shared.hub.kick(id) {
        true => empty(StatusCode::NO_CONTENT),
        false => not_found("there is no such connection"),
    })
}

pub(super) fn decode_segment(segment: &str) -> Option<String> {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8()
        .ok()
        .map(Into::into)
}
