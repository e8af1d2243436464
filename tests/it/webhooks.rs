//! Webhooks over the network (section 13): signed, in order, at least once, whatever the receiver does.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::{API_KEY, Client, Server, Setup, Token, in_time, now};

const SECRET: &[u8] = b"a webhook's secret, 24 bytes or more";

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Take,
    Answer(u16),
    /// Never answers.
    Hang,
    /// Answers 200 and closes before the body is whole.
    BreakOff,
    /// Closes without a word.
    Close,
}

/// One request that came in.
#[derive(Debug, Clone)]
struct Received {
    id: String,
    timestamp: u64,
    signature: String,
    body: String,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.json()["type"]
            .as_str()
            .unwrap()
            .replace("hotsock.", "")
    }
}

/// An HTTP server of few words. Its mood for the next requests comes from the test; without, it takes everything.
struct Receiver {
    url: String,
    moods: mpsc::UnboundedSender<Mood>,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/hooks?token=secret-in-the-url",
            listener.local_addr().unwrap()
        );
        let (moods, script) = mpsc::unbounded_channel();
        let (sender, received) = mpsc::unbounded_channel();
        let script = Arc::new(tokio::sync::Mutex::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, sender) = (Arc::clone(&script), sender.clone());
                tokio::spawn(async move {
                    let _ = converse(stream, &script, &sender).await;
                });
            }
        });
        Self {
            url,
            moods,
            received,
        }
    }

    fn will(&self, moods: &[Mood]) {
        for mood in moods {
            self.moods.send(*mood).unwrap();
        }
    }

    async fn next(&mut self) -> Received {
        in_time("an event", self.received.recv()).await.unwrap()
    }

    /// The configuration of a webhook that posts here.
    fn configure(&self, setup: Setup, name: &str, types: &str) -> Setup {
        let section = format!("[[events.webhooks]]#{name}");
        let secret = format!("whsec_{}", STANDARD.encode(SECRET));
        setup
            .set(&section, &format!("name = {name:?}"))
            .set(&section, &format!("url = {:?}", self.url))
            .set(&section, &format!("secret = {secret:?}"))
            .set(&section, &format!("types = {types}"))
    }
}

