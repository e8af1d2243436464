//! Every key, every error with its place, and who overrides whom.

use std::path::Path;

use tempfile::TempDir;

use crate::auth::{Algorithm, SigningKey};

use super::*;
use crate::protocol::EventKind;

/// A directory with the files that a configuration names, and the configuration in it.
struct Site {
    dir: TempDir,
    env: Vec<(String, String)>,
    flags: Vec<Flag>,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let site = Self {
            dir,
            env: Vec::new(),
            flags: Vec::new(),
        };
        let (_, pair) = SigningKey::generate(Algorithm::ES256, None).unwrap();
        site.write("cert.pem", "a certificate");
        site.write("key.pem", "a private key");
        site.write("jwt.pub.pem", &pair.public_pem);
        site
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, name: &'static str, key: &'static str, value: FlagValue) -> Self {
        self.flags.push(Flag { name, key, value });
        self
    }

    fn load(&self, toml: &str) -> Result<Config, ConfigError> {
        self.write("rollcall.toml", toml);
        Config::load(&Sources {
            file: File::Required(self.path().join("rollcall.toml")),
            env: self.env.clone(),
            flags: self.flags.clone(),
        })
    }

    /// Loads and must fail; the messages, each without the directory's name.
    fn errors(&self, toml: &str) -> Vec<String> {
        let prefix = format!("{}/", self.path().display());
        self.load(toml)
            .expect_err("an error")
            .problems
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }

    /// What one wrong line, put behind a good configuration, says; it stands on line 9 or, with a header, on line 10.
    fn error(&self, line: &str) -> String {
        let errors = self.errors(&format!("{MINIMAL}{line}\n"));
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors.into_iter().next().unwrap()
    }
}

/// As little as there can be: 8 lines.
const MINIMAL: &str = r#"data_dir = "data"
[tls]
certificate = "cert.pem"
private_key = "key.pem"
[[auth.keys]]
algorithm = "ES256"
public_key_file = "jwt.pub.pem"

"#;

#[test]
fn what_has_a_default_may_be_left_out() {
    let site = Site::new();
    let config = site.load(MINIMAL).unwrap();
    assert_eq!(config.listen, ["0.0.0.0:8443".parse().unwrap()]);
    assert_eq!(config.data_dir, site.path().join("data"));
    assert_eq!(config.tls.certificate, site.path().join("cert.pem"));
    assert_eq!(config.tls.private_key, site.path().join("key.pem"));
    assert_eq!(config.auth.audience, None);
    assert_eq!(config.auth.issuer, None);
    assert_eq!(config.auth.keys.len(), 1);
    assert_eq!(config.auth.keys[0].id(), None);
    assert_eq!(config.auth.keys[0].algorithm(), Algorithm::ES256);
    assert!(config.api.keys.is_empty());
    assert_eq!(
        config.limits,
        Limits {
            data_bytes: 32_768,
            uid_characters: 128,
            umd_bytes: 1_024,
        }
    );
    assert_eq!(
        config.presence,
        Presence {
            channel_bytes: 102_400,
            boot_grace: Duration::from_secs(10),
            disconnect_grace: Duration::ZERO,
        }
    );
    assert_eq!(
        config.connection,
        Connection {
            max_lifetime: Duration::from_secs(7_200),
            idle_timeout: Duration::from_secs(600),
            max_connections: 100_000,
            max_subscriptions: 1_000,
            frame_bytes: 131_072,
            frames_per_second: 100,
            queue_bytes: 8_388_608,
            allowed_origins: Vec::new(),
        }
    );
    assert_eq!(
        config.store,
        Store {
            durability: Durability::Commit,
            cache_bytes: 33_554_432,
        }
    );
    assert_eq!(
        config.events,
        Events {
            retention: Duration::from_secs(72 * 3_600),
            max_bytes: 268_435_456,
            webhooks: Vec::new(),
        }
    );
    assert_eq!(config.admin, Admin::default());
    assert_eq!(
        config.log,
        Log {
            level: LogLevel::Info,
            format: LogFormat::Auto,
        }
    );
}

