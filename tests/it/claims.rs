//! Claims to the letter (section 2), where the table of permissions has no act for it: what a connection is subscribed to
//! by itself, what it may list, which expressions are refused and how, what passes through as it is written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, Token, ids, now, rows, unsubscribe};

/// Whether a connect token with these channels opens a connection; else what the refusal says.
async fn opens(server: &Server, channels: Value) -> Result<Client, String> {
    let token = Token::of("Jim").channels(channels);
    match Client::try_connect(server, &token.for_server(server)).await {
        Ok(client) => Ok(client),
        Err((status, body)) => {
            assert_eq!(status, 401, "{body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["error"]["code"], "TOKEN_CLAIM_INVALID", "{body}");
            Err(body["error"]["message"].as_str().unwrap().to_owned())
        }
    }
}

/// Which of `names` a connect token with these channels is subscribed to by itself: it can unsubscribe from them.
async fn subscribed<'n>(server: &Server, channels: Value, names: &[&'n str]) -> Vec<&'n str> {
    let mut client = opens(server, channels).await.unwrap();
    let mut seen = Vec::new();
    for name in names {
        client.send(unsubscribe(name)).await;
        loop {
            let frame = client.next_json().await;
            match frame["event"].as_str() {
                Some("hotsock.subscribed") => continue,
                Some("hotsock.unsubscribed") => seen.push(*name),
                _ => assert_eq!(frame["error"]["code"], "NOT_SUBSCRIBED", "{frame}"),
            }
            assert_eq!(frame["channel"], **name, "{frame}");
            break;
        }
    }
    seen
}

#[tokio::test]
async fn an_explicit_false_denies_auto_subscribe() {
    let server = Server::start();
    let auto = json!({"autoSubscribe": true});
    let with = |pattern: &str, more: Value| json!({"a": auto, "b": auto, pattern: more});
    for (channels, expected) in rows! {
        json!({"a": auto, "b": auto}) => json!(["a", "b"]);
        with("b", json!({"autoSubscribe": true, "subscribe": false})) => json!(["a"]);
        with("b*", json!({"subscribe": false})) => json!(["a"]);
        with("#regex:^a$", json!({"subscribe": false})) => json!(["b"]);
        with("*", json!({"subscribe": false})) => json!([]);
        with("c", json!({"subscribe": false})) => json!(["a", "b"]);
        with("*", json!({"getInfo": false})) => json!(["a", "b"]);
        with("b", json!({"autoSubscribe": false, "subscribe": true})) => json!(["a"]);
    } {
        let seen = subscribed(&server, channels.clone(), &["a", "b"]).await;
        assert_eq!(json!(seen), expected, "{channels}");
    }
}

#[tokio::test]
async fn alias_and_auto_subscribe_are_ignored_on_a_pattern() {
    let server = Server::start();
    for pattern in ["room.*", "#regex:^room"] {
        let directives = json!({"subscribe": true, "autoSubscribe": true, "alias": "me"});
        let channels = json!({pattern: directives, "hall": {"autoSubscribe": true, "alias": "me"}});
        let seen = subscribed(&server, channels, &["hall", "room.1", "me"]).await;
        assert_eq!(seen, ["hall"], "{pattern}");
        let mut client = opens(&server, json!({pattern: directives})).await.unwrap();
        // No name leads anywhere that it did not lead without them.
        client.refused("me", "SUBSCRIBE_PERMISSION_DENIED").await;
        client.subscribe("room.1").await;
    }
}

#[tokio::test]
async fn history_start_only_widens() {
    let server = Server::start();
    let publish = || server.publish(json!({"channel": "c", "event": "e", "store": 600}));
    publish().await;
    for (start, seen) in [
        (json!(0), 2),
        (json!(now() + 3600), 1),
        (json!(1e30), 1),
        (json!(-5), 3),
    ] {
        let directives = json!({"subscribe": true, "historyStart": start});
        let mut client = opens(&server, json!({"c": directives})).await.unwrap();
        client.subscribe("c").await;
        let before = ids(&server.list(&client, &json!({"channel": "c"})).await).len();
        publish().await;
        let page = server.list(&client, &json!({"channel": "c"})).await;
        let all = ids(&page);
        assert_eq!(all.len(), before + 1, "{start}: {page}");
        assert_eq!(all.len().min(3), seen, "{start}: {page}");
        // What is listed has its reactions listed.
        let body = json!({"channel": "c", "messageId": all.last()});
        let answer = server.client_api(&client, "listReactions", &body).await;
        answer.expect(200);
        client.close().await;
    }
}

#[tokio::test]
async fn expressions_that_go_refuses_or_that_are_too_large_refuse_the_token_and_say_why() {
    let server = Server::start();
    let expression = |text: &str| json!({format!("#regex:{text}"): {"subscribe": true}});
    for (text, says) in [
        ("a**", "only one of them"),
        ("(?=a)", "look-around"),
        (r"(a)\1", "back references"),
        ("(?x)a", "flags imsU"),
        ("a{1001}", "at most 1000 times"),
        (r"\p{Alphabetic}", "Go's names of classes"),
        (r"\pL{1000}", "at most 2 MiB"),
        (&"x".repeat(4097), "4,096 characters"),
    ] {
        let refusal = opens(&server, expression(text)).await.err().unwrap();
        assert!(refusal.contains("channels[\"#regex:"), "{text}: {refusal}");
        assert!(refusal.contains(says), "{text}: {refusal}");
    }
    let mut many = json!({});
    for n in 0..20 {
        many[format!(r"#regex:^{n}[\p{{L}}\d_-]{{3,30}}$")] = json!({"subscribe": true});
    }
    let refusal = opens(&server, many.clone()).await.err().unwrap();
    assert!(refusal.contains("8 MiB together"), "{refusal}");
    // Half as many are fine, and so is one that comes in many places.
    let few: serde_json::Map<_, _> = many
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .take(6)
        .collect();
    assert!(opens(&server, json!(few)).await.is_ok());
    let mut same = json!({});
    for n in 0..50 {
        same[format!("room.{n}")] =
            json!({"messages": {r"#regex:^[\p{L}\d_-]{3,30}$": {"broadcast": true}}});
    }
    assert!(opens(&server, same).await.is_ok());
}

