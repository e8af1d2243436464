//! The claims table of PROTOCOL.md, section 2, row by row.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::claims::Scopes;
use crate::protocol::Limits;

#[test]
fn a_full_connect_token_reads_in_full() {
    let claims = claims(json!({
        "exp": NOW + 60, "nbf": NOW - 60, "iat": "ignored", "aud": "hotsock", "iss": "app",
        "scope": "connect subscribe umd openid", "jti": "01J", "singleUse": true, "uid": "Jim",
        "umd": { "z": 1, "a": [true, null] }, "keepAlive": true, "heartbeatTimeout": 30,
        "umdUpdate": true, "umdPropagate": true, "unknown": { "x": [1] },
        "channels": { "presence.a": { "autoSubscribe": true }, "b*": { "subscribe": true } },
    }))
    .unwrap();
    let all = Scopes {
        connect: true,
        subscribe: true,
        umd: true,
    };
    assert_eq!(claims.scopes, all);
    assert_eq!(claims.expires_at, NOW + 60);
    assert_eq!(claims.single_use.as_deref(), Some("01J"));
    assert_eq!(claims.uid.as_deref(), Some("Jim"));
    assert!(claims.umd.is_some());
    assert_eq!(claims.connection_id, None);
    assert!(claims.keep_alive && claims.umd_update && claims.umd_propagate);
    assert_eq!(claims.heartbeat_timeout, Some(30));
    assert_eq!(claims.grants.len(), 2);
    assert!(claims.grants.auto_subscribe().eq(["presence.a"]));
    assert!(claims.scopes.connect && claims.connection_id.is_none());
}

#[test]
fn a_minimal_token_has_the_defaults() {
    let claims = claims(json!({})).unwrap();
    assert!(claims.scopes.connect && !claims.scopes.subscribe && !claims.scopes.umd);
    assert!(claims.single_use.is_none() && claims.uid.is_none() && claims.umd.is_none());
    assert!(!claims.keep_alive && !claims.umd_update && !claims.umd_propagate);
    assert_eq!(claims.heartbeat_timeout, None);
    assert!(claims.grants.len() == 0);
}

#[test]
fn null_is_absent() {
    let claims = claims(json!({
        "nbf": null, "aud": null, "iss": null, "jti": null, "singleUse": null, "uid": null,
        "umd": null, "connectionId": null, "keepAlive": null, "heartbeatTimeout": null,
        "umdUpdate": null, "umdPropagate": null, "channels": null,
    }))
    .unwrap();
    assert!(claims.uid.is_none() && claims.umd.is_none() && claims.grants.len() == 0);
    let claims = super::claims(json!({ "channels": { "a": null, "b": {
        "subscribe": null, "alias": null, "historyStart": null,
        "messages": { "e": null, "f": { "publish": null, "react": null, "store": null } },
        "storage": null,
    } } }));
    assert_eq!(claims.unwrap().grants.len(), 2);
    assert_eq!(invalid(super::claims(json!({ "exp": null }))), "exp");
    assert_eq!(invalid(super::claims(json!({ "scope": null }))), "scope");
}

#[test]
fn time_is_kept_to_the_second_without_leeway() {
    let at = |claims: Value, now| {
        let mut claims = claims;
        claims["scope"] = json!("connect");
        verifier().verify(&sign(&claims), now)
    };
    let exp = json!({ "exp": NOW });
    assert!(at(exp.clone(), NOW - 1).is_ok());
    assert_eq!(
        at(exp.clone(), NOW).unwrap_err(),
        TokenError::Expired { seconds: 0 }
    );
    assert_eq!(
        at(exp, NOW + 9).unwrap_err(),
        TokenError::Expired { seconds: 9 }
    );

    let nbf = json!({ "exp": NOW + 60, "nbf": NOW });
    assert_eq!(
        at(nbf.clone(), NOW - 1).unwrap_err(),
        TokenError::NotYetValid { seconds: 1 }
    );
    assert!(at(nbf, NOW).is_ok());

    // A NumericDate may have a fraction: this one is over between the two seconds.
    let fraction = json!({ "exp": NOW as f64 + 0.5, "nbf": NOW as f64 - 0.5 });
    assert!(at(fraction.clone(), NOW).is_ok());
    assert_eq!(
        at(fraction.clone(), NOW + 1).unwrap_err().code(),
        "TOKEN_EXPIRED"
    );
    assert_eq!(
        at(fraction, NOW - 1).unwrap_err().code(),
        "TOKEN_NOT_YET_VALID"
    );

    for far in [json!(u64::MAX), json!(1e300), json!(i64::MAX)] {
        assert_eq!(at(json!({ "exp": far }), NOW).unwrap().expires_at, i64::MAX);
    }
    for past in [json!(-1), json!(-1e300), json!(0)] {
        assert_eq!(
            at(json!({ "exp": past }), NOW).unwrap_err().code(),
            "TOKEN_EXPIRED"
        );
    }
    assert_eq!(
        at(json!({ "exp": i64::MIN }), i64::MAX).unwrap_err().code(),
        "TOKEN_EXPIRED"
    );
}

