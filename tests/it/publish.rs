//! Publishing over either HTTP API (sections 11 and 12).

use serde_json::{Value, json};

use crate::support::{Client, Server, Token, ids};

#[tokio::test]
async fn a_deduplication_id_counts_once_also_across_restarts() {
    let mut server = Server::start();
    let body = json!({"channel": "c", "event": "e", "store": 600, "deduplicationId": "order-7"});
    server.publish(body.clone()).await;
    server.publish(body.clone()).await;
    server.crash();
    server.publish(body).await;
    let jim = Client::jim(&server, "c").await;
    let answer = server
        .client_api(&jim, "listMessages", &json!({"channel": "c"}))
        .await;
    assert_eq!(ids(&answer.json()).len(), 1);
}

#[tokio::test]
async fn a_deduplication_id_counts_for_one_channel() {
    let server = Server::start();
    let jim = Client::jim(&server, "b").await;
    let body = |channel: &str| {
        json!({"channel": channel, "event": "e", "store": 600, "eagerIdGeneration": true,
            "deduplicationId": "order-9"})
    };
    let first = server.publish(body("a")).await;
    let second = server.publish(body("b")).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(server.publish(body("a")).await["id"], first["id"]);
    let list = json!({"channel": "b"});
    assert_eq!(
        ids(&server.list(&jim, &list).await),
        [second["id"].as_str().unwrap()]
    );
    // The longest channel and the longest id have room together.
    let mut longest = body(&"\u{10ffff}".repeat(256));
    longest["deduplicationId"] = json!("\u{10ffff}".repeat(64));
    let first = server.publish(longest.clone()).await;
    assert_eq!(server.publish(longest).await, first);
}

#[tokio::test]
async fn whoever_publishes_a_second_time_is_told_of_the_first_message() {
    let server = Server::start();
    let body = json!({"channel": "c", "event": "e", "store": 600, "deduplicationId": "order-8",
        "eagerIdGeneration": true});
    let publisher = || server.publish(body.clone());
    let answers: [Value; 4] =
        tokio::join!(publisher(), publisher(), publisher(), publisher()).into();
    let again = server.publish(body.clone()).await;
    let jim = Client::jim(&server, "c").await;
    let list = json!({"channel": "c"});
    let there = ids(&server.list(&jim, &list).await);
    assert_eq!(there.len(), 1);
    for answer in answers.iter().chain([&again]) {
        assert_eq!(answer["id"], json!(there[0]), "{answer}");
    }
}

#[tokio::test]
async fn an_empty_deduplication_id_is_none() {
    let server = Server::start();
    let mut jim = Client::jim(&server, "c").await;
    let body =
        json!({"channel": "c", "event": "e", "deduplicationId": "", "eagerIdGeneration": true});
    let first = server.publish(body.clone()).await;
    let second = server.publish(body).await;
    assert_ne!(first["id"], second["id"]);
    for answer in [first, second] {
        assert_eq!(jim.next_json().await["id"], answer["id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_publish_where_nobody_is_is_told_in_the_order_of_ids() {
    let server = std::sync::Arc::new(Server::start());
    // From now on events are kept for whoever reads them.
    let events = "/events?after=0&follow=false&types=hotsock.messagePublished";
    assert_eq!(server.api("GET", events, "").await.status, 200);
    let mut publishers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let server = std::sync::Arc::clone(&server);
        publishers.spawn(async move {
            for n in 0..25 {
                let body = json!({"channel": "c", "event": "e", "data": n, "store": 600,
                    "emitPubSubEvent": true});
                server.publish(body).await;
            }
        });
    }
    publishers.join_all().await;
    let told = server.api("GET", events, "").await.text;
    let told: Vec<String> = told
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap()["data"]["id"].to_string())
        .collect();
    assert_eq!(told.len(), 200);
    assert!(told.is_sorted(), "{told:?}");
    let channels = server.read("/channels").await;
    assert_eq!(channels["channels"], json!([]), "nothing is left behind");
}

#[tokio::test]
async fn the_client_api_publishes_and_tells_of_a_channel() {
    let server = Server::start();
    let mut jim = Client::jim(&server, "c").await;
    let body = json!({"channel": "c", "event": "say", "data": 7, "eagerIdGeneration": true});
    let answer = server.client_api(&jim, "publishMessage", &body).await;
    answer.expect(202);
    let told = jim.next_json().await;
    assert_eq!(
        answer.json(),
        json!({"id": told["id"], "channel": "c", "event": "say"})
    );
    jim.subscribe("presence.p").await;
    let info = server
        .client_api(&jim, "getChannelInfo", &json!({"channel": "presence.p"}))
        .await;
    assert_eq!(
        info.text,
        r#"{"channel":"presence.p","subscriptionsCount":1,"members":[{"uid":"Jim","umd":{"a":1}}]}"#
    );
    let token = Token::umd_of(&jim.id, json!(2)).for_server(&server);
    let body = json!({"channel": "presence.p", "token": token});
    let answer = server.client_api(&jim, "umdUpdate", &body).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    jim.expect_event("hotsock.memberUpdated").await;
}
