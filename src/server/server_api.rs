//! The server HTTP API (section 12): for back ends, with an API key.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;

use super::answer::{Answer, Refused, empty, error, method_not_allowed, not_found, refusal, value};
use super::client_api::{accepted, members, stopping};
use super::{Shared, body, feed, upgrade};
use crate::auth::same_secret;
use crate::hub::{ChannelInfo, ConnectionInfo, NewReaction, Outgoing, PAGE};
use crate::messages::Keep;
use crate::protocol::event_out::{Trigger, Via};
use crate::protocol::{ConnectionId, ErrorCode, Json, Object, Reaction, Refusal, names};

/// The longest `deduplicationId`, in bytes.
pub(super) const MAX_DEDUPLICATION_ID: usize = 256;

/// Whether a path is one of the API's.
pub(super) fn has(path: &[&str]) -> bool {
    matches!(
        path,
        ["publish" | "channels" | "connections" | "events"] | ["channels" | "connections", _]
    )
}

/// Answers a request whose path is one of the API's, if it has an API key.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    peer: IpAddr,
    path: &[&str],
    request: Request<Incoming>,
) -> Answer {
    if !authorized(shared, &request) {
        let mut answer = error(
            StatusCode::UNAUTHORIZED,
            "API_KEY_INVALID",
            "one of the server's API keys is needed: `Authorization: Bearer <API key>`",
        );
        answer
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return answer;
    }
    act(shared, Some(peer), path, request).await
}

/// Answers a request of somebody who may ask; `peer` is none where the request came by no network.
pub(super) async fn act(
    shared: &Arc<Shared>,
    peer: Option<IpAddr>,
    path: &[&str],
    request: Request<Incoming>,
) -> Answer {
    let method = request.method().clone();
    match (path, method) {
        (["publish"], Method::POST) => match publish(shared, peer, request).await {
            Ok(answer) => answer,
            Err(refused) => *refused,
        },
        (["publish"], _) => method_not_allowed("POST"),
        (["channels"], Method::GET) => channels(shared, &request).await,
        (["channels", name], Method::GET) => channel(shared, name).await,
        (["connections"], Method::GET) => connections(shared, &request),
        (["events"], Method::GET) => feed::answer(shared, &request).await,
        (["connections", id], Method::DELETE) => kick(shared, id),
        (["connections", _], _) => method_not_allowed("DELETE"),
        _ => method_not_allowed("GET"),
    }
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
    object.unscheduled().map_err(|refused| refusal(&refused))?;
    let result = match object.string("event") {
        Ok(Some(event)) if event == Reaction::EVENT => react(shared, trigger, &object).await,
        _ => publish_message(shared, trigger, &object).await,
    };
    result.map_err(|refused| refusal(&refused).into())
}

async fn publish_message(
    shared: &Arc<Shared>,
    trigger: Trigger,
    object: &Object<'_, '_>,
) -> Result<Answer, Refusal> {
    let channel = object.channel()?;
    let event = object.required("event")?;
    names::check_published(&event)?;
    let store = object.integer("store")?.unwrap_or(0);
    let keep = Keep::from_store(store, shared.now_seconds()).ok_or_else(|| {
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
    // An empty one is none.
    let id = object
        .string("deduplicationId")?
        .filter(|id| !id.is_empty());
    if id
        .as_ref()
        .is_some_and(|id| id.len() > MAX_DEDUPLICATION_ID)
    {
        return Err(Refusal::invalid(
            "field `deduplicationId` may have 256 bytes at the most",
        ));
    }
    Ok(id)
}

/// A back end's request: where it came from, and by which program. `peer` is none where it came by the admin socket.
fn server_trigger(peer: Option<IpAddr>, headers: &HeaderMap) -> Trigger {
    Trigger {
        via: Via::ServerHttp,
        connection_id: None,
        source_ip: peer.map(|ip| ip.to_string()),
        user_agent: body::user_agent(headers).map(String::from),
    }
}

/// A reaction in the name of `data.uid`.
async fn react(
    shared: &Arc<Shared>,
    trigger: Trigger,
    object: &Object<'_, '_>,
) -> Result<Answer, Refusal> {
    let channel = object.channel()?;
    let event = object.required("event")?;
    let data = object.data()?;
    let uid = data.required("uid")?;
    let limits = shared.hub.limits();
    if uid.is_empty() || !limits.allow_uid(&uid) {
        return Err(Refusal::invalid(format!(
            "field `data.uid` must have 1 to {} characters",
            limits.uid_characters
        )));
    }
    let umd = data.json("umd")?;
    if !limits.allow_umd(&umd) {
        return Err(Refusal::invalid(format!(
            "field `data.umd` has {} bytes as compact JSON, and may have {}",
            umd.as_str().len(),
            limits.umd_bytes
        )));
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

async fn channels(shared: &Shared, request: &Request<Incoming>) -> Answer {
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
    let page: Vec<ChannelInfo> = match shared.hub.channel_page(&after, &prefix).await {
        Ok(page) => page,
        Err(refused) => return refusal(&refused),
    };
    let channels = page
        .iter()
        .map(|info| Entry {
            name: &info.name,
            subscriptions_count: info.subscriptions_count,
            member_count: info.members.as_ref().map(|members| members.count),
            bytes: info.members.as_ref().map(|members| members.bytes),
            capacity: info.members.as_ref().map(|members| members.capacity),
        })
        .collect();
    let next = full_page(&page).map(|last| &*last.name);
    value(StatusCode::OK, &Body { channels, next })
}

async fn channel(shared: &Shared, name: &str) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        name: &'a str,
        subscriptions_count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<Json>,
    }
    let Some(name) = decode_segment(name) else {
        return refusal(&Refusal::new(
            ErrorCode::InvalidChannelName,
            "the name in the path is not percent-encoded UTF-8",
        ));
    };
    if let Err(refused) = names::check_channel(&name) {
        return refusal(&refused);
    }
    let info = match shared.hub.channel_info(&name).await {
        Ok(info) => info,
        Err(refused) => return refusal(&refused),
    };
    let body = Body {
        name: &info.name,
        subscriptions_count: info.subscriptions_count,
        members: members(&info),
    };
    value(StatusCode::OK, &body)
}

fn connections(shared: &Shared, request: &Request<Incoming>) -> Answer {
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
    let after = match body::parameter(query, "after").map(|after| after.parse::<ConnectionId>()) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(invalid)) => {
            return refusal(&Refusal::invalid(format!("parameter `after`: {invalid}")));
        }
    };
    let uid = body::parameter(query, "uid");
    let page: Vec<ConnectionInfo> = shared.hub.connection_page(after, uid.as_deref());
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
    value(StatusCode::OK, &Body { connections, next })
}

/// The last entry of a full page: there may be more behind it.
fn full_page<T>(page: &[T]) -> Option<&T> {
    (page.len() == PAGE).then(|| page.last()).flatten()
}

fn kick(shared: &Shared, id: &str) -> Answer {
    match id.parse() {
        Ok(id) if shared.hub.kick(id) => empty(StatusCode::NO_CONTENT),
        Ok(_) => not_found("there is no such connection"),
        Err(invalid) => refusal(&Refusal::invalid(invalid.to_string())),
    }
}

/// A segment of a path, decoded.
pub(super) fn decode_segment(segment: &str) -> Option<String> {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8()
        .ok()
        .map(Into::into)
}