#[test]
fn audience_and_issuer_must_match_where_configured() {
    let key = || VerificationKey::new_secret(None, Algorithm::HS256, SECRET).unwrap();
    let configured = Verifier::new(vec![key()], Some("hotsock".into()), Some("app".into()));
    let verify = |claims: Value| {
        let mut claims = claims;
        claims["exp"] = json!(NOW + 60);
        claims["scope"] = json!("connect");
        configured.verify(&sign(&claims), NOW)
    };
    assert!(verify(json!({ "aud": "hotsock", "iss": "app" })).is_ok());
    assert!(verify(json!({ "aud": ["x", "hotsock"], "iss": "app" })).is_ok());
    for aud in [
        json!("x"),
        json!([]),
        json!(["x"]),
        json!(null),
        json!("Hotsock"),
    ] {
        assert_eq!(
            verify(json!({ "aud": aud, "iss": "app" })).unwrap_err(),
            TokenError::AudienceMismatch
        );
    }
    for iss in [json!("x"), json!(null), json!("")] {
        assert_eq!(
            verify(json!({ "aud": "hotsock", "iss": iss })).unwrap_err(),
            TokenError::IssuerMismatch
        );
    }
    assert!(claims(json!({ "aud": "whatever", "iss": "whoever" })).is_ok());
}

#[test]
fn wrong_types_and_bounds_name_their_claim() {
    for (claim, values) in [
        ("exp", vec![json!("1700000060"), json!(true), json!({})]),
        ("nbf", vec![json!("0"), json!([])]),
        ("aud", vec![json!(1), json!(["a", 1]), json!({})]),
        ("iss", vec![json!(1), json!(["a"])]),
        ("scope", vec![json!(["connect"]), json!(1)]),
        ("jti", vec![json!(1)]),
        ("singleUse", vec![json!("true"), json!(1)]),
        ("uid", vec![json!(1), json!(["a"]), json!("x".repeat(129))]),
        ("umd", vec![json!("x".repeat(1023))]),
        ("connectionId", vec![json!(1)]),
        ("keepAlive", vec![json!("yes"), json!(0)]),
        (
            "heartbeatTimeout",
            vec![
                json!(4),
                json!(601),
                json!(-5),
                json!(5.5),
                json!("30"),
                json!(65_541),
                json!(1e300),
            ],
        ),
        ("umdUpdate", vec![json!(1)]),
        ("umdPropagate", vec![json!("")]),
        ("channels", vec![json!([]), json!("a"), json!(true)]),
    ] {
        for value in values {
            let mut object = json!({});
            object[claim] = value.clone();
            let error = claims(object).unwrap_err();
            assert_eq!(error.code(), "TOKEN_CLAIM_INVALID", "{claim}: {value}");
            assert!(
                error.to_string().contains(&format!("claim {claim} ")),
                "{error}"
            );
        }
    }
    for (claim, value) in [
        ("uid", json!("ü".repeat(128))),
        ("uid", json!("")),
        ("umd", json!("x".repeat(1022))),
        ("heartbeatTimeout", json!(5)),
        ("heartbeatTimeout", json!(600)),
        ("heartbeatTimeout", json!(30.0)),
    ] {
        let mut object = json!({});
        object[claim] = value.clone();
        assert!(claims(object).is_ok(), "{claim}: {value}");
    }
}