async fn converse(
    mut stream: TcpStream,
    script: &tokio::sync::Mutex<mpsc::UnboundedReceiver<Mood>>,
    sender: &mpsc::UnboundedSender<Received>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
        assert!(text.starts_with("POST /hooks?"), "{text}");
        let header = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        let length: usize = header("content-length").parse().unwrap();
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let body = String::from_utf8(buffer[head..head + length].to_vec()).unwrap();
        buffer.drain(..head + length);
        assert_eq!(header("content-type"), "application/json");
        let received = Received {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp").parse().unwrap(),
            signature: header("webhook-signature"),
            body,
        };
        let mood = script.lock().await.try_recv().unwrap_or(Mood::Take);
        let answer = match mood {
            Mood::Take => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Mood::Answer(302) => {
                "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            Mood::Answer(status) => {
                format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")
            }
            Mood::BreakOff => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(),
            Mood::Hang | Mood::Close => String::new(),
        };
        let _ = sender.send(received);
        match mood {
            Mood::Hang => {
                // Until the other side has had enough.
                while stream.read_buf(&mut buffer).await? > 0 {}
                return Ok(());
            }
            Mood::Close => return Ok(()),
            _ => stream.write_all(answer.as_bytes()).await?,
        }
        if mood == Mood::BreakOff {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn events_are_signed_and_come_in_order() {
    let mut receiver = Receiver::start().await;
    let server = receiver.configure(Setup::new(), "app", "[]").start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    jim.unsubscribe("presence.a").await;
    jim.close().await;
    let mut kinds = Vec::new();
    let mut ids = HashSet::new();
    for _ in 0..8 {
        let event = receiver.next().await;
        assert!(now().abs_diff(event.timestamp) < 30);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let signed = format!("{}.{}.{}", event.id, event.timestamp, event.body);
        let signature = event.signature.strip_prefix("v1,").unwrap();
        let signature = STANDARD.decode(signature).unwrap();
        hmac::verify(&key, signed.as_bytes(), &signature).expect("our signature");
        assert!(ids.insert(event.id.clone()));
        kinds.push(event.kind());
    }
    assert_eq!(
        kinds,
        [
            "connected",
            "subscribed",
            "memberAdded",
            "channelUpdated",
            "unsubscribed",
            "memberRemoved",
            "channelUpdated",
            "disconnected",
        ]
    );
    let log = server.log();
    assert!(!log.contains("secret-in-the-url") && !log.contains("whsec_"));
}

#[tokio::test]
async fn one_that_fails_delays_neither_itself_for_ever_nor_the_other() {
    let mut brisk = Receiver::start().await;
    let mut ailing = Receiver::start().await;
    let setup = brisk.configure(Setup::new(), "brisk", r#"["hotsock.memberAdded"]"#);
    let server = ailing
        .configure(
            setup,
            "ailing",
            r#"["hotsock.memberAdded", "hotsock.memberRemoved"]"#,
        )
        .start();
    ailing.will(&[
        Mood::Answer(500),
        Mood::Close,
        Mood::Answer(302),
        Mood::BreakOff,
    ]);
    let mut clients = Vec::new();
    for n in 0..5 {
        let begun = Instant::now();
        clients.push(
            Client::join(&server, &format!("user-{n}"), "presence.a")
                .await
                .0,
        );
        let event = brisk.next().await;
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "the other is current"
        );
        assert_eq!(event.json()["data"]["uid"], format!("user-{n}"));
    }
    // The first event four times in vain, each with the same id; then each once.
    let first = ailing.next().await;
    for _ in 0..4 {
        let again = ailing.next().await;
        assert_eq!((&again.id, &again.body), (&first.id, &first.body));
    }
    for n in 1..5 {
        assert_eq!(
            ailing.next().await.json()["data"]["uid"],
            format!("user-{n}")
        );
    }
    server.wait_for_log("takes events again");
}

#[tokio::test]
async fn one_that_hangs_does_not_hold_up_anything() {
    let mut hanging = Receiver::start().await;
    let mut brisk = Receiver::start().await;
    let setup = hanging.configure(Setup::new(), "hanging", "[]");
    let mut server = brisk
        .configure(setup, "brisk", r#"["hotsock.memberAdded"]"#)
        .start();
    hanging.will(&[Mood::Hang]);
    let _jim = Client::join(&server, "Jim", "presence.a").await;
    hanging.next().await;
    assert_eq!(brisk.next().await.json()["data"]["uid"], "Jim");
    // Not even a stop.
    let begun = Instant::now();
    server.terminate();
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_410_is_the_end_also_after_a_restart() {
    let mut receiver = Receiver::start().await;
    let mut server = receiver
        .configure(Setup::new(), "app", r#"["hotsock.memberAdded"]"#)
        .start();
    receiver.will(&[Mood::Answer(410)]);
    let _jim = Client::join(&server, "Jim", "presence.a").await;
    receiver.next().await;
    server.wait_for_log("(410)");
    server.terminate();
    server.run_again();
    server.wait_for_log("(410)");
    let _pam = Client::join(&server, "Pam", "presence.b").await;
    let more = tokio::time::timeout(Duration::from_millis(500), receiver.received.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn the_roll_call_reaches_back_ends_that_were_told_of_the_joins() {
    let mut receiver = Receiver::start().await;
    let setup = Setup::new().set("presence", "boot_grace = \"300ms\"");
    let mut server = receiver.configure(setup, "app", "[]").start();
    let jim = Client::join(&server, "Jim", "presence.a").await;
    for _ in 0..4 {
        receiver.next().await;
    }
    server.kill();
    drop(jim);
    server.run_again();
    let mut rest = Vec::new();
    while !rest.iter().any(|e: &Received| e.kind() == "disconnected") {
        rest.push(receiver.next().await);
    }
    let removed = rest.iter().find(|e| e.kind() == "memberRemoved").unwrap();
    let removed = removed.json();
    assert_eq!(removed["metadata"]["reason"], "reconciled");
    assert_eq!(
        removed["data"],
        json!({"uid": "Jim", "umd": null, "members": []})
    );
    assert!(rest.iter().any(|e| e.kind() == "unsubscribed"));
}

/// Joins and leaves of users, each on its own connection, until the server is gone.
async fn wander(server: Arc<Server>, user: u64, mut dice: u64) {
    let token = Token::of(&format!("user-{user}")).for_server(&server);
    let attempt = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { Client::try_connect(&server, &token).await })
    };
    let Ok(Ok(mut client)) = attempt.await else {
        return;
    };
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    loop {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let verb = if dice >> 63 == 0 {
            "subscribe"
        } else {
            "unsubscribe"
        };
        let channel = format!("presence.{}", (dice >> 33) % 3);
        let frame = json!({"event": format!("hotsock.{verb}"), "channel": channel});
        if client
            .socket
            .send(Message::text(frame.to_string()))
            .await
            .is_err()
        {
            return;
        }
        let answered = async {
            while let Some(Ok(Message::Text(text))) = client.socket.next().await {
                if text.contains("hotsock.subscribed")
                    || text.contains("hotsock.unsubscribed")
                    || text.contains("hotsock.error")
                {
                    return true;
                }
            }
            false
        };
        if !answered.await {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaying_what_came_gives_the_membership_after_fifty_kills() {
    let mut receiver = Receiver::start().await;
    let setup = Setup::new().set("presence", "boot_grace = \"200ms\"");
    let members = r#"["hotsock.memberAdded", "hotsock.memberRemoved", "hotsock.memberUpdated"]"#;
    let mut server = Arc::new(receiver.configure(setup, "app", members).start());
    let mut known: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut sequence = 0;
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..50_u64 {
        // The receiver is not always well.
        if round % 4 == 1 {
            receiver.will(&[Mood::Answer(503), Mood::Take, Mood::Close]);
        }
        let tasks: Vec<_> = (0..6)
            .map(|user| tokio::spawn(wander(Arc::clone(&server), user, round * 97 + user)))
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + (round * 37) % 150)).await;
        server.signal(rustix::process::Signal::KILL);
        for task in tasks {
            task.await.unwrap();
        }
        let owned = Arc::get_mut(&mut server).expect("nobody else has it");
        owned.kill();
        owned.run_again();
        server.wait_for_log("roll call removed=");
        // Somebody who comes last marks the end of what there is to hear.
        let marker = format!("marker-{round}");
        let (client, _) = Client::join(&server, &marker, "presence.0").await;
        loop {
            let event = receiver.next().await;
            if !seen.insert(event.id.clone()) {
                continue;
            }
            let number: u64 = event.id.split_once('-').unwrap().1.parse().unwrap();
            assert!(number > sequence, "in order");
            sequence = number;
            let body = event.json();
            let channel = body["metadata"]["channel"].as_str().unwrap().to_owned();
            let member = json!({"uid": body["data"]["uid"], "umd": body["data"]["umd"]});
            let members = known.entry(channel).or_default();
            match event.kind().as_str() {
                "memberAdded" => members.push(member.clone()),
                "memberRemoved" => {
                    let reason = body["metadata"]["reason"].as_str().unwrap();
                    *reasons.entry(reason.to_owned()).or_default() += 1;
                    let place = members.iter().position(|m| *m == member);
                    members.remove(place.expect("who goes was there"));
                }
                other => panic!("{other}"),
            }
            assert_eq!(body["data"]["members"], json!(members), "round {round}");
            if member["uid"] == marker {
                break;
            }
        }
        for n in 0..3 {
            let channel = format!("presence.{n}");
            let expected = known.get(&channel).cloned().unwrap_or_default();
            assert_eq!(
                server.channel(&channel).await["members"],
                json!(expected),
                "round {round}"
            );
        }
        client.close().await;
    }
    assert!(
        reasons["reconciled"] > 20 && reasons["unsubscribed"] > 20,
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_feed_goes_on_where_its_reader_left_off_also_across_a_kill() {
    let mut server = Setup::new().set("presence", "boot_grace = \"0s\"").start();
    let read = async |server: &Server, query: &str, last: Option<&str>| {
        let mut request = hyper::Request::builder()
            .uri(format!("/events?follow=false&{query}"))
            .header("authorization", format!("Bearer {API_KEY}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = server.http(request.body(String::new()).unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        let field = |event: &str, name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        let events = answer
            .text
            .split("\n\n")
            .filter(|event| event.contains("event: "));
        events
            .map(|event| (field(event, "id: "), field(event, "event: ")))
            .collect::<Vec<(String, String)>>()
    };
    // Nobody has asked yet, so nothing is kept; from now on it is.
    assert_eq!(
        read(
            &server,
            "types=hotsock.memberAdded,hotsock.memberRemoved",
            None
        )
        .await,
        []
    );
    let jim = Client::join(&server, "Jim", "presence.a").await;
    let types = "types=hotsock.memberAdded,hotsock.memberRemoved&after=0";
    let events = read(&server, types, None).await;
    assert_eq!(events.len(), 1, "{events:?}");
    let (first, kind) = &events[0];
    assert_eq!(kind, "hotsock.memberAdded");
    server.kill();
    drop(jim);
    server.run_again();
    let events = read(&server, types, Some(first)).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].1, "hotsock.memberRemoved");
    // Of another database, or of a type that was not kept: the gap is told.
    let events = read(&server, types, Some("00000000-1")).await;
    assert_eq!(events[0].1, "rollcall.gap");
    let events = read(&server, "types=hotsock.connected", Some(first)).await;
    assert_eq!(events[0].1, "rollcall.gap");
}
