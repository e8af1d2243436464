//! Tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Server;

/// Unix time in seconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The claims of a token: unless a test says otherwise it is for connecting, and may subscribe to everything.
#[derive(Debug, Clone)]
pub struct Token(Map<String, Value>);

impl Token {
    /// A token that opens a connection for `uid`.
    pub fn of(uid: &str) -> Self {
        Self::anonymous().claim("uid", json!(uid))
    }

    /// The same for nobody in particular.
    pub fn anonymous() -> Self {
        let claims = json!({
            "exp": now() + 600,
            "scope": "connect",
            "channels": {"*": {"subscribe": true}},
        });
        Self(claims.as_object().unwrap().clone())
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

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// What others see of its user.
    pub fn umd(self, umd: Value) -> Self {
        self.claim("umd", umd)
    }

    /// What it allows.
    pub fn channels(self, channels: Value) -> Self {
        self.claim("channels", channels)
    }

    /// Its claims.
    pub fn claims(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Signed with the key that `server` accepts.
    pub fn for_server(&self, server: &Server) -> String {
        server.key().sign(&self.claims()).unwrap()
    }
}