#[test]
fn every_key_can_be_set() {
    let site = Site::new();
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    site.write("hmac", &format!("{secret}\n"));
    site.write(
        "api-keys",
        "# for the app\n\n0123456789abcdef0123456789abcdef\n",
    );
    site.write("ca.pem", "an authority");
    site.write("whsec", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\n");
    let (_, pair) = SigningKey::generate(Algorithm::EdDSA, None).unwrap();
    let config = site
        .load(&format!(
            r#"
listen = ["127.0.0.1:1", "[::1]:2"]
data_dir = "/var/lib/rollcall"
[tls]
certificate = "cert.pem"
private_key = "key.pem"
[auth]
audience = "hotsock"
issuer = "my-app"
[[auth.keys]]
id = "2026-1"
algorithm = "ES256"
public_key_file = "jwt.pub.pem"
[[auth.keys]]
algorithm = "EdDSA"
public_key = """
{}"""
[[auth.keys]]
id = "h1"
algorithm = "HS256"
secret = "{secret}"
[[auth.keys]]
id = "h2"
algorithm = "HS256"
secret_file = "hmac"
[api]
keys = ["ffffffffffffffffffffffffffffffff"]
keys_file = "api-keys"
[limits]
data_bytes = "48KiB"
uid_characters = 255
umd_bytes = 2000
[presence]
channel_bytes = 204800
boot_grace = "0s"
disconnect_grace = "1500ms"
[connection]
max_lifetime = "1d"
idle_timeout = "5m"
max_connections = 7
max_subscriptions = 8
frame_bytes = "64KiB"
frames_per_second = 9
queue_bytes = "1MiB"
allowed_origins = ["https://App.example", "http://localhost:3000"]
[store]
durability = "periodic"
cache_bytes = 67_108_864
[events]
retention = "1h"
max_bytes = "1GiB"
[[events.webhooks]]
name = "app"
url = "https://app.example/hooks?x=1"
secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
types = ["hotsock.memberAdded", "hotsock.memberRemoved"]
ca_file = "ca.pem"
[[events.webhooks]]
name = "inner"
url = "http://[::1]:3000"
secret_file = "whsec"
[admin]
socket = "/run/rollcall/admin.sock"
metrics = "127.0.0.1:9464"
[log]
level = "debug"
format = "json"
"#,
            pair.public_pem
        ))
        .unwrap();
    assert_eq!(
        config.listen,
        ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]
    );
    assert_eq!(config.data_dir, Path::new("/var/lib/rollcall"));
    assert_eq!(config.auth.audience.as_deref(), Some("hotsock"));
    assert_eq!(config.auth.issuer.as_deref(), Some("my-app"));
    let keys: Vec<_> = config
        .auth
        .keys
        .iter()
        .map(|key| (key.id(), key.algorithm()))
        .collect();
    assert_eq!(
        keys,
        [
            (Some("2026-1"), Algorithm::ES256),
            (None, Algorithm::EdDSA),
            (Some("h1"), Algorithm::HS256),
            (Some("h2"), Algorithm::HS256),
        ]
    );
    let keys: Vec<_> = config.api.keys.iter().map(ApiKey::as_bytes).collect();
    assert_eq!(
        keys,
        [
            b"ffffffffffffffffffffffffffffffff",
            b"0123456789abcdef0123456789abcdef"
        ]
    );
    assert_eq!(
        config.limits,
        Limits {
            data_bytes: 49_152,
            uid_characters: 255,
            umd_bytes: 2_000,
        }
    );
    assert_eq!(
        config.presence,
        Presence {
            channel_bytes: 204_800,
            boot_grace: Duration::ZERO,
            disconnect_grace: Duration::from_millis(1_500),
        }
    );
    assert_eq!(
        config.connection,
        Connection {
            max_lifetime: Duration::from_secs(86_400),
            idle_timeout: Duration::from_secs(300),
            max_connections: 7,
            max_subscriptions: 8,
            frame_bytes: 65_536,
            frames_per_second: 9,
            queue_bytes: 1_048_576,
            allowed_origins: vec!["https://app.example".into(), "http://localhost:3000".into()],
        }
    );
    assert_eq!(config.store.durability, Durability::Periodic);
    assert_eq!(config.store.cache_bytes, 67_108_864);
    assert_eq!(config.events.retention, Duration::from_secs(3_600));
    assert_eq!(config.events.max_bytes, 1 << 30);
    let [app, inner] = &config.events.webhooks[..] else {
        panic!("{:?}", config.events.webhooks);
    };
    assert_eq!(app.name, "app");
    assert_eq!(app.url, "https://app.example/hooks?x=1");
    assert_eq!(app.secret.as_bytes(), b"secret-secret-secret-secret");
    let removed_too = [EventKind::MemberAdded, EventKind::MemberRemoved];
    assert_eq!(app.types, removed_too.into_iter().collect());
    assert_eq!(app.ca_file, Some(site.path().join("ca.pem")));
    assert_eq!(inner.url, "http://[::1]:3000");
    assert_eq!(inner.secret, app.secret);
    assert_eq!(inner.types, EventKinds::ALL);
    assert_eq!(
        config.admin,
        Admin {
            socket: Some("/run/rollcall/admin.sock".into()),
            metrics: Some("127.0.0.1:9464".parse().unwrap()),
        }
    );
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_debug_print_shows_no_secret() {
    let site = Site::new();
    let config = site
        .load(&format!(
            r#"{MINIMAL}
[[auth.keys]]
algorithm = "HS256"
secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="
[api]
keys = ["ffffffffffffffffffffffffffffffff"]
[[events.webhooks]]
name = "app"
url = "https://app.example"
secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
"#
        ))
        .unwrap();
    let text = format!("{config:?}");
    for secret in ["secret-secret", "c2Vjcm", "ffffffff", "115, 101, 99"] {
        assert!(!text.contains(secret), "{text}");
    }
}

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

    let site = site
        .flag(
            "--listen",
            "listen",
            FlagValue::Many(vec!["127.0.0.1:4".into()]),
        )
        .flag("--data-dir", "data_dir", FlagValue::One("from/flag".into()));
    let config = site.load(&toml).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:4".parse().unwrap()]);
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
fn all_that_is_missing_is_said_at_once() {
    let errors = Site::new().errors("");
    let keys: Vec<_> = errors
        .iter()
        .map(|error| error.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "auth.keys",
            "data_dir",
            "tls.certificate",
            "tls.private_key"
        ]
    );
    for error in &errors {
        assert!(error.starts_with("rollcall.toml: "), "{error}");
        assert!(error.contains("missing; "), "{error}");
    }
    let nowhere = Config::load(&Sources::default()).unwrap_err();
    assert_eq!(nowhere.problems.len(), 4);
    assert!(nowhere.to_string().contains("configuration: data_dir: "));
}

