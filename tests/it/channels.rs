//! Subscribing: standard channels, aliases, auto-subscription, subscribe tokens, and every refusal (sections 2 and 3).

use serde_json::json;

use crate::support::{Client, Server, Token, rows, subscribe, unsubscribe};

#[tokio::test]
async fn a_standard_channel_has_no_members() {
    let server = Server::start();
    let token = Token::anonymous();
    let mut client = Client::connect(&server, &token).await;
    client.send(subscribe("live-updates")).await;
    client
        .expect(r#"{"event":"hotsock.subscribed","channel":"live-updates","data":{},"meta":{"uid":null,"umd":null}}"#)
        .await;
    let _other = Client::join(&server, "Jim", "live-updates").await;
    client.send(unsubscribe("live-updates")).await;
    client
        .expect(r#"{"event":"hotsock.unsubscribed","channel":"live-updates","data":{}}"#)
        .await;
    let info = server.channel("live-updates").await;
    assert_eq!(
        info,
        json!({"name": "live-updates", "subscriptionsCount": 1})
    );
}

#[tokio::test]
async fn an_alias_is_a_name_for_the_client_alone() {
    let server = Server::start();
    let token = Token::of("Jim").channels(json!({
        "presence.user.42": {"subscribe": true, "alias": "user"},
        "plain": {"subscribe": true, "alias": "p"},
    }));
    let mut jim = Client::connect(&server, &token).await;
    jim.send(subscribe("user")).await;
    jim.expect(r#"{"event":"hotsock.subscribed","channel":"presence.user.42","data":{"members":[{"uid":"Jim","umd":null}]},"meta":{"channelAlias":"user","uid":"Jim","umd":null}}"#)
        .await;
    let error = jim.refused("presence.user.42", "ALREADY_SUBSCRIBED").await;
    assert_eq!(error["channel"], "presence.user.42");
    jim.send(unsubscribe("user")).await;
    jim.expect(r#"{"event":"hotsock.unsubscribed","channel":"presence.user.42","data":{},"meta":{"channelAlias":"user","uid":"Jim","umd":null}}"#)
        .await;
}

#[tokio::test]
async fn auto_subscription_needs_no_request_and_no_subscribe() {
    let server = Server::start();
    let token = Token::of("Jim").channels(json!({
        "presence.auto": {"autoSubscribe": true},
        "plain": {"autoSubscribe": true, "alias": "p"},
    }));
    let mut jim = Client::connect(&server, &token).await;
    // Channels are independent of each other, so either may come first.
    let mut answers = [jim.next().await, jim.next().await];
    answers.sort();
    assert_eq!(
        answers,
        [
            r#"{"event":"hotsock.subscribed","channel":"plain","data":{"autoSubscribed":true},"meta":{"channelAlias":"p","uid":"Jim","umd":null}}"#,
            r#"{"event":"hotsock.subscribed","channel":"presence.auto","data":{"autoSubscribed":true,"members":[{"uid":"Jim","umd":null}]},"meta":{"uid":"Jim","umd":null}}"#,
        ]
    );
    jim.send(unsubscribe("presence.auto")).await;
    jim.expect(r#"{"event":"hotsock.unsubscribed","channel":"presence.auto","data":{}}"#)
        .await;
}

#[tokio::test]
async fn a_subscribe_token_adds_to_what_the_connection_may() {
    let server = Server::start();
    let token = Token::of("Jim").channels(json!({"open": {"subscribe": true}}));
    let mut jim = Client::connect(&server, &token).await;
    jim.refused("presence.secret", "SUBSCRIBE_PERMISSION_DENIED")
        .await;
    let pass = Token::subscribe_of(&jim.id, json!({"presence.secret": {"subscribe": true}}))
        .claim("uid", json!("James"))
        .umd(json!({"role": "agent"}))
        .for_server(&server);
    let frame = json!({"event": "hotsock.subscribe", "channel": "presence.secret", "data": {"token": pass}});
    jim.send(&frame).await;
    jim.expect(r#"{"event":"hotsock.subscribed","channel":"presence.secret","data":{"members":[{"uid":"James","umd":{"role":"agent"}}]},"meta":{"uid":"James","umd":{"role":"agent"}}}"#)
        .await;
    // It is good for that channel alone, and for that connection alone.
    let mut pam = Client::connect(&server, &Token::of("Pam").channels(json!({}))).await;
    pam.send(&frame).await;
    pam.expect_error("INVALID_SUBSCRIBE_TOKEN").await;
    let nobodys = Token::anonymous().claim("scope", json!("subscribe"));
    let frame = json!({"event": "hotsock.subscribe", "channel": "presence.secret", "data": {"token": nobodys.for_server(&server)}});
    pam.send(&frame).await;
    pam.expect_error("INVALID_SUBSCRIBE_TOKEN").await;
}

#[tokio::test]
async fn refusals_have_their_codes_and_close_nothing() {
    let server = Server::with("connection", "max_subscriptions = 2");
    let mut jim = Client::connect(&server, &Token::of("Jim")).await;
    let long = "x".repeat(257);
    for (frame, code) in rows! {
        unsubscribe("a") => "NOT_SUBSCRIBED";
        subscribe("") => "INVALID_CHANNEL_NAME";
        subscribe("a*") => "INVALID_CHANNEL_NAME";
        subscribe("a b") => "INVALID_CHANNEL_NAME";
        json!({"event": "hotsock.subscribe", "channel": "a\u{7}"}) => "INVALID_CHANNEL_NAME";
        json!({"event": "hotsock.subscribe", "channel": long}) => "INVALID_CHANNEL_NAME";
        json!({"event": "hotsock.subscribe"}) => "INVALID_MESSAGE";
        json!({"event": "hotsock.subscribe", "channel": 7}) => "INVALID_MESSAGE";
        json!({"event": "hotsock.subscribe", "channel": "a", "data": {"token": "x"}}) => "INVALID_SUBSCRIBE_TOKEN";
    } {
        jim.send(&frame).await;
        let error = jim.expect_error(code).await;
        if frame["channel"].is_string() {
            assert_eq!(error["channel"], frame["channel"], "{error}");
        }
    }
    jim.subscribe("a").await;
    jim.subscribe("b").await;
    jim.refused("c", "SUBSCRIPTION_LIMIT_REACHED").await;
    jim.unsubscribe("a").await;
    jim.subscribe("c").await;
}

#[tokio::test]
async fn who_does_not_count_is_not_counted() {
    let server = Server::start();
    let token =
        Token::of("Jim").channels(json!({"a": {"subscribe": true, "omitFromSubCount": true}}));
    let mut jim = Client::connect(&server, &token).await;
    jim.subscribe("a").await;
    assert_eq!(server.subscriptions("a").await, 0);
}
