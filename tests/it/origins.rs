//! Where a message came from, as back ends are told (section 13).

use hyper::Request;
use serde_json::{Value, json};

use crate::support::{API_KEY, Client, Server, Token, rows};

const TYPES: &str = "hotsock.messagePublished";

/// A token that may publish to `c`, which back ends are told of.
fn publisher() -> Token {
    Token::anonymous().channels(json!({"c": {"subscribe": true,
        "messages": {"*": {"broadcast": true, "emitPubSubEvent": true}}}}))
}

#[tokio::test]
async fn a_message_by_http_has_the_address_and_the_name_of_the_request() {
    let server = Server::start();
    server.events(TYPES).await;
    let target = format!("/v1?token={}", publisher().for_server(&server));
    let browser = [("user-agent", "a browser")];
    let Ok(mut jim) = Client::with_headers(&server, &target, &browser).await else {
        panic!("refused")
    };
    jim.send(r#"{"channel":"c","event":"by-socket"}"#).await;
    jim.expect_silence().await;
    let target = format!("/connection/publishMessage?{}", jim.query());
    let post = |target: &str, agent: Option<&str>, event: &str| {
        let mut request = Request::builder().method("POST").uri(target);
        request = request.header("authorization", format!("Bearer {API_KEY}"));
        if let Some(agent) = agent {
            request = request.header("user-agent", agent);
        }
        let body = json!({"channel": "c", "event": event, "emitPubSubEvent": true});
        server.http(request.body(body.to_string()).unwrap())
    };
    let longest = "x".repeat(2_000);
    for (target, agent, event) in [
        (&*target, Some("a script"), "by-client-http"),
        (&target, None, "by-client-http-unnamed"),
        ("/publish", Some("a back end"), "by-server-http"),
        ("/publish", None, "by-server-http-unnamed"),
        ("/publish", Some(&longest), "by-server-http-at-length"),
    ] {
        post(target, agent, event).await.expect(202);
    }
    let told: Vec<Value> = server.events(TYPES).await;
    let told: Vec<[Value; 5]> = told
        .iter()
        .map(|event| {
            ["event", "trigger", "sourceIp", "userAgent", "connectionId"]
                .map(|name| event["metadata"][name].clone())
        })
        .collect();
    let (ip, id) = (json!("127.0.0.1"), json!(jim.id));
    let none = Value::Null;
    assert_eq!(
        told,
        [
            [
                json!("by-socket"),
                json!("client.websocket"),
                ip.clone(),
                json!("a browser"),
                id.clone()
            ],
            [
                json!("by-client-http"),
                json!("client.http"),
                ip.clone(),
                json!("a script"),
                id.clone()
            ],
            [
                json!("by-client-http-unnamed"),
                json!("client.http"),
                ip.clone(),
                none.clone(),
                id
            ],
            [
                json!("by-server-http"),
                json!("server.http"),
                ip.clone(),
                json!("a back end"),
                none.clone()
            ],
            [
                json!("by-server-http-unnamed"),
                json!("server.http"),
                ip.clone(),
                none.clone(),
                none.clone()
            ],
            [
                json!("by-server-http-at-length"),
                json!("server.http"),
                ip,
                json!("x".repeat(1_024)),
                none
            ],
        ]
    );
}

#[tokio::test]
async fn nobody_in_particular_has_no_meta_in_events_out() {
    let server = Server::start();
    server.events(TYPES).await;
    let (mut reader, _) = Client::join(&server, "Pam", "c").await;
    for (n, (token, meta)) in rows! {
        publisher() => None;
        publisher().claim("umd", Value::Null) => None;
        publisher().claim("uid", json!("Jim")) => Some(json!({"uid": "Jim", "umd": null}));
        publisher().umd(json!({"a": 1})) => Some(json!({"uid": null, "umd": {"a": 1}}));
    }
    .into_iter()
    .enumerate()
    {
        let mut client = Client::connect(&server, &token).await;
        client.send(r#"{"channel":"c","event":"e"}"#).await;
        // Whoever gets the message is told all the same.
        let delivered = reader.next_json().await;
        let nobody = json!({"uid": null, "umd": null});
        assert_eq!(&delivered["meta"], meta.as_ref().unwrap_or(&nobody));
        client.close().await;
        let events = server.events(TYPES).await;
        assert_eq!(events.len(), n + 1);
        assert_eq!(
            events[n]["data"].get("meta"),
            meta.as_ref(),
            "{}",
            events[n]
        );
    }
}
