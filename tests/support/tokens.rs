//! Tokens that several tests use, signed as their server wants it.

use serde_json::{Value, json};

use super::{Server, Token};

impl Token {
    /// A token that opens a connection for `uid`, whose messages on every channel have these directives.
    pub fn saying(uid: &str, directives: Value) -> Self {
        Self::of(uid).channels(json!({"*": {"subscribe": true, "messages": {"*": directives}}}))
    }

    /// A token that opens a connection for `uid`, which may do everything with every channel.
    pub fn everything(uid: &str) -> Self {
        Self::of(uid).channels(json!({"*": {
            "subscribe": true, "getInfo": true, "historyStart": 0,
            "messages": {"*": {"broadcast": true, "echo": true, "store": 600, "react": true}},
        }}))
    }

    /// A token that changes the metadata of `connection`, on every channel and as a whole.
    pub fn umd_of(connection: &str, umd: Value) -> Self {
        Self::anonymous()
            .claim("scope", json!("umd"))
            .claim("connectionId", json!(connection))
            .claim("umd", umd)
            .claim("umdUpdate", json!(true))
            .claim("channels", json!({"*": {"umdUpdate": true}}))
    }

    /// A token that subscribes `connection` to what `channels` allows.
    pub fn subscribe_of(connection: &str, channels: Value) -> Self {
        Self::anonymous()
            .claim("scope", json!("subscribe"))
            .claim("connectionId", json!(connection))
            .claim("channels", channels)
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Signed with the key that `server` accepts.
    pub fn for_server(&self, server: &Server) -> String {
        server.key().sign(&self.claims()).unwrap()
    }
}
