//! What no client should send (sections 1, 14 and 15): each gets its answer, and everybody else is undisturbed.

use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, PING, PONG, Server, Token, in_time, rows};

#[tokio::test]
async fn a_frame_that_makes_no_sense_is_answered_and_the_connection_stays() {
    let server = Server::start();
    let mut calm = Client::bystander(&server, "presence.calm").await;
    let mut client = Client::connect(&server, &Token::of("Jim")).await;
    for (frame, code) in rows! {
        "" => "INVALID_MESSAGE";
        "hello" => "INVALID_MESSAGE";
        "[]" => "INVALID_MESSAGE";
        "null" => "INVALID_MESSAGE";
        "{}" => "INVALID_MESSAGE";
        r#"{"event":7}"# => "INVALID_MESSAGE";
        r#"{"event":"hotsock.subscribe","channel":["a"]}"# => "INVALID_MESSAGE";
        r#"{"event":"hotsock.subscribe","channel":"a","data":7}"# => "INVALID_MESSAGE";
        r#"{"event":"hotsock.subscribe","channel":"a","data":{"token":7}}"# => "INVALID_MESSAGE";
        r#"{"event":"hotsock.umdUpdate","channel":"a"}"# => "INVALID_MESSAGE";
        r#"{"event":"hotsock.frobnicate"}"# => "UNKNOWN_EVENT";
        r#"{"event":"hotsock.subscribed","channel":"a"}"# => "UNKNOWN_EVENT";
        r#"{"event":"a*","channel":"a"}"# => "INVALID_EVENT_NAME";
        r##"{"event":"#a","channel":"a"}"## => "INVALID_EVENT_NAME";
        r#"{"event":"say"}"# => "INVALID_MESSAGE";
        r#"{"event":"say","channel":"a","scheduleExpression":"at(2099-01-01T00:00:00)"}"# => "INVALID_SCHEDULE";
        r#"{"event":"say","channel":"a b"}"# => "INVALID_CHANNEL_NAME";
        r#"{"event":"say","channel":"a"}"# => "PUBLISH_PERMISSION_DENIED";
        r#"{"event":"hotsock.ping"} trailing"# => "INVALID_MESSAGE";
    } {
        client.send(frame).await;
        client.expect_error(code).await;
    }
    let deep = format!(
        r#"{{"event":"say","channel":"a","data":{}}}"#,
        "[".repeat(60_000)
    );
    client.send(&deep).await;
    client.expect_error("INVALID_MESSAGE").await;
    client
        .socket
        .send(Message::binary(vec![1, 2, 3]))
        .await
        .unwrap();
    client.expect_error("INVALID_MESSAGE").await;
    client.send(PING).await;
    client.expect(PONG).await;
    calm.expect_silence().await;
}

#[tokio::test]
async fn an_error_says_which_field_and_what_was_expected() {
    let server = Server::start();
    let mut client = Client::connect(&server, &Token::of("Jim")).await;
    client
        .send(r#"{"event":"hotsock.subscribe","channel":["a"]}"#)
        .await;
    let error = client.expect_error("INVALID_MESSAGE").await;
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("`channel`") && message.contains("string"),
        "{message}"
    );
    assert!(
        error.get("channel").is_none_or(|c| *c == json!(["a"])),
        "{error}"
    );
}

