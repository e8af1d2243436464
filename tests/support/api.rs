//! Requests of the HTTP APIs.

use std::error::Error;

use hyper::{HeaderMap, Request};
use serde_json::{Value, json};

use super::wire::{api_request, ask, requests};
use super::{Client, Server, in_time, tls};

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
    /// It must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// It must be an error of this status and code.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.json()["error"]["code"], code, "{self:?}");
    }

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
        let stream = tls(self, self.roots()).await?;
        let mut requests = requests(stream).await?;
        let answer = in_time("an answer", ask(&mut requests, request)).await?;
        let (head, text) = answer.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text,
        })
    }

    /// The same for anybody, without a body.
    pub async fn get(&self, target: &str) -> Answer {
        self.http(get(target)).await
    }

    /// A request of the server HTTP API, with the key and another header.
    pub async fn api_with(
        &self,
        method: &str,
        target: &str,
        header: (&'static str, &str),
        body: &str,
    ) -> Answer {
        let mut request = api_request(method, target, body);
        let value = header.1.parse().unwrap();
        request.headers_mut().insert(header.0, value);
        self.http(request).await
    }

    /// A request of the server HTTP API, with the key.
    pub async fn api(&self, method: &str, target: &str, body: &str) -> Answer {
        self.http(api_request(method, target, body)).await
    }

    /// Publishes a message in a back end's name, which must be accepted.
    pub async fn publish(&self, message: Value) -> Value {
        self.try_publish(&message).await.expect(202).json()
    }

    /// The same, where it may be refused.
    pub async fn try_publish(&self, message: &Value) -> Answer {
        self.api("POST", "/publish", &message.to_string()).await
    }

    /// Stores a message with this data in a channel, for ten minutes; returns its id.
    pub async fn store(&self, channel: &str, data: impl Into<Value>) -> String {
        let message = json!({"channel": channel, "event": "e", "data": data.into(), "store": 600,
            "eagerIdGeneration": true});
        id_of(&self.publish(message).await)
    }

    /// What the server HTTP API answers to a `GET`, which must be 200.
    pub async fn read(&self, target: &str) -> Value {
        self.api("GET", target, "").await.expect(200).json()
    }

    /// Closes the connection of `client`.
    pub async fn kick(&self, client: &Client) {
        let target = format!("/connections/{}", client.id);
        self.api("DELETE", &target, "").await.expect(204);
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
        answer.expect(200);
        fed(&answer.text, "data: ")
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
        let target = format!("/connection/{verb}?{}", client.query());
        let request = Request::post(target).body(body.to_string());
        self.http(request.unwrap()).await
    }

    /// A channel as the server HTTP API tells it.
    pub async fn channel(&self, name: &str) -> Value {
        self.read(&format!("/channels/{name}")).await
    }

    /// The members of a channel, as the server HTTP API lists them.
    pub async fn members(&self, name: &str) -> Value {
        self.channel(name).await["members"].clone()
    }

    /// How many subscriptions a channel has.
    pub async fn subscriptions(&self, name: &str) -> Value {
        self.channel(name).await["subscriptionsCount"].clone()
    }
}

/// A request for anybody.
pub fn get(target: &str) -> Request<String> {
    Request::get(target).body(String::new()).unwrap()
}

/// The id of what was published or is listed.
pub fn id_of(message: &Value) -> String {
    message["id"].as_str().unwrap().to_owned()
}

/// The ids of the messages of a page, in its order.
pub fn ids(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(id_of).collect()
}

/// What stands behind `name` in the lines of a feed.
pub fn fed<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| line.strip_prefix(name))
}
