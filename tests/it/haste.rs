//! Who sends faster than it may (section 15): the server reads on more slowly, and nothing is refused or dropped.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Client, HEARTBEAT, PING, PONG, Server, Setup, Token, burst, id_of, in_time, react, subscribe,
};

/// A server whose clients may send so many frames in a second, and twice as many in a burst.
fn server(frames_per_second: u32) -> Server {
    let line = format!("frames_per_second = {frames_per_second}");
    Setup::new().set("connection", &line).start()
}

/// Subscribes to so many channels in one burst; each must be answered, whatever their order: channels do not wait for each
/// other. What is asked of one channel is answered in order. Returns how long that took.
async fn many(server: &Server, channels: usize) -> Duration {
    let mut client = Client::connect(server, &Token::of("Jim")).await;
    let name = |n: usize| format!("presence.room-{n}");
    let begun = Instant::now();
    let frames = (0..channels).map(|n| subscribe(&name(n)));
    burst(&mut client, frames).await;
    let mut answered = BTreeSet::new();
    for _ in 0..channels {
        let answer = client.expect_event("hotsock.subscribed").await;
        answered.insert(answer["channel"].as_str().unwrap().to_owned());
    }
    assert_eq!(answered, (0..channels).map(name).collect());
    client.expect_silence().await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_subscribes_to_a_thousand_channels_in_one_burst_gets_them_all() {
    let server = server(100);
    let few = async {
        let took = many(&server, 300).await;
        assert!(took >= Duration::from_millis(900), "{took:?}");
    };
    let many = async {
        let took = many(&server, 1_000).await;
        assert!(took >= Duration::from_millis(7_900), "{took:?}");
    };
    tokio::join!(few, many);
}

#[tokio::test]
async fn three_hundred_messages_in_one_burst_come_in_order() {
    let server = server(100);
    let mut jim = Client::jim(&server, "a").await;
    let begun = Instant::now();
    let frames = (0..300).map(|n| json!({"channel": "a", "event": "say", "data": n}));
    burst(&mut jim, frames).await;
    for n in 0..300 {
        assert_eq!(jim.next_json().await["data"], n);
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn who_is_held_back_gets_what_others_send_and_can_be_closed() {
    let server = server(1);
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    jim.subscribe("a").await;
    burst(&mut jim, [PING; 20]).await;
    jim.expect(PONG).await;
    // The next pong comes in a second.
    let begun = Instant::now();
    server
        .publish(json!({"channel": "a", "event": "tick"}))
        .await;
    jim.expect_event("tick").await;
    assert!(begun.elapsed() < Duration::from_millis(900));
    server.kick(&jim).await;
    jim.expect_closed(1008).await;
    assert!(begun.elapsed() < Duration::from_millis(1_900));
}

#[tokio::test]
async fn time_in_which_nothing_is_read_counts_for_no_heartbeat() {
    let server = server(1);
    let token = Token::of("Jim").claim("heartbeatTimeout", json!(5));
    let mut jim = Client::connect(&server, &token).await;
    let begun = Instant::now();
    // The heartbeat is read after eight seconds.
    let frames = std::iter::repeat_n(PING, 9).chain([HEARTBEAT, PING]);
    burst(&mut jim, frames).await;
    for _ in 0..10 {
        jim.expect(PONG).await;
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(8_500), "{took:?}");
    assert_eq!(jim.closed().await.1, "heartbeat timeout");
    let took = begun.elapsed() - took;
    assert!(took >= Duration::from_millis(3_500), "{took:?}");
}

#[tokio::test]
async fn what_a_hasty_client_sent_before_it_left_is_done() {
    let server = server(50);
    let (mut pam, _) = Client::join(&server, "Pam", "a").await;
    let token = Token::everything("Jim");
    let mut jim = Client::connect(&server, &token).await;
    let frames = (0..150).map(|n| json!({"channel": "a", "event": "say", "data": n}));
    burst(&mut jim, frames).await;
    drop(jim);
    for n in 0..150 {
        assert_eq!(pam.next_json().await["data"], n);
    }
    server.wait_for_log("disconnected");
}

#[tokio::test]
async fn what_is_sent_behind_a_request_that_takes_its_time_is_done_before_the_goodbye() {
    let server = Server::start();
    let (mut pam, _) = Client::join(&server, "Pam", "a").await;
    let mut jim = Client::jim(&server, "a").await;
    jim.send(r#"{"channel":"a","event":"say","data":"first"}"#)
        .await;
    let message = jim.next_json().await;
    assert_eq!(pam.next_json().await["data"], "first");
    // It is answered when it is on disk.
    let reaction = react("a", &id_of(&message), "wave", "add");
    let messages = (0..5).map(|n| json!({"channel": "a", "event": "say", "data": n}));
    burst(&mut jim, std::iter::once(reaction).chain(messages)).await;
    jim.close().await;
    pam.expect_event("hotsock.messageReactionAdded").await;
    for n in 0..5 {
        assert_eq!(pam.next_json().await["data"], n);
    }
}

#[tokio::test]
async fn pings_of_websocket_are_no_frames_that_count() {
    let server = server(1);
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    let begun = Instant::now();
    in_time("a hundred pongs", async {
        for _ in 0..100 {
            jim.expect_silence().await;
        }
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    jim.send(PING).await;
    jim.expect(PONG).await;
}
