//! Every key: its default, and that it can be set.

use super::*;
use crate::config::sections::Admin;

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
            boot_grace: Duration::from_secs(30),
            disconnect_grace: Duration::ZERO,
            fanout_bytes_per_second: 8_388_608,
            fanout_burst_bytes: 67_108_864,
        }
    );
    assert_eq!(
        config.connection,
        Connection {
            max_lifetime: Duration::from_secs(7_200),
            idle_timeout: Duration::from_secs(600),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
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
[[auth.keys]]
id = "h3"
algorithm = "HS256"
secret = "c2hvcnQ="
allow_short = true
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
fanout_bytes_per_second = "1MiB"
fanout_burst_bytes = "16MiB"
[connection]
max_lifetime = "1d"
idle_timeout = "5m"
ping_interval = "1m"
ping_timeout = "0s"
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
        .map(|key| (key.id(), key.algorithm(), key.is_short()))
        .collect();
    assert_eq!(
        keys,
        [
            (Some("2026-1"), Algorithm::ES256, false),
            (None, Algorithm::EdDSA, false),
            (Some("h1"), Algorithm::HS256, false),
            (Some("h2"), Algorithm::HS256, false),
            (Some("h3"), Algorithm::HS256, true),
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
            fanout_bytes_per_second: 1 << 20,
            fanout_burst_bytes: 1 << 24,
        }
    );
    assert_eq!(
        config.connection,
        Connection {
            max_lifetime: Duration::from_secs(86_400),
            idle_timeout: Duration::from_secs(300),
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::ZERO,
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
