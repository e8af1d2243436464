//! What is wrong is said with its place and the mend.

use super::*;

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

/// A key, a wrong value, and what is said of it.
const WRONG: &str = r#"
presence.boot_grace = 10                            | must be a duration between 0s and 1h: a whole number and a unit
presence.boot_grace = "10 sec"                      | "500ms"
presence.boot_grace = "2h"                          | between 0s and 1h, and is 2h: whoever
presence.disconnect_grace = "2d"                    | between 0s and 1h
presence.channel_bytes = 1                          | between 64 and 16MiB, and is 1: less holds no member
presence.channel_bytes = -5                         | must be a size
presence.channel_bytes = 1.5                        | must be a size between 64 and 16MiB: a whole number of bytes
presence.channel_bytes = "5MB"                      | "32MiB"
presence.fanout_bytes_per_second = 65535            | between 64KiB and 1024GiB
presence.fanout_burst_bytes = 0                     | between 64KiB and 1024GiB
limits.data_bytes = 1023                            | between 1KiB and 1MiB, and is 1023: every message waits in memory
limits.data_bytes = "2MiB"                          | between 1KiB and 1MiB, and is 2MiB
limits.data_bytes = "much"                          | must be a size
limits.uid_characters = 35                          | between 36 and 512, and is 35: less has no room for a UUID
limits.uid_characters = 513                         | and more would make records too large
limits.umd_bytes = 63                               | between 64 and 16KiB, and is 63
limits.umd_bytes = 16385                            | between 64 and 16KiB, and is 16385
connection.frame_bytes = 34815                      | must be at least 34KiB, and is 34815: limits.data_bytes
connection.frame_bytes = 100                        | between 4KiB and 16MiB
connection.max_lifetime = "0s"                      | between 1s and 7d
connection.idle_timeout = "2d"                      | between 1s and 1d
connection.ping_interval = "2h"                     | between 1s and 1h, or 0s for no pings, and is 2h
connection.ping_timeout = "999ms"                   | between 1s and 1h, or 0s for no pings, and is 999ms: clients on slow
connection.max_connections = 0                      | between 1 and 1000000
connection.max_connections = "many"                 | must be a whole number between 1 and 1000000
connection.max_connections = "7"                    | must be a whole number between 1 and 1000000
connection.max_subscriptions = 200000               | between 1 and 100000
connection.frames_per_second = 0                    | between 1 and 1000000
connection.queue_bytes = 1024                       | between 64KiB and 1GiB
connection.allowed_origins = ["*"]                  | leave the list empty
connection.allowed_origins = ["app.example"]        | is not an origin
connection.allowed_origins = ["https://a.example/"] | nothing behind it
connection.allowed_origins = "https://app.example"  | must be a list of texts
connection.allowed_origins = [ 1 ]                  | [0]: must be text in quotes, and is a number
connection.allowed_origins = ["a://b", ""]          | [1]: must not be empty
store.durability = "never"                          | must be one of "commit", "periodic"
store.durability = true                             | must be text in quotes, and is true or false
store.cache_bytes = 0                               | between 1MiB and 64GiB
events.retention = "1s"                             | between 1m and 90d
events.max_bytes = 1                                | between 1MiB and 1024GiB
events.webhooks = 1                                 | each under [[events.webhooks]]
admin.metrics = "9464"                              | "9464" is not an address and a port
admin.socket = ""                                   | must not be empty
admin.socket = "/${HOME}/a"                         | only ${CREDENTIALS_DIRECTORY} is expanded
log.level = "loud"                                  | must be one of "error", "warn"
log.format = "xml"                                  | must be one of "auto", "journal"
api.keys = ["short"]                                | [0]: the key has 5 characters; it must have 32 to 512
api.keys = ["with a space with a space with a sp"]  | has a space
api.keys_file = "absent"                            | cannot be read (no such file); put the keys there
"#;

#[test]
fn bad_values_name_the_line_the_key_and_the_mend() {
    let site = Site::new();
    for row in WRONG.trim().lines() {
        let (setting, wanted) = row.split_once('|').unwrap();
        let (table, setting) = setting.split_once('.').unwrap();
        let (key, _) = setting.split_once(' ').unwrap();
        let error = site.error(&format!("[{table}]\n{setting}"));
        let place = format!("rollcall.toml:10: {table}.{key}");
        assert!(error.starts_with(&place), "{row}: {error}");
        assert!(error.contains(wanted.trim()), "{row}: {error}");
    }
}

#[test]
fn what_does_not_fit_together_is_said_where_it_was_set() {
    let site = Site::new();
    for (lines, place, wanted) in [
        (
            "[presence]\nchannel_bytes = \"8MiB\"",
            "10: connection.queue_bytes",
            "at least twice presence.channel_bytes, that is 16MiB",
        ),
        (
            "[limits]\ndata_bytes = \"127KiB\"",
            "10: connection.frame_bytes",
            "must be at least 129KiB, and is 128KiB: limits.data_bytes allows as much data",
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
            "[limits]\ndata_bytes = \"126KiB\"\n[limits.x]",
            "11: limits.x",
            "unknown key",
        ),
        ("log = \"info\"", "9: auth.keys[0].log", "unknown key"),
        (
            "[[presence]]",
            "9: presence",
            "must be a table, as in [presence], and is a list",
        ),
        (
            "[[events.webhooks]]\nname = 1\nurl = \"https://x\"\nsecret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"",
            "10: events.webhooks[0].name",
            "must be text in quotes, and is a number",
        ),
    ] {
        let error = site.error(lines);
        let place = format!("rollcall.toml:{place}: ");
        assert!(error.starts_with(&place), "{lines}: {error}");
        assert!(error.contains(wanted), "{lines}: {error}");
    }
    let errors = site.errors(&format!("{MINIMAL}\n[auth]\naudience = \"\"\n"));
    assert!(
        errors[0].contains("auth.audience: must not be empty"),
        "{errors:?}"
    );
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
