//! A dialogue of the page, played line by line against a server of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use hyper::Request;
use serde_json::{Value, json};

use super::compare::Examples;
use crate::support::{API_KEY, Answer, Client, DEADLINE, Server, Setup, now};

/// Who takes part.
struct Stage {
    server: Server,
    clients: BTreeMap<String, Client>,
    tokens: BTreeMap<String, String>,
    examples: Examples,
    /// The answer to the request before, until the page tells of it.
    answer: Option<Answer>,
    /// What the back end wants to hear of.
    types: Option<String>,
    heard: usize,
    /// What it has got and the page has not told yet.
    events: VecDeque<String>,
}

/// Plays the lines of a dialogue; each has its number in the page.
pub async fn play(lines: &[(usize, String)]) {
    let mut setup = Setup::new();
    for (n, line) in lines {
        if let Some(config) = line.strip_prefix("config ") {
            let (section, setting) = config.split_once('.').expect("a key");
            let key = setting.split(' ').next().unwrap();
            assert!(!section.is_empty() && !key.is_empty(), "line {n}");
            setup = setup.set(section, setting);
        }
    }
    let mut stage = Stage {
        server: setup.start(),
        clients: BTreeMap::new(),
        tokens: BTreeMap::new(),
        examples: Examples::default(),
        answer: None,
        types: None,
        heard: 0,
        events: VecDeque::new(),
    };
    for (n, line) in lines
        .iter()
        .filter(|(_, line)| !line.starts_with("config "))
    {
        stage.play_line(*n, line).await;
    }
    assert!(stage.answer.is_none(), "an answer is not told");
    for (name, client) in &mut stage.clients {
        let more = client.until_pong().await;
        assert!(
            more.is_empty(),
            "{name} got more than the page says, after {lines:?}: {more:?}"
        );
    }
    if stage.types.is_some() {
        stage.hear().await;
        assert!(stage.events.is_empty(), "more events: {:?}", stage.events);
    }
}

impl Stage {
    async fn play_line(&mut self, n: usize, line: &str) {
        let (name, rest) = line.split_at(line.find([' ', '>', '<']).expect("a line of a dialogue"));
        let told = rest.get(1..).unwrap_or_default().trim_start();
        match rest.as_bytes()[0] {
            b'>' => {
                let frame = self.with_tokens(&self.examples.put_in(told));
                let client = self.clients.get_mut(name).expect("a client");
                client.send(&frame).await;
            }
            b'<' => {
                let client = self.clients.get_mut(name).expect("a client");
                let came = if told.starts_with(r#"{"event":"hotsock.connected""#) {
                    client.first.clone()
                } else {
                    client.next().await
                };
                self.compare(n, told, &came);
            }
            _ if name == "events" => {
                assert_eq!(self.server.events(told).await, Vec::<Value>::new());
                self.types = Some(told.to_owned());
            }
            _ if name == "event" => {
                let begun = Instant::now();
                while self.events.is_empty() {
                    assert!(begun.elapsed() < DEADLINE, "line {n}: no event");
                    self.hear().await;
                }
                let came = self.events.pop_front().unwrap_or_default();
                self.compare(n, told, &came);
            }
            _ if name.parse::<u16>().is_ok() => {
                let answer = self.answer.take().expect("a request before");
                assert_eq!(answer.status.to_string(), name, "line {n}: {answer:?}");
                self.compare(n, told, &answer.text);
            }
            _ => match told.split_once(' ') {
                Some(("=", claims)) if claims.starts_with('{') => {
                    let token = self.sign(n, None, claims);
                    let client = Client::try_connect(&self.server, &token).await;
                    let client = client.unwrap_or_else(|refused| panic!("line {n}: {refused:?}"));
                    self.clients.insert(name.to_owned(), client);
                }
                Some(("=", token)) => {
                    let (scope, claims) = token.split_once(' ').expect("a scope and claims");
                    let token = self.sign(n, Some(scope), claims);
                    self.tokens.insert(name.to_owned(), token);
                }
                Some((method, request)) => {
                    assert!(self.answer.is_none(), "line {n}: an answer is not told");
                    self.answer = Some(self.request(name, method, request).await);
                }
                None => panic!("line {n}: {line}"),
            },
        }
    }

    fn compare(&mut self, n: usize, told: &str, came: &str) {
        assert!(
            self.examples.is(told, came),
            "line {n} of the page says\n  {told}\nand what came is\n  {came}\nwhere {:?}",
            self.examples
        );
    }

    fn sign(&self, n: usize, scope: Option<&str>, claims: &str) -> String {
        let mut claims: Value =
            serde_json::from_str(claims).unwrap_or_else(|error| panic!("line {n}: {error}"));
        claims["exp"] = json!(now() + 600);
        if let Some(scope) = scope {
            claims["scope"] = json!(scope);
        }
        self.server.key().sign(&claims).unwrap()
    }

    fn with_tokens(&self, frame: &str) -> String {
        let tokens = self.tokens.iter();
        tokens.fold(frame.to_owned(), |frame, (name, token)| {
            frame.replace(&format!("\"<{name}>\""), &format!("\"{token}\""))
        })
    }

    async fn request(&self, who: &str, method: &str, request: &str) -> Answer {
        let request = self.with_tokens(&self.examples.put_in(request));
        let (target, body) = request.split_once(' ').unwrap_or((&request, ""));
        let mut target = target.to_owned();
        if let Some(client) = self.clients.get(who) {
            target += &format!(
                "?connectionId={}&connectionSecret={}",
                client.id, client.secret
            );
        }
        let request = Request::builder().method(method).uri(target);
        let request = request.header("authorization", format!("Bearer {API_KEY}"));
        self.server
            .http(request.body(body.to_owned()).unwrap())
            .await
    }

    /// Takes in what the back end has got since.
    async fn hear(&mut self) {
        let types = self.types.as_deref().expect("`events` before");
        let target = format!("/events?after=0&follow=false&types={types}");
        let answer = self.server.api("GET", &target, "").await;
        let all = answer
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let new: Vec<String> = all.skip(self.heard).map(str::to_owned).collect();
        self.heard += new.len();
        self.events.extend(new);
    }
}
