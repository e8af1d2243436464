//! Requests of the HTTP APIs.

use std::error::Error;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::{API_KEY, Client, Server, client, in_time};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// Its body, read.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Server {
    /// A request over a TLS connection of its own.
    pub async fn http(&self, request: Request<String>) -> Answer {
        self.exchange(request).await.unwrap()
    }

    /// The same while the server may go; `None` where it is gone before it has answered.
    pub async fn http_unless_gone(&self, request: Request<String>) -> Option<Answer> {
        self.exchange(request).await.ok()
    }

    async fn exchange(
        &self,
        request: Request<String>,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let stream = client::tls(self, self.roots()).await?;
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let (mut head, body) = request.into_parts();
            head.headers
                .entry("host")
                .or_insert("localhost".parse().unwrap());
            let request = Request::from_parts(head, Full::new(Bytes::from(body)));
            let answer = sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            connection.abort();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                text: String::from_utf8(body.to_vec())?,
            })
        };
        in_time("an answer", exchange).await
    }

    /// A request of the server HTTP API, with the key.
    pub async fn api(&self, method: &str, target: &str, body: &str) -> Answer {
        self.http(api_request(method, target, body)).await
    }

    /// Publishes a message in a back end's name, which must be accepted.
    pub async fn publish(&self, message: Value) -> Value {
        let answer = self.api("POST", "/publish", &message.to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()
    }

    /// The same while the server may go; `None` where it is gone before it has accepted it.
    pub async fn publish_unless_gone(&self, message: Value) -> Option<Value> {
        let request = api_request("POST", "/publish", &message.to_string());
        let answer = self.exchange(request).await.ok()?;
        (answer.status == 202).then(|| answer.json())
    }

    /// All events out of these types that are kept, oldest first. They are kept from the first time on that they are asked
    /// for.
    pub async fn events(&self, types: &str) -> Vec<Value> {
        let target = format!("/events?after=0&follow=false&types={types}");
        let answer = self.api("GET", &target, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let lines = answer.text.lines();
        lines
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .filter(|event: &Value| event["type"].is_string())
            .collect()
    }

    /// A page of the messages that `client` may read.
    pub async fn list(&self, client: &Client, body: &Value) -> Value {
        self.client_api(client, "listMessages", body).await.json()
    }

    /// A request of the Client HTTP API, in the name of `client`.
    pub async fn client_api(&self, client: &Client, verb: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method("POST")
            .uri(format!(
                "/connection/{verb}?connectionId={}&connectionSecret={}",
                client.id, client.secret
            ))
            .body(body.to_string())
            .unwrap();
        self.http(request).await
    }

    /// A channel as the server HTTP API tells it.
    pub async fn channel(&self, name: &str) -> Value {
        let answer = self.api("GET", &format!("/channels/{name}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

/// A request of the server HTTP API, with the key.
fn api_request(method: &str, target: &str, body: &str) -> Request<String> {
    Request::builder()
        .method(method)
        .uri(target)
        .header("authorization", format!("Bearer {API_KEY}"))
        .body(body.to_owned())
        .unwrap()
}

/// The ids of the messages of a page, in its order.
pub fn ids(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["id"].as_str().unwrap().to_owned())
        .collect()
}
