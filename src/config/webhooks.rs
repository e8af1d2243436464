//! `[events]` and its webhooks.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::declare::{keys, section};
use super::forms::{contents, file, list_as_in, number, parsed, tables, text};
use super::keys::either;
use super::place::Place;
use super::units::{BYTES, DAY, GIB, HOUR, MIB, MINUTE, TIME, base64, nearest};
use crate::protocol::{EventKind, EventKinds};

/// What the Standard Webhooks specification asks of a secret, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

section! {
    /// `[events]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Events {
        /// how long to keep what could not be delivered
        retention: Duration = number(TIME, 72 * HOUR, MINUTE..=90 * DAY,
            "a back end must have time to come back, and what waits takes room on the disk").written("72h");
        /// what all of them may take, member lists half of it at the most
        max_bytes: u64 = number(BYTES, 256 * MIB, MIB..=1024 * GIB,
            "events must have room to wait, and must not fill the disk");
        /// none by default
        webhooks: Vec<Webhook> = tables(webhook);
    }
}

section! {
    /// One of `[[events.webhooks]]`, as it is written.
    struct WebhookKeys {
        /// what logs and commands call it: 1 to 64 letters, digits, "-", "_" or "."
        name: Option<String> = parsed("app", name).required("it is how logs and commands speak of the webhook");
        /// or http:// to a receiver on this machine
        url: Option<String> = parsed("https://app.example/hooks", url).required("say where events go");
        /// or secret_file; Standard Webhooks: Base64 of 24 to 64 bytes
        secret: Option<String> = text("whsec_…");
        /// the same text in a file
        secret_file: Option<String> = contents("/etc/rollcall/webhook-secret", "put the secret there");
        /// empty: all
        types: Vec<EventKind> = list_as_in(&["hotsock.memberAdded", "hotsock.memberRemoved"], kind);
        /// authorities to trust for this URL; default: the system's
        ca_file: Option<PathBuf> = file("/etc/rollcall/ca.pem", "put the authorities' certificates there, as PEM");
    }
}

/// One of `[[events.webhooks]]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// What it is called in logs and on the command line; unique.
    pub name: String,
    /// Where events are posted to: an `https://` URL, or `http://` on this machine.
    pub url: String,
    /// What they are signed with.
    pub secret: WebhookSecret,
    /// The types of events to send.
    pub types: EventKinds,
    /// PEM file with the certificate authorities to trust for this URL. Without: the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for Webhook {
    /// Without its secrets, of which the URL may be one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.name)
    }
}

/// A webhook's signing secret, decoded. It shows itself only when asked to.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// Takes a secret, without checking it.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The key of the HMAC-SHA256.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

fn webhook(keys: WebhookKeys, place: &Place<'_>, before: &[Webhook]) -> Option<Webhook> {
    let secret = secret(place, keys.secret, keys.secret_file);
    let name = keys.name?;
    if before.iter().any(|other| other.name == name) {
        place.key("name").report(format!(
            "another webhook is called {name:?} as well; give each its own name"
        ));
    }
    let types = match keys.types.as_slice() {
        [] => EventKinds::ALL,
        some => some.iter().copied().collect(),
    };
    Some(Webhook {
        name,
        url: keys.url?,
        secret: secret?,
        types,
        ca_file: keys.ca_file,
    })
}

fn secret(place: &Place<'_>, plain: Option<String>, file: Option<String>) -> Option<WebhookSecret> {
    if !place.key("secret").is_there() && !place.key("secret_file").is_there() {
        place.key("secret").report(
            "missing; every webhook is signed; give a secret, as in secret = \"whsec_…\", or secret_file",
        );
    }
    let (key, text) = either(place, ("secret", plain), ("secret_file", file))?;
    let bytes = text.trim().strip_prefix("whsec_").and_then(base64);
    let good = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
    if good.is_none() {
        key.report(format!(
            "must be whsec_ and the Base64 of {} to {} random bytes; \
             `echo whsec_$(openssl rand -base64 32)` makes one",
            SECRET_BYTES.start(),
            SECRET_BYTES.end()
        ));
    }
    good.map(WebhookSecret::new)
}

fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match text.len() <= 64 && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("must have 1 to 64 letters, digits, \"-\", \"_\" or \".\"".to_owned()),
    }
}

/// The URL may hold a secret of the receiver's, so no message repeats it.
fn url(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if !matches!(scheme, "https" | "http") || !host_is_good(host) || rest.contains(['#', ' ']) {
        return Err("must be a URL as in \"https://app.example/hooks\", without user name, spaces and \"#\"".to_owned());
    }
    if scheme == "http" && !is_loopback(host) {
        return Err(
            "must be an https:// URL: events would go over the network for anybody to read; http:// is for receivers on \
             this machine (localhost, 127.0.0.1, [::1])"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// Whether what stands before the path of a URL can be a host, with or without a port.
pub(super) fn host_is_good(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// Whether a host, with or without a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    let address = name.parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn kind(text: &str, _: &[EventKind]) -> Result<EventKind, String> {
    let names = || EventKind::ALL.map(EventKind::name).into_iter();
    EventKind::from_name(text).ok_or_else(|| {
        let mend = match nearest(text, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        format!("{text:?} is no type of event; {mend}")
    })
}
