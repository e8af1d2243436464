//! Arbitrary bytes against the readers of the configuration.

use tempfile::TempDir;

use super::*;
use crate::bytes::Trial;

/// Everything that can be set, and little that must be.
const FILES: &[&str] = &[
    r#"
data_dir = "data"
[tls]
certificate = "cert.pem"
private_key = "key.pem"
[[auth.keys]]
algorithm = "HS256"
secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
"#,
    r#"
listen = ["127.0.0.1:8443", "[::1]:0"]
data_dir = "data"
tls = { certificate = "cert.pem", private_key = "key.pem" }
[auth]
audience = "hotsock"
issuer = "my-app"
[[auth.keys]]
id = "2026-1"
algorithm = "HS512"
secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
[api]
keys = ["0123456789abcdef0123456789abcdef"]
[limits]
data_bytes = "32KiB"
uid_characters = 128
[presence]
channel_bytes = 102400
boot_grace = "30s"
disconnect_grace = "500ms"
[connection]
allowed_origins = ["https://app.example"]
queue_bytes = "8MiB"
[store]
durability = "periodic"
[events]
retention = "72h"
[[events.webhooks]]
name = "app"
url = "https://app.example/hooks"
secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
types = ["hotsock.memberAdded"]
[log]
level = "info"
format = "json"
"#,
];

const WORDS: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    "\n",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "\\u0000",
    "\\U0010FFFF",
    "\\ud800",
    "\\",
    "0",
    "-1",
    "+1",
    "0x7fffffffffffffff",
    "9223372036854775808",
    "1e400",
    "nan",
    "inf",
    "1_000",
    "true",
    "1979-05-27T07:32:00Z",
    "\"1d\"",
    "\"18446744073709551615d\"",
    "\"17179869184GiB\"",
    "\"0s\"",
    "[store]",
    "a.b.c.d = 1",
    "${CREDENTIALS_DIRECTORY}",
    "\u{feff}",
    "\u{0}",
    "é",
];

/// A folder with the files that the configurations name.
fn site() -> TempDir {
    let dir = TempDir::new().unwrap();
    for file in ["cert.pem", "key.pem"] {
        std::fs::write(dir.path().join(file), "text").unwrap();
    }
    dir
}

fn load(dir: &TempDir, text: &str, env: Vec<(String, String)>) -> bool {
    let file = File::Text {
        name: "it".into(),
        dir: dir.path().to_owned(),
        text: text.into(),
    };
    let sources = Sources {
        file,
        env,
        flags: Vec::new(),
    };
    match Config::load(&sources) {
        Ok(_) => true,
        Err(error) => {
            // What is wrong can be told.
            assert!(!error.problems.is_empty() && !error.to_string().is_empty());
            false
        }
    }
}

#[test]
fn files() {
    let dir = site();
    // TOML's parser makes a tree of what it reads, and every problem has a place and a text.
    Trial::of(FILES, WORDS)
        .memory(16 << 20, 2_048)
        .run_text(|text| load(&dir, text, Vec::new()));
}

#[test]
fn environment() {
    let dir = site();
    let samples = [
        "ROLLCALL_DATA_DIR=data",
        "ROLLCALL_PRESENCE__BOOT_GRACE=30s",
        "ROLLCALL_LISTEN=[\"127.0.0.1:0\"]",
        "ROLLCALL_CONNECTION__ALLOWED_ORIGINS=https://a.example,https://b.example",
        "CREDENTIALS_DIRECTORY=/run/x",
    ];
    // As long as one variable may be, and nothing but dots.
    let deep = format!("ROLLCALL_{}", "A__".repeat(43_000));
    assert!(!load(&dir, FILES[0], vec![(deep, String::new())]));
    let words = [
        WORDS,
        &["__", "_", "ROLLCALL_", "ROLLCALL_AUTH__KEYS=[{}]", "TLS"],
    ]
    .concat();
    Trial::of(samples, &words)
        .memory(16 << 20, 2_048)
        .run_text(|text| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            load(&dir, FILES[0], vec![(name.into(), value.into())])
        });
}

#[test]
fn units() {
    let samples = [
        "500ms", "10s", "5 m", "2h", "1d", "65536", "64KiB", "32 MiB", "1GiB",
    ];
    Trial::of(samples, WORDS).run_text(|text| {
        let time = duration(text);
        if let Some(time) = time {
            assert_eq!(duration(&show_duration(time)), Some(time));
        }
        let bytes = units::BYTES.read(text);
        if let Some(bytes) = bytes {
            assert_eq!(units::BYTES.read(&show_size(bytes)), Some(bytes));
        }
        let _ = base64(text);
        time.is_some() || bytes.is_some()
    });
}
