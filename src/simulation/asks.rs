//! The HTTP requests: of back ends, and of clients over the Client HTTP API. What is answered is what `server` answers, as
//! far as a model needs it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::line::Client;
use super::session::client_info;
use crate::hub::{
    ClientMessage, Connection, Hub, Listed, NewReaction, Origin, Outgoing, PageRequest, Published,
};
use crate::messages::Keep;
use crate::protocol::event_out::{Trigger, Via};
use crate::protocol::{ErrorCode, Json, MessageId, Reaction, ReactionEvent, Refusal, names};
use crate::world::clock;

/// A request's name in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call(pub usize);

/// What comes back: a document, or an error's code. `HUNG_UP`: the server was not there, or is not any more.
pub type Answer = Result<Value, String>;

/// A request that is no WebSocket frame. Those of a client come with its connection's secret.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of the protocol")]
pub enum Ask {
    /// A back end publishes. `store` is as in a claim.
    Publish {
        channel: String,
        event: String,
        data: String,
        store: i64,
        deduplication_id: Option<String>,
        emit: bool,
    },
    /// A back end reacts in somebody's name.
    React {
        channel: String,
        uid: String,
        umd: String,
        message: String,
        reaction: String,
        remove: bool,
    },
    /// A client publishes.
    ClientPublish {
        client: Client,
        channel: String,
        event: String,
        data: String,
    },
    /// A client reacts.
    ClientReact {
        client: Client,
        channel: String,
        message: String,
        reaction: String,
        remove: bool,
    },
    /// A client lists messages; `after` is where `reverse` has it end.
    ListMessages {
        client: Client,
        channel: String,
        after: Option<String>,
        reverse: bool,
    },
    /// A client lists the reactions to a message.
    ListReactions {
        client: Client,
        channel: String,
        message: String,
    },
    /// A client changes its metadata: `token` is a token's text.
    UmdUpdate {
        client: Client,
        channel: Option<String>,
        token: Value,
    },
    /// A back end looks at a channel.
    ChannelInfo { channel: String },
    /// A back end closes a connection.
    Kick { client: Client },
}

impl Ask {
    /// The client that it is of, or about.
    pub(super) fn client(&self) -> Option<Client> {
        match self {
            Self::ClientPublish { client, .. }
            | Self::ClientReact { client, .. }
            | Self::ListMessages { client, .. }
            | Self::ListReactions { client, .. }
            | Self::UmdUpdate { client, .. }
            | Self::Kick { client } => Some(*client),
            Self::Publish { .. } | Self::React { .. } | Self::ChannelInfo { .. } => None,
        }
    }
}

/// Has the hub answer. `credentials` are those of the client, as far as it knows them.
pub(super) async fn answer(
    hub: Arc<Hub>,
    ask: Ask,
    credentials: Option<(String, String)>,
) -> Answer {
    let (id, secret) = credentials.unwrap_or_default();
    if let Ask::Kick { .. } = ask {
        return Ok(json!({ "kicked": id.parse().is_ok_and(|id| hub.kick(id)) }));
    }
    let answered = match ask.client().map(|_| hub.authenticate(&id, &secret)) {
        None => of_back_end(&hub, ask).await,
        Some(Some(connection)) => of_client(&hub, &connection, ask).await,
        Some(None) => Err(Refusal::new(
            ErrorCode::ConnectionUnknown,
            "there is no such connection",
        )),
    };
    answered.map_err(|refused| refused.code.as_str().to_owned())
}

async fn of_back_end(hub: &Arc<Hub>, ask: Ask) -> Result<Value, Refusal> {
    let trigger = Trigger {
        via: Via::ServerHttp,
        connection_id: None,
        source_ip: Some(client_info().source_ip.to_string()),
        user_agent: None,
    };
    match ask {
        Ask::Publish {
            channel,
            event,
            data,
            store,
            deduplication_id,
            emit,
        } => {
            names::check_channel(&channel)?;
            names::check_published(&event)?;
            let keep = Keep::from_store(store, clock::now_seconds())
                .ok_or_else(|| Refusal::invalid("`store` is out of bounds"))?;
            let outgoing = Outgoing {
                channel: &channel,
                event: &event,
                data: json_of(&data)?,
                sender: None,
                keep,
                except: None,
                deduplication_id: deduplication_id.as_deref(),
                event_out: emit.then_some(trigger),
            };
            let published = hub.publish(outgoing).await?;
            settled(published, &channel).await
        }
        Ask::React {
            channel,
            uid,
            umd,
            message,
            reaction,
            remove,
        } => {
            names::check_channel(&channel)?;
            let new = NewReaction {
                channel: &channel,
                uid: &uid,
                umd: &json_of(&umd)?,
                reaction: &reaction_of(&message, reaction, remove)?,
                trigger,
                deduplication_id: None,
                sender: None,
            };
            let id = hub.react(new, |_| Some(true)).await?;
            Ok(accepted(id, &channel))
        }
        Ask::ChannelInfo { channel } => {
            names::check_channel(&channel)?;
            let info = hub.channel_info(&channel).await?;
            let mut value =
                json!({ "name": &*info.name, "subscriptionsCount": info.subscriptions_count });
            if let Some(members) = &info.members {
                value["members"] = value_of(&members.list);
                value["bytes"] = members.bytes.into();
            }
            Ok(value)
        }
        _ => Err(Refusal::invalid("this is a client's request")),
    }
}

