//! The limits of data, uid and metadata (section 15): exact wherever something comes in, and as the operator sets them; and
//! at the most that can be set, nothing gets too large for the database.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, Token, rows};

const DATA_BYTES: usize = 2_048;
const UID_CHARACTERS: usize = 40;
const UMD_BYTES: usize = 100;

/// A server with limits that are nobody's default.
fn server() -> Server {
    Setup::new()
        .set("limits", &format!("data_bytes = {DATA_BYTES}"))
        .set("limits", &format!("uid_characters = {UID_CHARACTERS}"))
        .set("limits", &format!("umd_bytes = {UMD_BYTES}"))
        .start()
}

/// JSON of so many bytes.
fn bytes(bytes: usize) -> Value {
    json!("x".repeat(bytes - 2))
}

/// A uid of so many characters of several bytes each.
fn uid(characters: usize) -> String {
    "😀".repeat(characters)
}

/// May publish, and react to, everything everywhere.
fn writer(uid: &str) -> Token {
    Token::of(uid).channels(json!({"*": {
        "subscribe": true,
        "messages": {"*": {"broadcast": true, "store": 600, "react": true, "emitPubSubEvent": true}},
    }}))
}

#[tokio::test]
async fn a_token_may_hold_exactly_as_much_as_is_configured() {
    let server = server();
    let token = Token::of(&uid(UID_CHARACTERS)).umd(bytes(UMD_BYTES));
    let mut client = Client::connect(&server, &token).await;
    assert_eq!(client.connected["meta"]["umd"], bytes(UMD_BYTES));
    for (token, wanted) in rows! {
        Token::of(&uid(UID_CHARACTERS + 1)) => "claim uid is invalid: expected at most 40 characters";
        Token::of("Jim").umd(bytes(UMD_BYTES + 1)) => "claim umd is invalid: expected at most 100 bytes";
    } {
        let refused = Client::try_connect(&server, &token.for_server(&server)).await;
        let Err((401, body)) = refused else {
            panic!("not refused with 401");
        };
        assert!(
            body.contains("TOKEN_CLAIM_INVALID") && body.contains(wanted),
            "{body}"
        );
    }
    // A subscribe token, and one for metadata, come over the socket.
    let channels = json!({"presence.a": {"subscribe": true}});
    for (characters, fits) in [(UID_CHARACTERS + 1, false), (UID_CHARACTERS, true)] {
        let token = Token::subscribe_of(&client.id, channels.clone())
            .claim("uid", json!("é".repeat(characters)));
        let frame = json!({"event": "hotsock.subscribe", "channel": "presence.a",
            "data": {"token": token.for_server(&server)}});
        client.send(&frame).await;
        if fits {
            client.expect_event("hotsock.subscribed").await;
        } else {
            client.expect_error("INVALID_SUBSCRIBE_TOKEN").await;
        }
    }
    for (n, fits) in [(UMD_BYTES + 1, false), (UMD_BYTES - 1, true)] {
        client.update(&server, "presence.a", bytes(n)).await;
        if fits {
            let updated = client.next_json().await;
            assert_eq!(updated["data"]["member"]["umd"], bytes(n), "{updated}");
        } else {
            let error = client.expect_error("INVALID_UMD_TOKEN").await;
            assert!(error.to_string().contains("100 bytes"), "{error}");
        }
    }
    // Over the Client HTTP API too.
    for (n, status) in [(UMD_BYTES + 1, 403), (UMD_BYTES, 200)] {
        let token = Token::umd_of(&client.id, bytes(n)).for_server(&server);
        let body = json!({"channel": "presence.a", "token": token});
        let answer = server.client_api(&client, "umdUpdate", &body).await;
        answer.expect(status);
    }
    let updated = client.next_json().await;
    assert_eq!(updated["data"]["member"]["umd"], bytes(UMD_BYTES));
}

