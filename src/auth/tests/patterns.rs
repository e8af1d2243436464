//! The `channels` claim: what is refused, and under which path.

use serde_json::json;

use super::*;

fn refusal(channels: Value) -> String {
    invalid(claims(json!({ "channels": channels })))
}

#[test]
fn every_directive_names_its_path_when_it_is_wrong() {
    let wrong_flag = [json!(1), json!("true"), json!([]), json!({})];
    let wrong_date = [json!("2024-01-01"), json!(true), json!([0])];
    for (directive, values) in [
        ("subscribe", &wrong_flag[..]),
        ("autoSubscribe", &wrong_flag),
        ("getInfo", &wrong_flag),
        ("omitFromSubCount", &wrong_flag),
        ("umdUpdate", &wrong_flag),
        ("historyStart", &wrong_date),
        (
            "alias",
            &[
                json!(1),
                json!("a b"),
                json!(""),
                json!("a*"),
                json!("#a"),
                json!("a,b"),
                json!("a\u{7}"),
            ],
        ),
        ("messages", &[json!(true), json!([])]),
        ("storage", &[json!("x"), json!([])]),
    ] {
        for value in values {
            assert_eq!(
                refusal(json!({ "game.1": { (directive): value } })),
                format!("channels[\"game.1\"].{directive}"),
                "{value}"
            );
        }
    }
    let store = [
        json!(1.5),
        json!("1"),
        json!(-2),
        json!(3_155_695_201_i64),
        json!(1e300),
    ];
    for (directive, values) in [
        ("publish", &wrong_flag[..]),
        ("broadcast", &wrong_flag),
        ("echo", &wrong_flag),
        ("emitPubSubEvent", &wrong_flag),
        ("react", &[json!(1), json!("x"), json!({}), json!(["a", 1])]),
        ("scheduleBefore", &wrong_date),
        ("store", &store),
    ] {
        for value in values {
            assert_eq!(
                refusal(json!({ "g*": { "messages": { "chat": { (directive): value } } } })),
                format!("channels[\"g*\"].messages[\"chat\"].{directive}"),
                "{value}"
            );
        }
    }
    let zero = [json!(0)];
    for (directive, values) in [
        ("get", &wrong_flag[..]),
        ("set", &wrong_flag),
        ("observe", &wrong_flag),
        ("emitPubSubEvent", &wrong_flag),
        ("scheduleBefore", &wrong_date),
        ("store", &store),
        ("store", &zero),
    ] {
        for value in values {
            assert_eq!(
                refusal(json!({ "g": { "storage": { "k": { (directive): value } } } })),
                format!("channels[\"g\"].storage[\"k\"].{directive}"),
                "{value}"
            );
        }
    }
    for directives in [json!(true), json!([]), json!("x")] {
        assert_eq!(refusal(json!({ "g": directives })), "channels[\"g\"]");
        let messages = json!({ "g": { "messages": { "e": directives } } });
        assert_eq!(refusal(messages), "channels[\"g\"].messages[\"e\"]");
    }
}

#[test]
fn a_bad_pattern_anywhere_refuses_the_whole_token() {
    for pattern in ["", "a b", "#regex:(", "#regex:", "#", "a,b"] {
        assert_eq!(
            refusal(json!({ "good": { "subscribe": true }, (pattern): {} })),
            format!("channels[{pattern:?}]")
        );
    }
    for pattern in ["", "#regex:[", "#x"] {
        assert_eq!(
            refusal(json!({ "g": { "messages": { (pattern): {} } } })),
            format!("channels[\"g\"].messages[{pattern:?}]")
        );
    }
    for pattern in ["", "#regex:[", "a b"] {
        assert_eq!(
            refusal(json!({ "g": { "storage": { (pattern): {} } } })),
            format!("channels[\"g\"].storage[{pattern:?}]")
        );
    }
}

#[test]
fn alias_and_auto_subscribe_are_ignored_on_a_pattern() {
    for pattern in ["game.*", "#regex:^game"] {
        for (directive, value) in [
            ("alias", json!("me")),
            ("alias", json!("no name")),
            ("alias", json!(7)),
            ("autoSubscribe", json!(true)),
            ("autoSubscribe", json!(false)),
            ("autoSubscribe", json!("yes")),
        ] {
            let grants = grants(json!({
                "me": { "autoSubscribe": true },
                (pattern): { (directive): value, "getInfo": true },
            }));
            assert!(grants.auto_subscribe().eq(["me"]));
            let permissions = Permissions::new(&grants, None);
            assert_eq!(permissions.resolve("me"), ("me", None));
            assert!(permissions.channel("game.1").get_info);
        }
    }
}