#[tokio::test]
async fn an_error_names_the_channel_as_far_as_it_can_be_read() {
    let server = Server::start();
    let mut client = Client::connect(&server, &Token::of("Jim")).await;
    for (frame, channel) in rows! {
        r#"{"event":7,"channel":"a"}"# => json!("a");
        r#"{"event":"hotsock.subscribe","channel":"a","data":7}"# => json!("a");
        r#"{"event":"hotsock.frobnicate","channel":"a"}"# => json!("a");
        r#"{"event":"say","channel":"a b"}"# => json!("a b");
        r#"{"event":"say","event":"say","channel":"a"}"# => json!("a");
        r#"{"channel":"\u0061","event":"say","data":{]}"# => json!("a");
        r#"{"event":"say","channel":"a"} and more"# => json!("a");
        r#"{"event":"say","channel":"a"# => json!(null);
        r#"{"event":"say","data":{"channel":"a"},}"# => json!(null);
        r#"["channel","a"]"# => json!(null);
        r#"{"event":"say"}"# => json!(null);
    } {
        client.send(frame).await;
        let error = client.next_json().await;
        assert_eq!(error["event"], "hotsock.error", "{frame}");
        assert_eq!(error["channel"], channel, "{frame}");
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_closed_with_1009() {
    let server = Server::start();
    let mut calm = Client::bystander(&server, "presence.calm").await;
    let mut client = Client::connect(&server, &Token::of("Jim")).await;
    let whole = |bytes: usize| {
        let frame = r#"{"event":"hotsock.ping","data":""}"#.len();
        format!(
            r#"{{"event":"hotsock.ping","data":"{}"}}"#,
            "x".repeat(bytes - frame)
        )
    };
    client.send(&whole(128 * 1024)).await;
    client.expect(PONG).await;
    let _ = client
        .socket
        .send(Message::text(whole(128 * 1024 + 1)))
        .await;
    client.expect_closed(1009).await;
    calm.expect_silence().await;
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_closed_with_1007() {
    let server = Server::start();
    let mut client = Client::connect(&server, &Token::of("Jim")).await;
    let raw = client.socket.get_mut();
    // A masked text frame of two bytes, with a mask of zeros.
    raw.write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff])
        .await
        .unwrap();
    raw.flush().await.unwrap();
    client.expect_closed(1007).await;
}

#[tokio::test]
async fn a_frame_that_is_not_masked_is_closed_with_1002() {
    let server = Server::start();
    let mut client = Client::connect(&server, &Token::of("Jim")).await;
    let raw = client.socket.get_mut();
    raw.write_all(&[0x81, 0x02, b'h', b'i']).await.unwrap();
    raw.flush().await.unwrap();
    client.expect_closed(1002).await;
}

/// What the server says to bytes that are not TLS, until it closes.
async fn raw(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..n]);
        }
    };
    in_time("the end", read).await;
    answer
}

#[tokio::test]
async fn garbage_and_plain_http_on_the_tls_port_are_turned_away() {
    let server = Server::start();
    let mut calm = Client::bystander(&server, "presence.calm").await;
    let answer = raw(&server, b"GET /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("TLS_REQUIRED"), "{answer}");
    raw(
        &server,
        &[0x16, 0x03, 0x01, 0xff, 0xff, 0x00, 0x42, 0x42, 0x42],
    )
    .await;
    raw(&server, &[22; 70_000]).await;
    calm.expect_silence().await;
}

#[tokio::test]
async fn a_handshake_that_dribbles_is_given_up_after_ten_seconds() {
    let server = Server::start();
    let mut calm = Client::bystander(&server, "presence.calm").await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // A record of 512 bytes is announced, and comes byte by byte.
    stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let dribble = async {
        let mut buffer = [0; 64];
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => if matches!(read, Ok(0) | Err(_)) { return },
                () = tokio::time::sleep(Duration::from_millis(300)) => {}
            }
            let _ = stream.write_all(&[0]).await;
        }
    };
    in_time("the end", dribble).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    calm.expect_silence().await;
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_told_so() {
    let server = Server::start();
    let token = Token::of("Jim").for_server(&server);
    for (name, value) in [("upgrade", "h2c"), ("sec-websocket-version", "12")] {
        let mut request = hyper::Request::builder()
            .uri(format!("/v1?token={token}"))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
            .body(String::new())
            .unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = server.http(request).await;
        assert!([400, 426].contains(&answer.status), "{answer:?}");
        assert!(!answer.json()["error"]["code"].as_str().unwrap().is_empty());
    }
    let answer = server.get("/v1").await;
    assert!([400, 401, 426].contains(&answer.status), "{answer:?}");
}
