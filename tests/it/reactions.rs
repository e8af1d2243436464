//! Reactions by each of the three ways in (sections 9, 11 and 12), and what back ends are told of them (section 13).

use serde_json::{Value, json};

use crate::support::{Answer, Client, Server, Token, react, rows};

const TYPES: &str = "hotsock.messageReactionAdded,hotsock.messageReactionRemoved";

/// Somebody who may do everything in `c`, and is there; back ends are told.
async fn member(server: &Server, uid: &str, umd: Value) -> Client {
    let token = Token::of(uid).umd(umd).channels(json!({"c": {"subscribe": true, "alias": "the-room",
        "historyStart": 0, "messages": {"*": {"publish": true, "echo": true, "store": 600, "react": true,
        "emitPubSubEvent": true}}}}));
    let token = token.for_server(server);
    let headers = [("user-agent", format!("{uid}'s browser"))];
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let mut client = Client::with_headers(server, &format!("/v1?token={token}"), &headers)
        .await
        .unwrap_or_else(|refused| panic!("{refused:?}"));
    client.subscribe("c").await;
    client
}

fn reaction(channel: &str, message: &str, action: &str) -> Value {
    react(channel, message, "thumbsup", action)
}

/// `publishMessage` by a client that calls itself `agent`.
async fn publish_as(server: &Server, client: &Client, agent: &str, body: &Value) -> Answer {
    let target = format!("/connection/publishMessage?{}", client.query());
    let agent = ("user-agent", agent);
    let body = body.to_string();
    server.api_with("POST", &target, agent, &body).await
}

#[tokio::test]
async fn the_client_api_reacts_as_the_websocket_does() {
    let server = Server::start();
    let mut jim = member(&server, "Jim", json!({"a": 1})).await;
    let id = server.store("c", Value::Null).await;
    jim.next().await;
    // By the channel's alias as well; the answer has the real name.
    for (channel, action, event) in [
        ("c", "add", "hotsock.messageReactionAdded"),
        ("the-room", "remove", "hotsock.messageReactionRemoved"),
    ] {
        let mut body = reaction(channel, &id, action);
        body["eagerIdGeneration"] = json!(true);
        let answer = server.client_api(&jim, "publishMessage", &body).await;
        answer.expect(202);
        let told = jim.expect_event(event).await;
        assert_eq!(
            told["data"],
            json!({"messageId": id, "reaction": "thumbsup", "action": action})
        );
        assert_eq!(told["meta"], json!({"uid": "Jim", "umd": {"a": 1}}));
        assert_eq!(
            answer.text,
            format!(
                r#"{{"id":{},"channel":"c","event":"hotsock.messageReaction"}}"#,
                told["id"]
            )
        );
        // A repeat is accepted, and nobody hears of it.
        let again = reaction(channel, &id, action);
        let answer = server.client_api(&jim, "publishMessage", &again).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (202, r#"{"channel":"c","event":"hotsock.messageReaction"}"#)
        );
        jim.expect_silence().await;
    }
}

#[tokio::test]
async fn the_client_api_refuses_reactions_as_the_websocket_does() {
    let server = Server::start();
    let jim = member(&server, "Jim", Value::Null).await;
    let id = server.store("c", Value::Null).await;
    let watcher = Token::of("Pam").channels(json!({"c": {"subscribe": true}}));
    let mut watcher = Client::connect(&server, &watcher).await;
    watcher.subscribe("c").await;
    let outside = Client::connect(&server, &Token::everything("Dwight")).await;
    let mut anonymous = Token::everything("").without("uid");
    anonymous = anonymous.claim("umd", Value::Null);
    let mut anonymous = Client::connect(&server, &anonymous).await;
    anonymous.subscribe("c").await;
    let with = |field: &str, value: Value| {
        let mut body = reaction("c", &id, "add");
        body["data"][field] = value;
        body
    };
    let mut scheduled = reaction("c", &id, "add");
    scheduled["scheduleExpression"] = json!("at(2099-01-01T00:00:00)");
    let other = json!({"channel": "c", "event": "hotsock.subscribe"});
    let good = reaction("c", &id, "add");
    for (client, body, status, code) in rows! {
        &outside => good.clone() => 403 => "NOT_SUBSCRIBED";
        &watcher => good.clone() => 403 => "REACTION_PERMISSION_DENIED";
        &anonymous => good => 403 => "REACTION_PERMISSION_DENIED";
        &jim => with("reaction", json!("a#b")) => 400 => "INVALID_REACTION";
        &jim => with("action", json!("shrug")) => 400 => "INVALID_MESSAGE";
        &jim => with("messageId", json!(7)) => 400 => "INVALID_MESSAGE";
        &jim => with("messageId", json!("01H2BSNHFJXKF2XDFD8KMM36FF")) => 404 => "MESSAGE_NOT_FOUND";
        &jim => scheduled.clone() => 400 => "INVALID_SCHEDULE";
        &jim => other => 400 => "UNKNOWN_EVENT";
    } {
        let answer = server.client_api(client, "publishMessage", &body).await;
        answer.expect(status);
        assert_eq!(answer.json()["error"]["code"], code, "{body}: {answer:?}");
    }
    // What is meant for later is refused on the socket as well, and not done at once.
    let mut jim = jim;
    jim.until_pong().await;
    jim.send(&scheduled).await;
    let error = jim.expect_error("INVALID_SCHEDULE").await;
    assert_eq!(error["channel"], "c");
}