#[test]
fn metadata_is_kept_to_the_letter_but_for_white_space() {
    let token = |umd: &str| {
        let text = format!(r#"{{"scope":"connect","exp":{},"umd":{umd}}}"#, NOW + 1);
        SigningKey::from_secret(Algorithm::HS256, None, SECRET)
            .unwrap()
            .sign_json(&text)
            .unwrap()
    };
    let verify = |umd: &str| verifier().verify(&token(umd), NOW);
    let umd = verify(r#"{ "b": 1.10, "a": 123456789012345678901234567890 }"#)
        .unwrap()
        .umd;
    assert_eq!(
        umd.unwrap().as_str(),
        r#"{"b":1.10,"a":123456789012345678901234567890}"#
    );
    // White space does not count towards the limit.
    let spaced = format!("[{}\"{}\"]", " ".repeat(600), "x".repeat(1020));
    assert_eq!(verify(&spaced).unwrap().umd.unwrap().as_str().len(), 1024);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(invalid(verify(&deep)), "umd");
    assert_eq!(invalid(verify(r#""\ud800""#)), "umd");
}

#[test]
fn limits_can_be_set() {
    let small = verifier().with_limits(Limits {
        uid_characters: 3,
        umd_bytes: 4,
        ..Limits::default()
    });
    let verify = |mut claims: Value| {
        claims["exp"] = json!(NOW + 60);
        claims["scope"] = json!("connect");
        small.verify(&sign(&claims), NOW)
    };
    assert!(verify(json!({ "uid": "Jim", "umd": true })).is_ok());
    let error = verify(json!({ "uid": "Jims" })).unwrap_err().to_string();
    assert!(
        error.ends_with("claim uid is invalid: expected at most 3 characters"),
        "{error}"
    );
    assert_eq!(invalid(verify(json!({ "umd": false }))), "umd");
}

#[test]
fn single_use_needs_a_jti() {
    assert_eq!(invalid(claims(json!({ "singleUse": true }))), "jti");
    assert_eq!(
        invalid(claims(json!({ "singleUse": true, "jti": "" }))),
        "jti"
    );
    let long = "x".repeat(257);
    assert_eq!(
        invalid(claims(json!({ "singleUse": true, "jti": long }))),
        "jti"
    );
    assert!(
        claims(json!({ "singleUse": true, "jti": "a" }))
            .unwrap()
            .single_use
            .is_some()
    );
    assert!(
        claims(json!({ "singleUse": false, "jti": "a" }))
            .unwrap()
            .single_use
            .is_none()
    );
    assert!(claims(json!({ "jti": long })).unwrap().single_use.is_none());
}

#[test]
fn a_subscribe_or_umd_token_names_its_connection() {
    for scope in ["subscribe", "umd", "subscribe umd", "umd other"] {
        assert_eq!(invalid(claims(json!({ "scope": scope }))), "connectionId");
        assert_eq!(
            invalid(claims(json!({ "scope": scope, "uid": "" }))),
            "connectionId"
        );
        assert!(claims(json!({ "scope": scope, "uid": "Jim" })).is_ok());
        assert!(claims(json!({ "scope": scope, "connectionId": "c" })).is_ok());
    }
    // With connect as well it opens a connection, and is good for nothing else.
    let scopes = |claim: Value| claims(claim).unwrap().scopes;
    let anonymous = scopes(json!({ "scope": "connect subscribe umd" }));
    assert!(anonymous.connect && !anonymous.subscribe && !anonymous.umd);
    let named = scopes(json!({ "scope": "connect subscribe umd", "uid": "Jim" }));
    assert!(named.connect && named.subscribe && named.umd);
    // Scopes are whole words, and case matters.
    let none = scopes(json!({ "scope": "Connect connects  xsubscribe" }));
    assert_eq!(none, Scopes::default());
    assert_eq!(scopes(json!({ "scope": "" })), Scopes::default());
}

#[test]
fn which_connection_a_token_serves() {
    let of = |claim: Value| claims(claim).unwrap();
    let by_id = of(json!({ "scope": "subscribe", "connectionId": "c1", "uid": "Jim" }));
    assert!(by_id.serves("c1", Some("Dwight")) && by_id.serves("c1", None));
    assert!(!by_id.serves("c2", Some("Jim")));
    assert!(by_id.connection_id.is_some());
    let by_uid = of(json!({ "scope": "subscribe", "uid": "Jim" }));
    assert!(by_uid.serves("c1", Some("Jim")));
    assert!(!by_uid.serves("c1", Some("Dwight")) && !by_uid.serves("c1", None));
    let bound = of(json!({ "scope": "connect", "connectionId": "c1" }));
    assert!(bound.scopes.connect && bound.connection_id.is_some());
    let nobody = of(json!({ "uid": "" }));
    assert!(!nobody.serves("c1", Some("")) && !nobody.serves("c1", None));
}

#[test]
fn what_is_no_token_is_malformed() {
    let good = sign(&json!({ "exp": NOW + 60, "scope": "connect" }));
    for token in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "!.!.!",
        &format!("{good}.x"),
        &format!(".{good}"),
        &good.replace('.', ""),
        &format!(" {good}"),
        &good.replacen('.', "=.", 1),
    ] {
        let error = verifier().verify(token, NOW).unwrap_err();
        assert_eq!(error.code(), "TOKEN_MALFORMED", "{token}");
    }
    let text = |claims: &str| {
        let message = format!("eyJhbGciOiJIUzI1NiJ9.{}", {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims)
        });
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        verifier().verify(&format!("{message}.{signature}"), NOW)
    };
    for claims in [
        "",
        "null",
        "[]",
        "7",
        "{",
        "{}{}",
        "{\"exp\":1,\"exp\":2}",
        "{\"x\":1,\"x\":2}",
        "{\"exp\":1e999}",
        &"[".repeat(100_000),
        &format!("{{\"x\":{}", "{\"x\":".repeat(100_000)),
    ] {
        assert_eq!(
            text(claims).unwrap_err().code(),
            "TOKEN_MALFORMED",
            "{claims:.40}"
        );
    }
}

#[test]
fn nothing_of_the_claims_is_told_before_the_signature_is_good() {
    let other = SigningKey::from_secret(Algorithm::HS256, None, &[7; 32]).unwrap();
    for claims in [
        json!({}),
        json!({ "exp": 1 }),
        json!({ "exp": NOW + 60, "nbf": NOW + 30 }),
        json!({ "exp": NOW + 60, "scope": 7 }),
        json!({ "exp": NOW + 60, "scope": "connect", "channels": { "#regex:(": {} } }),
    ] {
        let token = other.sign(&claims).unwrap();
        assert_eq!(
            verifier().verify(&token, NOW).unwrap_err(),
            TokenError::SignatureInvalid
        );
    }
}

#[test]
fn messages_do_not_quote_values() {
    let error = claims(json!({ "uid": ["hunter2"] })).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token's claim uid is invalid: expected a string"
    );
    let long = "x".repeat(300);
    let error = claims(json!({ "channels": { (long): {} } })).unwrap_err();
    assert!(error.to_string().len() < 400, "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_verify_panic(token: String, dots in "[a-zA-Z0-9_.-]{0,60}") {
        prop_assert!(verifier().verify(&token, NOW).is_err());
        prop_assert!(verifier().verify(&dots, NOW).is_err());
    }

    #[test]
    fn no_signed_payload_makes_verify_panic(
        claim in "exp|scope|uid|umd|channels|aud|jti|heartbeatTimeout|singleUse",
        value in prop_oneof![
            any::<i64>().prop_map(|n| json!(n)),
            any::<f64>().prop_map(|n| json!(n)),
            any::<String>().prop_map(|s| json!(s)),
            any::<Vec<String>>().prop_map(|s| json!(s)),
            any::<(String, String)>().prop_map(|(k, v)| json!({ (k): { (v.as_str()): { (v.as_str()): true } } })),
            any::<(String, String)>().prop_map(|(k, e)| json!({ (k): { "messages": { (e): { "store": 1.5 } } } })),
            any::<(String, String)>().prop_map(|(k, e)| json!({ (k): { "alias": e } })),
        ],
        now: i64,
    ) {
        let mut object = json!({ "exp": i64::MAX, "scope": "connect" });
        object[claim] = value;
        let _ = verifier().verify(&sign(&object), now);
    }

    #[test]
    fn a_changed_byte_never_verifies(at in 0usize..200, to in "[A-Za-z0-9_-]") {
        let token = sign(&json!({ "exp": NOW + 60, "scope": "connect", "uid": "Jim" }));
        let at = at % token.len();
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != token);
        prop_assert!(verifier().verify(&changed, NOW).is_err());
    }
}
