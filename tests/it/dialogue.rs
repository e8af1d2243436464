//! The dialogue of Jim and Dwight, byte for byte (sections 1, 3 and 4).

use serde_json::{Value, json};

use crate::support::{Client, HEARTBEAT, PING, PONG, Server, Token};

#[tokio::test]
async fn jim_and_dwight_see_each_other_come_and_go() {
    let server = Server::start();
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    jim.send(r#"{"event":"hotsock.subscribe", "channel":"presence.live-chat"}"#)
        .await;
    jim.expect(r#"{"event":"hotsock.subscribed","channel":"presence.live-chat","data":{"members":[{"uid":"Jim","umd":null}]},"meta":{"uid":"Jim","umd":null}}"#)
        .await;
    let mut dwight = Client::connect(&server, &Token::of("Dwight")).await;
    dwight
        .send(r#"{"event":"hotsock.subscribe", "channel":"presence.live-chat"}"#)
        .await;
    dwight
        .expect(r#"{"event":"hotsock.subscribed","channel":"presence.live-chat","data":{"members":[{"uid":"Jim","umd":null},{"uid":"Dwight","umd":null}]},"meta":{"uid":"Dwight","umd":null}}"#)
        .await;
    jim.expect(r#"{"event":"hotsock.memberAdded","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":null},"members":[{"uid":"Jim","umd":null},{"uid":"Dwight","umd":null}]}}"#)
        .await;
    dwight
        .update(&server, "presence.live-chat", json!({"status": "away"}))
        .await;
    let updated = r#"{"event":"hotsock.memberUpdated","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":{"status":"away"}},"members":[{"uid":"Jim","umd":null},{"uid":"Dwight","umd":{"status":"away"}}]}}"#;
    jim.expect(updated).await;
    dwight.expect(updated).await;
    dwight
        .update(&server, "presence.live-chat", Value::Null)
        .await;
    jim.next().await;
    dwight.next().await;
    dwight
        .send(r#"{"event":"hotsock.unsubscribe", "channel":"presence.live-chat"}"#)
        .await;
    dwight
        .expect(r#"{"event":"hotsock.unsubscribed","channel":"presence.live-chat","data":{}}"#)
        .await;
    jim.expect(r#"{"event":"hotsock.memberRemoved","channel":"presence.live-chat","data":{"member":{"uid":"Dwight","umd":null},"members":[{"uid":"Jim","umd":null}]}}"#)
        .await;
    jim.expect_silence().await;
    dwight.expect_silence().await;
}

#[tokio::test]
async fn closing_the_connection_is_leaving() {
    let server = Server::start();
    let (mut jim, _) = Client::join(&server, "Jim", "presence.a").await;
    let (dwight, _) = Client::join(&server, "Dwight", "presence.a").await;
    jim.next().await;
    dwight.close().await;
    jim.expect(r#"{"event":"hotsock.memberRemoved","channel":"presence.a","data":{"member":{"uid":"Dwight","umd":null},"members":[{"uid":"Jim","umd":null}]}}"#)
        .await;
}

#[tokio::test]
async fn the_first_frame_says_who_one_is() {
    let server = Server::start();
    let token = Token::of("Jim").umd(json!({"a": 2, "b": 1}));
    let client = Client::connect(&server, &token).await;
    let (id, secret) = (&client.id, &client.secret);
    assert!(secret.len() >= 20, "120 random bits at least");
    let expires = client.connected["data"]["connectionExpiresAt"]
        .as_str()
        .unwrap();
    assert!(expires.ends_with('Z') && expires.len() == 20, "{expires}");
    assert_eq!(
        client.first,
        format!(
            r#"{{"event":"hotsock.connected","data":{{"connectionId":"{id}","connectionExpiresAt":"{expires}","connectionSecret":"{secret}"}},"meta":{{"uid":"Jim","umd":{{"a":2,"b":1}}}}}}"#
        )
    );
    let other = Client::connect(&server, &Token::anonymous()).await;
    assert!(other.first.ends_with(r#""meta":{"uid":null,"umd":null}}"#));
    assert_ne!(*id, other.id);
    assert_ne!(*secret, other.secret);
}

#[tokio::test]
async fn a_ping_is_answered() {
    let server = Server::start();
    let mut client = Client::connect(&server, &Token::of("Jim")).await;
    client.send(PING).await;
    client.expect(PONG).await;
    client.send(HEARTBEAT).await;
    client.expect_silence().await;
}
