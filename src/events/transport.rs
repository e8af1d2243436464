//! How an event goes over the network to a webhook.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::tls::{self, RootsError};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole request may take, its answer included.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long an idle connection is kept for the next event.
const IDLE: Duration = Duration::from_secs(60);
/// How much of an answer's body is read, in bytes. Nobody looks at it.
const ANSWER_BYTES: usize = 64 * 1024;

/// One try.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) id: String,
    /// Unix time in seconds.
    pub(crate) timestamp: u64,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
}

/// What the receiver said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// How long it asks us to wait.
    pub(crate) retry_after: Option<Duration>,
}

/// Takes an event to its receiver.
pub(crate) trait Transport: Send + Sync + 'static {
    /// One try; the error says what went wrong, without secrets.
    fn post(&self, post: Post) -> impl Future<Output = Result<Reply, String>> + Send;
}

/// HTTPS, or HTTP on this machine.
#[derive(Debug)]
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
}

/// Why a webhook cannot be served at all.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Its URL is none.
    #[error("the URL cannot be used: {0}")]
    Url(#[from] hyper::http::uri::InvalidUri),
    /// It cannot be told whom to trust.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

impl Http {
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, TransportError> {
        let uri: Uri = url.parse()?;
        let tls = match ca_file {
            None if uri.scheme_str() != Some("https") => tls::client_without_roots()?,
            file => tls::client(file)?,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { client, uri })
    }
}

impl Transport for Http {
    async fn post(&self, post: Post) -> Result<Reply, String> {
        let mut request = Request::new(Full::new(post.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("rollcall/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert("webhook-timestamp", HeaderValue::from(post.timestamp));
        for (name, value) in [
            ("webhook-id", post.id),
            ("webhook-signature", post.signature),
        ] {
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            headers.insert(name, value);
        }
        match timeout(TIMEOUT, self.exchange(request)).await {
            Ok(reply) => reply,
            Err(_) => Err(format!("no whole answer within {} s", TIMEOUT.as_secs())),
        }
    }
}

impl Http {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| chain(&error))?;
        let reply = Reply {
            status: answer.status().as_u16(),
            retry_after: answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                .map(Duration::from_secs),
        };
        // The connection is good for the next event only when the answer has been read; and one that breaks off was
        // perhaps not meant.
        let mut body = answer.into_body();
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| format!("the answer broke off: {}", chain(&error)))?;
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > ANSWER_BYTES {
                break;
            }
        }
        Ok(reply)
    }
}

/// An error and what it comes from. Errors of the client do not tell the URL.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