async fn of_client(
    hub: &Arc<Hub>,
    connection: &Arc<Connection>,
    ask: Ask,
) -> Result<Value, Refusal> {
    let from = client_info();
    match ask {
        Ask::ClientPublish {
            channel,
            event,
            data,
            ..
        } => {
            names::check_channel(&channel)?;
            names::check_published(&event)?;
            let message = ClientMessage {
                channel: &channel,
                event: &event,
                data: json_of(&data)?,
            };
            let (channel, published) = hub
                .publish_from(connection, message, Origin::Http(&from))
                .await?;
            settled(published, &channel).await
        }
        Ask::ClientReact {
            channel,
            message,
            reaction,
            remove,
            ..
        } => {
            names::check_channel(&channel)?;
            let reaction = reaction_of(&message, reaction, remove)?;
            let (channel, id) = hub
                .react_from(connection, &channel, &reaction, Origin::Http(&from))
                .await?;
            Ok(accepted(id, &channel))
        }
        Ask::ListMessages {
            channel,
            after,
            reverse,
            ..
        } => {
            names::check_channel(&channel)?;
            let bound = after.as_deref().map(message_id).transpose()?;
            let request = PageRequest {
                channel: &channel,
                after: bound.filter(|_| !reverse),
                before: bound.filter(|_| reverse),
                reverse,
                expand: false,
            };
            let (_, page) = hub.list_messages(connection, &request).await?;
            Ok(json!({ "messages": page.iter().map(listed).collect::<Vec<_>>() }))
        }
        Ask::ListReactions {
            channel, message, ..
        } => {
            names::check_channel(&channel)?;
            let message = message_id(&message)?;
            let page = hub
                .list_reactions(connection, &channel, message, None)
                .await?;
            let reactions: Vec<Value> = page
                .iter()
                .map(|(reaction, by)| {
                    json!({ "reaction": reaction, "uid": by.uid, "umd": value_of(by.umd.as_bytes()) })
                })
                .collect();
            Ok(json!({ "reactions": reactions }))
        }
        Ask::UmdUpdate { channel, token, .. } => {
            if let Some(channel) = &channel {
                names::check_channel(channel)?;
            }
            let token = token.as_str().unwrap_or_default();
            hub.update_metadata(connection, channel.as_deref(), token)
                .await?;
            Ok(json!({}))
        }
        _ => Err(Refusal::invalid("this is a back end's request")),
    }
}

async fn settled(published: Published, channel: &str) -> Result<Value, Refusal> {
    let stopping = || Refusal::new(ErrorCode::ServerStopping, "the server is stopping");
    let id = published.settled().await.ok_or_else(stopping)?;
    Ok(accepted(Some(id), channel))
}

fn accepted(id: Option<MessageId>, channel: &str) -> Value {
    json!({ "id": id.map(|id| id.to_string()), "channel": channel })
}

fn listed(listed: &Listed) -> Value {
    let record = &listed.message.record;
    let counts = listed.reactions.iter();
    let reactions: serde_json::Map<String, Value> = counts
        .map(|(reaction, reacted)| (reaction.clone(), reacted.count.into()))
        .collect();
    json!({
        "id": listed.message.id.to_string(),
        "event": record.event,
        "data": value_of(&record.data),
        "meta": record.has_meta.then(|| json!({
            "uid": record.uid,
            "umd": value_of(record.umd.as_bytes()),
        })),
        "reactions": reactions,
    })
}

fn json_of(text: &str) -> Result<Json, Refusal> {
    Json::parse(text).map_err(|error| Refusal::invalid(error.to_string()))
}

fn value_of(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    text.parse()
        .map_err(|_| Refusal::invalid("this is no id of a message"))
}

fn reaction_of(
    message: &str,
    reaction: String,
    remove: bool,
) -> Result<Reaction<'static>, Refusal> {
    names::check_reaction(&reaction)?;
    Ok(Reaction {
        message: message_id(message)?,
        reaction: reaction.into(),
        event: match remove {
            true => ReactionEvent::Removed,
            false => ReactionEvent::Added,
        },
    })
}
