//! The tokens of the simulation's clients.

use serde_json::{Value, json};

use crate::steps::{KINDS, Pass};

/// The alias of `presence.a` in every token.
pub const ALIAS: &str = "front";

/// A token to connect with. `expires` is for one that serves once.
pub fn connect(pass: &Pass, expires: u64) -> Value {
    let mut messages = json!({});
    for kind in KINDS {
        messages[kind.event] = json!({
            "publish": true, "echo": kind.echo, "store": kind.store, "emitPubSubEvent": kind.emit, "react": true
        });
    }
    let mut channels = json!({
        "*": {
            "subscribe": true, "getInfo": true, "historyStart": 0, "omitFromSubCount": pass.omit, "messages": messages
        },
        "presence.a": {"alias": ALIAS},
    });
    for channel in &pass.auto {
        if channels.get(channel).is_none() {
            channels[channel] = json!({});
        }
        channels[channel]["autoSubscribe"] = true.into();
    }
    let mut claims = json!({"scope": "connect", "umd": umd(pass.umd), "channels": channels});
    if let Some(uid) = pass.uid {
        claims["uid"] = uid.into();
    }
    if let Some(once) = pass.once {
        serve_once(&mut claims, once, expires);
    }
    claims
}

/// A token to subscribe with.
pub fn subscribe(bearer: Bearer<'_>, own_umd: &str, once: Option<(u8, u64)>) -> Value {
    let mut claims =
        json!({"scope": "subscribe", "umd": umd(own_umd), "channels": {"*": {"subscribe": true}}});
    bearer.name(&mut claims);
    if let Some((once, expires)) = once {
        serve_once(&mut claims, once, expires);
    }
    claims
}

/// A token to change metadata with.
pub fn update(bearer: Bearer<'_>, own_umd: &str) -> Value {
    let mut claims = json!({
        "scope": "umd", "umd": umd(own_umd), "umdUpdate": true, "umdPropagate": true,
        "channels": {"*": {"umdUpdate": true}}
    });
    bearer.name(&mut claims);
    claims
}

/// Whom a token is for.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    pub uid: Option<&'a str>,
    pub connection: &'a str,
}

impl Bearer<'_> {
    fn name(self, claims: &mut Value) {
        match self.uid {
            Some(uid) => claims["uid"] = uid.into(),
            None => claims["connectionId"] = self.connection.into(),
        }
    }
}

fn serve_once(claims: &mut Value, once: u8, expires: u64) {
    claims["jti"] = format!("t{once}").into();
    claims["singleUse"] = true.into();
    claims["exp"] = expires.into();
}

pub fn umd(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
