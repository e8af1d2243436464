//! A back end's receiver of webhooks, in whatever mood.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Setup, in_time, now};

/// What is sent to it is signed with.
const SECRET: &[u8] = b"a webhook's secret, 24 bytes or more";

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    /// Takes it.
    Take,
    /// Answers with this status.
    Answer(u16),
    /// Never answers.
    Hang,
    /// Answers 200 and closes before the body is whole.
    BreakOff,
    /// Closes without a word.
    Close,
}

/// One request that came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its `webhook-id`.
    pub id: String,
    /// Its body.
    pub body: String,
    timestamp: u64,
    signature: String,
}

impl Received {
    /// Its body, read.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// What it tells of, without `hotsock.`.
    pub fn kind(&self) -> String {
        self.json()["type"]
            .as_str()
            .unwrap()
            .replace("hotsock.", "")
    }

    /// It must be of now, and signed as the Standard Webhooks specification has it.
    pub fn expect_signed(&self) {
        assert!(now().abs_diff(self.timestamp) < 30);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let signature = self.signature.strip_prefix("v1,").unwrap();
        let signature = STANDARD.decode(signature).unwrap();
        hmac::verify(&key, signed.as_bytes(), &signature).expect("our signature");
    }
}

/// An HTTP server of few words. Its mood for the next requests comes from the test; without, it takes everything.
pub struct Receiver {
    url: String,
    moods: mpsc::UnboundedSender<Mood>,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    /// Starts one on a port of its own.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/hooks?token=secret-in-the-url",
            listener.local_addr().unwrap()
        );
        let (moods, script) = mpsc::unbounded_channel();
        let (sender, received) = mpsc::unbounded_channel();
        let script = Arc::new(tokio::sync::Mutex::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, sender) = (Arc::clone(&script), sender.clone());
                tokio::spawn(async move {
                    let _ = converse(stream, &script, &sender).await;
                });
            }
        });
        Self {
            url,
            moods,
            received,
        }
    }

    /// Its moods for the next requests.
    pub fn will(&self, moods: &[Mood]) {
        for mood in moods {
            self.moods.send(*mood).unwrap();
        }
    }

    /// The next request.
    pub async fn next(&mut self) -> Received {
        in_time("an event", self.received.recv()).await.unwrap()
    }

    /// Whether something comes within half a second, where nothing should.
    pub async fn hears_more(&mut self) -> bool {
        let more = tokio::time::timeout(Duration::from_millis(500), self.received.recv());
        more.await.is_ok()
    }

    /// The configuration of a webhook that posts here.
    pub fn configure(&self, setup: Setup, name: &str, types: &str) -> Setup {
        let section = format!("[[events.webhooks]]#{name}");
        let secret = format!("whsec_{}", STANDARD.encode(SECRET));
        setup
            .set(&section, &format!("name = {name:?}"))
            .set(&section, &format!("url = {:?}", self.url))
            .set(&section, &format!("secret = {secret:?}"))
            .set(&section, &format!("types = {types}"))
    }
}

async fn converse(
    mut stream: TcpStream,
    script: &tokio::sync::Mutex<mpsc::UnboundedReceiver<Mood>>,
    sender: &mpsc::UnboundedSender<Received>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
        assert!(text.starts_with("POST /hooks?"), "{text}");
        let header = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        let length: usize = header("content-length").parse().unwrap();
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let body = String::from_utf8(buffer[head..head + length].to_vec()).unwrap();
        buffer.drain(..head + length);
        assert_eq!(header("content-type"), "application/json");
        let received = Received {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp").parse().unwrap(),
            signature: header("webhook-signature"),
            body,
        };
        let mood = script.lock().await.try_recv().unwrap_or(Mood::Take);
        let answer = match mood {
            Mood::Take => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Mood::Answer(302) => {
                "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            Mood::Answer(status) => {
                format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")
            }
            Mood::BreakOff => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(),
            Mood::Hang | Mood::Close => String::new(),
        };
        let _ = sender.send(received);
        match mood {
            Mood::Hang => {
                // Until the other side has had enough.
                while stream.read_buf(&mut buffer).await? > 0 {}
                return Ok(());
            }
            Mood::Close => return Ok(()),
            _ => stream.write_all(answer.as_bytes()).await?,
        }
        if mood == Mood::BreakOff {
            return Ok(());
        }
    }
}
