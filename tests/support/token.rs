//! Tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// Unix time in seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The claims of a token: unless a test says otherwise it is for connecting, and may subscribe to everything.
#[derive(Debug, Clone)]
pub(crate) struct Token(pub(super) Map<String, Value>);

impl Token {
    /// A token that opens a connection for `uid`.
    pub(crate) fn of(uid: &str) -> Self {
        Self::anonymous().claim("uid", json!(uid))
    }

    /// The same for nobody in particular.
    pub(crate) fn anonymous() -> Self {
        let claims = json!({
            "exp": now() + 600,
            "scope": "connect",
            "channels": {"*": {"subscribe": true}},
        });
        Self(claims.as_object().unwrap().clone())
    }

    /// Sets a claim.
    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// What others see of its user.
    pub(crate) fn umd(self, umd: Value) -> Self {
        self.claim("umd", umd)
    }

    /// What it allows.
    pub(crate) fn channels(self, channels: Value) -> Self {
        self.claim("channels", channels)
    }

    /// Its claims.
    pub(crate) fn claims(&self) -> Value {
        Value::Object(self.0.clone())
    }
}