#[test]
fn an_explicit_false_denies_auto_subscribe() {
    let auto = json!({ "autoSubscribe": true });
    for (pattern, directives, expected) in [
        (
            "b",
            json!({ "autoSubscribe": true, "subscribe": false }),
            &["a"][..],
        ),
        ("b*", json!({ "subscribe": false }), &["a"]),
        ("#regex:^a", json!({ "subscribe": false }), &["b"]),
        ("*", json!({ "subscribe": false }), &[]),
        ("c*", json!({ "subscribe": false }), &["a", "b"]),
        ("*", json!({ "subscribe": true }), &["a", "b"]),
    ] {
        let grants = grants(json!({ "a": auto, "b": auto, (pattern): directives }));
        let seen: Vec<_> = grants.auto_subscribe().collect();
        assert_eq!(seen, expected, "{pattern}: {directives}");
    }
}

#[test]
fn an_alias_is_its_channels_alone() {
    let alike = json!({ "a": { "alias": "x" }, "b": { "alias": "x" } });
    assert_eq!(refusal(alike), "channels[\"b\"].alias");
    // Whichever comes first.
    let channel = json!({ "a": { "alias": "b" }, "b": {} });
    assert_eq!(refusal(channel), "channels[\"a\"].alias");
    let channel = json!({ "b": {}, "c": { "alias": "b" } });
    assert_eq!(refusal(channel), "channels[\"c\"].alias");
    assert_eq!(
        refusal(json!({ "a": { "alias": "a" } })),
        "channels[\"a\"].alias"
    );
    assert_eq!(grants(json!({ "a": { "alias": "x" }, "x*": {} })).len(), 2);
}

#[test]
fn a_channel_named_twice_is_refused() {
    let text = format!(
        r#"{{"exp":{},"scope":"connect","channels":{{"a":{{"subscribe":false}},"a":{{"subscribe":true}}}}}}"#,
        NOW + 1
    );
    let token = SigningKey::from_secret(Algorithm::HS256, None, SECRET)
        .unwrap()
        .sign_json(&text)
        .unwrap();
    assert_eq!(invalid(verifier().verify(&token, NOW)), "channels[\"a\"]");
}

#[test]
fn bounds_and_unknown_directives_are_taken() {
    let grants = grants(json!({ "g": {
        "unknown": [1],
        "historyStart": 0.5,
        "messages": {
            "a": { "store": -1 }, "b": { "store": 0 }, "c": { "store": 3_155_695_200_i64 },
            "d": { "store": 60.0, "react": [], "unknown": {} },
        },
        "storage": { "a": { "store": -1 }, "b": { "store": 1 }, "c": { "store": 3_155_695_200_i64 } },
    } }));
    let permissions = Permissions::new(&grants, None);
    assert_eq!(permissions.message("g", "a").store, -1);
    assert_eq!(permissions.message("g", "c").store, 3_155_695_200);
    assert_eq!(permissions.message("g", "d").store, 60);
    assert_eq!(permissions.storage("g", "b").store, 1);
    assert_eq!(permissions.channel("g").history_start, Some(1));
}

#[test]
fn escaped_names_are_read() {
    let grants = grants(json!({ "a\"b\\c": { "autoSubscribe": true, "alias": "\u{e9}\"" } }));
    assert!(grants.auto_subscribe().eq(["a\"b\\c"]));
    assert_eq!(Permissions::new(&grants, None).resolve("é\"").0, "a\"b\\c");
}

#[test]
fn auto_subscribe_keeps_the_tokens_order() {
    let text = format!(
        r#"{{"exp":{},"scope":"connect","channels":{{"z":{{"autoSubscribe":true}},"a":{{"autoSubscribe":true}},"m":{{"autoSubscribe":false}},"*":{{"subscribe":true}}}}}}"#,
        NOW + 1
    );
    let token = SigningKey::from_secret(Algorithm::HS256, None, SECRET)
        .unwrap()
        .sign_json(&text)
        .unwrap();
    let grants = verifier().verify(&token, NOW).unwrap().grants;
    assert!(grants.auto_subscribe().eq(["z", "a"]));
}

/// What lives as long as a connection must stay small.
#[test]
fn grants_are_packed() {
    use super::super::grants::{ChannelGrant, Rule};
    assert!(size_of::<Grants>() <= 16);
    assert!(
        size_of::<ChannelGrant>() <= 72,
        "{}",
        size_of::<ChannelGrant>()
    );
    assert!(size_of::<Rule>() <= 40, "{}", size_of::<Rule>());
}
