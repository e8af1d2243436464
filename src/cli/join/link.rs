//! One connection, from the first byte to the last.

use std::io::Write;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::super::Failure;
use super::asked_to_leave;
use super::screen::Screen;
use super::target::Target;
use super::view::{Frame, News, Refusal, View};

/// How long the server may take for each step of connecting, for a ping, and to take a frame.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the server is pinged.
const PING: Duration = Duration::from_secs(20);

/// How long each step of leaving may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The most that is read of a refusal's body.
const REFUSAL_BYTES: usize = 64 << 10;

/// What outlives a connection.
pub(super) struct Session<W: Write> {
    pub(super) channel: String,
    pub(super) event: String,
    pub(super) view: View,
    pub(super) screen: Screen<W>,
    pub(super) typed: mpsc::Receiver<String>,
    pub(super) leave: watch::Receiver<bool>,
    pub(super) resized: Signal,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// We were asked to leave, and have left.
    Left,
    /// It is worth another try.
    Lost {
        reason: String,
        /// How long the server asks us to wait.
        asked: Option<Duration>,
        /// Whether we had joined the channel.
        joined: bool,
    },
}

fn lost(reason: impl Into<String>) -> Outcome {
    Outcome::Lost {
        reason: reason.into(),
        asked: None,
        joined: false,
    }
}

/// Connects, joins, and stays until the connection ends.
///
/// # Errors
/// When trying again cannot help, or the output cannot be written.
pub(super) async fn run<W: Write>(
    target: &Target,
    token: &str,
    session: &mut Session<W>,
) -> Result<Outcome, Failure> {
    let opened = tokio::select! {
        () = asked_to_leave(&mut session.leave) => return Ok(Outcome::Left),
        opened = open(target) => opened,
    };
    match opened {
        Ok(mut stream) => upgraded(target, token, &mut stream, session).await,
        Err(Trouble::Passing(reason)) => Ok(lost(reason)),
        Err(Trouble::Lasting(failure)) => Err(failure),
    }
}

/// Why there is no connection.
enum Trouble {
    Passing(String),
    Lasting(Failure),
}

async fn open(target: &Target) -> Result<TlsStream<TcpStream>, Trouble> {
    let unreachable =
        |reason: String| Trouble::Passing(format!("{} cannot be reached: {reason}", target.show()));
    let tcp = timeout(
        STEP_TIMEOUT,
        TcpStream::connect((target.host.as_str(), target.port)),
    )
    .await
    .map_err(|_| unreachable("no answer".into()))?
    .map_err(|error| unreachable(error.to_string()))?;
    // So that short frames go out at once. Without it they go out a little later.
    let _ = tcp.set_nodelay(true);
    let connector = TlsConnector::from(target.tls.clone());
    timeout(STEP_TIMEOUT, connector.connect(target.name.clone(), tcp))
        .await
        .map_err(|_| unreachable("no answer to the TLS handshake".into()))?
        .map_err(|error| {
            let untrusted = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match untrusted {
                Some(rustls::Error::InvalidCertificate(why)) => {
                    Trouble::Lasting(Failure::Failed(format!(
                        "{} is not trusted: {why}; {}",
                        target.show(),
                        target.trust_mend
                    )))
                }
                _ => unreachable(format!("TLS: {error}")),
            }
        })
}

/// Makes the TLS stream a WebSocket, and serves it.
async fn upgraded<W: Write>(
    target: &Target,
    token: &str,
    stream: &mut TlsStream<TcpStream>,
    session: &mut Session<W>,
) -> Result<Outcome, Failure> {
    let request = request(target, token)?;
    let upgrade = timeout(
        STEP_TIMEOUT,
        client_async_with_config(request, &mut *stream, None),
    );
    let answer = tokio::select! {
        () = asked_to_leave(&mut session.leave) => return Ok(Outcome::Left),
        answer = upgrade => answer,
    };
    match answer {
        Ok(Ok((socket, _))) => converse(socket, token, session).await,
        // The refusal's body may still be on its way.
        Ok(Err(WsError::Http(response))) => {
            let body = rest_of_body(&response, stream).await;
            refused(response.status(), response.headers(), &body)
        }
        Ok(Err(error)) => Ok(lost(format!("{}: {error}", target.show()))),
        Err(_) => Ok(lost(format!("{} does not answer", target.show()))),
    }
}

