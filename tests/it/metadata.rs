//! `hotsock.umdUpdate` (section 7).

use serde_json::{Value, json};

use crate::support::{Client, Server, Token, rows};

async fn update(client: &mut Client, channel: Option<&str>, token: String) {
    let mut frame = json!({"event": "hotsock.umdUpdate", "data": {"token": token}});
    if let Some(channel) = channel {
        frame["channel"] = json!(channel);
    }
    client.send(&frame).await;
}

#[tokio::test]
async fn a_connections_metadata_is_what_later_subscriptions_inherit() {
    let server = Server::start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.before").await;
    let token = Token::umd_of(&jim.id, json!({"n": 1})).for_server(&server);
    update(&mut jim, None, token).await;
    jim.expect_silence().await;
    let answer = jim.subscribe("presence.after").await;
    assert!(
        answer.contains(r#"{"uid":"Jim","umd":{"n":1}}"#),
        "{answer}"
    );
    let before = server.channel("presence.before").await;
    assert_eq!(before["members"][0]["umd"], Value::Null);
}

#[tokio::test]
async fn it_can_be_passed_on_to_all_subscriptions() {
    let server = Server::start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    jim.subscribe("presence.b").await;
    jim.subscribe("plain").await;
    let token = Token::umd_of(&jim.id, json!({"n": 2}))
        .claim("umdPropagate", json!(true))
        .for_server(&server);
    update(&mut jim, None, token).await;
    let mut channels = [jim.next_json().await, jim.next_json().await];
    channels.sort_by_key(|event| event["channel"].to_string());
    for (event, channel) in channels.iter().zip(["presence.a", "presence.b"]) {
        assert_eq!(event["event"], "hotsock.memberUpdated");
        assert_eq!(event["channel"], channel);
        assert_eq!(
            event["data"]["member"],
            json!({"uid": "Jim", "umd": {"n": 2}})
        );
    }
    jim.expect_silence().await;
}

#[tokio::test]
async fn a_token_may_name_the_uid_in_place_of_the_connection() {
    let server = Server::start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    let token = Token::umd_of("", json!(1))
        .without("connectionId")
        .claim("uid", json!("Jim"))
        .for_server(&server);
    update(&mut jim, Some("presence.a"), token).await;
    assert_eq!(jim.next_json().await["data"]["member"]["umd"], 1);
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let server = Server::start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    let id = jim.id.clone();
    let good = || Token::umd_of(&id, json!(1));
    let cases = rows! {
        Some("presence.a") => good().claim("scope", json!("connect")) => "INVALID_UMD_TOKEN";
        Some("presence.a") => good().claim("connectionId", json!("other")) => "INVALID_UMD_TOKEN";
        Some("presence.a") => good().without("connectionId") => "INVALID_UMD_TOKEN";
        Some("presence.a") => good().claim("exp", json!(1)) => "INVALID_UMD_TOKEN";
        Some("presence.a") => good().umd(json!("x".repeat(1_023))) => "INVALID_UMD_TOKEN";
        Some("presence.a") => good().channels(json!({"presence.b": {"umdUpdate": true}}))
            => "UMD_UPDATE_PERMISSION_DENIED";
        None => good().without("umdUpdate") => "UMD_UPDATE_PERMISSION_DENIED";
        Some("presence.b") => good() => "NOT_SUBSCRIBED";
    };
    for (channel, token, code) in cases {
        let token = token.for_server(&server);
        update(&mut jim, channel, token).await;
        jim.expect_error(code).await;
    }
    let largest = good().umd(json!("x".repeat(1_022))).for_server(&server);
    update(&mut jim, Some("presence.a"), largest).await;
    jim.expect_event("hotsock.memberUpdated").await;
}
