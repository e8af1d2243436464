//! Stored messages and their reactions, read over the Client HTTP API (sections 9 and 11).

use serde_json::{Value, json};

use crate::support::{Client, Server, ids, rows};

#[tokio::test]
async fn history_is_paged_both_ways() {
    let server = Server::start();
    let jim = Client::jim(&server, "c").await;
    let mut all = Vec::new();
    for n in 0..130 {
        all.push(server.store("c", n).await);
    }
    let list = async |body: Value| server.list(&jim, &body).await;
    assert_eq!(ids(&list(json!({"channel": "c"})).await), all[..100]);
    assert_eq!(
        ids(&list(json!({"channel": "c", "after": all[99]})).await),
        all[100..]
    );
    let newest: Vec<String> = all.iter().rev().take(100).cloned().collect();
    assert_eq!(
        ids(&list(json!({"channel": "c", "reverse": true})).await),
        newest
    );
    let older: Vec<String> = all[..30].iter().rev().cloned().collect();
    let page = json!({"channel": "c", "reverse": true, "before": all[30]});
    assert_eq!(ids(&list(page).await), older);
    let body = json!({"channel": "c", "reverse": true, "before": all[1]});
    let first = server.client_api(&jim, "listMessages", &body).await;
    assert_eq!(
        first.text,
        format!(
            r#"{{"messages":[{{"id":"{}","event":"e","channel":"c","data":0,"meta":null}}]}}"#,
            all[0]
        )
    );
    // A bound that does not belong to the direction is none, whatever it is.
    for before in [json!(all[2]), json!("yesterday"), json!(7)] {
        let page = list(json!({"channel": "c", "after": all[9], "before": before})).await;
        assert_eq!(ids(&page), all[10..110]);
    }
    for after in [json!(all[127]), json!("yesterday"), json!(7)] {
        let page =
            list(json!({"channel": "c", "reverse": true, "before": all[30], "after": after})).await;
        assert_eq!(ids(&page), older);
    }
    for (bound, reverse) in [("after", false), ("before", true)] {
        let body = json!({"channel": "c", "reverse": reverse, bound: "yesterday"});
        let answer = server.client_api(&jim, "listMessages", &body).await;
        answer.expect(400);
    }
}

#[tokio::test]
async fn without_a_history_start_one_sees_what_came_since_one_is_there() {
    let server = Server::start();
    let before = server
        .publish(
            json!({"channel": "c", "event": "before", "store": 600, "eagerIdGeneration": true}),
        )
        .await;
    let (late, _) = Client::join(&server, "late", "c").await;
    server
        .publish(json!({"channel": "c", "event": "after", "store": 600}))
        .await;
    let answer = server
        .client_api(&late, "listMessages", &json!({"channel": "c"}))
        .await;
    let messages = answer.json()["messages"].as_array().unwrap().clone();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["event"], "after");
    for (message, status) in [
        (before["id"].clone(), 404),
        (messages[0]["id"].clone(), 200),
    ] {
        let body = json!({"channel": "c", "messageId": message});
        let answer = server.client_api(&late, "listReactions", &body).await;
        answer.expect(status);
    }
}

