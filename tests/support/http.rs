//! Requests of the HTTP APIs.

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
        let stream = client::tls(self, self.roots()).await.unwrap();
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let (mut head, body) = request.into_parts();
            head.headers
                .entry("host")
                .or_insert("localhost".parse().unwrap());
            let request = Request::from_parts(head, Full::new(Bytes::from(body)));
            let answer = sender.send_request(request).await.unwrap();
            let (head, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            connection.abort();
            Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                text: String::from_utf8(body.to_vec()).unwrap(),
            }
        };
        in_time("an answer", exchange).await
    }

    /// A request of the server HTTP API, with the key.
    pub async fn api(&self, method: &str, target: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("authorization", format!("Bearer {API_KEY}"))
            .body(body.to_owned())
            .unwrap();
        self.http(request).await
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
