//! Arbitrary bytes against the readers of tokens, claims, patterns and key files.

use super::claims::Expectations;
use super::pattern::{Kind, KnownExpressions, Pattern};
use super::*;
use crate::bytes::{JSON_WORDS, Trial};
use crate::protocol::{Json, Limits};

const NOW: i64 = 1_700_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// What tokens say.
const CLAIMS: &[&str] = &[
    r#"{"exp":1700000060,"scope":"connect"}"#,
    r#"{"exp":1700000060.5,"nbf":1699999000,"iat":"ignored","aud":["hotsock","b"],"iss":"app","scope":"connect subscribe umd openid","jti":"01J","singleUse":true,"uid":"Jim","umd":{"z":1.10,"a":[true,null,"\u00e9"]},"keepAlive":true,"heartbeatTimeout":30,"umdUpdate":true,"umdPropagate":true,"unknown":{"x":[1]},"channels":{"presence.a":{"autoSubscribe":true}}}"#,
    r##"{"exp":1700000060,"scope":"subscribe","connectionId":"WlpaWlpaWlpaWlpaWlpaWg","channels":{"presence.a":{"subscribe":true,"alias":"user","getInfo":true,"historyStart":0,"omitFromSubCount":false,"umdUpdate":true,"messages":{"chat*":{"publish":true,"broadcast":false,"echo":true,"emitPubSubEvent":true,"react":["👍","no"],"scheduleBefore":1700000900.5,"store":600},"#regex:^m\\d+$":{"react":true,"store":-1}},"storage":{"key":{"get":true,"set":false,"observe":true,"emitPubSubEvent":true,"store":60}}},"game.*":{"subscribe":false,"messages":null,"storage":{}},"#regex:^(?i)org\\.[[:alpha:]]{1,8}$":null}}"##,
];

/// Names that claims know.
const CLAIM_WORDS: &[&str] = &[
    "\"exp\"",
    "\"channels\":{}",
    "\"messages\"",
    "\"storage\"",
    "\"store\":-1",
    "\"react\":[]",
    "\"alias\":\"b\"",
    "\"#regex:a+\"",
    "\"presence.a\"",
    "#regex:",
    "*",
    "connect",
];

/// What patterns of Go are made of.
const PATTERN_WORDS: &[&str] = &[
    "#regex:",
    "*",
    "+",
    "?",
    "??",
    "{2,3}",
    "{1000}",
    "{0,}",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?s-m:",
    "(?P<n>",
    "(?<n>",
    "[",
    "]",
    "[^",
    "-",
    "[:alpha:]",
    "[[:^word:]]",
    "\\",
    "\\d",
    "\\W",
    "\\pL",
    "\\p{Greek}",
    "\\P{^Lu}",
    "\\p{Any}",
    "\\Q",
    "\\E",
    "\\x{10FFFF}",
    "\\x41",
    "\\777",
    "\\b",
    "\\B",
    "\\A",
    "\\z",
    "\\C",
    "^",
    "$",
    ".",
    "|",
    "\u{0}",
    "é",
    "K",
    "ſ",
    "😀",
    "\u{10ffff}",
];

const PATTERNS: &[&str] = &[
    "presence.live-chat",
    "game.*",
    "*.a*b*",
    "#regex:^org\\.\\d+$",
    "#regex:^(?i)m(ü|\\p{Greek}+?)[[:alpha:]_-]{2,8}(?:x|y\\b)*$",
    "#regex:\\Qa.b*\\E+[^\\d\\s]\\x{41}",
];

fn expected() -> Expectations {
    Expectations {
        audience: None,
        issuer: None,
        limits: Limits::default(),
    }
}

fn read(payload: &[u8]) -> Result<Claims, TokenError> {
    // A verifier's memory of expressions is its own bound.
    let known = KnownExpressions::default();
    Claims::from_payload(payload, NOW, &expected(), known.for_token())
}

/// Every question that there is about grants.
fn ask(claims: &Claims) {
    let permissions = Permissions::new(&claims.grants, None);
    for channel in ["presence.a", "game.1", "org.x", "é\u{1f600}"] {
        let _ = permissions.channel(channel);
        for event in ["chat", "m1", ""] {
            let _ = permissions.message(channel, event);
        }
    }
    let _ = claims.grants.auto_subscribe().count();
}

