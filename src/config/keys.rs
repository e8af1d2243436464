//! `[auth]` and `[api]`: keys and secrets, from the configuration or from the files that it names, checked and made ready
//! for use. No message holds any of their content.

use std::fmt;
use std::ops::RangeInclusive;

use super::declare::{keys, section};
use super::forms::{contents, flag, list_as_in, parsed, tables, text};
use super::place::Place;
use super::units::base64;
use crate::auth::{Algorithm, VerificationKey};

/// An API key that is shorter could be guessed.
const API_KEY_CHARS: RangeInclusive<usize> = 32..=512;

section! {
    /// `[auth]`.
    #[derive(Debug)]
    pub struct Auth {
        /// what a token's "aud" must name; default: not looked at
        audience: Option<String> = text("hotsock");
        /// what a token's "iss" must be; default: not looked at
        issuer: Option<String> = text("my-app");
        /// one or more; several for rotation
        keys: Vec<VerificationKey> = tables(verification_key).required(
            "without a key no token can be verified: add [[auth.keys]] with algorithm and public_key_file \
             (`rollcall keygen` makes a pair)");
    }
}

section! {
    /// One of `[[auth.keys]]`, as it is written.
    struct VerificationKeyKeys {
        /// accepts only tokens of this "kid"; default: of any, or none
        id: Option<String> = text("2026-1");
        /// HS256/384/512, RS256/384/512, PS256/384/512, ES256/384/512 or EdDSA
        algorithm: Option<Algorithm> = parsed("ES256", algorithm).required("say how tokens are signed");
        /// of whoever signs tokens, as PEM
        public_key_file: Option<String> = contents("/etc/rollcall/jwt-public.pem",
            "put the public key there of whoever signs tokens, as PEM, or make a pair with \
             `rollcall keygen --out {dir}`").usual();
        /// instead of the file
        public_key: Option<String> = text("-----BEGIN PUBLIC KEY-----…");
        /// HS256/384/512 instead: Base64 of at least 32 bytes
        secret: Option<String> = text("…");
        /// the same text in a file
        secret_file: Option<String> = contents("/etc/rollcall/jwt-secret", "put the secret there, as Base64");
        /// take a shorter secret, for as long as tokens are still signed with one
        allow_short: bool = flag(false);
    }
}

section! {
    /// `[api]`, as it is written.
    pub(super) struct ApiKeys {
        /// 32 to 512 characters each; default: none, the server HTTP API refuses everybody
        keys: Vec<ApiKey> = list_as_in(&["…"], |text, _| api_key(text));
        /// one a line; in addition to keys
        keys_file: Option<String> = contents("/etc/rollcall/api-keys", "put the keys there, one a line");
    }
}

/// `[api]`.
#[derive(Debug, Clone, Default)]
pub struct Api {
    /// The API keys, from `keys` and from `keys_file` (in which empty lines and lines that begin with `#` are skipped).
    /// Without one, every request to the server HTTP API is refused.
    pub keys: Vec<ApiKey>,
}

/// An API key. It shows itself only when asked to.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key, without checking it.
    pub(crate) fn new(key: String) -> Self {
        Self(key)
    }

    /// The key itself. Compare it in constant time.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

pub(super) fn api(keys: ApiKeys, place: &Place<'_>) -> Api {
    let mut api = Api { keys: keys.keys };
    let lines = keys.keys_file.as_deref().unwrap_or_default().lines();
    for (position, line) in lines.map(str::trim).enumerate() {
        if !line.is_empty() && !line.starts_with('#') {
            let key = api_key(line).map_err(|wrong| format!("line {}: {wrong}", position + 1));
            api.keys.extend(place.key("keys_file").note(key));
        }
    }
    api
}

fn api_key(text: &str) -> Result<ApiKey, String> {
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    if printable && API_KEY_CHARS.contains(&text.len()) {
        return Ok(ApiKey::new(text.to_owned()));
    }
    let wrong = if printable {
        format!("has {} characters", text.len())
    } else {
        "has a space or a character that is not printable ASCII".to_owned()
    };
    Err(format!(
        "the key {wrong}; it must have {} to {} printable characters without spaces, so that nobody can guess it \
         (`rollcall keygen --api-key` makes one)",
        API_KEY_CHARS.start(),
        API_KEY_CHARS.end()
    ))
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|unknown| format!("{unknown}"))
}

fn verification_key(
    keys: VerificationKeyKeys,
    place: &Place<'_>,
    _: &[VerificationKey],
) -> Option<VerificationKey> {
    let algorithm = keys.algorithm?;
    let public = [
        ("public_key", keys.public_key),
        ("public_key_file", keys.public_key_file),
    ];
    let secret = [("secret", keys.secret), ("secret_file", keys.secret_file)];
    let any = public
        .iter()
        .chain(&secret)
        .any(|(key, _)| place.key(key).is_there());
    let ([one, other], unwanted, mend) = match algorithm.is_hmac() {
        true => (secret, public, "secret or secret_file"),
        false => (public, secret, "public_key or public_key_file"),
    };
    for (key, _) in unwanted.iter().filter(|(_, text)| text.is_some()) {
        place.key(key).report(format!(
            "{algorithm} has no use for it; give {mend} instead"
        ));
    }
    if !algorithm.is_hmac() && keys.allow_short {
        place
            .key("allow_short")
            .report(format!("{algorithm} has no use for it; it is for secrets"));
    }
    if !any {
        place
            .key("algorithm")
            .report(format!("{algorithm} needs a key; give {mend}"));
    }
    let (key, text) = either(place, one, other)?;
    let made = if algorithm.is_hmac() {
        let Some(bytes) = base64(&text) else {
            key.report(
                "must be Base64; `rollcall keygen --algorithm HS256` makes a secret, and `base64 -w0 FILE` turns an \
                 existing one into Base64",
            );
            return None;
        };
        match keys.allow_short {
            true => VerificationKey::new_short_secret(keys.id, algorithm, &bytes),
            false => VerificationKey::new_secret(keys.id, algorithm, &bytes),
        }
    } else {
        VerificationKey::new_public(keys.id, algorithm, &text)
    };
    key.note(made.map_err(|error| error.to_string()))
}

/// What was given of two keys that say the same, and where; not both may be.
pub(super) fn either<'a>(
    table: &Place<'a>,
    one: (&str, Option<String>),
    other: (&str, Option<String>),
) -> Option<(Place<'a>, String)> {
    let ((name, text), (other_name, other_text)) = (one, other);
    match (text, other_text) {
        (Some(_), Some(_)) => {
            let message = format!("give one of {name} or {other_name}, not both");
            table.key(other_name).report(message);
            None
        }
        (Some(text), None) => Some((table.key(name), text)),
        (None, Some(text)) => Some((table.key(other_name), text)),
        (None, None) => None,
    }
}