#[tokio::test]
async fn metadata_and_data_pass_as_they_are_written_and_compare_exactly() {
    let server = Server::start();
    let token = Token::of("Jim").channels(json!({"*": {"messages": {"*": {"publish": true}}}}));
    // By a subscribe token, for the tests read the first frame of a connection with doubles.
    let join = async |umd: &str| {
        let mut client = Client::connect(&server, &token).await;
        let claims = format!(
            r#"{{"exp":{},"scope":"subscribe","connectionId":"{}","umd":{umd},"channels":{{"*":{{"subscribe":true}}}}}}"#,
            now() + 600,
            client.id
        );
        let token = server.key().sign_json(&claims).unwrap();
        let frame = json!({"event": "hotsock.subscribe", "channel": "presence.c", "data": {"token": token}});
        client.send(&frame).await;
        let answer = client.next().await;
        assert!(
            answer.contains("hotsock.subscribed") && answer.contains(umd),
            "{answer}"
        );
        client
    };
    let (mut watcher, _) = Client::join(&server, "Pam", "presence.c").await;
    let umd = r#"{"big":1e400,"n":10000000000000000000001,"k":1,"k":2}"#;
    let mut jim = join(umd).await;
    let added = watcher.next().await;
    assert!(
        added.contains("memberAdded") && added.contains(umd),
        "{added}"
    );
    // The same value in other words changes nothing: the next that anybody hears is of the one after it.
    let same = join(r#"{"k":2.0,"n":1.0000000000000000000001e22,"big":10E+399}"#).await;
    same.close().await;
    // The number next to it is another one, though no double tells them apart; so are other powers of ten.
    for other in [
        r#"{"big":1e400,"n":10000000000000000000000,"k":1,"k":2}"#,
        r#"{"big":1e401,"n":10000000000000000000001,"k":1,"k":2}"#,
        r#"{"big":1e400,"n":10000000000000000000001,"k":2,"k":1}"#,
    ] {
        let another = join(other).await;
        let updated = watcher.next().await;
        assert!(
            updated.contains("memberUpdated") && updated.contains(other),
            "{updated}"
        );
        another.close().await;
        let back = watcher.next().await;
        assert!(
            back.contains("memberUpdated") && back.contains(umd),
            "{back}"
        );
    }
    jim.until_pong().await;
    // Data, from either side.
    let data = r#"[1e400,-1e999999999,{"a":1,"a":[0.10]},12345678901234567890.0]"#;
    jim.send(&format!(
        r#"{{"channel":"presence.c","event":"e","data":{data}}}"#
    ))
    .await;
    let message = watcher.next().await;
    assert!(message.contains(&format!(r#""data":{data}"#)), "{message}");
    let body = format!(r#"{{"channel":"presence.c","event":"e","data":{data}}}"#);
    let answer = server.api("POST", "/publish", &body).await;
    answer.expect(202);
    let message = watcher.next().await;
    assert!(message.contains(&format!(r#""data":{data}"#)), "{message}");
}

#[tokio::test]
async fn a_short_secret_is_taken_only_where_its_key_allows_it_and_warned_of() {
    let secret: &[u8] = b"an old short secret";
    let key = |more: &str| {
        format!(
            "[[auth.keys]]\nid = \"old\"\nalgorithm = \"HS256\"\nsecret = {:?}\n{more}\n",
            STANDARD.encode(secret)
        )
    };
    for more in ["", "allow_short = false"] {
        Setup::new()
            .keys(&key(more))
            .refused(2, &["19 bytes", "allow_short = true"]);
    }
    let mut server = Setup::new().keys(&key("allow_short = true")).start();
    for _ in 0..2 {
        let warning = server.wait_for_log("shorter than 32 bytes");
        assert!(
            warning.contains("WARN") && warning.contains("kid old"),
            "{warning}"
        );
        assert!(!server.log().contains(&STANDARD.encode(secret)));
        server.crash();
    }
    let claims = Token::of("Jim").claims();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "old"});
    let token = super::tokens::hmac(&header, &claims, secret);
    assert!(Client::try_connect(&server, &token).await.is_ok());
    let token = super::tokens::hmac(&header, &claims, b"another short secret");
    let (status, body) = Client::try_connect(&server, &token).await.err().unwrap();
    assert!(
        status == 401 && body.contains("TOKEN_SIGNATURE_INVALID"),
        "{body}"
    );
    // Where it is allowed and not needed, nobody is warned.
    let long = format!(
        "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = {:?}\nallow_short = true\n",
        STANDARD.encode([7; 32])
    );
    let server = Setup::new().keys(&long).start();
    assert!(!server.log().contains("shorter than"), "{}", server.log());
}
