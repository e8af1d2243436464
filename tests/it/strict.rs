//! What HTTP lets nobody send (RFC 9112, RFC 6455 4.1), byte by byte: refused, or harmless.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{API_KEY, Client, Server, Token, in_time, rows, tls};

/// What comes back to these bytes, up to the end of the connection.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = tls(server, server.roots()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 4_096];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..n]);
        }
    };
    in_time("the end", read).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of the answers in it, with a space between two.
fn statuses(text: &str) -> String {
    let answers = text.split("HTTP/1.1 ").chain(text.split("HTTP/1.0 "));
    let statuses = answers.filter_map(|answer| answer.get(..3)?.parse().ok());
    let statuses: Vec<String> = statuses.map(|status: u16| status.to_string()).collect();
    statuses.join(" ")
}

/// `GET /healthz` with these lines, and the connection's end behind its answer.
fn get(lines: &str) -> String {
    format!("GET /healthz HTTP/1.1\r\n{lines}Connection: close\r\n\r\n")
}

/// A request line that asks for the connection's end.
fn close(line: &str) -> String {
    format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// `POST /publish` with these lines and what follows them.
fn post(lines: &str, body: &str) -> String {
    format!(
        "POST /publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nConnection: close\r\n{lines}\r\n{body}"
    )
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_or_harmless() {
    let server = Server::start();
    let long = |bytes: usize| "x".repeat(bytes);
    let message = r#"{"channel":"c","event":"say"}"#;
    let chunked = format!("{:x}\r\n{message}\r\n0\r\n\r\n", message.len());
    // Were it read, its answer would be 200.
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n";
    let rows = rows! {
        "as it should be" => get("Host: a\r\n") => "200";
        "no Host" => get("") => "400";
        "two Hosts" => get("Host: a\r\nHost: b\r\n") => "400";
        "the same Host twice" => get("Host: a\r\nHost: a\r\n") => "400";
        "an empty Host" => get("Host:\r\n") => "200";
        "a Host that is two" => get("Host: a, b\r\n") => "400";
        "a Host with a user" => get("Host: jim@a\r\n") => "400";
        "a Host with a path" => get("Host: a/b\r\n") => "400";
        "no Host in HTTP/1.0" => "GET /healthz HTTP/1.0\r\n\r\n".into() => "200";
        "two Hosts in HTTP/1.0" => "GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".into() => "400";
        "two Authorizations" => get("Host: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n") => "400";
        "two Origins" => get("Host: a\r\nOrigin: https://a\r\nOrigin: https://b\r\n") => "400";
        "chunked" => post("Transfer-Encoding: chunked\r\n", &chunked) => "202";
        "CHUNKED" => post("Transfer-Encoding: CHUNKED\r\n", &chunked) => "202";
        "gzip, chunked" => post("Transfer-Encoding: gzip, chunked\r\n", &chunked) => "501";
        "gzip and chunked in two headers"
            => post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", &chunked) => "501";
        "chunked twice" => post("Transfer-Encoding: chunked, chunked\r\n", &chunked) => "501";
        "chunked, gzip" => post("Transfer-Encoding: chunked, gzip\r\n", &chunked) => "400";
        "identity" => post("Transfer-Encoding: identity\r\n", message) => "400";
        "an encoding that only looks like chunked" => post("Transfer-Encoding: xchunked\r\n", &chunked) => "400";
        "chunked in HTTP/1.0"
            => format!("POST /publish HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}") => "400";
        // The chunks count, and the connection ends with the answer: what might be another request is not read.
        "a length and chunks"
            => format!("POST /publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}{smuggled}") => "202";
        "chunks and a length"
            => format!("POST /publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}{smuggled}") => "202";
        "two lengths" => post("Content-Length: 29\r\nContent-Length: 30\r\n", message) => "400";
        "two lengths in one" => post("Content-Length: 29, 29\r\n", message) => "400";
        "a signed length" => post("Content-Length: +29\r\n", message) => "400";
        "a negative length" => post("Content-Length: -1\r\n", message) => "400";
        "a length that no number holds" => post("Content-Length: 99999999999999999999\r\n", message) => "400";
        "a chunk that no number holds" => post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nx") => "400";
        "a chunk that is longer than it says"
            => post("Transfer-Encoding: chunked\r\n", "1\r\nxx\r\n0\r\n\r\n") => "400";
        "a folded line" => get("Host: a\r\nX-Folded: a\r\n b\r\n") => "400";
        "a bare CR" => get("Host: a\r\nX-A: a\rb\r\n") => "400";
        "a NUL" => get("Host: a\r\nX-A: a\0b\r\n") => "400";
        "a space before the colon" => get("Host: a\r\nX-A : a\r\n") => "400";
        "a header without a name" => get("Host: a\r\n: a\r\n") => "400";
        "a header without a colon" => get("Host: a\r\nX-A\r\n") => "400";
        "a space before the first header" => "GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n".into() => "400";
        // RFC 9112 2.2 lets a server take a bare LF for the end of a line, and nothing is hidden by it.
        "bare LFs" => "GET /healthz HTTP/1.1\nHost: a\nConnection: close\n\n".into() => "200";
        "101 headers" => get(&format!("Host: a\r\n{}", "X-A: a\r\n".repeat(99))) => "431";
        "a head over the limit" => get(&format!("Host: a\r\nX-A: {}\r\n", long(70_000))) => "431";
        "a target over the limit" => format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(65_535)) => "414|431";
        "an absolute target, whose host is no matter" => close("GET https://elsewhere/healthz HTTP/1.1") => "200";
        "a target that is all there is" => close("OPTIONS * HTTP/1.1") => "404";
        "a way through"
            => "CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\nConnection: close\r\n\r\n".into() => "404";
        // It is the client's own matter and left out of what is looked for.
        "a fragment" => close("GET /healthz#there HTTP/1.1") => "200";
        "a target with dots" => close("GET /v1/../healthz HTTP/1.1") => "404";
        "a target that is no path" => close("GET healthz HTTP/1.1") => "400";
        "a control character in the target" => "GET /heal\x01thz HTTP/1.1\r\nHost: a\r\n\r\n".into() => "400";
        "no version" => "GET /healthz\r\n\r\n".into() => "400";
        "HTTP/1.2" => "GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n".into() => "400";
        "HTTP/2" => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into() => "";
        "a method in small letters" => close("get /healthz HTTP/1.1") => "405";
        "garbage" => "\u{1}\u{2}\u{3}\r\n\r\n".into() => "400";
        "two at once" => format!("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n{}", get("Host: a\r\n")) => "200 200";
        "a refused one, and one behind it" => format!("GET /healthz HTTP/1.1\r\n\r\n{smuggled}") => "400";
    };
    let mut wrong = Vec::new();
    for (what, bytes, expected) in &rows {
        let answer = exchange(&server, bytes.as_bytes()).await;
        if !expected.split('|').any(|right| right == statuses(&answer)) {
            wrong.push(format!("{what}: {answer:?} in place of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The head of an upgrade, with these lines in place of or besides the usual ones.
fn upgrade(token: &str, version: &str, lines: &str) -> String {
    let mut head = format!("GET /v1?token={token} {version}\r\n");
    for (name, value) in [
        ("Host", "a"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ] {
        if !lines.contains(&format!("{name}:")) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head + lines + "\r\n"
}

#[tokio::test]
async fn an_upgrade_is_what_rfc_6455_says_or_none() {
    let server = Server::start();
    let token = Token::of("Jim").for_server(&server);
    let one = "HTTP/1.1";
    let key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let rows = rows! {
        "by HTTP/1.0" => upgrade(&token, "HTTP/1.0", "") => "400";
        "with a body" => upgrade(&token, one, "Content-Length: 4\r\n") + "body" => "400";
        "with chunks" => upgrade(&token, one, "Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n0\r\n\r\n" => "400";
        "with a body that is asked for first"
            => upgrade(&token, one, "Content-Length: 4\r\nExpect: 100-continue\r\n") => "400";
        "two Origins" => upgrade(&token, one, "Origin: https://a\r\nOrigin: https://b\r\n") => "400";
        "two keys" => upgrade(&token, one, &key.repeat(2)) => "400";
        "two versions" => upgrade(&token, one, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n") => "400";
        "two versions in one" => upgrade(&token, one, "Sec-WebSocket-Version: 13, 8\r\n") => "426";
        "no Host" => upgrade(&token, one, "").replace("Host: a\r\n", "") => "400";
        "a short key" => upgrade(&token, one, "Sec-WebSocket-Key: AAAA\r\n") => "400";
        "another upgrade" => upgrade(&token, one, "Upgrade: h2c\r\n") => "426";
        "no upgrade in Connection" => upgrade(&token, one, "Connection: keep-alive\r\n") => "426";
        "another method" => upgrade(&token, one, "").replace("GET ", "POST ") => "405";
    };
    for (what, bytes, expected) in rows {
        // What is refused may keep its connection, and must then be answered like any other.
        let bytes = bytes + "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let got = statuses(&exchange(&server, bytes.as_bytes()).await);
        assert!(got.starts_with(expected), "{what}: {got}");
    }
    // One of each is all right, and so is a client that says more than it must.
    let both = [
        ("Origin", "https://a"),
        ("Authorization", "Bearer x"),
        ("Content-Length", "0"),
    ];
    let target = format!("/v1?token={token}");
    Client::with_headers(&server, &target, &both).await.unwrap();
}

#[tokio::test]
async fn the_path_that_the_set_up_page_prints_is_the_same() {
    let server = Server::start();
    let token = Token::of("Jim").for_server(&server);
    for path in ["/v1", "/v1/", "/"] {
        let target = format!("{path}?token={token}");
        let client = Client::request(&server, &target, None).await;
        assert!(client.is_ok(), "{path}");
    }
    for path in ["/v1//", "/v1/x", "//", "/v2"] {
        let target = format!("{path}?token={token}");
        let (status, _) = Client::request(&server, &target, None).await.err().unwrap();
        assert_eq!(status, 404, "{path}");
    }
}
