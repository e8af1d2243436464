//! The directive table of PROTOCOL.md, section 2: what each directive permits, and who wins where several match.

use serde_json::json;

use super::*;
use crate::auth::permissions::{ChannelPermissions, MessagePermissions, React, StoragePermissions};

/// What nothing states.
const NO_CHANNEL: ChannelPermissions = ChannelPermissions {
    subscribe: false,
    get_info: false,
    omit_from_sub_count: false,
    umd_update: false,
    history_start: None,
};

const NO_MESSAGE: MessagePermissions<'_> = MessagePermissions {
    publish: false,
    broadcast: false,
    echo: false,
    emit_pub_sub_event: false,
    react: React::None,
    schedule_before: None,
    store: 0,
};

const NO_STORAGE: StoragePermissions = StoragePermissions {
    get: false,
    set: false,
    observe: false,
    emit_pub_sub_event: false,
    schedule_before: None,
    store: -1,
};

fn channel(channels: Value, name: &str) -> ChannelPermissions {
    Permissions::new(&grants(channels), None).channel(name)
}

fn storage(channels: Value, name: &str, key: &str) -> StoragePermissions {
    Permissions::new(&grants(channels), None).storage(name, key)
}

/// Runs `check` on what may be done with an event.
fn message(channels: Value, name: &str, event: &str, check: impl FnOnce(MessagePermissions<'_>)) {
    check(Permissions::new(&grants(channels), None).message(name, event));
}

#[test]
fn each_channel_directive_permits_its_own_and_nothing_else() {
    let with = |set: fn(&mut ChannelPermissions)| {
        let mut all = NO_CHANNEL;
        set(&mut all);
        all
    };
    for (directives, expected) in [
        (json!({}), NO_CHANNEL),
        (
            json!({ "subscribe": true }),
            with(|all| all.subscribe = true),
        ),
        (json!({ "subscribe": false }), NO_CHANNEL),
        (json!({ "autoSubscribe": true }), NO_CHANNEL),
        (json!({ "alias": "x" }), NO_CHANNEL),
        (json!({ "getInfo": true }), with(|all| all.get_info = true)),
        (
            json!({ "historyStart": 0 }),
            with(|all| all.history_start = Some(0)),
        ),
        (
            json!({ "omitFromSubCount": true }),
            with(|all| all.omit_from_sub_count = true),
        ),
        (
            json!({ "umdUpdate": true }),
            with(|all| all.umd_update = true),
        ),
    ] {
        let channels = json!({ "a": directives });
        assert_eq!(channel(channels.clone(), "a"), expected, "{channels}");
        assert_eq!(channel(channels.clone(), "b"), NO_CHANNEL, "{channels}");
        message(channels.clone(), "a", "e", |all| {
            assert_eq!(all, NO_MESSAGE)
        });
        assert_eq!(storage(channels, "a", "k"), NO_STORAGE);
    }
}

#[test]
fn each_message_directive_permits_its_own_and_nothing_else() {
    let list: Box<[Box<str>]> = ["a".into(), "b".into()].into();
    let with = |set: fn(&mut MessagePermissions<'_>)| {
        let mut all = NO_MESSAGE;
        set(&mut all);
        all
    };
    for (directives, expected) in [
        (json!({}), NO_MESSAGE),
        (json!({ "publish": true }), with(|all| all.publish = true)),
        (
            json!({ "broadcast": true }),
            with(|all| {
                all.publish = true;
                all.broadcast = true;
            }),
        ),
        (json!({ "publish": false, "broadcast": true }), NO_MESSAGE),
        (
            json!({ "publish": true, "broadcast": false }),
            with(|all| all.publish = true),
        ),
        (json!({ "broadcast": false }), NO_MESSAGE),
        (
            json!({ "publish": true, "broadcast": true }),
            with(|all| {
                all.publish = true;
                all.broadcast = true;
            }),
        ),
        (json!({ "echo": true }), with(|all| all.echo = true)),
        (
            json!({ "emitPubSubEvent": true }),
            with(|all| all.emit_pub_sub_event = true),
        ),
        (json!({ "react": true }), with(|all| all.react = React::Any)),
        (json!({ "react": false }), NO_MESSAGE),
        (
            json!({ "react": ["a", "b"] }),
            MessagePermissions {
                react: React::Only(&list),
                ..NO_MESSAGE
            },
        ),
        (
            json!({ "scheduleBefore": 9 }),
            with(|all| all.schedule_before = Some(9)),
        ),
        (json!({ "store": 60 }), with(|all| all.store = 60)),
    ] {
        let channels = json!({ "a": { "messages": { "e": directives } } });
        message(channels.clone(), "a", "e", |all| {
            assert_eq!(all, expected, "{channels}")
        });
        message(channels.clone(), "a", "f", |all| {
            assert_eq!(all, NO_MESSAGE)
        });
        message(channels.clone(), "b", "e", |all| {
            assert_eq!(all, NO_MESSAGE)
        });
        assert_eq!(channel(channels.clone(), "a"), NO_CHANNEL);
        assert_eq!(storage(channels, "a", "e"), NO_STORAGE);
    }
}

#[test]
fn each_storage_directive_permits_its_own_and_nothing_else() {
    let with = |set: fn(&mut StoragePermissions)| {
        let mut all = NO_STORAGE;
        set(&mut all);
        all
    };
    for (directives, expected) in [
        (json!({}), NO_STORAGE),
        (json!({ "get": true }), with(|all| all.get = true)),
        (json!({ "set": true }), with(|all| all.set = true)),
        (json!({ "observe": true }), with(|all| all.observe = true)),
        (
            json!({ "emitPubSubEvent": true }),
            with(|all| all.emit_pub_sub_event = true),
        ),
        (
            json!({ "scheduleBefore": 9 }),
            with(|all| all.schedule_before = Some(9)),
        ),
        (json!({ "store": 60 }), with(|all| all.store = 60)),
    ] {
        let channels = json!({ "a": { "storage": { "k": directives } } });
        assert_eq!(storage(channels.clone(), "a", "k"), expected, "{channels}");
        assert_eq!(storage(channels.clone(), "a", "l"), NO_STORAGE);
        assert_eq!(storage(channels.clone(), "b", "k"), NO_STORAGE);
        message(channels, "a", "k", |all| assert_eq!(all, NO_MESSAGE));
    }
}

#[test]
fn an_explicit_false_from_any_pattern_wins() {
    // Both ways round: it does not matter how specific the one that denies is.
    for (exact, wide) in [(true, false), (false, true)] {
        for directive in ["subscribe", "getInfo", "omitFromSubCount", "umdUpdate"] {
            let channels = json!({ "a.1": { (directive): exact }, "a.*": { (directive): wide } });
            assert_eq!(channel(channels.clone(), "a.1"), NO_CHANNEL, "{channels}");
        }
        for directive in ["publish", "broadcast", "echo", "emitPubSubEvent", "react"] {
            for channels in [
                json!({ "a.1": { "messages": { "e": { (directive): exact }, "*": { (directive): wide } } } }),
                json!({
                    "a.1": { "messages": { "e": { (directive): exact } } },
                    "#regex:^a": { "messages": { "e": { (directive): wide } } },
                }),
            ] {
                message(channels.clone(), "a.1", "e", |all| {
                    assert_eq!(all, NO_MESSAGE, "{channels}")
                });
            }
        }
        for directive in ["get", "set", "observe", "emitPubSubEvent"] {
            for channels in [
                json!({ "a.1": { "storage": { "k": { (directive): exact }, "*": { (directive): wide } } } }),
                json!({
                    "a.1": { "storage": { "k": { (directive): exact } } },
                    "*": { "storage": { "k*": { (directive): wide } } },
                }),
            ] {
                assert_eq!(
                    storage(channels.clone(), "a.1", "k"),
                    NO_STORAGE,
                    "{channels}"
                );
            }
        }
    }
    // One directive's false says nothing of another's, nor of a pattern that does not match.
    let channels = json!({ "a": { "subscribe": true }, "*": { "getInfo": false }, "b*": { "subscribe": false } });
    assert!(channel(channels, "a").subscribe);
    // A pattern that is silent takes nothing away.
    let channels = json!({ "a": { "subscribe": true }, "*": {} });
    assert!(channel(channels, "a").subscribe);
}

#[test]
fn publish_false_beats_broadcast_across_patterns() {
    let channels = json!({
        "a": { "messages": { "e": { "broadcast": true } } },
        "*": { "messages": { "*": { "publish": false } } },
    });
    message(channels, "a", "e", |all| {
        assert!(!all.publish && !all.broadcast)
    });
    let channels = json!({
        "a": { "messages": { "e": { "publish": true, "broadcast": true } } },
        "*": { "messages": { "*": { "broadcast": false } } },
    });
    message(channels, "a", "e", |all| {
        assert!(all.publish && !all.broadcast)
    });
}

#[test]
fn the_most_specific_number_counts() {
    // The value is that of the pattern which is to win.
    for (win, lose) in [
        ("aaa.1", "aaa.*"),
        ("aaa.*", "aa*"),
        ("#regex:^aaa", "a*"),
        ("aaa.1", "#regex:^aaa.1$"),
        ("aaa*", "#regex:a"),
    ] {
        let channels = json!({ (win): { "historyStart": 1 }, (lose): { "historyStart": 2 } });
        assert_eq!(
            channel(channels, "aaa.1").history_start,
            Some(1),
            "{win} {lose}"
        );
        for directive in ["store", "scheduleBefore"] {
            let channels = json!({
                (win): { "messages": { "*": { (directive): 1 } }, "storage": { "*": { (directive): 1 } } },
                // The channel decides first, though this one names the event exactly.
                (lose): { "messages": { "evt": { (directive): 2 } }, "storage": { "evt": { (directive): 2 } } },
            });
            message(channels.clone(), "aaa.1", "evt", |all| {
                let value = if directive == "store" {
                    Some(all.store)
                } else {
                    all.schedule_before
                };
                assert_eq!(value, Some(1), "{win} {lose} {directive}");
            });
            let all = storage(channels, "aaa.1", "evt");
            let value = if directive == "store" {
                Some(all.store)
            } else {
                all.schedule_before
            };
            assert_eq!(value, Some(1), "{win} {lose} {directive}");
        }
    }
    for (win, lose) in [
        ("evt", "evt*"),
        ("ev*", "e*"),
        ("#regex:^ev", "e*"),
        ("evt", "#regex:^evt$"),
    ] {
        let channels =
            json!({ "a": { "messages": { (lose): { "store": 2 }, (win): { "store": 1 } } } });
        message(channels, "a", "evt", |all| {
            assert_eq!(all.store, 1, "{win} {lose}")
        });
    }
    // The most specific that states it: a silent exact name leaves it to the wildcard.
    let channels = json!({ "a": { "subscribe": true }, "*": { "historyStart": 7 } });
    assert_eq!(channel(channels, "a").history_start, Some(7));
    // A value of zero is a value.
    let channels = json!({ "a": { "messages": { "e": { "store": 0 }, "*": { "store": 60 } } } });
    message(channels, "a", "e", |all| assert_eq!(all.store, 0));
}

#[test]
fn the_most_specific_react_counts_unless_one_is_false() {
    let react = |exact: Value, wide: Value, check: &dyn Fn(React<'_>)| {
        let channels =
            json!({ "a": { "messages": { "e": { "react": exact }, "*": { "react": wide } } } });
        message(channels, "a", "e", |all| check(all.react));
    };
    react(json!(["x"]), json!(true), &|react| {
        assert!(react.allows("x") && !react.allows("y"))
    });
    react(json!(true), json!(["x"]), &|react| {
        assert_eq!(react, React::Any)
    });
    react(json!(["x"]), json!(["y"]), &|react| {
        assert!(react.allows("x") && !react.allows("y"))
    });
    react(json!(["x"]), json!(false), &|react| {
        assert_eq!(react, React::None)
    });
    react(json!(false), json!(["x"]), &|react| {
        assert_eq!(react, React::None)
    });
    react(json!(null), json!(["y"]), &|react| {
        assert!(react.allows("y"))
    });
    react(json!([]), json!(true), &|react| assert!(!react.allows("x")));
}

#[test]
fn a_subscribe_tokens_directives_are_added() {
    let connect = grants(json!({
        "a": { "subscribe": true, "historyStart": 1, "messages": { "e": { "publish": true, "store": 1 } } },
        "*": { "getInfo": false },
    }));
    let subscribe = grants(json!({
        "a": { "getInfo": true, "historyStart": 2, "messages": { "e": { "echo": true, "store": 2 } } },
        "b": { "subscribe": true },
    }));
    let both = Permissions::new(&connect, Some(&subscribe));
    let a = both.channel("a");
    assert!(a.subscribe && !a.get_info);
    // Equally specific: the subscribe token's.
    assert_eq!(a.history_start, Some(2));
    let e = both.message("a", "e");
    assert!(e.publish && e.echo);
    assert_eq!(e.store, 2);
    assert!(both.channel("b").subscribe);
    assert!(!Permissions::new(&connect, None).channel("b").subscribe);
    // More specific beats newer.
    let wide = grants(json!({ "*": { "historyStart": 9 } }));
    assert_eq!(
        Permissions::new(&connect, Some(&wide))
            .channel("a")
            .history_start,
        Some(1)
    );
    // And either may deny.
    let deny = grants(json!({ "a": { "subscribe": false } }));
    assert!(
        !Permissions::new(&connect, Some(&deny))
            .channel("a")
            .subscribe
    );
    assert!(
        !Permissions::new(&deny, Some(&connect))
            .channel("a")
            .subscribe
    );
}

#[test]
fn broadcast_has_no_effect_in_a_subscribe_token() {
    let of = |directives: Value| grants(json!({ "a": { "messages": { "e": directives } } }));
    for (connect, subscribe, publish, broadcast) in [
        (json!({}), json!({ "broadcast": true }), false, false),
        (
            json!({ "publish": true }),
            json!({ "broadcast": true }),
            true,
            false,
        ),
        (
            json!({}),
            json!({ "publish": true, "broadcast": true }),
            true,
            false,
        ),
        (
            json!({ "broadcast": true }),
            json!({ "broadcast": false }),
            true,
            true,
        ),
        (
            json!({ "broadcast": true }),
            json!({ "publish": false }),
            false,
            false,
        ),
        (
            json!({ "broadcast": false }),
            json!({ "publish": true }),
            true,
            false,
        ),
    ] {
        let (first, second) = (of(connect.clone()), of(subscribe.clone()));
        let allowed = Permissions::new(&first, Some(&second)).message("a", "e");
        assert_eq!(allowed.publish, publish, "{connect} {subscribe}");
        assert_eq!(allowed.broadcast, broadcast, "{connect} {subscribe}");
    }
}

#[test]
fn aliases_resolve_and_real_names_win() {
    let connect = grants(json!({
        "user.1": { "alias": "user" }, "chat.1": { "alias": "chat" }, "*": { "subscribe": true },
    }));
    let alone = Permissions::new(&connect, None);
    assert_eq!(alone.resolve("user"), ("user.1", Some("user")));
    assert_eq!(alone.resolve("user.1"), ("user.1", None));
    assert_eq!(alone.resolve("other"), ("other", None));
    assert_eq!(alone.alias_of("user.1"), Some("user"));
    assert_eq!(alone.alias_of("user"), None);
    assert_eq!(alone.alias_of("other"), None);

    // A subscribe token's alias wins; the other channel is left without one.
    let newer = grants(json!({ "user.2": { "alias": "user" } }));
    let both = Permissions::new(&connect, Some(&newer));
    assert_eq!(both.resolve("user"), ("user.2", Some("user")));
    assert_eq!(both.alias_of("user.2"), Some("user"));
    assert_eq!(both.alias_of("user.1"), None);
    assert_eq!(both.resolve("chat"), ("chat.1", Some("chat")));

    // The same channel under two aliases: both lead there, and the newer is told.
    let renamed = grants(json!({ "user.1": { "alias": "me" } }));
    let both = Permissions::new(&connect, Some(&renamed));
    assert_eq!(both.resolve("user"), ("user.1", Some("user")));
    assert_eq!(both.resolve("me"), ("user.1", Some("me")));
    assert_eq!(both.alias_of("user.1"), Some("me"));

    // A real name in either token beats an alias in either.
    let real = grants(json!({ "user": {} }));
    for both in [
        Permissions::new(&connect, Some(&real)),
        Permissions::new(&real, Some(&connect)),
    ] {
        assert_eq!(both.resolve("user"), ("user", None));
        assert_eq!(both.alias_of("user.1"), None);
    }
}