#[test]
fn unknown_keys_are_reported_with_the_name_that_was_meant() {
    let site = Site::new();
    assert_eq!(
        site.errors(&format!(
            "{MINIMAL}[presence]\nboot_grase = \"1s\"\n[conection]\n[log]\nqueue_bytes = 1\nzzz = 1\n[[events.webhooks]]\n\
             name = \"x\"\nurl = \"https://x\"\nsecret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"\ntype = []\n"
        )),
        [
            "rollcall.toml:10: presence.boot_grase: unknown key; did you mean presence.boot_grace?",
            "rollcall.toml:11: conection: unknown key; did you mean connection?",
            "rollcall.toml:13: log.queue_bytes: unknown key; did you mean connection.queue_bytes?",
            "rollcall.toml:14: log.zzz: unknown key; take it out (rollcall serve --help lists them all)",
            "rollcall.toml:19: events.webhooks[0].type: unknown key; did you mean events.webhooks.types?",
        ]
    );
    let site = Site::new()
        .env("ROLLCALL_DATADIR", "/x")
        .env("ROLLCALL_LISTEN__PORT", "1");
    assert_eq!(
        site.errors(&format!("listen = [\"127.0.0.1:1\"]\n{MINIMAL}")),
        [
            "environment ROLLCALL_DATADIR: datadir: unknown key; did you mean data_dir?",
            "environment ROLLCALL_LISTEN__PORT: listen.port: unknown key; take it out (rollcall serve --help lists them all)",
        ]
    );
}

