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
            "[connection]\nping_interval = \"2h\"",
            "10: connection.ping_interval",
            "between 0s and 1h",
        ),
        (
            "[connection]\nping_timeout = \"999ms\"",
            "10: connection.ping_timeout",
            "must be at least 1s, or 0s for no pings, and is 999ms",
        ),
        (
            "[presence]\nfanout_bytes_per_second = 65535",
            "10: presence.fanout_bytes_per_second",
            "between 64KiB and 1024GiB",
        ),
        (
            "[presence]\nfanout_burst_bytes = 0",
            "10: presence.fanout_burst_bytes",
            "between 64KiB and 1024GiB",
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
