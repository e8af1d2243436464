//! `[events]` and its webhooks.

use std::collections::HashSet;

use super::super::keys::webhook_secret;
use super::super::reader::{Bounds, Reader, Sourced};
use super::super::units::nearest;
use super::super::{Events, Webhook};
use super::{DAY, GIB, HOUR, MIB, MINUTE, is_host};
use crate::protocol::{EventKind, EventKinds};

pub(super) fn events(mut reader: Reader<'_>) -> Events {
    let retention = reader.duration(
        "retention",
        72 * HOUR,
        &Bounds {
            min: MINUTE,
            max: 90 * DAY,
            why: "a back end must have time to come back, and what waits takes room on the disk",
        },
    );
    let max_bytes = reader.size(
        "max_bytes",
        256 * MIB,
        &Bounds {
            min: MIB,
            max: 1024 * GIB,
            why: "events must have room to wait, and must not fill the disk",
        },
    );
    let mut webhooks = Vec::new();
    let mut names = HashSet::new();
    let keys = ["name", "url", "secret", "secret_file", "types", "ca_file"];
    reader.each_section("webhooks", &keys, |entry| {
        webhooks.extend(webhook(entry, &mut names));
    });
    reader.finish();
    Events {
        retention,
        max_bytes,
        webhooks,
    }
}

fn webhook(reader: &mut Reader<'_>, names: &mut HashSet<String>) -> Option<Webhook> {
    let name = reader.text("name");
    let url = reader.text("url");
    let secret = webhook_secret(reader);
    let types = event_types(reader);
    let ca_file = reader.readable("ca_file");
    if name.is_none() && !reader.has("name") {
        reader.missing(
            "name",
            "it is how logs and commands speak of the webhook, as in name = \"app\"",
        );
    }
    if url.is_none() && !reader.has("url") {
        reader.missing(
            "url",
            "say where events go, as in url = \"https://app.example/hooks\"",
        );
    }
    let name = name.and_then(|Sourced { value, origin }| {
        let plain = value.len() <= 64
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !plain {
            reader.report(
                &origin,
                "name",
                "must have 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
            );
            return None;
        }
        if !names.insert(value.clone()) {
            reader.report(
                &origin,
                "name",
                format!("another webhook is called {value:?} as well; give each its own name"),
            );
            return None;
        }
        Some(value)
    });
    let url = url.and_then(|Sourced { value, origin }| {
        let good = value
            .split_once("://")
            .is_some_and(|(scheme, rest)| {
                let host = rest.split(['/', '?']).next().unwrap_or_default();
                matches!(scheme, "https" | "http") && is_host(host) && !rest.contains(['#', ' '])
            });
        if !good {
            // The URL may hold a secret of the receiver's, so it is not repeated.
            reader.report(
                &origin,
                "url",
                "must be a URL as in \"https://app.example/hooks\", without user name, spaces and \"#\"",
            );
        }
        if good && value.starts_with("http://") && !is_loopback(&value) {
            reader.report(
                &origin,
                "url",
                "must be an https:// URL: events would go over the network for anybody to read; http:// is for receivers on \
                 this machine (localhost, 127.0.0.1, [::1])",
            );
            return None;
        }
        good.then_some(value)
    });
    Some(Webhook {
        name: name?,
        url: url?,
        secret: secret?,
        types,
        ca_file,
    })
}

/// Whether a URL leads to this machine.
fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The types that a webhook takes: all where none is named.
fn event_types(reader: &mut Reader<'_>) -> EventKinds {
    let names = || EventKind::ALL.map(EventKind::name).into_iter();
    let mut types = Vec::new();
    for Sourced { value, origin } in reader.texts("types").into_iter().flatten() {
        if let Some(kind) = EventKind::from_name(&value) {
            types.push(kind);
            continue;
        }
        let mend = match nearest(&value, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        reader.report(
            &origin,
            "types",
            format!("{value:?} is no type of event; {mend}"),
        );
    }
    match types.as_slice() {
        [] => EventKinds::ALL,
        some => some.iter().copied().collect(),
    }
}
