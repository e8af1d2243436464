//! A disk that does not answer: whoever watches the server is told, and nobody is told anything that is not on disk.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use socket2::SockRef;

use crate::support::{Client, DEADLINE, Process, Server, Setup, Strace, Token, subscribe};

/// Makes every sync of the server's last for so long, from now on until this is dropped.
fn hang(server: &Server, time: Duration) -> Option<Process> {
    let delay = format!("delay_enter={}", time.as_micros());
    Strace::inject("fdatasync,fsync", &delay).attach(server)
}

async fn ready(server: &Server) -> (u16, Value) {
    let answer = server.api("GET", "/readyz", "").await;
    (answer.status, answer.json())
}

async fn hangs_and_comes_back(durability: &str) {
    let setup = Setup::new().operated();
    let setup = setup.set("store", &format!("durability = {durability:?}"));
    let server = setup.start();
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    assert_eq!(ready(&server).await.0, 200);
    let Some(disk) = hang(&server, Duration::from_secs(60)) else {
        return;
    };
    let begun = Instant::now();
    jim.send(subscribe("presence.a")).await;
    let (body, age) = loop {
        assert!(begun.elapsed() < DEADLINE, "it looks well for too long");
        let (status, body) = ready(&server).await;
        match status {
            200 => tokio::time::sleep(Duration::from_millis(50)).await,
            503 => break (body, begun.elapsed()),
            other => panic!("{other}: {body}"),
        }
    };
    assert!(
        age > Duration::from_secs(4),
        "a hiccup is no failure: {age:?}"
    );
    assert_eq!(body["error"]["code"], "DISK_BEHIND", "{body}");
    let (json, shown) = server.status();
    assert!(json["oldestWaitingSeconds"].as_f64() > Some(4.9), "{json}");
    assert!(shown.contains("BEHIND"), "{shown}");
    // It is alive all the same, and stops nobody from asking.
    assert_eq!(server.api("GET", "/healthz", "").await.status, 200);

    disk.signal(Signal::TERM);
    drop(disk.ended());
    let begun = Instant::now();
    while ready(&server).await.0 != 200 {
        assert!(begun.elapsed() < DEADLINE, "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(jim.next().await.contains("hotsock.subscribed"));
    let (json, shown) = server.status();
    assert_eq!(json["oldestWaitingSeconds"], Value::Null, "{json}");
    assert!(shown.contains("keeps up"), "{shown}");
}

#[tokio::test]
async fn a_disk_that_hangs_is_seen_and_so_is_its_return() {
    hangs_and_comes_back("commit").await;
}

#[tokio::test]
async fn with_periodic_durability_too() {
    hangs_and_comes_back("periodic").await;
}

/// A session that does not read looks now and then whether its client has left.
#[tokio::test]
async fn what_was_sent_before_the_client_left_is_done_on_a_slow_disk_too() {
    let server = Server::start();
    let (mut pam, _) = Client::join(&server, "Pam", "busy").await;
    let mut jim = Client::connect(&server, &Token::everything("Jim")).await;
    let Some(_disk) = hang(&server, Duration::from_secs(3)) else {
        return;
    };
    jim.send(subscribe("presence.a")).await;
    for n in 0..3 {
        let frame = json!({"channel": "busy", "event": "tick", "data": n});
        jim.send(&frame).await;
    }
    // Nothing more comes from it, as when its page is closed.
    jim.socket.close(None).await.unwrap();
    let tcp = jim.socket.get_ref().get_ref().0;
    SockRef::from(tcp).shutdown(Shutdown::Write).unwrap();
    for n in 0..3 {
        assert_eq!(pam.next_json().await["data"], n);
    }
}
