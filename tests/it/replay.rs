//! What a back end is told, over many crashes (section 13): whoever replays it has the membership, exactly.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Dice, Mood, Receiver, Server, Setup, Token};

/// Joins and leaves of a user, until the server is gone.
async fn wander(server: Arc<Server>, user: u64, mut dice: Dice) {
    let token = Token::of(&format!("user-{user}"));
    let Some(mut client) = Client::unless_gone(&server, &token).await else {
        return;
    };
    let answers = [
        "hotsock.subscribed",
        "hotsock.unsubscribed",
        "hotsock.error",
    ];
    let is_answer = |frame: &Value| answers.iter().any(|answer| frame["event"] == *answer);
    loop {
        let verb = ["subscribe", "unsubscribe"][dice.below(2) as usize];
        let channel = format!("presence.{}", dice.below(3));
        let frame = json!({"event": format!("hotsock.{verb}"), "channel": channel});
        if client.ask(&frame, is_answer).await.is_none() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaying_what_came_gives_the_membership_after_fifty_kills() {
    let mut receiver = Receiver::start().await;
    let setup = Setup::new().boot_grace("200ms");
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
        let tasks = (0..6)
            .map(|user| tokio::spawn(wander(Arc::clone(&server), user, Dice(round * 97 + user))))
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + (round * 37) % 150)).await;
        Server::end_under(&mut server, Signal::KILL, tasks).await;
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
                server.members(&channel).await,
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
