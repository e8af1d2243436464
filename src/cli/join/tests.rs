//! The client against the real server.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::{Config, Flag, Sources};
use crate::server::{Sockets, Starts};

use super::super::dev::DevFolder;
use super::super::tests::parse;
use super::super::{Command, Failure};
use super::Args;
use super::link::{self, Outcome, Session};
use super::screen::{Screen, Style};
use super::target::Target;
use super::view::View;

/// What a client has printed so far.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until a line is there.
    async fn shows(&self, line: &str) {
        for _ in 0..500 {
            if self.text().lines().any(|shown| shown == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {line:?} in:\n{}", self.text());
    }
}

/// A development server on a free port.
async fn server(dir: &Path) -> JoinHandle<()> {
    let folder = DevFolder::open_or_make(dir).unwrap();
    let config = Config::load(&Sources {
        file: folder.config_file(),
        flags: vec![Flag {
            name: "--listen",
            key: "listen",
            value: "127.0.0.1:0".into(),
        }],
        ..Sources::default()
    })
    .unwrap();
    let (ready, listening) = oneshot::channel();
    let server = tokio::spawn(async move {
        let run = crate::server::run(
            config,
            Sockets::default(),
            Starts::default(),
            |addresses: &[SocketAddr]| {
                ready.send(addresses[0]).unwrap();
            },
        );
        run.await.unwrap();
    });
    let address = listening.await.unwrap();
    folder
        .remember_url(&format!("wss://localhost:{}/v1", address.port()))
        .unwrap();
    server
}

fn args(dir: &Path, line: &[&str]) -> Args {
    let dir = dir.to_str().unwrap();
    let line = [&["join"], line, &["--dev-dir", dir]].concat();
    match parse(&line).unwrap() {
        Command::Join(args) => args,
        other => panic!("{other:?}"),
    }
}

struct Client {
    paper: Paper,
    leave: watch::Sender<bool>,
    typed: mpsc::Sender<String>,
    task: JoinHandle<Result<Outcome, Failure>>,
}

fn join(dir: &Path, line: &[&str]) -> Client {
    let args = args(dir, line);
    let target = Target::new(&args).unwrap();
    let paper = Paper::default();
    let (leave, asked) = watch::channel(false);
    let (typed, lines) = mpsc::channel(4);
    let style = if args.raw { Style::Raw } else { Style::Lines };
    let mut session = Session {
        channel: args.channel.clone(),
        event: args.event.clone(),
        view: View::new(&args.channel),
        screen: Screen::new(paper.clone(), style, &args.channel).unwrap(),
        typed: lines,
        leave: asked,
        resized: signal(SignalKind::window_change()).unwrap(),
    };
    let task = tokio::spawn(async move {
        let token = target.token()?;
        link::run(&target, &token, &mut session).await
    });
    Client {
        paper,
        leave,
        typed,
        task,
    }
}

impl Client {
    async fn leaves(self) -> String {
        self.leave.send(true).unwrap();
        let outcome = self.task.await.unwrap().unwrap();
        assert!(matches!(outcome, Outcome::Left), "{outcome:?}");
        self.paper.text()
    }

    async fn fails(self) -> String {
        self.task.await.unwrap().unwrap_err().to_string()
    }
}

#[tokio::test]
async fn two_people_see_each_other_come_and_go() {
    let dir = TempDir::new().unwrap();
    let server = server(dir.path()).await;
    let room = "presence.lobby";
    let jim = join(dir.path(), &[room, "--uid", "Jim"]);
    jim.paper
        .shows("= Jim joined presence.lobby (1 here: Jim)")
        .await;
    let umd = r#"{"desk": 2}"#;
    let dwight = join(
        dir.path(),
        &[room, "--uid", "Dwight", "--umd", umd, "--raw"],
    );
    jim.paper
        .shows(r#"+ Dwight came {"desk":2} (2 here: Jim, Dwight)"#)
        .await;
    // Whether it is let through is the token's and the server's business; an answer comes either way.
    jim.typed.send("hello".into()).await.unwrap();
    let frames = dwight.leaves().await;
    jim.paper.shows("- Dwight left (1 here: Jim)").await;
    jim.leaves().await;

    let events: Vec<String> = frames
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|frame| frame["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events.first().unwrap(), "hotsock.connected");
    assert_eq!(events.get(1).unwrap(), "hotsock.subscribed");
    assert_eq!(events.last().unwrap(), "hotsock.unsubscribed");
    server.abort();
}

#[tokio::test]
async fn what_no_retry_can_mend_ends_it_with_the_servers_words() {
    let dir = TempDir::new().unwrap();
    let server = server(dir.path()).await;
    let error = join(dir.path(), &["presence.lobby", "--token", "a.b.c"])
        .fails()
        .await;
    assert!(error.contains("HTTP 401"), "{error}");
    assert!(error.contains("TOKEN_"), "{error}");

    // Another folder's certificate: not the server that this one trusts.
    let other = TempDir::new().unwrap();
    let stranger = DevFolder::open_or_make(other.path()).unwrap();
    let here = DevFolder::open(dir.path()).unwrap();
    stranger.remember_url(&here.url()).unwrap();
    let error = join(other.path(), &["presence.lobby", "--uid", "Jim"])
        .fails()
        .await;
    assert!(error.contains("is not trusted"), "{error}");
    server.abort();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let dir = TempDir::new().unwrap();
    let folder = DevFolder::open_or_make(dir.path()).unwrap();
    // Bound and given back: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    folder
        .remember_url(&format!("wss://localhost:{port}/v1"))
        .unwrap();
    let outcome = join(dir.path(), &["presence.lobby", "--uid", "Jim"])
        .task
        .await
        .unwrap()
        .unwrap();
    let Outcome::Lost { reason, joined, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("cannot be reached"), "{reason}");
    assert!(!joined);
}
