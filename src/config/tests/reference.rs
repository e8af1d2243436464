//! The reference that operators read holds every key and its default.

use super::*;
use crate::config::sections::Admin;

/// The reference, its files replaced by the site's, and its defaults in force where `with_defaults`.
fn filled_in(with_defaults: bool) -> String {
    let mut text = String::new();
    for line in super::reference().lines() {
        let given = line.strip_prefix('#').filter(|line| {
            with_defaults && line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[')
        });
        let line = given.unwrap_or(line);
        // Alternatives to what the example has.
        if ![
            "public_key =",
            "secret =",
            "secret_file =",
            "keys =",
            "keys_file =",
        ]
        .iter()
        .any(|key| line.starts_with(key))
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    for (from, to) in [
        ("/etc/rollcall/tls/cert.pem", "cert.pem"),
        ("/etc/rollcall/tls/key.pem", "key.pem"),
        ("/etc/rollcall/jwt-public.pem", "jwt.pub.pem"),
        ("/etc/rollcall/ca.pem", "cert.pem"),
        (
            "\nname = \"app\"",
            "\nname = \"app\"\nsecret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"",
        ),
    ] {
        text = text.replace(from, to);
    }
    text
}

#[test]
fn the_reference_holds_the_defaults() {
    let site = Site::new();
    let bare = site.load(&filled_in(false)).unwrap();
    let mut full = site.load(&filled_in(true)).unwrap();
    // These are shown by an example, and have no default.
    assert_eq!(full.auth.audience.take().as_deref(), Some("hotsock"));
    assert_eq!(full.auth.issuer.take().as_deref(), Some("my-app"));
    assert_eq!(full.auth.keys[0].id(), Some("2026-1"));
    assert_eq!(full.events.webhooks.drain(..).count(), 1);
    assert_eq!(
        std::mem::take(&mut full.admin),
        Admin {
            socket: Some("/run/rollcall/admin.sock".into()),
            metrics: Some("127.0.0.1:9464".parse().unwrap()),
        }
    );
    full.auth.keys.clear();
    let mut bare = bare;
    bare.auth.keys.clear();
    assert_eq!(format!("{full:?}"), format!("{bare:?}"));
}

#[test]
fn every_key_has_a_meaning_that_a_sentence_can_be_made_of() {
    fn check(keys: &[Key]) {
        for key in keys {
            assert!(!key.meaning.is_empty(), "{}", key.name);
            assert!(!key.meaning.ends_with('.'), "{}", key.name);
            match &key.shown {
                Shown::Value(toml, _) => assert!(!toml.is_empty(), "{}", key.name),
                Shown::Table(keys) | Shown::Tables(keys, _) => check(keys),
            }
        }
    }
    check(&keys());
}

#[test]
fn what_is_made_by_hand_begins_with_the_same_defaults() {
    let site = Site::new();
    let config = site.load(MINIMAL).unwrap();
    let by_hand = Config::default();
    assert_eq!(config.listen, by_hand.listen);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.presence, by_hand.presence);
    assert_eq!(config.connection, Connection::default());
}