#[test]
fn bad_values_name_the_line_the_key_and_the_mend() {
    let site = Site::new();
    for (line, place, wanted) in [
        (
            "[presence]\nboot_grace = 10",
            "10: presence.boot_grace",
            "must be a duration: a whole number and a unit",
        ),
        (
            "[presence]\nboot_grace = \"10 sec\"",
            "10: presence.boot_grace",
            "\"500ms\"",
        ),
        (
            "[presence]\nboot_grace = \"2h\"",
            "10: presence.boot_grace",
            "between 0s and 1h, and is 2h: whoever",
        ),
        (
            "[presence]\ndisconnect_grace = \"2d\"",
            "10: presence.disconnect_grace",
            "between 0s and 1h",
        ),
        (
            "[presence]\nchannel_bytes = 1",
            "10: presence.channel_bytes",
            "between 64 and 16MiB, and is 1",
        ),
        (
            "[presence]\nchannel_bytes = -5",
            "10: presence.channel_bytes",
            "must be a size",
        ),
        (
            "[presence]\nchannel_bytes = 1.5",
            "10: presence.channel_bytes",
            "must be a size",
        ),
        (
            "[presence]\nchannel_bytes = \"5MB\"",
            "10: presence.channel_bytes",
            "\"32MiB\"",
        ),
        (
            "[presence]\nchannel_bytes = \"8MiB\"",
            "10: connection.queue_bytes",
            "at least twice presence.channel_bytes, that is 16MiB",
        ),
        (
            "[limits]\ndata_bytes = 1023",
            "10: limits.data_bytes",
            "between 1KiB and 1MiB, and is 1023: every message waits in memory",
        ),
        (
            "[limits]\ndata_bytes = \"2MiB\"",
            "10: limits.data_bytes",
            "between 1KiB and 1MiB, and is 2MiB",
        ),
        (
            "[limits]\ndata_bytes = \"much\"",
            "10: limits.data_bytes",
            "must be a size",
        ),
        (
            "[limits]\nuid_characters = 35",
            "10: limits.uid_characters",
            "between 36 and 512, and is 35: less has no room for a UUID",
        ),
        (
            "[limits]\nuid_characters = 513",
            "10: limits.uid_characters",
            "and more would make records too large",
        ),
        (
            "[limits]\numd_bytes = 63",
            "10: limits.umd_bytes",
            "between 64 and 16KiB, and is 63",
        ),
        (
            "[limits]\numd_bytes = 16385",
            "10: limits.umd_bytes",
            "between 64 and 16KiB, and is 16385",
        ),
        (
            "[limits]\ndata_bytes = \"126KiB\"\n[limits.x]",
            "11: limits.x",
            "unknown key",
        ),
        (
            "[limits]\ndata_bytes = \"127KiB\"",
            "10: connection.frame_bytes",
            "must be at least 129KiB, and is 128KiB: limits.data_bytes allows as much data",
        ),
        (
            "[connection]\nframe_bytes = 34815",
            "10: connection.frame_bytes",
            "must be at least 34KiB, and is 34815: limits.data_bytes",
        ),
        (
            "[limits]\numd_bytes = \"16KiB\"\ndata_bytes = 1024\n[connection]\nframe_bytes = 23895",
            "13: connection.frame_bytes",
            "must be at least 23896, and is 23895: limits.umd_bytes allows a token",
        ),
        (
            "[limits]\ndata_bytes = \"1MiB\"\n[connection]\nframe_bytes = \"2MiB\"\nqueue_bytes = \"1MiB\"",
            "13: connection.queue_bytes",
            "at least twice limits.data_bytes, that is 2MiB, and is 1MiB: one message would fill it",
        ),
        (
            "[connection]\nmax_lifetime = \"0s\"",
            "10: connection.max_lifetime",
            "between 1s and 7d",
        ),
        (
            "[connection]\nidle_timeout = \"2d\"",
            "10: connection.idle_timeout",
            "between 1s and 1d",
        ),
        (
            "[connection]\nmax_connections = 0",
            "10: connection.max_connections",
            "between 1 and 1000000",
        ),
        (
            "[connection]\nmax_connections = \"many\"",
            "10: connection.max_connections",
            "whole number between 1 and 1000000",
        ),
        (
            "[connection]\nmax_subscriptions = 200000",
            "10: connection.max_subscriptions",
            "between 1 and 100000",
        ),
        (
            "[connection]\nframe_bytes = 100",
            "10: connection.frame_bytes",
            "between 4KiB and 16MiB",
        ),
        (
            "[connection]\nframes_per_second = 0",
            "10: connection.frames_per_second",
            "between 1 and 1000000",
        ),
        (
            "[connection]\nqueue_bytes = 1024",
            "10: connection.queue_bytes",
            "between 64KiB and 1GiB",
        ),
        (
            "[connection]\nallowed_origins = [\"*\"]",
            "10: connection.allowed_origins",
            "leave the list empty",
        ),
        (
            "[connection]\nallowed_origins = [\"app.example\"]",
            "10: connection.allowed_origins",
            "is not an origin",
        ),
        (
            "[connection]\nallowed_origins = [\"https://app.example/\"]",
            "10: connection.allowed_origins",
            "nothing behind it",
        ),
        (
            "[connection]\nallowed_origins = \"https://app.example\"",
            "10: connection.allowed_origins",
            "must be a list of texts",
        ),
        (
            "[connection]\nallowed_origins = [\n 1 ]",
            "11: connection.allowed_origins",
            "and is a number",
        ),
        (
            "[store]\ndurability = \"never\"",
            "10: store.durability",
            "must be one of \"commit\", \"periodic\"",
        ),
        (
            "[store]\ndurability = true",
            "10: store.durability",
            "must be text in quotes, and is true or false",
        ),
        (
            "[store]\ncache_bytes = 0",
            "10: store.cache_bytes",
            "between 1MiB and 64GiB",
        ),
        (
            "[events]\nretention = \"1s\"",
            "10: events.retention",
            "between 1m and 90d",
        ),
        (
            "[events]\nmax_bytes = 1",
            "10: events.max_bytes",
            "between 1MiB and 1024GiB",
        ),
        (
            "[events]\nwebhooks = 1",
            "10: events.webhooks",
            "each under [[events.webhooks]]",
        ),
        (
            "[admin]\nmetrics = \"9464\"",
            "10: admin.metrics",
            "an address and a port",
        ),
        (
            "[admin]\nsocket = \"\"",
            "10: admin.socket",
            "must not be empty",
        ),
        (
            "[admin]\nsocket = \"/${HOME}/a\"",
            "10: admin.socket",
            "only ${CREDENTIALS_DIRECTORY} is expanded",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "10: log.level",
            "must be one of \"error\", \"warn\"",
        ),
        (
            "[log]\nformat = \"xml\"",
            "10: log.format",
            "must be one of \"auto\", \"journal\"",
        ),
        ("log = \"info\"", "9: auth.keys[0].log", "unknown key"),
        (
            "[[presence]]",
            "9: presence",
            "must be a table, as in [presence], and is a list",
        ),
        (
            "[api]\nkeys = [\"short\"]",
            "10: api.keys",
            "the 1st key has 5 characters; it must have 32 to 512",
        ),
        (
            "[api]\nkeys = [\"with a space with a space with a space\"]",
            "10: api.keys",
            "has a space",
        ),
        (
            "[api]\nkeys_file = \"absent\"",
            "10: api.keys_file",
            "cannot be read (no such file)",
        ),
        (
            "[auth]\naudience = \"\"",
            "10: auth.audience",
            "must not be empty",
        ),
    ] {
        let error = if line == "[auth]\naudience = \"\"" {
            // [auth] may stand only once, so this one has its own layout.
            let toml = format!("{MINIMAL}\n[auth]\naudience = \"\"\n");
            site.errors(&toml).remove(0)
        } else {
            site.error(line)
        };
        assert!(
            error.starts_with(&format!("rollcall.toml:{place}")) || line.starts_with("[auth]"),
            "{line}: {error}"
        );
        assert!(error.contains(wanted), "{line}: {error}");
    }
}

