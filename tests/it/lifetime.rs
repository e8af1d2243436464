//! How long a connection lives, and what keeps it alive (sections 1 and 6).

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, PING, Server, Setup, Token};

#[tokio::test]
async fn a_connection_ends_with_its_lifetime() {
    let server = Server::with("connection", "max_lifetime = \"1s\"");
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    jim.expect_closed(1001).await;
}

#[tokio::test]
async fn a_connection_without_frames_is_idle_and_ends() {
    let server = Server::with("connection", "idle_timeout = \"1s\"");
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    let begun = Instant::now();
    jim.expect_closed(1001).await;
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
    jim.send(HEARTBEAT).await;
    // Other frames are no heartbeat.
    jim.send(PING).await;
    jim.expect_closed(1001).await;
    assert!(begun.elapsed() >= Duration::from_millis(4_900));
    pam.expect_event("hotsock.memberRemoved").await;
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

const HEARTBEAT: &str = r#"{"event":"hotsock.heartbeat"}"#;
/// How long the server is watched before it stands still, and after.
const AROUND: Duration = Duration::from_secs(3);

/// Clients whose hearts beat, and that answer pings, whatever the server does; it stands still for so long. Returns what
/// those got that were closed.
async fn closed_by_a_standstill(still: Duration, pings: &[&str]) -> Vec<String> {
    let setup = Setup::new().set("connection", "idle_timeout = \"5s\"");
    let add = |setup: Setup, line: &&str| setup.set("connection", line);
    let server = pings.iter().fold(setup, add).start();
    let mut clients = Vec::new();
    for _ in 0..16 {
        let token = Token::of("Jim").claim("heartbeatTimeout", json!(5));
        let mut jim = Client::connect(&server, &token).await;
        clients.push(tokio::spawn(async move {
            let mut beats = interval(Duration::from_secs(2));
            let living = async {
                loop {
                    tokio::select! {
                        _ = beats.tick() => {
                            if let Err(error) = jim.socket.send(Message::text(HEARTBEAT)).await {
                                break error.to_string();
                            }
                        }
                        message = jim.socket.next() => match message {
                            Some(Ok(Message::Ping(_))) => {}
                            other => break format!("{other:?}"),
                        }
                    }
                }
            };
            timeout(still + 3 * AROUND, living).await.ok()
        }));
        // In all phases.
        sleep(Duration::from_millis(190)).await;
    }
    sleep(AROUND).await;
    server.signal(Signal::STOP);
    sleep(still).await;
    server.signal(Signal::CONT);
    sleep(AROUND).await;
    let mut closed = Vec::new();
    for client in clients {
        closed.extend(client.await.unwrap());
    }
    closed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stood_still_closes_nobody_whose_heart_has_beaten() {
    const SELDOM: &[&str] = &[];
    const OFTEN: &[&str] = &["ping_interval = \"1s\"", "ping_timeout = \"3s\""];
    let stops = [
        (4_100, SELDOM),
        (5_700, SELDOM),
        (8_000, SELDOM),
        (3_700, OFTEN),
    ];
    let runs = stops.map(|(still, pings)| {
        tokio::spawn(closed_by_a_standstill(Duration::from_millis(still), pings))
    });
    let mut closed = Vec::new();
    for (run, (still, _)) in runs.into_iter().zip(stops) {
        let reasons = run.await.unwrap().into_iter();
        closed.extend(reasons.map(|reason| (still, reason)));
    }
    assert!(closed.is_empty(), "{closed:#?}");
}
