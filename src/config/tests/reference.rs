//! The reference that operators read holds every key and its default.

use super::*;

/// The reference, its files replaced by the site's, and its defaults in force where `with_defaults`.
fn reference(with_defaults: bool) -> String {
    let mut text = String::new();
    for line in REFERENCE.lines() {
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
    let bare = site.load(&reference(false)).unwrap();
    let mut full = site.load(&reference(true)).unwrap();
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
fn the_reference_names_every_key() {
    let layers = Sources::default().layers().unwrap();
    let findings = findings::Findings::new(None);
    let _ = sections::config(reader::Reader::top(&layers, &findings), &findings);
    for path in findings.known() {
        let name = path.rsplit('.').next().unwrap();
        let named = REFERENCE.lines().any(|line| {
            let line = line.trim_start_matches('#');
            line.starts_with(&format!("{name} = "))
                || line.starts_with(&format!("[{path}]"))
                || line.starts_with(&format!("[[{path}]]"))
        });
        assert!(named, "{path}");
    }
}