#[test]
fn listen_addresses_are_checked() {
    let site = Site::new();
    for (listen, wanted) in [
        ("[]", "at least one address"),
        (
            "[\"localhost:8443\"]",
            "\"localhost:8443\" is not an address and a port",
        ),
        ("[\":8443\"]", "is not an address and a port"),
        ("[\"127.0.0.1:1\", \"127.0.0.1:1\"]", "is there twice"),
        ("\"127.0.0.1:1\"", "must be a list of texts"),
    ] {
        let errors = site.errors(&format!("\nlisten = {listen}\n{MINIMAL}"));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].starts_with("rollcall.toml:2: listen: "),
            "{errors:?}"
        );
        assert!(errors[0].contains(wanted), "{errors:?}");
    }
    let two = "[\"127.0.0.1:0\", \"127.0.0.1:0\"]";
    let config = site.load(&format!("listen = {two}\n{MINIMAL}")).unwrap();
    assert_eq!(config.listen.len(), 2);
}

#[test]
fn verification_keys_are_checked() {
    let site = Site::new();
    site.write(
        "broken.pem",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    );
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    for (entry, key, wanted) in [
        (
            "public_key_file = \"jwt.pub.pem\"",
            "algorithm",
            "missing; say how tokens are signed",
        ),
        (
            "algorithm = \"ES257\"\npublic_key_file = \"jwt.pub.pem\"",
            "algorithm",
            "unknown algorithm",
        ),
        (
            "algorithm = \"none\"\npublic_key_file = \"jwt.pub.pem\"",
            "algorithm",
            "unknown algorithm",
        ),
        (
            "algorithm = \"ES256\"",
            "algorithm",
            "ES256 needs a key; give public_key or public_key_file",
        ),
        (
            "algorithm = \"HS256\"",
            "algorithm",
            "HS256 needs a key; give secret or secret_file",
        ),
        (
            "algorithm = \"RS256\"\npublic_key_file = \"jwt.pub.pem\"",
            "public_key_file",
            "RSA",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"broken.pem\"",
            "public_key_file",
            "P-256",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"absent.pem\"",
            "public_key_file",
            "absent.pem cannot be read (no such file); put the public key there of whoever signs tokens, as PEM",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \".\"",
            "public_key_file",
            "it is a directory",
        ),
        (
            "algorithm = \"ES256\"\npublic_key = \"x\"\npublic_key_file = \"jwt.pub.pem\"",
            "public_key_file",
            "not both",
        ),
        (
            &format!("algorithm = \"ES256\"\nsecret = \"{secret}\""),
            "secret",
            "ES256 has no use for it; give public_key or",
        ),
        (
            "algorithm = \"HS256\"\nsecret = \"c2hvcnQ=\"",
            "secret",
            "at least 32",
        ),
        (
            "algorithm = \"HS256\"\nsecret = \"&%$\"",
            "secret",
            "must be Base64",
        ),
        (
            "algorithm = \"HS256\"\nsecret_file = \"jwt.pub.pem\"",
            "secret_file",
            "must be Base64",
        ),
        (
            "algorithm = \"HS256\"\npublic_key_file = \"jwt.pub.pem\"",
            "public_key_file",
            "HS256 has no use for it",
        ),
        (
            "algorithm = \"ES256\"\npublic_key_file = \"${CREDENTIALS_DIRECTORY}/x\"",
            "public_key_file",
            "is not set",
        ),
    ] {
        let errors = site.errors(&format!("{MINIMAL}[[auth.keys]]\n{entry}\n"));
        assert_eq!(errors.len(), 1, "{entry}: {errors:?}");
        assert!(
            errors[0].contains(&format!(": auth.keys[1].{key}: ")),
            "{entry}: {errors:?}"
        );
        assert!(errors[0].contains(wanted), "{entry}: {errors:?}");
        assert!(
            !errors[0].contains("c2V") && !errors[0].contains("c2hv"),
            "{errors:?}"
        );
        let line: usize = errors[0].split(':').nth(1).unwrap().parse().unwrap();
        assert!((9..=12).contains(&line), "{entry}: {errors:?}");
    }
}

