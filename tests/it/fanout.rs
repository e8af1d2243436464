//! Who makes others receive pays for it: whoever changes too much waits with its next change, and nobody else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, PING, Server, Setup, Token, in_time, subscribe, unsubscribe, until};

const CHANNEL: &str = "presence.full";

/// A member with metadata of so many bytes, which reads and never sends until the test is over.
async fn filler(server: &Server, uid: &str, bytes: usize) {
    let token = Token::of(uid).umd(json!("x".repeat(bytes)));
    let mut client = Client::connect(server, &token).await;
    client.subscribe(CHANNEL).await;
    tokio::spawn(async move { while let Some(Ok(_)) = client.socket.next().await {} });
}

/// 10 Mbit/s, in bytes a second.
const SLOW: u64 = 1_250_000;
const READERS: usize = 20;

/// Reads as from a slow link until `done`; whether it is still connected then.
async fn slow_reader(server: Arc<Server>, n: usize, done: Arc<AtomicBool>) -> Result<u64, String> {
    let (mut client, _) = Client::join(&server, &format!("reader-{n}"), CHANNEL).await;
    let begun = Instant::now();
    let mut read = 0;
    while !done.load(Ordering::Relaxed) {
        let Ok(next) = tokio::time::timeout(Duration::from_millis(200), client.socket.next()).await
        else {
            continue;
        };
        match next {
            Some(Ok(Message::Text(text))) => read += text.len() as u64,
            Some(Ok(Message::Ping(_))) => {}
            other => return Err(format!("reader {n}: {other:?}")),
        }
        let due = begun + Duration::from_millis(read * 1_000 / SLOW);
        tokio::time::sleep_until(due.into()).await;
    }
    Ok(read)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_that_toggles_evicts_nobody_on_a_slow_link_and_delays_no_other() {
    let server = Setup::new()
        .set("limits", "umd_bytes = \"16KiB\"")
        .terse()
        .start();
    let server = Arc::new(server);
    // A list of 97 KB.
    for n in 0..6 {
        filler(&server, &format!("filler-{n}"), 16_000).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|n| tokio::spawn(slow_reader(Arc::clone(&server), n, Arc::clone(&done))))
        .collect();
    let all_are_in = async || server.subscriptions(CHANNEL).await == READERS + 6;
    until("all readers", all_are_in).await;
    let toggler = Client::connect(&server, &Token::of("toggler")).await;
    let (mut sink, mut stream) = toggler.socket.split();
    let over = Arc::clone(&done);
    let toggling = tokio::spawn(async move {
        let mut sent = 0_u32;
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / 90));
        while !over.load(Ordering::Relaxed) {
            ticks.tick().await;
            let verb = [subscribe, unsubscribe][sent as usize % 2];
            let frame = verb(CHANNEL).to_string();
            if sink.send(Message::text(frame)).await.is_err() {
                break;
            }
            sent += 1;
        }
        sent
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let refused = message
                .to_text()
                .is_ok_and(|text| text.contains("hotsock.error"));
            assert!(!refused, "{message}");
        }
    });
    // Others come meanwhile, and are not delayed.
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    for n in 0..8 {
        tokio::time::sleep_until((begun + Duration::from_secs(n)).into()).await;
        let mut other = Client::connect(&server, &Token::of(&format!("other-{n}"))).await;
        let joining = Instant::now();
        other.subscribe(CHANNEL).await;
        slowest = slowest.max(joining.elapsed());
    }
    done.store(true, Ordering::Relaxed);
    let mut closed = Vec::new();
    for reader in readers {
        closed.extend(in_time("a reader", reader).await.unwrap().err());
    }
    let sent = toggling.await.unwrap();
    assert!(
        closed.is_empty(),
        "{} of {READERS}: {closed:?}",
        closed.len()
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(sent > 300, "{sent}");
}

/// A server where a change of the full channel costs two seconds, and its burst is over with the first.
async fn small() -> (Server, Client) {
    let server = Setup::new()
        .set("limits", "umd_bytes = \"16KiB\"")
        .set("presence", "fanout_bytes_per_second = \"64KiB\"")
        .set("presence", "fanout_burst_bytes = \"64KiB\"")
        .start();
    for n in 0..3 {
        filler(&server, &format!("filler-{n}"), 16_000).await;
    }
    let (pam, _) = Client::join(&server, "Pam", CHANNEL).await;
    (server, pam)
}

