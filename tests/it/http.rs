//! The HTTP APIs (sections 11 and 12): history, reactions, info, publishing, and what they say to bad input.

use hyper::Request;
use serde_json::{Value, json};

use crate::support::{API_KEY, Client, Server, Token};

/// A client that may do everything on `c`.
async fn jim(server: &Server) -> Client {
    let token = Token::of("Jim").umd(json!({"a": 1})).channels(json!({"*": {
        "subscribe": true, "getInfo": true, "historyStart": 0,
        "messages": {"*": {"broadcast": true, "echo": true, "store": 600, "react": true}},
    }}));
    let mut client = Client::connect(server, &token).await;
    client.subscribe("c").await;
    client
}

async fn publish(server: &Server, body: Value) -> Value {
    let answer = server.api("POST", "/publish", &body.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()
}

fn ids(answer: &Value) -> Vec<String> {
    let messages = answer["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|m| m["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn history_is_paged_both_ways() {
    let server = Server::start();
    let jim = jim(&server).await;
    let mut all = Vec::new();
    for n in 0..130 {
        let body = json!({"channel": "c", "event": "e", "data": n, "store": 600, "eagerIdGeneration": true});
        all.push(
            publish(&server, body).await["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let list = async |body: Value| server.client_api(&jim, "listMessages", &body).await.json();
    assert_eq!(ids(&list(json!({"channel": "c"})).await), all[..100]);
    assert_eq!(
        ids(&list(json!({"channel": "c", "after": all[99]})).await),
        all[100..]
    );
    assert_eq!(
        ids(&list(json!({"channel": "c", "before": all[2]})).await),
        all[..2]
    );
    let between = json!({"channel": "c", "after": all[9], "before": all[12]});
    assert_eq!(ids(&list(between).await), all[10..12]);
    let newest: Vec<String> = all.iter().rev().take(100).cloned().collect();
    assert_eq!(
        ids(&list(json!({"channel": "c", "reverse": true})).await),
        newest
    );
    let older: Vec<String> = all[..30].iter().rev().cloned().collect();
    let page = json!({"channel": "c", "reverse": true, "before": all[30]});
    assert_eq!(ids(&list(page).await), older);
    let body = json!({"channel": "c", "before": all[1]});
    let first = server.client_api(&jim, "listMessages", &body).await;
    assert_eq!(
        first.text,
        format!(
            r#"{{"messages":[{{"id":"{}","event":"e","channel":"c","data":0,"meta":null}}]}}"#,
            all[0]
        )
    );
}

#[tokio::test]
async fn without_a_history_start_one_sees_what_came_since_one_is_there() {
    let server = Server::start();
    let before = publish(
        &server,
        json!({"channel": "c", "event": "before", "store": 600, "eagerIdGeneration": true}),
    )
    .await;
    let (late, _) = Client::join(&server, "late", "c").await;
    publish(
        &server,
        json!({"channel": "c", "event": "after", "store": 600}),
    )
    .await;
    let answer = server
        .client_api(&late, "listMessages", &json!({"channel": "c"}))
        .await;
    let messages = answer.json()["messages"].as_array().unwrap().clone();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["event"], "after");
    for (message, status) in [
        (before["id"].clone(), 404),
        (messages[0]["id"].clone(), 200),
    ] {
        let body = json!({"channel": "c", "messageId": message});
        let answer = server.client_api(&late, "listReactions", &body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn reactions_are_counted_once_for_each_user_and_told() {
    let server = Server::start();
    let mut jim = jim(&server).await;
    let body = json!({"channel": "c", "event": "e", "store": 600, "eagerIdGeneration": true});
    let id = publish(&server, body).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    jim.next().await;
    let react = |action: &str| {
        json!({"event": "hotsock.messageReaction", "channel": "c",
               "data": {"messageId": id, "reaction": "thumbsup", "action": action}})
        .to_string()
    };
    jim.send(&react("add")).await;
    let told = jim.next_json().await;
    assert_eq!(told["event"], "hotsock.messageReactionAdded");
    assert_eq!(
        told["data"],
        json!({"messageId": id, "reaction": "thumbsup", "action": "add"})
    );
    assert_eq!(told["meta"], json!({"uid": "Jim", "umd": {"a": 1}}));
    // A repeat changes and sends nothing.
    jim.send(&react("add")).await;
    jim.expect_silence().await;
    let other = json!({"channel": "c", "event": "hotsock.messageReaction",
        "data": {"uid": "Pam", "messageId": id, "reaction": "thumbsup", "action": "add"}});
    publish(&server, other).await;
    assert_eq!(
        jim.next_json().await["meta"],
        json!({"uid": "Pam", "umd": null})
    );
    let list = async |expand: bool| {
        let body = json!({"channel": "c", "expandReactions": expand});
        let answer = server.client_api(&jim, "listMessages", &body).await.json();
        answer["messages"][0]["reactions"].clone()
    };
    assert_eq!(list(false).await, json!({"thumbsup": {"count": 2}}));
    assert_eq!(
        list(true).await,
        json!({"thumbsup": {"count": 2, "items": [{"uid": "Jim", "umd": {"a": 1}}, {"uid": "Pam"}]}})
    );
    let answer = server
        .client_api(
            &jim,
            "listReactions",
            &json!({"channel": "c", "messageId": id}),
        )
        .await;
    assert_eq!(
        answer.json()["reactions"],
        json!([{"reaction": "thumbsup", "uid": "Jim", "umd": {"a": 1}}, {"reaction": "thumbsup", "uid": "Pam"}])
    );
    jim.send(&react("remove")).await;
    assert_eq!(
        jim.next_json().await["event"],
        "hotsock.messageReactionRemoved"
    );
    jim.send(&react("remove")).await;
    jim.expect_silence().await;
    for (frame, code) in [
        (react("shrug"), "INVALID_MESSAGE"),
        (
            react("add").replace("thumbsup", "thumbs#up"),
            "INVALID_REACTION",
        ),
        (
            react("add").replace("thumbsup", &"x".repeat(101)),
            "INVALID_REACTION",
        ),
        (
            react("add").replace(&id, "01H2BSNHFJXKF2XDFD8KMM36FF"),
            "MESSAGE_NOT_FOUND",
        ),
    ] {
        jim.send(&frame).await;
        jim.expect_error(code).await;
    }
}

#[tokio::test]
async fn a_message_and_its_reactions_expire() {
    let server = Server::start();
    let jim = jim(&server).await;
    let body = json!({"channel": "c", "event": "e", "store": 2, "eagerIdGeneration": true});
    let id = publish(&server, body).await["id"].clone();
    let list = json!({"channel": "c"});
    assert_eq!(
        ids(&server.client_api(&jim, "listMessages", &list).await.json()).len(),
        1
    );
    let begun = std::time::Instant::now();
    while !ids(&server.client_api(&jim, "listMessages", &list).await.json()).is_empty() {
        assert!(begun.elapsed().as_secs() < 15);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let reaction = json!({"channel": "c", "event": "hotsock.messageReaction",
        "data": {"uid": "Pam", "messageId": id, "reaction": "x", "action": "add"}});
    let answer = server.api("POST", "/publish", &reaction.to_string()).await;
    assert_eq!(answer.status, 404, "{answer:?}");
}

#[tokio::test]
async fn a_deduplication_id_counts_once_also_across_restarts() {
    let mut server = Server::start();
    let body = json!({"channel": "c", "event": "e", "store": 600, "deduplicationId": "order-7"});
    publish(&server, body.clone()).await;
    publish(&server, body.clone()).await;
    server.kill();
    server.run_again();
    publish(&server, body).await;
    let jim = jim(&server).await;
    let answer = server
        .client_api(&jim, "listMessages", &json!({"channel": "c"}))
        .await;
    assert_eq!(ids(&answer.json()).len(), 1);
}

#[tokio::test]
async fn whoever_publishes_a_second_time_is_told_of_the_first_message() {
    let server = Server::start();
    let body = json!({"channel": "c", "event": "e", "store": 600, "deduplicationId": "order-8",
        "eagerIdGeneration": true});
    let publisher = || publish(&server, body.clone());
    let answers: [Value; 4] =
        tokio::join!(publisher(), publisher(), publisher(), publisher()).into();
    let again = publish(&server, body.clone()).await;
    let jim = jim(&server).await;
    let list = json!({"channel": "c"});
    let there = ids(&server.client_api(&jim, "listMessages", &list).await.json());
    assert_eq!(there.len(), 1);
    for answer in answers.iter().chain([&again]) {
        assert_eq!(answer["id"], json!(there[0]), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_publish_where_nobody_is_is_told_in_the_order_of_ids() {
    let server = std::sync::Arc::new(Server::start());
    // From now on events are kept for whoever reads them.
    let events = "/events?after=0&follow=false&types=hotsock.messagePublished";
    assert_eq!(server.api("GET", events, "").await.status, 200);
    let mut publishers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let server = std::sync::Arc::clone(&server);
        publishers.spawn(async move {
            for n in 0..25 {
                let body = json!({"channel": "c", "event": "e", "data": n, "store": 600,
                    "emitPubSubEvent": true});
                publish(&server, body).await;
            }
        });
    }
    publishers.join_all().await;
    let told = server.api("GET", events, "").await.text;
    let told: Vec<String> = told
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap()["data"]["id"].to_string())
        .collect();
    assert_eq!(told.len(), 200);
    assert!(told.is_sorted(), "{told:?}");
    let channels = server.api("GET", "/channels", "").await.json();
    assert_eq!(channels["channels"], json!([]), "nothing is left behind");
}

#[tokio::test]
async fn the_client_api_publishes_and_tells_of_a_channel() {
    let server = Server::start();
    let mut jim = jim(&server).await;
    let body = json!({"channel": "c", "event": "say", "data": 7, "eagerIdGeneration": true});
    let answer = server.client_api(&jim, "publishMessage", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = jim.next_json().await;
    assert_eq!(
        answer.json(),
        json!({"id": told["id"], "channel": "c", "event": "say"})
    );
    jim.subscribe("presence.p").await;
    let info = server
        .client_api(&jim, "getChannelInfo", &json!({"channel": "presence.p"}))
        .await;
    assert_eq!(
        info.text,
        r#"{"channel":"presence.p","subscriptionsCount":1,"members":[{"uid":"Jim","umd":{"a":1}}]}"#
    );
    let token = Token::umd_of(&jim.id, json!(2)).for_server(&server);
    let body = json!({"channel": "presence.p", "token": token});
    let answer = server.client_api(&jim, "umdUpdate", &body).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    assert_eq!(jim.next_json().await["event"], "hotsock.memberUpdated");
}

#[tokio::test]
async fn browsers_may_ask_from_anywhere() {
    let server = Server::start();
    let jim = jim(&server).await;
    let preflight = Request::builder()
        .method("OPTIONS")
        .uri("/connection/listMessages")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .body(String::new())
        .unwrap();
    let answer = server.http(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(
        answer.headers["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );
    let answer = server
        .client_api(&jim, "listMessages", &json!({"channel": 7}))
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.headers["access-control-allow-origin"], "*",
        "errors too"
    );
}

#[tokio::test]
async fn channels_and_connections_are_listed_by_page_and_a_connection_can_be_closed() {
    let server = Server::start();
    let mut clients = Vec::new();
    for n in 0..3 {
        let (mut client, _) = Client::join(&server, &format!("user-{n}"), "presence.z").await;
        for m in 0..40 {
            client.subscribe(&format!("room-{n}-{m:02}")).await;
        }
        clients.push(client);
    }
    let page = server.api("GET", "/channels", "").await.json();
    assert_eq!(page["channels"].as_array().unwrap().len(), 100);
    assert_eq!(
        page["channels"][0],
        json!({"name": "presence.z", "subscriptionsCount": 3,
        "memberCount": 3, "bytes": 3 * r#"{"uid":"user-0","umd":null}"#.len(), "capacity": 102_400})
    );
    let next = page["next"].as_str().unwrap();
    let rest = server
        .api("GET", &format!("/channels?after={next}"), "")
        .await
        .json();
    assert_eq!(rest["channels"].as_array().unwrap().len(), 21);
    let some = server
        .api("GET", "/channels?prefix=room-1-", "")
        .await
        .json();
    assert_eq!(some["channels"].as_array().unwrap().len(), 40);
    let mine = server
        .api("GET", "/connections?uid=user-1", "")
        .await
        .json();
    let mine = mine["connections"].as_array().unwrap();
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0]["id"], json!(clients[1].id));
    let target = format!("/connections/{}", clients[1].id);
    assert_eq!(server.api("DELETE", &target, "").await.status, 204);
    assert_eq!(clients[1].closed().await.0, 1008);
    assert_eq!(server.api("DELETE", &target, "").await.status, 404);
    let nobody = server.api("GET", "/channels/presence.nobody", "").await;
    assert_eq!(
        nobody.text,
        r#"{"name":"presence.nobody","subscriptionsCount":0,"members":[]}"#
    );
}

#[tokio::test]
async fn bad_input_gets_a_status_a_code_and_a_message() {
    let server = Server::start();
    let jim = jim(&server).await;
    let me = format!("connectionId={}&connectionSecret={}", jim.id, jim.secret);
    let key = format!("Bearer {API_KEY}");
    let good = r#"{"channel":"c","event":"e"}"#;
    let long = format!(
        r#"{{"channel":"c","event":"e","data":"{}"}}"#,
        "x".repeat(33_000)
    );
    let reaction = format!(
        r#"{{"channel":"c","event":"hotsock.messageReaction","data":{{"uid":"Pam","umd":"{}",
        "messageId":"01H2BSNHFJXKF2XDFD8KMM36FF","reaction":"x","action":"add"}}}}"#,
        "x".repeat(1_023)
    );
    let huge = "x".repeat(300_000);
    let name = "n".repeat(257);
    // Method, target, key, body, status, and the code (or "" for any).
    let cases: Vec<(&str, String, &str, &str, u16, &str)> = vec![
        ("POST", "/publish".into(), "", good, 401, "API_KEY_INVALID"),
        (
            "POST",
            "/publish".into(),
            "Bearer wrong",
            good,
            401,
            "API_KEY_INVALID",
        ),
        (
            "POST",
            "/publish".into(),
            "Basic YTpi",
            good,
            401,
            "API_KEY_INVALID",
        ),
        (
            "GET",
            "/publish".into(),
            &key,
            "",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "PUT",
            "/channels".into(),
            &key,
            "",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "GET",
            "/connections/x".into(),
            &key,
            "",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        ("POST", "/publish".into(), &key, "", 400, "INVALID_MESSAGE"),
        (
            "POST",
            "/publish".into(),
            &key,
            "[]",
            400,
            "INVALID_MESSAGE",
        ),
        ("POST", "/publish".into(), &key, "{", 400, "INVALID_MESSAGE"),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"event":"e"}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"c"}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":7,"event":"e"}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"a b","event":"e"}"#,
            400,
            "INVALID_CHANNEL_NAME",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"c","event":"a*"}"#,
            400,
            "INVALID_EVENT_NAME",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"c","event":"hotsock.x"}"#,
            400,
            "UNKNOWN_EVENT",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"c","event":"e","store":-2}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"c","event":"e","store":"1"}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"c","event":"e","deduplicationId":""}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            r#"{"channel":"c","event":"e","scheduleExpression":"at(2099-01-01T00:00:00)"}"#,
            400,
            "INVALID_SCHEDULE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            &long,
            400,
            "DATA_TOO_LARGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            &reaction,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            "/publish".into(),
            &key,
            &huge,
            413,
            "BODY_TOO_LARGE",
        ),
        (
            "GET",
            format!("/channels/{name}"),
            &key,
            "",
            400,
            "INVALID_CHANNEL_NAME",
        ),
        (
            "GET",
            "/channels/a%2a".into(),
            &key,
            "",
            400,
            "INVALID_CHANNEL_NAME",
        ),
        (
            "GET",
            "/channels/%ff".into(),
            &key,
            "",
            400,
            "INVALID_CHANNEL_NAME",
        ),
        (
            "GET",
            "/connections?after=x".into(),
            &key,
            "",
            400,
            "INVALID_MESSAGE",
        ),
        (
            "DELETE",
            "/connections/x".into(),
            &key,
            "",
            400,
            "INVALID_MESSAGE",
        ),
        (
            "GET",
            "/events?types=hotsock.nothing".into(),
            &key,
            "",
            400,
            "INVALID_MESSAGE",
        ),
        (
            "GET",
            "/events?after=x".into(),
            &key,
            "",
            400,
            "INVALID_MESSAGE",
        ),
        ("GET", "/events".into(), "", "", 401, "API_KEY_INVALID"),
        ("GET", "/nothing".into(), &key, "", 404, "NOT_FOUND"),
        ("POST", "/connection/listMessages".into(), "", "{}", 401, ""),
        (
            "POST",
            format!(
                "/connection/listMessages?connectionId={}&connectionSecret=x",
                jim.id
            ),
            "",
            "{}",
            401,
            "",
        ),
        (
            "GET",
            format!("/connection/listMessages?{me}"),
            "",
            "",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "POST",
            format!("/connection/frobnicate?{me}"),
            "",
            "{}",
            404,
            "NOT_FOUND",
        ),
        (
            "POST",
            format!("/connection/listMessages?{me}"),
            "",
            "{}",
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            format!("/connection/listMessages?{me}"),
            "",
            r#"{"channel":"c","after":"x"}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            format!("/connection/listMessages?{me}"),
            "",
            r#"{"channel":"other"}"#,
            403,
            "NOT_SUBSCRIBED",
        ),
        (
            "POST",
            format!("/connection/listReactions?{me}"),
            "",
            r#"{"channel":"c","messageId":"x"}"#,
            400,
            "INVALID_MESSAGE",
        ),
        (
            "POST",
            format!("/connection/umdUpdate?{me}"),
            "",
            r#"{"token":"x"}"#,
            403,
            "INVALID_UMD_TOKEN",
        ),
    ];
    for (method, target, key, body, status, code) in cases {
        let mut request = Request::builder().method(method).uri(&target);
        if !key.is_empty() {
            request = request.header("authorization", key);
        }
        let answer = server.http(request.body(body.to_owned()).unwrap()).await;
        let short = &body[..body.len().min(60)];
        assert_eq!(
            answer.status, status,
            "{method} {target} {short}: {answer:?}"
        );
        let error = answer.json()["error"].clone();
        assert!(error["message"].as_str().unwrap().len() > 5, "{answer:?}");
        if !code.is_empty() {
            assert_eq!(error["code"], code, "{method} {target} {short}: {answer:?}");
        }
        assert_eq!(answer.headers["content-type"], "application/json");
        if status == 405 {
            assert!(answer.headers.contains_key("allow"), "{answer:?}");
        }
    }
    for secret in [&jim.secret, API_KEY] {
        assert!(!server.log().contains(secret), "no secret reaches the log");
    }
}