#[tokio::test]
async fn data_may_have_exactly_as_much_as_is_configured() {
    let server = server();
    let mut client = Client::connect(&server, &writer("Jim")).await;
    for (n, fits) in [(DATA_BYTES, true), (DATA_BYTES + 1, false)] {
        // Spelled in six bytes each, of which one counts.
        let spelled = format!(r#""{}""#, r"\u0078".repeat(n - 2));
        let message = format!(r#"{{"channel":"c","event":"say","data":{spelled}}}"#);
        client.send(&message).await;
        let wanted = format!("has {n} bytes as compact JSON, and may have {DATA_BYTES}");
        if fits {
            client.expect_silence().await;
        } else {
            let error = client.expect_error("DATA_TOO_LARGE").await;
            assert!(error.to_string().contains(&wanted), "{error}");
        }
        let body: Value = serde_json::from_str(&message).unwrap();
        for answer in [
            server.client_api(&client, "publishMessage", &body).await,
            server.api("POST", "/publish", &message).await,
        ] {
            if fits {
                assert_eq!(answer.status, 202, "{answer:?}");
            } else {
                assert_eq!(answer.status, 400, "{answer:?}");
                assert_eq!(answer.json()["error"]["code"], "DATA_TOO_LARGE");
                assert!(answer.text.contains(&wanted), "{answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_back_ends_reaction_may_have_exactly_as_much_as_a_tokens() {
    let server = server();
    let body = json!({"channel": "c", "event": "e", "store": 600, "eagerIdGeneration": true});
    let answer = server.try_publish(&body).await;
    let id = answer.json()["id"].clone();
    for (characters, n, status, wanted) in rows! {
        UID_CHARACTERS => UMD_BYTES => 202 => "";
        UID_CHARACTERS + 1 => UMD_BYTES => 400 => "`data.uid` must have 1 to 40 characters";
        UID_CHARACTERS => UMD_BYTES + 1 => 400 => "`data.umd` has 101 bytes as compact JSON, and may have 100";
    } {
        let body = json!({"channel": "c", "event": "hotsock.messageReaction", "data": {
            "uid": uid(characters), "umd": bytes(n), "messageId": id, "reaction": "+", "action": "add"}});
        let answer = server.try_publish(&body).await;
        answer.expect(status);
        assert!(answer.text.contains(wanted), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_has_room_for_data_however_it_is_spelled_and_no_more() {
    let server = server();
    let most = 6 * DATA_BYTES + 65_536;
    for (bytes, status) in [(most, 202), (most + 1, 413)] {
        let body = json!({"channel": "c", "event": "e"}).to_string();
        let body = body.clone() + &" ".repeat(bytes - body.len());
        let answer = server.api("POST", "/publish", &body).await;
        answer.expect(status);
        if status == 413 {
            assert!(
                answer.text.contains(&format!("at most {most} bytes")),
                "{answer:?}"
            );
        }
    }
    let document = server.get("/openapi.json").await.json();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Uid"]["maxLength"], UID_CHARACTERS);
    assert!(schemas["Data"].to_string().contains("up to 2,048 bytes"));
    assert!(schemas["Umd"].to_string().contains("up to 100 bytes"));
    assert!(document.to_string().contains("at most 77,824 bytes"));
}

#[tokio::test]
async fn limits_that_do_not_fit_together_stop_the_start() {
    for (section, line, wanted) in rows! {
        "limits" => "uid_characters = 513" => "limits.uid_characters: must be between 36 and 512";
        "limits" => "data_bytes = \"1MiB\"" => "connection.frame_bytes: must be at least 1026KiB";
        "connection" => "frame_bytes = \"16KiB\"" => "connection.frame_bytes: must be at least 34KiB";
    } {
        Setup::new()
            .set(section, line)
            .refused(2, &[wanted, "rollcall.toml:"]);
    }
}

fn blobs(server: &Server) -> usize {
    fs::read_dir(server.data_dir().join("db/blobs")).map_or(0, Iterator::count)
}

/// At the most that can be set, with everything else as long as it can be too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_most_nothing_breaks_and_nothing_goes_into_files_that_are_never_synced() {
    const CLIENTS: usize = 40;
    const UMD: usize = 16 * 1024;
    const DATA: usize = 1024 * 1024;
    let webhook = "[[events.webhooks]]#down";
    let mut server = Setup::new()
        .set("limits", "data_bytes = \"1MiB\"")
        .set("limits", "uid_characters = 512")
        .set("limits", "umd_bytes = \"16KiB\"")
        .set("connection", "frame_bytes = \"2MiB\"")
        .set("connection", "queue_bytes = \"256MiB\"")
        .set("presence", "channel_bytes = \"1MiB\"")
        .terse()
        // Nobody is there; what it is to be told is kept.
        .set(webhook, "name = \"down\"")
        .set(webhook, "url = \"http://127.0.0.1:9/hooks\"")
        .set(
            webhook,
            "secret = \"whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\"",
        )
        .start();
    let channel = format!("presence.{}", "😀".repeat(256 - 9));
    // As long in UTF-8 as can be, or as JSON.
    let uid = |n: usize| match n % 2 {
        0 => "\u{10ffff}".repeat(508) + &format!("{n:04}"),
        _ => "\u{1}".repeat(508) + &format!("{n:04}"),
    };
    let token = |n: usize| {
        writer(&uid(n)).umd(bytes(UMD)).channels(json!({
            channel.as_str(): {"subscribe": true, "alias": format!("{n}-{}", "😀".repeat(250)),
                "messages": {"*": {"publish": true, "store": 600, "react": true, "emitPubSubEvent": true}}},
        }))
    };
    let event = "😀".repeat(128);
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let target = format!("/v1?token={}", token(n).for_server(&server));
        let agent = "x".repeat(20_000);
        let mut client = Client::with_headers(&server, &target, &[("User-Agent", &agent)])
            .await
            .unwrap();
        let answer = client.subscribe(&channel).await;
        assert!(
            answer.starts_with(r#"{"event":"hotsock.subscribed""#),
            "{}",
            &answer[..200]
        );
        clients.push(client);
    }
    assert_eq!(blobs(&server), 0, "after joins");
    let page = server.read("/channels").await;
    assert_eq!(page["channels"][0]["memberCount"], CLIENTS);
    // Messages as large as can be; then reactions to one of them, by everybody.
    for client in clients.iter_mut().take(12) {
        let message = json!({"channel": channel, "event": event, "data": bytes(DATA)});
        client.send(&message).await;
    }
    let body = json!({"channel": channel, "event": event, "eagerIdGeneration": true});
    let answer = server
        .client_api(&clients[0], "publishMessage", &body)
        .await;
    answer.expect(202);
    let id = answer.json()["id"].clone();
    let react = |action: &str| {
        json!({"event": "hotsock.messageReaction", "channel": channel,
            "data": {"messageId": id, "reaction": "😀".repeat(25), "action": action}})
        .to_string()
    };
    for (n, client) in clients.iter_mut().enumerate() {
        // The second time changes nothing.
        client.send(&react("add")).await;
        client.send(&react("add")).await;
        if n % 4 == 3 {
            client.send(&react("remove")).await;
        }
        let error = client
            .until_pong()
            .await
            .into_iter()
            .find(|frame| frame.contains("hotsock.error"));
        assert_eq!(error, None);
    }
    assert_eq!(blobs(&server), 0, "after messages and reactions");
    // Metadata changes as a whole, and some leave.
    for client in clients.iter_mut().take(10) {
        let other = json!("y".repeat(UMD - 2));
        client.update(&server, &channel, other).await;
        client.until_pong().await;
    }
    for client in clients.drain(CLIENTS - 10..) {
        client.close().await;
    }
    // What is listed is on disk: that those have left too.
    let page = server.read("/channels").await;
    assert_eq!(page["channels"][0]["memberCount"], CLIENTS - 10);
    // All of it is there, whole, after a crash.
    server.crash();
    let page = server.read("/channels").await;
    assert_eq!(page["channels"][0]["memberCount"], CLIENTS - 10);
    drop(clients);
    let mut reader = Client::connect(&server, &{
        let mut claims = token(0).claims();
        claims["channels"][&channel]["historyStart"] = json!(0);
        Token::of(&uid(0))
            .umd(bytes(UMD))
            .channels(claims["channels"].clone())
    })
    .await;
    reader.subscribe(&channel).await;
    let list = json!({"channel": channel, "reverse": true, "before": id});
    let answer = server.client_api(&reader, "listMessages", &list).await;
    let messages = answer.json()["messages"].as_array().unwrap().clone();
    assert_eq!(
        messages.len(),
        1,
        "a page of one that is larger than a page"
    );
    assert!(messages[0]["data"] == bytes(DATA));
    assert_eq!(messages[0]["event"], event);
    let list = json!({"channel": channel, "messageId": id});
    let answer = server.client_api(&reader, "listReactions", &list).await;
    let mut by: Vec<String> = answer.json()["reactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reaction| {
            assert!(reaction["umd"] == bytes(UMD));
            reaction["uid"].as_str().unwrap().to_owned()
        })
        .collect();
    by.sort();
    let mut wanted: Vec<String> = (0..CLIENTS).filter(|n| n % 4 != 3).map(uid).collect();
    wanted.sort();
    assert!(by == wanted, "{} reactions", by.len());
    let events = "/events?after=0&follow=false&types=hotsock.messagePublished";
    let answer = server.api("GET", events, "").await;
    let published: Vec<Value> = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(published.len(), 13);
    assert!(published[0]["data"]["data"] == bytes(DATA));
    assert_eq!(blobs(&server), 0, "after a restart");
}