/// Joins as Jim, who is in debt then: 48 KB for each of four, of which the burst pays a third.
async fn indebted(server: &Server, pam: &mut Client) -> Client {
    let begun = Instant::now();
    let (jim, _) = Client::join(server, "Jim", CHANNEL).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "the first change is never delayed"
    );
    pam.expect_member("Added", "Jim").await;
    jim
}

/// What a change in debt takes at least.
const WAIT: Duration = Duration::from_millis(1_500);
/// What takes no time, on a busy machine.
const SOON: Duration = Duration::from_millis(1_000);

#[tokio::test]
async fn who_is_in_debt_waits_with_its_next_change_and_gets_everything_else() {
    let (server, mut pam) = small().await;
    let mut jim = indebted(&server, &mut pam).await;
    let begun = Instant::now();
    jim.send(unsubscribe(CHANNEL)).await;
    jim.send(PING).await;
    // Pings of WebSocket are answered, others are not delayed, and what they do is told.
    jim.expect_silence().await;
    let (_dwight, _) = Client::join(&server, "Dwight", CHANNEL).await;
    jim.expect_member("Added", "Dwight").await;
    pam.expect_member("Added", "Dwight").await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // Then comes what it asked for. (A pong needs no commit, and so may come before what was asked for first.)
    let mut answers = Vec::new();
    for _ in 0..2 {
        let frame = jim.next_json().await;
        answers.push(frame["event"].as_str().unwrap().to_owned());
        assert!(
            begun.elapsed() >= WAIT,
            "{answers:?} after {:?}",
            begun.elapsed()
        );
    }
    answers.sort();
    assert_eq!(answers, ["hotsock.pong", "hotsock.unsubscribed"]);
    // On a channel that nobody is told of, nothing waits.
    let begun = Instant::now();
    jim.subscribe("plain").await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_new_connection_has_no_new_budget() {
    let (server, mut pam) = small().await;
    let jim = indebted(&server, &mut pam).await;
    jim.close().await;
    pam.expect_member("Removed", "Jim").await;
    // By a token that subscribes by itself; its first frame comes at once.
    let begun = Instant::now();
    let channels = json!({CHANNEL: {"subscribe": true, "autoSubscribe": true}});
    let mut again = Client::connect(&server, &Token::of("Jim").channels(channels)).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    again.expect_event("hotsock.subscribed").await;
    assert!(begun.elapsed() >= WAIT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn leaving_by_closing_is_never_delayed() {
    let (server, mut pam) = small().await;
    let mut jim = indebted(&server, &mut pam).await;
    // With a change that waits for its turn, by a goodbye, which is answered.
    jim.send(unsubscribe(CHANNEL)).await;
    let begun = Instant::now();
    jim.close().await;
    pam.expect_member("Removed", "Jim").await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // And without a word, by somebody else.
    let (mut dwight, _) = Client::join(&server, "Dwight", CHANNEL).await;
    pam.expect_member("Added", "Dwight").await;
    dwight.send(unsubscribe(CHANNEL)).await;
    dwight.expect_silence().await;
    let begun = Instant::now();
    drop(dwight);
    pam.expect_member("Removed", "Dwight").await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_waits_for_its_turn_can_be_closed() {
    let (server, mut pam) = small().await;
    let mut jim = indebted(&server, &mut pam).await;
    jim.send(unsubscribe(CHANNEL)).await;
    jim.expect_silence().await;
    let begun = Instant::now();
    server.kick(&jim).await;
    jim.expect_closed(1008).await;
    pam.expect_member("Removed", "Jim").await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn metadata_waits_too_by_http_as_well_and_one_after_the_other() {
    let (server, mut pam) = small().await;
    let jim = indebted(&server, &mut pam).await;
    let update = async |n: u64| -> (Value, Duration) {
        let begun = Instant::now();
        let token = Token::umd_of(&jim.id, json!(n)).for_server(&server);
        let body = json!({"channel": CHANNEL, "token": token});
        let answer = server.client_api(&jim, "umdUpdate", &body).await;
        (json!(answer.status), begun.elapsed())
    };
    let (first, second) = tokio::join!(update(1), update(2));
    assert_eq!((&first.0, &second.0), (&json!(200), &json!(200)));
    let (sooner, later) = (first.1.min(second.1), first.1.max(second.1));
    assert!(sooner >= WAIT, "{sooner:?}");
    assert!(later >= sooner + WAIT, "{later:?}");
    pam.expect_member("Updated", "Jim").await;
    pam.expect_member("Updated", "Jim").await;
}