fn request(target: &Target, token: &str) -> Result<Request, Failure> {
    let failed = || Failure::Usage("the URL or the token cannot be sent as they are".into());
    let mut request = target
        .uri
        .clone()
        .into_client_request()
        .map_err(|_| failed())?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| failed())?;
    bearer.set_sensitive(true);
    let agent = concat!("rollcall/", env!("CARGO_PKG_VERSION"));
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    Ok(request)
}

/// The part of the body that came with the head, and the rest up to its announced length.
async fn rest_of_body(response: &Response, stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut body = response.body().clone().unwrap_or_default();
    let length = response
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or_default()
        .min(REFUSAL_BYTES);
    let missing = length.saturating_sub(body.len());
    let mut rest = stream.take(missing as u64);
    // Where it does not come whole, the part that has come is used.
    let _ = timeout(STEP_TIMEOUT, rest.read_to_end(&mut body)).await;
    body
}

/// Whether to try again after a refused upgrade.
fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Outcome, Failure> {
    #[derive(Deserialize)]
    struct Body {
        error: Refusal,
    }
    let said = match serde_json::from_slice::<Body>(body) {
        Ok(body) => format!("{} (HTTP {})", body.error.show(), status.as_u16()),
        Err(_) => format!("HTTP {status}"),
    };
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let asked = headers
            .get(header::RETRY_AFTER)
            .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        return Ok(Outcome::Lost {
            reason: format!("not now: {said}"),
            asked,
            joined: false,
        });
    }
    Err(Failure::Failed(format!(
        "the server refused the connection: {said}"
    )))
}

/// Subscribes, and passes frames one way and typed lines the other until one side ends it.
async fn converse<S, W>(
    mut socket: WebSocketStream<S>,
    token: &str,
    session: &mut Session<W>,
) -> Result<Outcome, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
    W: Write,
{
    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The token may ask for heartbeats.
    let mut heartbeat = interval(heartbeat_timeout(token).map_or(PING, |every| every / 2));
    let wants_heartbeat = heartbeat_timeout(token).is_some();
    let mut heard = Instant::now();
    let mut joined = false;
    let mut typing = true;
    let reason = loop {
        let outgoing = tokio::select! {
            () = asked_to_leave(&mut session.leave) => {
                farewell(&mut socket, session).await?;
                return Ok(Outcome::Left);
            }
            incoming = socket.next() => {
                heard = Instant::now();
                match incoming {
                    Some(Ok(Message::Text(text))) => match session.take(text.as_str())? {
                        Step::Go => continue,
                        Step::Joined => { joined = true; continue }
                        Step::Say(frame) => frame,
                        Step::Lost(reason) => break reason,
                    },
                    Some(Ok(Message::Close(frame))) => {
                        // Sends the answer to the close frame; the connection is over either way.
                        let _ = timeout(FAREWELL, socket.flush()).await;
                        break closed(frame.as_ref());
                    }
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => break format!("the connection broke: {error}"),
                    None => break "the connection broke".to_owned(),
                }
            }
            line = session.typed.recv(), if typing && session.view.channel().is_some() => match line {
                Some(line) => session.typed_frame(&line),
                None => { typing = false; continue }
            },
            _ = ping.tick() => {
                if heard.elapsed() > PING + STEP_TIMEOUT {
                    break "the server does not answer any more".to_owned();
                }
                json!({ "event": "hotsock.ping" }).to_string()
            }
            _ = heartbeat.tick(), if wants_heartbeat => json!({ "event": "hotsock.heartbeat" }).to_string(),
            _ = session.resized.recv() => { session.resize()?; continue }
        };
        match timeout(STEP_TIMEOUT, socket.send(Message::text(outgoing))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => break format!("the connection broke: {error}"),
            Err(_) => break "the server does not take anything any more".to_owned(),
        }
    };
    Ok(Outcome::Lost {
        reason,
        asked: None,
        joined,
    })
}

/// What to do after a frame.
enum Step {
    Go,
    Joined,
    Say(String),
    Lost(String),
}

impl<W: Write> Session<W> {
    /// Shows a frame, and says what comes next.
    fn take(&mut self, text: &str) -> Result<Step, Failure> {
        self.screen.frame(text)?;
        let Ok(frame) = serde_json::from_str::<Frame>(text) else {
            return Ok(Step::Go);
        };
        match self.view.take(frame) {
            News::Nothing => Ok(Step::Go),
            News::Connected => Ok(Step::Say(
                json!({ "event": "hotsock.subscribe", "channel": self.channel }).to_string(),
            )),
            News::Joined(line) => {
                self.screen.event(&line, true, &self.view)?;
                Ok(Step::Joined)
            }
            News::Event { line, list } => {
                self.screen.event(&line, list, &self.view)?;
                Ok(Step::Go)
            }
            News::Left => Ok(Step::Lost("the server ended the subscription".into())),
            News::Refused(refusal) if refusal.code == "INTERNAL_ERROR" => {
                Ok(Step::Lost(refusal.show()))
            }
            News::Refused(refusal) => Err(Failure::Failed(format!(
                "the server refused the channel {:?}: {}",
                self.channel,
                refusal.show()
            ))),
        }
    }

