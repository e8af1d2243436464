//! What the HTTP APIs say to bad input: a status, a code and a message, for every endpoint (sections 11 and 12).

use hyper::Request;
use serde_json::Value;

use crate::support::{API_KEY, Client, Server};

/// A request that is bad, and what is said to that.
#[derive(Debug)]
struct Case {
    method: String,
    target: String,
    authorization: Option<String>,
    body: String,
    status: u16,
    code: String,
}

/// Without an API key, or with what is none.
const NO_KEY: &str = r#"
    POST /publish {"channel":"c","event":"e"} -> 401 API_KEY_INVALID
    GET /events -> 401 API_KEY_INVALID
"#;

const WITH_KEY: &str = r#"
    GET /publish -> 405 METHOD_NOT_ALLOWED
    PUT /channels -> 405 METHOD_NOT_ALLOWED
    GET /connections/x -> 405 METHOD_NOT_ALLOWED
    POST /publish -> 400 INVALID_MESSAGE
    POST /publish [] -> 400 INVALID_MESSAGE
    POST /publish { -> 400 INVALID_MESSAGE
    POST /publish {"event":"e"} -> 400 INVALID_MESSAGE
    POST /publish {"channel":"c"} -> 400 INVALID_MESSAGE
    POST /publish {"channel":7,"event":"e"} -> 400 INVALID_MESSAGE
    POST /publish {"channel":"a b","event":"e"} -> 400 INVALID_CHANNEL_NAME
    POST /publish {"channel":"c","event":"a*"} -> 400 INVALID_EVENT_NAME
    POST /publish {"channel":"c","event":"hotsock.x"} -> 400 UNKNOWN_EVENT
    POST /publish {"channel":"c","event":"e","store":-2} -> 400 INVALID_MESSAGE
    POST /publish {"channel":"c","event":"e","store":"1"} -> 400 INVALID_MESSAGE
    POST /publish {"channel":"c","event":"e","deduplicationId":"{x*257}"} -> 400 INVALID_MESSAGE
    POST /publish {"channel":"c","event":"e","scheduleExpression":"at(2099-01-01T00:00:00)"} -> 400 INVALID_SCHEDULE
    POST /publish {"channel":"c","event":"e","data":"{x*33000}"} -> 400 DATA_TOO_LARGE
    POST /publish {"channel":"c","event":"hotsock.messageReaction","data":{"uid":"Pam","umd":"{x*1023}","messageId":"01H2BSNHFJXKF2XDFD8KMM36FF","reaction":"x","action":"add"}} -> 400 INVALID_MESSAGE
    POST /publish {x*300000} -> 413 BODY_TOO_LARGE
    GET /channels/{x*257} -> 400 INVALID_CHANNEL_NAME
    GET /channels/a%2a -> 400 INVALID_CHANNEL_NAME
    GET /channels/%ff -> 400 INVALID_CHANNEL_NAME
    GET /connections?after=x -> 400 INVALID_MESSAGE
    DELETE /connections/x -> 400 INVALID_MESSAGE
    GET /events?types=hotsock.nothing -> 400 INVALID_MESSAGE
    GET /events?after=x -> 400 INVALID_MESSAGE
    GET /nothing -> 404 NOT_FOUND
"#;

/// Of the Client HTTP API; `{me}` says whose the connection is, `{other}` has another's secret.
const CLIENT: &str = r#"
    POST /connection/listMessages {} -> 401 CONNECTION_UNKNOWN
    POST /connection/listMessages?{other} {} -> 401 CONNECTION_UNKNOWN
    GET /connection/listMessages?{me} -> 405 METHOD_NOT_ALLOWED
    POST /connection/frobnicate?{me} {} -> 404 NOT_FOUND
    POST /connection/listMessages?{me} {} -> 400 INVALID_MESSAGE
    POST /connection/listMessages?{me} {"channel":"c","after":"x"} -> 400 INVALID_MESSAGE
    POST /connection/listMessages?{me} {"channel":"other"} -> 403 NOT_SUBSCRIBED
    POST /connection/listReactions?{me} {"channel":"c","messageId":"x"} -> 400 INVALID_MESSAGE
    POST /connection/umdUpdate?{me} {"token":"x"} -> 403 INVALID_UMD_TOKEN
"#;

/// The cases of a table, a line each. `{x*N}` stands for so many of that letter.
fn cases(table: &str, authorization: Option<&str>) -> Vec<Case> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    let case = |line: &str| {
        let (request, answer) = line.split_once(" -> ").unwrap();
        let request = expand(request);
        let mut words = request.splitn(3, ' ').map(str::to_owned);
        let (status, code) = answer.split_once(' ').unwrap();
        Case {
            method: words.next().unwrap(),
            target: words.next().unwrap(),
            authorization: authorization.map(str::to_owned),
            body: words.next().unwrap_or_default(),
            status: status.parse().unwrap(),
            code: code.to_owned(),
        }
    };
    lines.map(case).collect()
}

fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{x*") else {
        return text.to_owned();
    };
    let (count, after) = rest.split_once('}').unwrap();
    format!("{before}{}{after}", "x".repeat(count.parse().unwrap()))
}

/// What is wrong with the answer, if anything is.
async fn problem(server: &Server, case: &Case) -> Option<String> {
    let mut request = Request::builder()
        .method(case.method.as_str())
        .uri(&case.target);
    if let Some(authorization) = &case.authorization {
        request = request.header("authorization", authorization);
    }
    let answer = server.http(request.body(case.body.clone()).unwrap()).await;
    let error = serde_json::from_str::<Value>(&answer.text).unwrap_or_default()["error"].clone();
    let is_right = answer.status == case.status
        && error["code"] == case.code
        && error["message"].as_str().is_some_and(|text| text.len() > 5)
        && answer.headers["content-type"] == "application/json"
        && (case.status != 405 || answer.headers.contains_key("allow"));
    (!is_right).then(|| {
        let mut case = format!("{case:?}");
        case.truncate(300);
        format!("{case}\n    but: {answer:?}")
    })
}

#[tokio::test]
async fn bad_input_gets_a_status_a_code_and_a_message() {
    let server = Server::start();
    let jim = Client::jim(&server, "c").await;
    let me = format!("connectionId={}&connectionSecret={}", jim.id, jim.secret);
    let other = format!("connectionId={}&connectionSecret=x", jim.id);
    let client = CLIENT.replace("{me}", &me).replace("{other}", &other);
    let key = format!("Bearer {API_KEY}");
    let mut all = cases(WITH_KEY, Some(&key));
    all.extend(cases(&client, None));
    for authorization in [None, Some("Bearer wrong"), Some("Basic YTpi")] {
        all.extend(cases(NO_KEY, authorization));
    }
    let mut problems = Vec::new();
    for case in &all {
        problems.extend(problem(&server, case).await);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    for secret in [&jim.secret, API_KEY] {
        assert!(!server.log().contains(secret), "no secret reaches the log");
    }
}
