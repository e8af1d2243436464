//! Who overrides whom: flags, the environment, the file.

use std::net::SocketAddr;

use super::*;

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let toml = format!("listen = [\"127.0.0.1:1\"]\n{MINIMAL}[presence]\nboot_grace = \"1s\"\n");
    let site = Site::new();
    let config = site.load(&toml).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(config.presence.boot_grace, Duration::from_secs(1));

    let site = site
        .env("ROLLCALL_LISTEN", "127.0.0.1:2, 127.0.0.1:3")
        .env("ROLLCALL_DATA_DIR", "/from/env")
        .env("ROLLCALL_PRESENCE__BOOT_GRACE", "2s")
        .env("ROLLCALL_PRESENCE__CHANNEL_BYTES", "1000")
        .env("ROLLCALL_CONNECTION__QUEUE_BYTES", "2MiB")
        .env("ROLLCALL_LOG__LEVEL", "trace")
        .env("ROLLCALL_API__KEYS", "ffffffffffffffffffffffffffffffff")
        .env(
            "ROLLCALL_CONNECTION__ALLOWED_ORIGINS",
            r#"["https://a.example"]"#,
        )
        .env("HOME", "/root");
    let config = site.load(&toml).unwrap();
    assert_eq!(
        config.listen,
        [
            "127.0.0.1:2".parse().unwrap(),
            "127.0.0.1:3".parse().unwrap()
        ]
    );
    assert_eq!(config.data_dir, Path::new("/from/env"));
    assert_eq!(config.presence.boot_grace, Duration::from_secs(2));
    assert_eq!(config.presence.channel_bytes, 1_000);
    assert_eq!(config.connection.queue_bytes, 2 << 20);
    assert_eq!(config.log.level, LogLevel::Trace);
    assert_eq!(config.api.keys.len(), 1);
    assert_eq!(config.connection.allowed_origins, ["https://a.example"]);

    let site =
        site.flag("--listen", "listen", "127.0.0.1:4")
            .flag("--data-dir", "data_dir", "from/flag");
    let config = site.load(&toml).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:4".parse().unwrap()]);
    for (text, listen) in [
        ("[::]:8443", vec!["[::]:8443"]),
        ("[::1]:1,127.0.0.1:2", vec!["[::1]:1", "127.0.0.1:2"]),
        (r#"["[::1]:1"]"#, vec!["[::1]:1"]),
    ] {
        let site = Site::new().flag("--listen", "listen", text);
        let listen: Vec<SocketAddr> = listen.iter().map(|addr| addr.parse().unwrap()).collect();
        assert_eq!(site.load(MINIMAL).unwrap().listen, listen, "{text}");
    }
    assert_eq!(config.data_dir, Path::new("from/flag"));
    assert_eq!(config.presence.boot_grace, Duration::from_secs(2));
}

#[test]
fn the_environment_alone_is_enough() {
    let site = Site::new();
    let at = |name: &str| site.path().join(name).display().to_string();
    let keys = format!(
        r#"[{{ algorithm = "ES256", public_key_file = "{}" }}]"#,
        at("jwt.pub.pem")
    );
    let sources = Sources {
        file: File::IfPresent(site.path().join("absent.toml")),
        env: [
            ("ROLLCALL_DATA_DIR", "/data".to_owned()),
            ("ROLLCALL_TLS__CERTIFICATE", at("cert.pem")),
            (
                "ROLLCALL_TLS__PRIVATE_KEY",
                "${CREDENTIALS_DIRECTORY}/key.pem".to_owned(),
            ),
            ("ROLLCALL_AUTH__KEYS", keys),
            ("CREDENTIALS_DIRECTORY", site.path().display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
        flags: Vec::new(),
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.auth.keys.len(), 1);
    assert_eq!(config.tls.private_key, site.path().join("key.pem"));
}

#[test]
fn no_keys_in_the_environment_are_none() {
    for none in ["", "[]"] {
        let site = Site::new().env("ROLLCALL_AUTH__KEYS", none);
        let errors = site.errors(MINIMAL);
        assert!(
            errors.iter().any(|error| error.contains("auth.keys: ")),
            "{none:?}: {errors:#?}"
        );
    }
}

#[test]
fn errors_from_the_environment_and_flags_name_them() {
    let site = Site::new()
        .env("ROLLCALL_PRESENCE__BOOT_GRACE", "soon")
        .env("ROLLCALL_AUTH__KEYS", "ES256")
        .env("ROLLCALL_CONNECTION__MAX_CONNECTIONS", "0")
        .env("ROLLCALL_STORE", "x")
        .flag("--listen", "listen", "x");
    let errors = site.errors(MINIMAL);
    let starts = [
        "environment ROLLCALL_AUTH__KEYS: auth.keys[0]: must be a table",
        "environment ROLLCALL_CONNECTION__MAX_CONNECTIONS: connection.max_connections: must be between 1",
        "environment ROLLCALL_PRESENCE__BOOT_GRACE: presence.boot_grace: must be a duration",
        "environment ROLLCALL_STORE: store: must be a table",
        "flag --listen: listen[0]: \"x\" is not an address",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
}
