//! How long a connection lives, and what keeps it alive (sections 1 and 6).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Server, Token};

#[tokio::test]
async fn a_connection_ends_with_its_lifetime() {
    let server = Server::with("connection", "max_lifetime = \"1s\"");
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    assert_eq!(jim.closed().await.0, 1001);
}

#[tokio::test]
async fn a_connection_without_frames_is_idle_and_ends() {
    let server = Server::with("connection", "idle_timeout = \"1s\"");
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    let begun = Instant::now();
    assert_eq!(jim.closed().await.0, 1001);
    assert!(begun.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn keep_alive_comes_before_the_idle_timeout_strikes() {
    let server = Server::with("connection", "idle_timeout = \"1s\"");
    let token = Token::of("Jim").claim("keepAlive", json!(true));
    let mut jim = Client::connect(&server, &token).await;
    for _ in 0..3 {
        jim.expect(r#"{"event":"hotsock.keepAlive","data":{}}"#)
            .await;
    }
}

#[tokio::test]
async fn a_client_that_promised_heartbeats_must_send_them() {
    let server = Server::start();
    let (mut pam, _) = Client::join(&server, "Pam", "presence.a").await;
    let token = Token::of("Jim").claim("heartbeatTimeout", json!(5));
    let mut jim = Client::connect(&server, &token).await;
    jim.subscribe("presence.a").await;
    pam.next().await;
    let begun = Instant::now();
    jim.send(r#"{"event":"hotsock.heartbeat"}"#).await;
    // Other frames are no heartbeat.
    jim.send(r#"{"event":"hotsock.ping"}"#).await;
    assert_eq!(jim.closed().await.0, 1001);
    assert!(begun.elapsed() >= Duration::from_millis(4_900));
    assert_eq!(pam.next_json().await["event"], "hotsock.memberRemoved");
}

#[tokio::test]
async fn a_server_that_is_full_says_so() {
    let server = Server::with("connection", "max_connections = 1");
    let jim = Client::connect(&server, &Token::of("Jim")).await;
    let token = Token::of("Pam").for_server(&server);
    let (status, body) = Client::try_connect(&server, &token).await.err().unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("SERVER_FULL"), "{body}");
    jim.close().await;
    server.wait_for_log("disconnected");
    for _ in 0..100 {
        if Client::try_connect(&server, &token).await.is_ok() {
            return;
        }
    }
    panic!("the place is not free again");
}
