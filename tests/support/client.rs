//! A WebSocket client over TLS.

use std::fmt::Display;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::RootCertStore;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Server, Token, connector, handshake, in_time, subscribe, unsubscribe, update};

/// What a client speaks over.
pub type WsStream = WebSocketStream<TlsStream<TcpStream>>;

/// A connected client.
pub struct Client {
    /// The socket, for what a test does with it itself.
    pub socket: WsStream,
    /// Its connection.
    pub id: String,
    /// The key to the Client HTTP API.
    pub secret: String,
    /// Its first frame.
    pub first: String,
    /// The same, read.
    pub connected: Value,
    pings: u64,
}

/// Why there is no connection.
#[derive(Debug)]
enum NotConnected {
    /// The server's answer says so: a status and a body.
    Refused(u16, String),
    /// There was none.
    Gone(String),
}

impl Client {
    /// Connects with a token.
    pub async fn connect(server: &Server, token: &Token) -> Self {
        match Self::try_connect(server, &token.for_server(server)).await {
            Ok(client) => client,
            Err((status, body)) => panic!("refused with {status}: {body}"),
        }
    }

    /// Connects as `uid`, and subscribes to `channel`. Returns the answer too.
    pub async fn join(server: &Server, uid: &str, channel: &str) -> (Self, String) {
        let mut client = Self::connect(server, &Token::of(uid)).await;
        let answer = client.subscribe(channel).await;
        (client, answer)
    }

    /// Connects as Jim, who may do everything and has metadata, and subscribes to `channel`.
    pub async fn jim(server: &Server, channel: &str) -> Self {
        let token = Token::everything("Jim").umd(json!({"a": 1}));
        let mut client = Self::connect(server, &token).await;
        client.subscribe(channel).await;
        client
    }

    /// Connects, if the server lets it; else the status and the body of its answer.
    pub async fn try_connect(server: &Server, token: &str) -> Result<Self, (u16, String)> {
        Self::request(server, &format!("/v1?token={token}"), None).await
    }

    /// The same by any request target and `Authorization`.
    pub async fn request(
        server: &Server,
        target: &str,
        authorization: Option<&str>,
    ) -> Result<Self, (u16, String)> {
        let authorization = authorization.map(|value| ("Authorization", value));
        Self::with_headers(server, target, authorization.as_slice()).await
    }

    /// The same with any further headers.
    pub async fn with_headers(
        server: &Server,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, (u16, String)> {
        let stream = tls(server, server.roots()).await.unwrap();
        match Self::upgrade(stream, target, headers).await {
            Ok(client) => Ok(client),
            Err(NotConnected::Refused(status, body)) => Err((status, body)),
            Err(NotConnected::Gone(error)) => panic!("{error}"),
        }
    }

    /// Connects with a token while the server may go; `None` where it is gone, or about to go.
    pub async fn unless_gone(server: &Server, token: &Token) -> Option<Self> {
        let stream = tls(server, server.roots()).await.ok()?;
        let target = format!("/v1?token={}", token.for_server(server));
        Self::upgrade(stream, &target, &[]).await.ok()
    }

    /// Connects with a token, with so small a buffer in the system that it is soon felt when the client does not read.
    pub async fn with_small_buffer(server: &Server, token: &Token) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let stream = socket.connect(server.address()).await.unwrap();
        let stream = tls_over(stream, server.roots()).await.unwrap();
        let target = format!("/v1?token={}", token.for_server(server));
        let client = Self::upgrade(stream, &target, &[]).await;
        client.unwrap_or_else(|error| panic!("{error:?}"))
    }

    async fn upgrade(
        stream: TlsStream<TcpStream>,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, NotConnected> {
        let mut request = hyper::Request::builder()
            .uri(format!("wss://localhost{target}"))
            .header("Host", "localhost")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let upgrade = tokio_tungstenite::client_async(request.body(()).unwrap(), stream);
        let socket = match in_time("the upgrade", upgrade).await {
            Ok((socket, _)) => socket,
            Err(Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                let body = String::from_utf8_lossy(&body).into_owned();
                return Err(NotConnected::Refused(answer.status().as_u16(), body));
            }
            Err(error) => return Err(NotConnected::Gone(error.to_string())),
        };
        let mut client = Self {
            socket,
            id: String::new(),
            secret: String::new(),
            first: String::new(),
            connected: Value::Null,
            pings: 0,
        };
        client.first = match in_time("the first frame", client.socket.next()).await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => return Err(NotConnected::Gone(format!("{other:?}"))),
        };
        client.connected = serde_json::from_str(&client.first).unwrap();
        let data = &client.connected["data"];
        assert_eq!(client.connected["event"], "hotsock.connected");
        client.id = data["connectionId"].as_str().unwrap().to_owned();
        client.secret = data["connectionSecret"].as_str().unwrap().to_owned();
        Ok(client)
    }

    /// What the Client HTTP API wants to see in a request's query.
    pub fn query(&self) -> String {
        format!("connectionId={}&connectionSecret={}", self.id, self.secret)
    }

    /// Sends a frame as it is.
    pub async fn send(&mut self, frame: impl Display) {
        let text = frame.to_string();
        let sent = self.socket.send(Message::text(&text)).await;
        sent.unwrap_or_else(|error| panic!("cannot send {text}: {error}"));
    }