    fn typed_frame(&self, line: &str) -> String {
        let channel = self.view.channel().unwrap_or(&self.channel);
        json!({ "channel": channel, "event": self.event, "data": line }).to_string()
    }

    /// Follows the terminal's new size.
    pub(super) fn resize(&mut self) -> Result<(), Failure> {
        match super::terminal_size() {
            Some((rows, columns)) => self.screen.resize(rows, columns, &self.view),
            None => Ok(()),
        }
    }
}

/// Unsubscribes, so that the others see us leave at once and not after a grace, and closes.
async fn farewell<S, W>(
    socket: &mut WebSocketStream<S>,
    session: &mut Session<W>,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
    W: Write,
{
    if let Some(channel) = session.view.channel() {
        let frame = json!({ "event": "hotsock.unsubscribe", "channel": channel }).to_string();
        // Failures do not matter from here on: the server also notices the end of the connection.
        let _ = timeout(FAREWELL, socket.send(Message::text(frame))).await;
        let deadline = Instant::now() + FAREWELL;
        while let Ok(Some(Ok(message))) = tokio::time::timeout_at(deadline, socket.next()).await {
            if let Message::Text(text) = message
                && let Step::Lost(_) = session.take(text.as_str())?
            {
                break;
            }
        }
    }
    let goodbye = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let _ = timeout(FAREWELL, socket.close(Some(goodbye))).await;
    let deadline = Instant::now() + FAREWELL;
    while let Ok(Some(Ok(_))) = tokio::time::timeout_at(deadline, socket.next()).await {}
    Ok(())
}

fn closed(frame: Option<&CloseFrame>) -> String {
    match frame {
        Some(CloseFrame { code, reason }) => {
            let code = u16::from(*code);
            match reason.as_str() {
                "" => format!("the server closed the connection ({code})"),
                reason => format!("the server closed the connection ({code}, {reason})"),
            }
        }
        None => "the server closed the connection".to_owned(),
    }
}

/// The token's `heartbeatTimeout`, if it has one. The server checks the token.
fn heartbeat_timeout(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Heartbeat {
        heartbeat_timeout: Option<u16>,
    }
    let payload = crate::config::base64(token.split('.').nth(1)?)?;
    let claims: Heartbeat = serde_json::from_slice(&payload).ok()?;
    claims
        .heartbeat_timeout
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_refusal_is_final_unless_the_server_is_only_busy() {
        let none = HeaderMap::new();
        let body = br#"{"error":{"code":"TOKEN_EXPIRED","message":"the token has expired"}}"#;
        let error = refused(StatusCode::UNAUTHORIZED, &none, body).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server refused the connection: TOKEN_EXPIRED: the token has expired (HTTP 401)"
        );
        let error = refused(StatusCode::NOT_FOUND, &none, b"<html>").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server refused the connection: HTTP 404 Not Found"
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("3"));
        let outcome = refused(StatusCode::SERVICE_UNAVAILABLE, &headers, b"").unwrap();
        assert!(
            matches!(&outcome, Outcome::Lost { asked: Some(wait), .. } if wait.as_secs() == 3),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_tokens_heartbeat_is_found() {
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(
            heartbeat_timeout(&token(r#"{"exp":1,"heartbeatTimeout":10}"#)),
            Some(Duration::from_secs(10))
        );
        for other in [r#"{"exp":1}"#, r#"{"heartbeatTimeout":0}"#, "nonsense"] {
            assert_eq!(heartbeat_timeout(&token(other)), None);
        }
        assert_eq!(heartbeat_timeout("opaque"), None);
    }

    #[tokio::test]
    async fn the_rest_of_a_refusal_is_waited_for() {
        let mut response = Response::new(Some(b"0123".to_vec()));
        let length = HeaderValue::from_static("10");
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
        let mut rest = &b"456789and more"[..];
        assert_eq!(rest_of_body(&response, &mut rest).await, b"0123456789");
    }
}