#[tokio::test]
async fn a_back_end_reacts_in_the_name_of_a_user() {
    let server = Server::start();
    let mut jim = member(&server, "Jim", Value::Null).await;
    let id = server.store("c", Value::Null).await;
    jim.next().await;
    let mut body = reaction("c", &id, "add");
    let answer = server.try_publish(&body).await;
    answer.expect(400);
    assert!(answer.text.contains("data.uid"), "{answer:?}");
    body["data"]["uid"] = json!("Pam");
    body["eagerIdGeneration"] = json!(true);
    let answer = server.publish(body.clone()).await;
    let told = jim.next_json().await;
    assert_eq!(
        answer,
        json!({"id": told["id"], "channel": "c", "event": "hotsock.messageReaction"})
    );
    assert_eq!(told["meta"], json!({"uid": "Pam", "umd": null}));
    // A repeat is told of the first one, as with messages.
    assert_eq!(server.publish(body).await["id"], told["id"]);
    jim.expect_silence().await;
}

#[tokio::test]
async fn a_retried_reaction_is_dropped_though_it_was_taken_back_meanwhile() {
    let server = Server::start();
    let mut jim = member(&server, "Jim", Value::Null).await;
    let id = server.store("c", Value::Null).await;
    jim.next().await;
    let by_pam = |action: &str, once: Option<&str>| {
        let mut body = reaction("c", &id, action);
        body["data"]["uid"] = json!("Pam");
        body["deduplicationId"] = json!(once);
        body
    };
    server.publish(by_pam("add", Some("1"))).await;
    server.publish(by_pam("remove", None)).await;
    server.publish(by_pam("add", Some("1"))).await;
    let told = jim.until_pong().await;
    assert_eq!(told.len(), 2, "{told:?}");
    server.publish(by_pam("add", Some("2"))).await;
    assert!(jim.next().await.contains("messageReactionAdded"));
    // The same where the first one had nothing to do.
    server.publish(by_pam("remove", None)).await;
    jim.next().await;
    let mut nothing = by_pam("remove", Some("3"));
    nothing["eagerIdGeneration"] = json!(true);
    let first = server.publish(nothing.clone()).await;
    server.publish(by_pam("add", None)).await;
    jim.next().await;
    assert_eq!(server.publish(nothing).await, first);
    jim.expect_silence().await;
}

#[tokio::test]
async fn the_end_of_a_reaction_tells_of_the_request_that_made_it() {
    let mut server = Server::start();
    server.events(TYPES).await;
    let mut jim = member(&server, "Jim", json!({"mood": "good"})).await;
    let (jim_id, id) = (jim.id.clone(), server.store("c", Value::Null).await);
    jim.next().await;
    // Added over the socket; and then by HTTP, by another program, and by a back end.
    jim.send(reaction("c", &id, "add")).await;
    jim.next().await;
    let by_http = server.store("c", Value::Null).await;
    jim.next().await;
    publish_as(&server, &jim, "a script", &reaction("c", &by_http, "add"))
        .await
        .expect(202);
    let mut by_back_end = reaction("c", &id, "add");
    by_back_end["data"]["uid"] = json!("Pam");
    by_back_end["data"]["umd"] = json!(7);
    by_back_end["emitPubSubEvent"] = json!(true);
    server.publish(by_back_end.clone()).await;
    let added = server.events(TYPES).await;
    assert_eq!(added.len(), 3);
    let metadata: Vec<Value> = added
        .iter()
        .map(|event| event["metadata"].clone())
        .collect();
    let of = |n: usize, name: &str| metadata[n][name].clone();
    assert_eq!(
        [
            of(0, "trigger"),
            of(0, "connectionId"),
            of(0, "userAgent"),
            of(0, "sourceIp")
        ],
        ["client.websocket", &jim_id, "Jim's browser", "127.0.0.1"]
    );
    assert_eq!(
        [
            of(1, "trigger"),
            of(1, "connectionId"),
            of(1, "userAgent"),
            of(1, "sourceIp")
        ],
        ["client.http", &jim_id, "a script", "127.0.0.1"]
    );
    assert_eq!(
        [of(2, "trigger"), of(2, "sourceIp")],
        ["server.http", "127.0.0.1"]
    );
    assert!(metadata[2].get("connectionId").is_none());

    // Taken back after a crash, by other connections, in other ways, with other metadata.
    server.crash();
    let mut again = member(&server, "Jim", json!({"mood": "bad"})).await;
    again.send(reaction("c", &id, "remove")).await;
    let told = again.next_json().await;
    assert_eq!(told["meta"], json!({"uid": "Jim", "umd": {"mood": "bad"}}));
    again.send(reaction("c", &by_http, "remove")).await;
    again.next().await;
    let mut back = by_back_end;
    back["data"]["action"] = json!("remove");
    back["data"].as_object_mut().unwrap().remove("umd");
    let agent = ("user-agent", "another back end");
    let back = back.to_string();
    let answer = server.api_with("POST", "/publish", agent, &back).await;
    answer.expect(202);
    let all = server.events(TYPES).await;
    assert_eq!(all.len(), 6, "{all:?}");
    for (added, removed) in all[..3].iter().zip(&all[3..]) {
        assert_eq!(removed["type"], "hotsock.messageReactionRemoved");
        assert_eq!(removed["metadata"], added["metadata"]);
        assert_eq!(removed["data"], added["data"]);
    }
}
