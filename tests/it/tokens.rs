//! Tokens (sections 1 and 2): every algorithm, and everything that makes one no good.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rollcall::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, Token, now, public_key, secret_key};

async fn refused(server: &Server, token: &str) -> Value {
    match Client::try_connect(server, token).await {
        Ok(_) => panic!("{token} was accepted"),
        Err((status, body)) => {
            assert_eq!(status, 401, "{body}");
            assert!(
                token.len() < 20 || !body.contains(token),
                "a token is never repeated"
            );
            let body: Value = serde_json::from_str(&body).unwrap();
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
            body["error"]["code"].clone()
        }
    }
}

fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// Signed with HS256 and any secret: our own signing keys refuse to be made of a public key.
fn hs256(claims: &Value, secret: &[u8]) -> String {
    hmac(&json!({"alg": "HS256", "typ": "JWT"}), claims, secret)
}

/// The same with any header.
pub(crate) fn hmac(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let token = unsigned(header, claims, "");
    let signed = token.trim_end_matches('.');
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// `[[auth.keys]]` of a public key that has an id.
fn public_with(key: &SigningKey, id: &str) -> String {
    public_key(key) + &format!("id = {id:?}\n")
}

#[tokio::test]
async fn every_algorithm_opens_a_connection() {
    use Algorithm::*;
    for algorithm in [
        HS256, HS384, HS512, ES256, ES384, ES512, EdDSA, RS256, PS384, PS512,
    ] {
        let (key, config) = match algorithm {
            HS256 | HS384 | HS512 => {
                let secret = vec![7; 64];
                let config = secret_key(algorithm, &STANDARD.encode(&secret));
                (
                    SigningKey::from_secret(algorithm, None, &secret).unwrap(),
                    config,
                )
            }
            _ => {
                let (key, _) = SigningKey::generate(algorithm, None).unwrap();
                let config = public_key(&key);
                (key, config)
            }
        };
        let server = Setup::new().keys(&config).start();
        let token = key.sign(&Token::of("Jim").claims()).unwrap();
        let client = Client::try_connect(&server, &token).await;
        assert!(client.is_ok(), "{algorithm}");
        // Another key's signature is none.
        let foreign = server.key().sign(&Token::of("Jim").claims()).unwrap();
        refused(&server, &foreign).await;
    }
}

#[tokio::test]
async fn a_header_cannot_choose_the_algorithm() {
    let (key, _) = SigningKey::generate(Algorithm::ES256, None).unwrap();
    let server = Setup::new().keys(&public_key(&key)).start();
    let claims = Token::of("Jim").claims();
    let none = json!({"alg": "none", "typ": "JWT"});
    assert_eq!(
        refused(&server, &unsigned(&none, &claims, "")).await,
        refused(&server, &unsigned(&none, &claims, "AAAA")).await
    );
    // The public key, which everybody may know, used as a secret.
    let public = key.public_pem().unwrap().as_bytes();
    refused(&server, &hs256(&claims, public)).await;
    let good = key.sign(&claims).unwrap();
    assert!(Client::try_connect(&server, &good).await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_no_good_is_refused_with_401() {
    let server = Setup::new()
        .set("auth", "audience = \"hotsock\"")
        .set("auth", "issuer = \"app\"")
        .start();
    let good = || {
        Token::of("Jim")
            .claim("aud", json!("hotsock"))
            .claim("iss", json!("app"))
    };
    assert!(
        Client::try_connect(&server, &good().for_server(&server))
            .await
            .is_ok()
    );
    let several = good().claim("aud", json!(["other", "hotsock"]));
    assert!(
        Client::try_connect(&server, &several.for_server(&server))
            .await
            .is_ok()
    );
    let bad = [
        good().claim("exp", json!(now() - 120)),
        good().without("exp"),
        good().claim("nbf", json!(now() + 120)),
        good().claim("aud", json!("other")),
        good().without("aud"),
        good().claim("iss", json!("other")),
        good().without("iss"),
        good().claim("scope", json!("subscribe umd")),
        good().without("scope"),
        good().claim("connectionId", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        good().claim("uid", json!("x".repeat(129))),
        good().claim("uid", json!(7)),
        good().umd(json!("x".repeat(1_023))),
        good().channels(json!({"#regex:(": {"subscribe": true}})),
        good().channels(json!({"a": {"subscribe": "yes"}})),
        good().claim("singleUse", json!(true)),
        good().claim("heartbeatTimeout", json!(4)),
    ];
    for token in bad {
        refused(&server, &token.for_server(&server)).await;
    }
    let text = good().for_server(&server);
    for broken in [
        "",
        "x",
        "a.b.c",
        &text[..text.len() - 3],
        &format!("{text}x"),
    ] {
        refused(&server, broken).await;
    }
    let log = server.log();
    assert!(!log.contains(&text), "a token never reaches the log");
}

#[tokio::test]
async fn a_token_may_come_in_a_header_and_to_either_path() {
    let server = Server::start();
    let token = Token::of("Jim").for_server(&server);
    let bearer = format!("Bearer {token}");
    assert!(Client::request(&server, "/v1", Some(&bearer)).await.is_ok());
    assert!(Client::request(&server, "/", Some(&bearer)).await.is_ok());
    let target = format!("/?token={token}");
    assert!(Client::request(&server, &target, None).await.is_ok());
    assert_eq!(
        Client::request(&server, "/v1", None).await.err().unwrap().0,
        401
    );
}

#[tokio::test]
async fn keys_rotate_by_their_ids() {
    let make = |id: Option<&str>| {
        SigningKey::generate(Algorithm::ES256, id.map(str::to_owned))
            .unwrap()
            .0
    };
    let (old, new, open) = (make(Some("2025")), make(Some("2026")), make(None));
    let keys = [
        public_with(&old, "2025"),
        public_with(&new, "2026"),
        public_key(&open),
    ];
    let server = Setup::new().keys(&keys.concat()).start();
    let claims = Token::of("Jim").claims();
    for key in [&old, &new, &open] {
        assert!(
            Client::try_connect(&server, &key.sign(&claims).unwrap())
                .await
                .is_ok()
        );
    }
    refused(&server, &make(Some("2026")).sign(&claims).unwrap()).await;
    refused(&server, &make(Some("2027")).sign(&claims).unwrap()).await;
}

#[tokio::test]
async fn a_single_use_token_works_once_also_across_restarts() {
    let mut server = Server::start();
    let once = |jti: &str| {
        Token::of("Jim")
            .claim("singleUse", json!(true))
            .claim("jti", json!(jti))
    };
    let (first, second) = (once("1").for_server(&server), once("2").for_server(&server));
    assert!(Client::try_connect(&server, &first).await.is_ok());
    assert_eq!(refused(&server, &first).await, "TOKEN_ALREADY_USED");
    server.crash();
    assert_eq!(refused(&server, &first).await, "TOKEN_ALREADY_USED");
    assert!(Client::try_connect(&server, &second).await.is_ok());
    server.restart();
    assert_eq!(refused(&server, &first).await, "TOKEN_ALREADY_USED");
    assert_eq!(refused(&server, &second).await, "TOKEN_ALREADY_USED");
    // Two at once: one of them.
    let third = once("3").for_server(&server);
    let (a, b) = tokio::join!(
        Client::try_connect(&server, &third),
        Client::try_connect(&server, &third)
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
}

#[tokio::test]
async fn a_token_that_came_too_early_is_not_spent() {
    let server = Server::start();
    let token = |nbf: u64| {
        Token::of("Jim")
            .claim("singleUse", json!(true))
            .claim("jti", json!("early"))
            .claim("nbf", json!(nbf))
            .for_server(&server)
    };
    refused(&server, &token(now() + 100)).await;
    assert!(Client::try_connect(&server, &token(now())).await.is_ok());
}

#[tokio::test]
async fn a_single_use_token_works_once_for_each_scope() {
    let server = Server::start();
    let token = Token::of("Jim")
        .claim("scope", json!("connect subscribe"))
        .claim("singleUse", json!(true))
        .claim("jti", json!("both"))
        .for_server(&server);
    let Ok(mut jim) = Client::try_connect(&server, &token).await else {
        panic!("refused")
    };
    let frame = |channel: &str| {
        json!({"event": "hotsock.subscribe", "channel": channel, "data": {"token": token}})
            .to_string()
    };
    jim.send(&frame("presence.a")).await;
    assert!(jim.next().await.contains("hotsock.subscribed"));
    jim.send(&frame("presence.b")).await;
    jim.expect_error("INVALID_SUBSCRIBE_TOKEN").await;
}
