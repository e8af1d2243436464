//! Claims to the letter (section 2), where the table of permissions has no act for it: which expressions are refused, and
//! how.

use serde_json::{Value, json};

use crate::support::{Client, Server, Token};

/// Whether a connect token with these channels opens a connection; else what the refusal says.
async fn opens(server: &Server, channels: Value) -> Result<Client, String> {
    let token = Token::of("Jim").channels(channels);
    match Client::try_connect(server, &token.for_server(server)).await {
        Ok(client) => Ok(client),
        Err((status, body)) => {
            assert_eq!(status, 401, "{body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["error"]["code"], "TOKEN_CLAIM_INVALID", "{body}");
            Err(body["error"]["message"].as_str().unwrap().to_owned())
        }
    }
}

#[tokio::test]
async fn expressions_that_go_refuses_or_that_are_too_large_refuse_the_token_and_say_why() {
    let server = Server::start();
    let expression = |text: &str| json!({format!("#regex:{text}"): {"subscribe": true}});
    for (text, says) in [
        ("a**", "only one of them"),
        ("(?=a)", "look-around"),
        (r"(a)\1", "back references"),
        ("(?x)a", "flags imsU"),
        ("a{1001}", "at most 1000 times"),
        (r"\p{Alphabetic}", "Go's names of classes"),
        (r"\pL{1000}", "at most 2 MiB"),
        (&"x".repeat(4097), "4,096 characters"),
    ] {
        let refusal = opens(&server, expression(text)).await.err().unwrap();
        assert!(refusal.contains("channels[\"#regex:"), "{text}: {refusal}");
        assert!(refusal.contains(says), "{text}: {refusal}");
    }
    let mut many = json!({});
    for n in 0..20 {
        many[format!(r"#regex:^{n}[\p{{L}}\d_-]{{3,30}}$")] = json!({"subscribe": true});
    }
    let refusal = opens(&server, many.clone()).await.err().unwrap();
    assert!(refusal.contains("8 MiB together"), "{refusal}");
    // Half as many are fine, and so is one that comes in many places.
    let few: serde_json::Map<_, _> = many
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .take(6)
        .collect();
    assert!(opens(&server, json!(few)).await.is_ok());
    let mut same = json!({});
    for n in 0..50 {
        same[format!("room.{n}")] =
            json!({"messages": {r"#regex:^[\p{L}\d_-]{3,30}$": {"broadcast": true}}});
    }
    assert!(opens(&server, same).await.is_ok());
}