#[test]
fn webhooks_are_checked() {
    let site = Site::new();
    let good = "name = \"app\"\nurl = \"https://app.example\"\n\
                secret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"\n";
    for (from, to, key, wanted) in [
        ("name = \"app\"\n", "", "name", "missing; it is how logs"),
        ("\"app\"", "\"my app\"", "name", "must have 1 to 64 letters"),
        (
            "url = \"https://app.example\"\n",
            "",
            "url",
            "missing; say where",
        ),
        (
            "https://app.example",
            "app.example/hooks",
            "url",
            "must be a URL",
        ),
        (
            "https://app.example",
            "ftp://app.example",
            "url",
            "must be a URL",
        ),
        (
            "https://app.example",
            "https://me:pw@app.example",
            "url",
            "without user name",
        ),
        ("whsec_", "", "secret", "must be whsec_"),
        (
            "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
            "c2hvcnQ",
            "secret",
            "24 to 64 random bytes",
        ),
        (
            "secret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"\n",
            "",
            "secret",
            "missing; every webhook is signed",
        ),
        (
            "name",
            "types = [\"hotsock.memberadd\"]\nname",
            "types",
            "did you mean \"hotsock.memberAdded\"?",
        ),
        (
            "name",
            "types = [\"x\"]\nname",
            "types",
            "there are hotsock.connected, ",
        ),
        (
            "name",
            "ca_file = \"absent\"\nname",
            "ca_file",
            "cannot be read (no such file)",
        ),
        (
            "name",
            "secret_file = \"cert.pem\"\nname",
            "secret_file",
            "not both",
        ),
    ] {
        let errors = site.errors(&format!(
            "{MINIMAL}[[events.webhooks]]\n{}",
            good.replacen(from, to, 1)
        ));
        assert_eq!(errors.len(), 1, "{to}: {errors:?}");
        assert!(
            errors[0].contains(&format!(": events.webhooks[0].{key}: ")),
            "{errors:?}"
        );
        assert!(errors[0].contains(wanted), "{errors:?}");
        assert!(!errors[0].contains("c2V"), "{errors:?}");
    }
    let twice = format!("[[events.webhooks]]\n{good}");
    let error = &site.errors(&format!("{MINIMAL}{twice}{twice}"))[0];
    assert!(error.contains("13") || error.contains("14"), "{error}");
    assert!(error.contains("give each its own name"), "{error}");
}