#[test]
fn claims() {
    let words = [JSON_WORDS, CLAIM_WORDS].concat();
    Trial::of(CLAIMS, &words)
        .memory(24 << 20, 4_096)
        .run(|payload| {
            let Ok(claims) = read(payload) else {
                return false;
            };
            ask(&claims);
            // Spelled otherwise they say the same.
            if let Ok(Ok(json)) = std::str::from_utf8(payload).map(Json::parse) {
                let again = read(json.as_str().as_bytes());
                assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, ()>(claims)));
            }
            true
        });
}

#[test]
fn tokens() {
    let key = SigningKey::from_secret(Algorithm::HS256, Some("k".into()), SECRET).unwrap();
    let verifier = Verifier::new(vec![key.verification_key().unwrap()], None, None);
    let samples: Vec<_> = CLAIMS
        .iter()
        .map(|claims| key.sign_json(claims).unwrap())
        .collect();
    let known = samples.clone();
    let words = &[
        ".",
        "..",
        "=",
        "eyJhbGciOiJub25lIn0",
        "e30",
        "-",
        "_",
        "+",
        "é",
    ];
    Trial::of(samples, words)
        .memory(24 << 20, 4_096)
        .run_text(|token| {
            let verified = verifier.verify(token, NOW).is_ok();
            // Nothing that was not signed is taken.
            assert!(!verified || known.iter().any(|known| known == token));
            verified
        });
}

#[test]
fn headers() {
    // Whoever writes a header has no key: it is read before the signature is looked at.
    let verifier = Verifier::new(Vec::new(), None, None);
    let samples = [
        r#"{"alg":"HS256","typ":"JWT","kid":"2026-1"}"#,
        r#"{"kid":null,"alg":"ES256","typ":"jwt","cty":"x"}"#,
    ];
    let words = [JSON_WORDS, &["\"crit\":[]", "\"none\"", "\"alg\""]].concat();
    Trial::of(samples, &words).run(|header| {
        use base64::Engine as _;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        let refused = verifier
            .verify(&format!("{header}.e30.AAAA"), NOW)
            .unwrap_err();
        assert!(matches!(
            refused,
            TokenError::SignatureInvalid | TokenError::Malformed(_)
        ));
        refused == TokenError::SignatureInvalid
    });
}

#[test]
fn patterns() {
    // An expression may take 8 MiB, and as much again while it is compiled.
    Trial::of(PATTERNS, PATTERN_WORDS)
        .memory(24 << 20, 4_096)
        .run_text(|text| {
            let known = KnownExpressions::default();
            let mut taken = false;
            for kind in [Kind::Channel, Kind::Event, Kind::StorageKey] {
                let mut expressions = known.for_token();
                if let Ok(pattern) = Pattern::parse(text, kind, &mut expressions) {
                    taken = true;
                    let shown = format!("{pattern:?}");
                    assert!(shown == format!("{text:?}") || shown == format!("\"{text}\""));
                    for name in ["presence.live-chat", "org.42", "mü-x", "", "é\u{0}😀"] {
                        let _ = pattern.matches(name);
                    }
                    assert!(
                        pattern
                            .exact()
                            .is_none_or(|name| name == text && pattern.matches(text))
                    );
                }
            }
            taken
        });
}

#[test]
fn key_files() {
    let pairs = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::ES512]
        .map(|algorithm| (algorithm, SigningKey::generate(algorithm, None).unwrap().1));
    let samples: Vec<_> = pairs
        .iter()
        .flat_map(|(_, pair)| [pair.private_pem.clone(), pair.public_pem.clone()])
        .collect();
    let words = &[
        "-----BEGIN PUBLIC KEY-----\n",
        "-----END PRIVATE KEY-----",
        "\r\n",
        "=",
        "EC ",
    ];
    Trial::of(samples, words).run_text(|pem| {
        let mut taken = false;
        for (algorithm, _) in &pairs {
            taken |= VerificationKey::new_public(None, *algorithm, pem).is_ok();
            if let Ok(key) = SigningKey::from_pem(*algorithm, None, pem) {
                // What it makes of itself is a key again.
                assert!(key.verification_key().is_ok());
                taken = true;
            }
        }
        taken
    });
}