#[tokio::test]
async fn reactions_are_counted_once_for_each_user_and_told() {
    let server = Server::start();
    let mut jim = Client::jim(&server, "c").await;
    let id = server.store("c", 0).await;
    jim.next().await;
    let react = |action: &str| {
        json!({"event": "hotsock.messageReaction", "channel": "c",
               "data": {"messageId": id, "reaction": "thumbsup", "action": action}})
        .to_string()
    };
    jim.send(&react("add")).await;
    let told = jim.expect_event("hotsock.messageReactionAdded").await;
    assert_eq!(
        told["data"],
        json!({"messageId": id, "reaction": "thumbsup", "action": "add"})
    );
    assert_eq!(told["meta"], json!({"uid": "Jim", "umd": {"a": 1}}));
    // A repeat changes and sends nothing.
    jim.send(&react("add")).await;
    jim.expect_silence().await;
    let other = json!({"channel": "c", "event": "hotsock.messageReaction",
        "data": {"uid": "Pam", "messageId": id, "reaction": "thumbsup", "action": "add"}});
    server.publish(other).await;
    assert_eq!(
        jim.next_json().await["meta"],
        json!({"uid": "Pam", "umd": null})
    );
    let plain = json!({"channel": "c", "event": "plain", "store": 600});
    server.publish(plain).await;
    jim.next().await;
    let list = async |expand: bool| {
        let body = json!({"channel": "c", "expandReactions": expand});
        let answer = server.list(&jim, &body).await;
        answer["messages"][0]["reactions"].clone()
    };
    assert_eq!(list(false).await, json!({"thumbsup": {"count": 2}}));
    assert_eq!(
        list(true).await,
        json!({"thumbsup": {"count": 2, "items": [{"uid": "Jim", "umd": {"a": 1}}, {"uid": "Pam"}]}})
    );
    let answer = server
        .client_api(
            &jim,
            "listReactions",
            &json!({"channel": "c", "messageId": id}),
        )
        .await;
    assert_eq!(
        answer.json()["reactions"],
        json!([{"reaction": "thumbsup", "uid": "Jim", "umd": {"a": 1}}, {"reaction": "thumbsup", "uid": "Pam"}])
    );
    // Of a message without any, there is nothing; or, where they are to be listed, no reactions.
    for (expand, none) in [(false, None), (true, Some(json!({})))] {
        let body = json!({"channel": "c", "expandReactions": expand});
        let answer = server.list(&jim, &body).await;
        let plain = &answer["messages"][1];
        assert_eq!(
            (&plain["event"], plain.get("reactions")),
            (&json!("plain"), none.as_ref())
        );
    }
    jim.send(&react("remove")).await;
    jim.expect_event("hotsock.messageReactionRemoved").await;
    jim.send(&react("remove")).await;
    jim.expect_silence().await;
    for (frame, code) in rows! {
        react("shrug") => "INVALID_MESSAGE";
        react("add").replace("thumbsup", "thumbs#up") => "INVALID_REACTION";
        react("add").replace("thumbsup", &"x".repeat(101)) => "INVALID_REACTION";
        react("add").replace("thumbsup", "  ") => "INVALID_REACTION";
        react("add").replace("thumbsup", "\u{3000}\\n\\t") => "INVALID_REACTION";
        react("add").replace(&id, "01H2BSNHFJXKF2XDFD8KMM36FF") => "MESSAGE_NOT_FOUND";
    } {
        jim.send(&frame).await;
        jim.expect_error(code).await;
    }
    let blank = json!({"event": "hotsock.messageReaction", "channel": "c",
        "data": {"messageId": id, "reaction": " ", "action": "add", "uid": "Jim"}});
    let answer = server.try_publish(&blank).await;
    answer.expect_error(400, "INVALID_REACTION");
}

#[tokio::test]
async fn a_message_and_its_reactions_expire() {
    let server = Server::start();
    let jim = Client::jim(&server, "c").await;
    let body = json!({"channel": "c", "event": "e", "store": 2, "eagerIdGeneration": true});
    let id = server.publish(body).await["id"].clone();
    let list = json!({"channel": "c"});
    assert_eq!(ids(&server.list(&jim, &list).await).len(), 1);
    let begun = std::time::Instant::now();
    while !ids(&server.list(&jim, &list).await).is_empty() {
        assert!(begun.elapsed().as_secs() < 15);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let reaction = json!({"channel": "c", "event": "hotsock.messageReaction",
        "data": {"uid": "Pam", "messageId": id, "reaction": "x", "action": "add"}});
    let answer = server.try_publish(&reaction).await;
    answer.expect(404);
}
