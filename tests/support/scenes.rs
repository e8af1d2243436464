//! What many tests begin with.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Client, Server, Token};

pub const PING: &str = r#"{"event":"hotsock.ping"}"#;
pub const PONG: &str = r#"{"event":"hotsock.pong","data":{}}"#;
pub const HEARTBEAT: &str = r#"{"event":"hotsock.heartbeat"}"#;

/// The frame that subscribes to a channel.
pub fn subscribe(channel: &str) -> Value {
    json!({"event": "hotsock.subscribe", "channel": channel})
}

/// The frame that unsubscribes from a channel.
pub fn unsubscribe(channel: &str) -> Value {
    json!({"event": "hotsock.unsubscribe", "channel": channel})
}

/// The frame that changes the metadata of `client` on a channel.
pub fn update(server: &Server, client: &Client, channel: &str, umd: Value) -> Value {
    let token = Token::umd_of(&client.id, umd).for_server(server);
    json!({"event": "hotsock.umdUpdate", "channel": channel, "data": {"token": token}})
}

/// A reaction, as a frame and as a body.
pub fn react(channel: &str, message: &str, reaction: &str, action: &str) -> Value {
    json!({"event": "hotsock.messageReaction", "channel": channel,
        "data": {"messageId": message, "reaction": reaction, "action": action}})
}

/// The uids of a list of members, in its order.
pub fn uids(list: &Value) -> Vec<&str> {
    let members = list["members"].as_array().unwrap();
    members.iter().map(|m| m["uid"].as_str().unwrap()).collect()
}

/// Sends them all in one go, and reads nothing: they are at the server before the first has been dealt with.
pub async fn burst<F: ToString>(client: &mut Client, frames: impl IntoIterator<Item = F>) {
    for frame in frames {
        let frame = Message::text(frame.to_string());
        client.socket.feed(frame).await.unwrap();
    }
    client.socket.flush().await.unwrap();
}

impl Client {
    /// Somebody with this metadata joins. Returns the answer too.
    pub async fn join_with(server: &Server, uid: &str, umd: Value, channel: &str) -> (Self, Value) {
        let mut client = Self::connect(server, &Token::of(uid).umd(umd)).await;
        let answer = client.subscribe(channel).await;
        (client, serde_json::from_str(&answer).unwrap())
    }

    /// The two of them in a channel, who have heard all that there is to hear.
    pub async fn jim_and_pam(server: &Server, channel: &str) -> (Self, Self) {
        let (mut jim, _) = Self::join(server, "Jim", channel).await;
        let (pam, _) = Self::join(server, "Pam", channel).await;
        jim.expect_member("Added", "Pam").await;
        (jim, pam)
    }

    /// Somebody who stays in a channel, and must not notice anything.
    pub async fn bystander(server: &Server, channel: &str) -> Self {
        let (mut client, _) = Self::join(server, "Bystander", channel).await;
        client.expect_silence().await;
        client
    }
}