    /// Sends a request while the server may go, and reads on to its answer; `None` where the server is gone before that.
    pub async fn ask(
        &mut self,
        request: &Value,
        is_answer: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let request = Message::text(request.to_string());
        self.socket.send(request).await.ok()?;
        loop {
            match in_time("an answer", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    if is_answer(&frame) {
                        return Some(frame);
                    }
                }
                _ => return None,
            }
        }
    }

    /// Subscribes, and returns the answer, which must come next and say that it is in.
    #[track_caller]
    pub fn subscribe(&mut self, channel: &str) -> impl Future<Output = String> {
        self.ask_for(subscribe(channel), "hotsock.subscribed")
    }

    /// Unsubscribes, and returns the answer, which must come next and say that it is out.
    #[track_caller]
    pub fn unsubscribe(&mut self, channel: &str) -> impl Future<Output = String> {
        self.ask_for(unsubscribe(channel), "hotsock.unsubscribed")
    }

    #[track_caller]
    fn ask_for(&mut self, frame: Value, answer: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        let beginning = format!(r#"{{"event":"{answer}""#);
        async move {
            self.send(frame).await;
            let next = self.next().await;
            assert!(next.starts_with(&beginning), "at {caller}: {next}");
            next
        }
    }

    /// Subscribing must be refused with this code; returns the error.
    #[track_caller]
    pub fn refused(&mut self, channel: &str, code: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            self.send(subscribe(channel)).await;
            self.error(code, caller).await
        }
    }

    /// Asks for other metadata on a channel; that has no answer of its own.
    pub async fn update(&mut self, server: &Server, channel: &str, umd: Value) {
        self.send(update(server, self, channel, umd)).await;
    }

    /// The next text frame.
    pub async fn next(&mut self) -> String {
        match self.message("a frame").await {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?} in place of a text frame"),
        }
    }

    /// The next text frame, read.
    pub async fn next_json(&mut self) -> Value {
        serde_json::from_str(&self.next().await).unwrap()
    }

    /// The next frame must be exactly this.
    #[track_caller]
    pub fn expect(&mut self, frame: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let next = self.next().await;
            assert_eq!(next, frame, "at {caller}");
        }
    }

    /// The next frame must be of this event; returns it.
    #[track_caller]
    pub fn expect_event(&mut self, event: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let next = self.next_json().await;
            assert_eq!(next["event"], event, "at {caller}: {next}");
            next
        }
    }

    /// The next frame must be `hotsock.memberAdded`, `Updated` or `Removed`, of this member; returns it.
    #[track_caller]
    pub fn expect_member(&mut self, change: &str, uid: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let next = self.next_json().await;
            let event = format!("hotsock.member{change}");
            assert_eq!(next["event"], event, "at {caller}: {next}");
            assert_eq!(next["data"]["member"]["uid"], uid, "at {caller}: {next}");
            next
        }
    }

    /// The next frame must be an error of this code; returns it.
    #[track_caller]
    pub fn expect_error(&mut self, code: &str) -> impl Future<Output = Value> {
        self.error(code, std::panic::Location::caller())
    }

    async fn error(&mut self, code: &str, caller: &std::panic::Location<'_>) -> Value {
        let next = self.next_json().await;
        assert_eq!(next["event"], "hotsock.error", "at {caller}: {next}");
        assert_eq!(next["error"]["code"], code, "at {caller}: {next}");
        let message = next["error"]["message"].as_str().unwrap();
        assert!(!message.is_empty(), "at {caller}");
        next
    }

    /// The server must close the connection with this code.
    #[track_caller]
    pub fn expect_closed(&mut self, code: u16) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let closed = self.closed().await;
            assert_eq!(closed.0, code, "at {caller}: {closed:?}");
        }
    }

    /// Nothing has come up to now: the answer to a ping comes first.
    #[track_caller]
    pub fn expect_silence(&mut self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let frames = self.until_pong().await;
            assert!(frames.is_empty(), "at {caller}: {frames:?}");
        }
    }

    /// All frames up to now.
    pub async fn until_pong(&mut self) -> Vec<String> {
        self.pings += 1;
        let payload = self.pings.to_be_bytes().to_vec();
        let ping = Message::Ping(payload.clone().into());
        self.socket.send(ping).await.unwrap();
        let mut frames = Vec::new();
        loop {
            match self.message("a pong").await {
                Message::Text(text) => frames.push(text.to_string()),
                Message::Pong(pong) if pong == payload => return frames,
                other => panic!("{other:?} in place of a pong"),
            }
        }
    }

    /// Reads until the server closes; returns the code and the reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match in_time("a close", self.socket.next()).await {
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    return (code.into(), reason.to_string());
                }
                Some(Ok(Message::Close(None))) => return (1005, String::new()),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error} in place of a close"),
                None => panic!("the connection ended without a close"),
            }
        }
    }

    /// Says goodbye, and waits until the server has too.
    pub async fn close(mut self) {
        let _ = self.socket.close(None).await;
        let rest = async { while let Some(Ok(_)) = self.socket.next().await {} };
        in_time("the close", rest).await;
    }

    /// The next message; the server's pings are answered on the way.
    async fn message(&mut self, what: &str) -> Message {
        loop {
            match in_time(what, self.socket.next()).await {
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(message)) => return message,
                Some(Err(error)) => panic!("{error} in place of {what}"),
                None => panic!("the end in place of {what}"),
            }
        }
    }
}

/// A TLS connection to the server, trusting `roots`.
pub async fn tls(server: &Server, roots: &RootCertStore) -> std::io::Result<TlsStream<TcpStream>> {
    tls_over(TcpStream::connect(server.address()).await?, roots).await
}

async fn tls_over(
    stream: TcpStream,
    roots: &RootCertStore,
) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = connector(roots);
    in_time("the TLS handshake", handshake(&connector, stream)).await
}
