//! The HTTP APIs (sections 11 and 12): for browsers, and for operators.

use hyper::Request;
use serde_json::json;

use crate::support::{Client, Server};

#[tokio::test]
async fn browsers_may_ask_from_anywhere() {
    let server = Server::start();
    let jim = Client::jim(&server, "c").await;
    let preflight = Request::builder()
        .method("OPTIONS")
        .uri("/connection/listMessages")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .body(String::new())
        .unwrap();
    let answer = server.http(preflight).await;
    answer.expect(204);
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
    answer.expect(400);
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
    let page = server.read("/channels").await;
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
    let some = server.read("/channels?prefix=room-1-").await;
    assert_eq!(some["channels"].as_array().unwrap().len(), 40);
    let mine = server.read("/connections?uid=user-1").await;
    let mine = mine["connections"].as_array().unwrap();
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0]["id"], json!(clients[1].id));
    let target = format!("/connections/{}", clients[1].id);
    assert_eq!(server.api("DELETE", &target, "").await.status, 204);
    clients[1].expect_closed(1008).await;
    assert_eq!(server.api("DELETE", &target, "").await.status, 404);
    let nobody = server.api("GET", "/channels/presence.nobody", "").await;
    assert_eq!(
        nobody.text,
        r#"{"name":"presence.nobody","subscriptionsCount":0,"members":[]}"#
    );
}
