//! Who is gone without a word (section 6): a client that gives no sign of life is dropped, and a slow one is not.

use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use socket2::{SockFilter, SockRef};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Process, Setup, Token, in_time};

const CHANNEL: &str = "presence.a";
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);

fn setup() -> Setup {
    Setup::new()
        .set("connection", &format!("ping_interval = \"{INTERVAL:?}\""))
        .set("connection", &format!("ping_timeout = \"{TIMEOUT:?}\""))
        .hasty()
}

/// Waits until others see that `uid` is gone; that takes at least the interval and the timeout since `begun`, and not
/// much more.
async fn expect_dropped(other: &mut Client, uid: &str, begun: Instant) {
    other.expect_member("Removed", uid).await;
    let took = begun.elapsed();
    let least = INTERVAL + TIMEOUT - Duration::from_millis(200);
    assert!(
        (least..2 * (INTERVAL + TIMEOUT)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test]
async fn who_answers_pings_stays() {
    let server = setup().start();
    let (mut jim, _) = Client::join(&server, "Jim", CHANNEL).await;
    for _ in 0..4 {
        match in_time("a ping", jim.socket.next()).await {
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?} in place of a ping"),
        }
    }
    jim.expect_silence().await;
}

#[tokio::test]
async fn who_acknowledges_and_never_answers_goes() {
    let server = setup().start();
    let mut pam = Client::bystander(&server, CHANNEL).await;
    let begun = Instant::now();
    // It is not read from again: its system takes the ping, and it does not.
    let _jim = Client::join(&server, "Jim", CHANNEL).await;
    pam.expect_member("Added", "Jim").await;
    expect_dropped(&mut pam, "Jim", begun).await;
    server.wait_for_log("no sign of life: dropped");
    let line = server.wait_for_log("ping_arrived=true");
    assert!(line.contains("last_heard_ms="), "{line}");
}

#[tokio::test]
async fn who_acknowledges_nothing_goes() {
    let server = setup().start();
    let mut pam = Client::bystander(&server, CHANNEL).await;
    let (jim, _) = Client::join(&server, "Jim", CHANNEL).await;
    pam.expect_member("Added", "Jim").await;
    let begun = Instant::now();
    // As if a cable had been pulled: whatever reaches Jim's socket is thrown away before TCP sees it.
    let tcp = jim.socket.get_ref().get_ref().0;
    let nothing = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(tcp).attach_filter(&[nothing]).unwrap();
    // Something must be on its way that could be acknowledged, a ping if nothing else.
    expect_dropped(&mut pam, "Jim", begun).await;
    server.wait_for_log("no sign of life: dropped");
}

#[tokio::test]
async fn a_stopped_process_goes() {
    let server = setup().start();
    let mut pam = Client::bystander(&server, CHANNEL).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command
        .args(["join", CHANNEL, "--url"])
        .arg(format!("wss://localhost:{}/v1", server.address().port()))
        .args(["--token", &Token::of("Jim").for_server(&server), "--ca"])
        .arg(server.folder().join("cert.pem"));
    let jim = Process::start(&mut command);
    pam.expect_member("Added", "Jim").await;
    // While it runs it answers.
    for _ in 0..4 {
        tokio::time::sleep(INTERVAL).await;
        pam.expect_silence().await;
    }
    let begun = Instant::now();
    jim.signal(Signal::STOP);
    expect_dropped(&mut pam, "Jim", begun - INTERVAL).await;
    jim.signal(Signal::CONT);
}

#[tokio::test]
async fn a_server_that_stood_still_drops_nobody() {
    let server = setup().start();
    let mut pam = Client::bystander(&server, CHANNEL).await;
    let jim = Client::join(&server, "Jim", CHANNEL).await.0;
    pam.expect_member("Added", "Jim").await;
    let mut jim = tokio::spawn(async move {
        let mut jim = jim;
        jim.next().await
    });
    tokio::time::sleep(INTERVAL).await;
    server.signal(Signal::STOP);
    tokio::time::sleep(2 * (INTERVAL + TIMEOUT)).await;
    server.signal(Signal::CONT);
    // Whatever was to be done at once has been done by then.
    for _ in 0..4 {
        tokio::time::sleep(INTERVAL / 2).await;
        pam.expect_silence().await;
    }
    server
        .publish(json!({"channel": CHANNEL, "event": "tick"}))
        .await;
    let frame = in_time("a message", &mut jim).await.unwrap();
    assert!(frame.contains("tick"), "{frame}");
}

#[tokio::test]
async fn zero_turns_pings_off() {
    let server = setup().set("connection", "ping_interval = \"0s\"").start();
    let mut pam = Client::bystander(&server, CHANNEL).await;
    let (jim, _) = Client::join(&server, "Jim", CHANNEL).await;
    pam.expect_member("Added", "Jim").await;
    tokio::time::sleep(INTERVAL + 2 * TIMEOUT).await;
    pam.expect_silence().await;
    drop(jim);
}

/// 1 Mbit/s, in bytes a second.
const SLOW: u64 = 125_000;
/// The data of one message, in bytes.
const DATA: usize = 30_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_at_1_mbit_with_a_full_queue_stays() {
    let server = setup().terse().start();
    let mut jim = Client::with_small_buffer(&server, &Token::of("Jim")).await;
    jim.subscribe("busy").await;
    let token = Token::everything("Pam");
    let mut pam = Client::connect(&server, &token).await;
    let data = "x".repeat(DATA);
    // What the systems' buffers and the queue hold, but for a little; so a ping has minutes of bytes to overtake.
    for n in 0..250 {
        let frame = json!({"channel": "busy", "event": "tick", "data": [n, data]});
        pam.send(&frame).await;
    }
    pam.expect_silence().await;
    let begun = Instant::now();
    let mut read = 0;
    let mut expected = 0;
    // Far longer than a silent client is given.
    while begun.elapsed() < 4 * (INTERVAL + TIMEOUT) {
        match in_time("a message", jim.socket.next()).await {
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(frame["data"][0], expected);
                expected += 1;
                read += text.len() as u64;
            }
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?} in place of message {expected}"),
        }
        let due = begun + Duration::from_millis(read * 1_000 / SLOW);
        tokio::time::sleep_until(due.into()).await;
    }
    assert!(expected > 30, "{expected}");
    assert!(expected < 200, "the queue was not full: {expected}");
    assert_eq!(server.subscriptions("busy").await, 1);
}
