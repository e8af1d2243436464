//! What HTTP answers while the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{API_KEY, Server, tls};

/// Asks again and again over one connection, until that ends; returns the heads of all answers.
async fn ask(server: Arc<Server>, request: String, asked: Arc<AtomicUsize>) -> Vec<String> {
    let mut stream = tls(&server, server.roots()).await.unwrap();
    let mut heads = Vec::new();
    let mut answer = String::new();
    while stream.write_all(request.as_bytes()).await.is_ok() {
        let (head, length) = loop {
            let mut buffer = [0; 1_024];
            match stream.read(&mut buffer).await {
                Ok(n @ 1..) => answer += std::str::from_utf8(&buffer[..n]).unwrap(),
                _ => return heads,
            }
            if let Some((head, body)) = answer.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.unwrap().parse().unwrap();
                if body.len() >= length {
                    break (head.to_owned(), head.len() + 4 + length);
                }
            }
        };
        answer.drain(..length);
        heads.push(head);
        asked.fetch_add(1, Ordering::Relaxed);
    }
    heads
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_while_the_server_stops_is_told_to_come_again() {
    let mut server = Arc::new(Server::start());
    let mut unavailable = 0;
    // Between the last commit and the end there is little time: some tries are needed to be heard in it.
    for _ in 0..6 {
        let asked = Arc::new(AtomicUsize::new(0));
        let body = r#"{"channel":"c","event":"say","data":"x","store":60}"#;
        let stored = format!(
            "POST /publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let listed =
            format!("GET /channels HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\n\r\n");
        let tasks = (0..24).map(|n| {
            let request = if n % 2 == 0 { &stored } else { &listed };
            let asked = Arc::clone(&asked);
            tokio::spawn(ask(Arc::clone(&server), request.clone(), asked))
        });
        let tasks = tasks.collect();
        while asked.load(Ordering::Relaxed) < 500 {
            tokio::task::yield_now().await;
        }
        let answers = Server::end_under(&mut server, Signal::TERM, tasks).await;
        for head in answers.iter().flatten() {
            let status = head.split(' ').nth(1).unwrap();
            match status {
                "200" | "202" => {}
                "503" => {
                    unavailable += 1;
                    assert!(head.contains("\r\nretry-after: 1"), "{head}");
                }
                _ => panic!("{head}"),
            }
        }
    }
    eprintln!("{unavailable} answers of 503");
}
