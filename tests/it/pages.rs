//! Pages of history and of reactions, where these are too large for one (section 11).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Server, Token};

/// How many react to one message: more than a page has room for.
const REACTORS: usize = 1_050;

async fn reader(server: &Server) -> Client {
    let token = Token::of("Reader").channels(json!({"c": {"subscribe": true, "historyStart": 0}}));
    let mut client = Client::connect(server, &token).await;
    client.subscribe("c").await;
    client
}

#[tokio::test]
async fn a_page_of_messages_ends_at_a_megabyte_whatever_it_is_made_of() {
    let server = Server::start();
    let reader = reader(&server).await;
    let token = Token::of("Sender")
        .umd(json!("m".repeat(1_000)))
        .channels(json!({"c": {"messages": {"*": {"broadcast": true, "store": 600}}}}));
    let sender = Client::connect(&server, &token).await;
    for n in 0..60 {
        let event = format!("{n}-{}", "e".repeat(100));
        let body = json!({"channel": "c", "event": event, "data": "d".repeat(30_000)});
        let answer = server.client_api(&sender, "publishMessage", &body).await;
        answer.expect(202);
    }
    for reverse in [false, true] {
        let (mut events, mut last, mut sizes) = (Vec::new(), Value::Null, Vec::new());
        loop {
            let bound = if reverse { "before" } else { "after" };
            let body = json!({"channel": "c", "reverse": reverse, bound: last});
            let answer = server.client_api(&reader, "listMessages", &body).await;
            answer.expect(200);
            let page = answer.json()["messages"].as_array().unwrap().clone();
            let Some(message) = page.last() else { break };
            last = message["id"].clone();
            sizes.push(answer.text.len());
            events.extend(page.iter().map(|m| {
                let (n, _) = m["event"].as_str().unwrap().split_once('-').unwrap();
                n.parse::<usize>().unwrap()
            }));
        }
        assert!(sizes.iter().all(|size| *size < 1_010_000), "{sizes:?}");
        assert!(sizes[0] > 900_000, "{sizes:?}");
        if reverse {
            events.reverse();
        }
        assert_eq!(events, (0..60).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reactions_are_counted_and_listed_page_by_page() {
    let server = Arc::new(Server::start());
    let reader = reader(&server).await;
    let message = json!({"channel": "c", "event": "e", "store": 600, "eagerIdGeneration": true});
    let id = server.publish(message.clone()).await["id"].clone();
    let next = server.publish(message).await["id"].clone();
    let mut reactors = JoinSet::new();
    for first in 0..8 {
        let (server, id) = (Arc::clone(&server), id.clone());
        reactors.spawn(async move {
            for n in (first..REACTORS).step_by(8) {
                let reaction = if n % 2 == 0 { "wave" } else { "thumbsup" };
                let body = json!({"channel": "c", "event": "hotsock.messageReaction", "data": {
                    "uid": format!("user-{n}"), "umd": "m".repeat(1_000),
                    "messageId": id, "reaction": reaction, "action": "add"}});
                server.publish(body).await;
            }
        });
    }
    reactors.join_all().await;
    // Counted, they take no room.
    let list = json!({"channel": "c"});
    let answer = server.client_api(&reader, "listMessages", &list).await;
    let messages = answer.json()["messages"].clone();
    let half = REACTORS / 2;
    assert_eq!(
        messages[0]["reactions"],
        json!({"thumbsup": {"count": half}, "wave": {"count": half}})
    );
    assert_eq!(messages[1]["id"], next);
    // Expanded, they fill the page; the counts are right all the same.
    let list = json!({"channel": "c", "expandReactions": true});
    let answer = server.client_api(&reader, "listMessages", &list).await;
    assert!(answer.text.len() < 1_300_000, "{}", answer.text.len());
    let messages = answer.json()["messages"].as_array().unwrap().clone();
    assert_eq!(messages.len(), 1);
    let reactions = &messages[0]["reactions"];
    let items = |name: &str| reactions[name]["items"].as_array().unwrap().len();
    for name in ["thumbsup", "wave"] {
        assert_eq!(reactions[name]["count"], half);
    }
    assert!(items("thumbsup") + items("wave") < REACTORS);
    assert!(items("thumbsup") + items("wave") > REACTORS / 2);
    // Listed, they come in pages.
    let (mut seen, mut pages, mut after) = (BTreeSet::new(), 0, Value::Null);
    loop {
        let body = json!({"channel": "c", "messageId": id, "after": after});
        let answer = server.client_api(&reader, "listReactions", &body).await;
        answer.expect(200);
        assert!(answer.text.len() < 1_300_000);
        let page = answer.json()["reactions"].as_array().unwrap().clone();
        let Some(last) = page.last() else { break };
        after = json!({"reaction": last["reaction"], "uid": last["uid"]});
        pages += 1;
        for item in page {
            assert!(seen.insert(item["uid"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!((seen.len(), pages), (REACTORS, 2));
    for (after, field) in [
        (json!("x"), "after"),
        (json!({"reaction": "wave"}), "after.uid"),
        (json!({"reaction": 7, "uid": "x"}), "after.reaction"),
    ] {
        let body = json!({"channel": "c", "messageId": id, "after": after});
        let answer = server.client_api(&reader, "listReactions", &body).await;
        answer.expect(400);
        assert!(answer.text.contains(field), "{}", answer.text);
    }
}