#[test]
fn an_unreadable_or_broken_file_says_so() {
    let site = Site::new();
    let sources = |file| Sources {
        file,
        ..Sources::default()
    };
    let absent = sources(File::Required(site.path().join("absent.toml")));
    let error = Config::load(&absent).unwrap_err().to_string();
    assert!(error.ends_with("absent.toml: cannot be read (no such file); name the configuration file with --config FILE"), "{error}");

    let errors = site.errors("data_dir = \n[tls\nx = 1\n");
    assert!(
        errors[0].starts_with("rollcall.toml:1: not valid TOML: "),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("rollcall.toml:2: not valid TOML: "),
        "{errors:?}"
    );
    let errors = site.errors(&format!("{MINIMAL}{MINIMAL}"));
    assert!(
        errors
            .iter()
            .any(|error| error.starts_with("rollcall.toml:") && error.contains("duplicate key")),
        "{errors:?}"
    );

    site.write("latin1.toml", "");
    std::fs::write(site.path().join("latin1.toml"), b"# caf\xe9\n").unwrap();
    let error = Config::load(&sources(File::Required(site.path().join("latin1.toml"))))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not UTF-8 text"), "{error}");
}

#[test]
fn errors_from_the_environment_and_flags_name_them() {
    let site = Site::new()
        .env("ROLLCALL_PRESENCE__BOOT_GRACE", "soon")
        .env("ROLLCALL_AUTH__KEYS", "ES256")
        .env("ROLLCALL_CONNECTION__MAX_CONNECTIONS", "0")
        .env("ROLLCALL_STORE", "x")
        .flag("--listen", "listen", FlagValue::Many(vec!["x".into()]));
    let errors = site.errors(MINIMAL);
    let starts = [
        "environment ROLLCALL_AUTH__KEYS: auth.keys: must be a list of tables",
        "environment ROLLCALL_CONNECTION__MAX_CONNECTIONS: connection.max_connections: must be between 1",
        "environment ROLLCALL_PRESENCE__BOOT_GRACE: presence.boot_grace: must be a duration",
        "environment ROLLCALL_STORE: store: must be a table",
        "flag --listen: listen: \"x\" is not an address",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn paths_in_the_file_start_from_its_directory_and_credentials_are_expanded() {
    let site = Site::new();
    let credentials = TempDir::new().unwrap();
    std::fs::write(credentials.path().join("tls-key"), "a key").unwrap();
    let site = site.env(
        "CREDENTIALS_DIRECTORY",
        &credentials.path().display().to_string(),
    );
    let toml = MINIMAL.replace("key.pem", "${CREDENTIALS_DIRECTORY}/tls-key");
    let config = site.load(&toml).unwrap();
    assert_eq!(config.tls.private_key, credentials.path().join("tls-key"));
    assert_eq!(config.tls.certificate, site.path().join("cert.pem"));
}

#[test]
fn a_socket_path_must_fit() {
    let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(107));
    assert!(Site::new().error(&long).contains("has 108 bytes"));
}

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
    let findings = reader::Findings::new(None);
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
