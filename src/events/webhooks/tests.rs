//! One webhook against a receiver that does as it is told, on a clock that is.

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::WebhookSecret;
use crate::events::{Batch, EventId};
use crate::protocol::{EventKind, EventKinds};

/// An outbox in memory.
struct Fake {
    last: watch::Sender<u64>,
    trimmed: Mutex<u64>,
    cursor: Mutex<Option<Cursor>>,
}

impl EventSource for Fake {
    fn id(&self) -> u32 {
        7
    }

    fn read(&self, position: u64, _: EventKinds, limit: usize) -> Result<Batch, OutboxError> {
        let (trimmed, last) = (*self.trimmed.lock(), *self.last.borrow());
        let start = position.max(trimmed);
        let events = (start + 1..=last).take(limit).map(|sequence| Event {
            sequence,
            id: EventId {
                outbox: 7,
                sequence,
            },
            kind: EventKind::MemberAdded,
            at: 0,
            body: sequence.to_string().into(),
        });
        let events: Vec<Event> = events.collect();
        Ok(Batch {
            position: events.last().map_or(start, |event| event.sequence),
            events,
            missed: position < trimmed,
        })
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn cursor(&self, _: &str) -> Result<Option<Cursor>, OutboxError> {
        Ok(self.cursor.lock().clone())
    }

    fn keep_cursor(&self, _: &str, cursor: Cursor) {
        *self.cursor.lock() = Some(cursor);
    }
}

/// Says what the test says, and tells the test what came.
struct Script {
    replies: Mutex<mpsc::UnboundedReceiver<Result<Reply, String>>>,
    posts: mpsc::UnboundedSender<(Instant, String)>,
}

impl Transport for Script {
    async fn post(&self, post: Post) -> Result<Reply, String> {
        assert_eq!(
            post.id,
            format!("00000007-{}", String::from_utf8_lossy(&post.body))
        );
        self.posts.send((Instant::now(), post.id)).unwrap();
        self.replies.lock().try_recv().unwrap_or(status(200))
    }
}

fn status(status: u16) -> Result<Reply, String> {
    Ok(Reply {
        status,
        retry_after: None,
    })
}

struct Stage {
    outbox: Arc<Fake>,
    replies: mpsc::UnboundedSender<Result<Reply, String>>,
    posts: mpsc::UnboundedReceiver<(Instant, String)>,
    state: Arc<Mutex<WebhookStatus>>,
    task: tokio::task::JoinHandle<()>,
}

fn stage(cursor: Option<Cursor>, last: u64) -> Stage {
    let outbox = Arc::new(Fake {
        last: watch::Sender::new(last),
        trimmed: Mutex::new(0),
        cursor: Mutex::new(cursor),
    });
    let (replies, script) = mpsc::unbounded_channel();
    let (posts_in, posts) = mpsc::unbounded_channel();
    let webhook = Webhook {
        name: "app".into(),
        url: "https://app.example/hooks?secret=1".into(),
        secret: WebhookSecret::new(b"0123456789abcdef01234567".to_vec()),
        types: EventKinds::ALL,
        ca_file: None,
    };
    let transport = Script {
        replies: Mutex::new(script),
        posts: posts_in,
    };
    let courier = Courier::new(webhook, Arc::clone(&outbox) as _, transport).unwrap();
    let state = Arc::clone(&courier.state);
    let task = tokio::spawn(courier.run());
    Stage {
        outbox,
        replies,
        posts,
        state,
        task,
    }
}

fn at(position: u64) -> Option<Cursor> {
    Some(Cursor {
        position,
        gone: None,
    })
}

impl Stage {
    async fn next(&mut self) -> (Instant, u64) {
        let day = Duration::from_secs(86_400);
        let (at, id) = timeout(day, self.posts.recv()).await.unwrap().unwrap();
        (at, id.split_once('-').unwrap().1.parse().unwrap())
    }

    /// Nothing is left to do.
    async fn idle(&mut self) {
        let more = timeout(Duration::from_secs(3_600), self.posts.recv()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_webhook_begins_with_what_is_new() {
    let mut stage = stage(None, 5);
    stage.idle().await;
    stage.outbox.last.send_replace(7);
    assert_eq!(stage.next().await.1, 6);
    assert_eq!(stage.next().await.1, 7);
    stage.idle().await;
    assert_eq!(*stage.outbox.cursor.lock(), at(7));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_tried_until_it_is_taken_and_the_next_one_waits() {
    let mut stage = stage(at(0), 2);
    stage.replies.send(Err("refused".into())).unwrap();
    for code in [500, 302, 404, 429] {
        stage.replies.send(status(code)).unwrap();
    }
    let mut tries = Vec::new();
    for _ in 0..6 {
        let (when, sequence) = stage.next().await;
        assert_eq!(sequence, 1);
        tries.push(when);
    }
    let pauses: Vec<f64> = tries
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    for (pause, longest) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0]) {
        assert!(
            (longest * 0.74..=longest + 0.01).contains(pause),
            "{pauses:?}"
        );
    }
    assert_eq!(stage.next().await.1, 2);
    assert_eq!(stage.state.lock().failures, 0);
    assert_eq!(stage.state.lock().host, "https://app.example");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_for_a_day_misses_nothing() {
    let mut stage = stage(at(0), 3);
    let begun = Instant::now();
    let mut tries = 0;
    while begun.elapsed() < Duration::from_secs(86_400) {
        stage.replies.send(Err("no route to host".into())).unwrap();
        assert_eq!(stage.next().await.1, 1);
        tries += 1;
        stage.outbox.last.send_modify(|last| *last += 1);
    }
    assert!((280..420).contains(&tries), "{tries} tries in a day");
    let last = *stage.outbox.last.borrow();
    for sequence in 1..=last {
        assert_eq!(stage.next().await.1, sequence);
    }
    stage.idle().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_while_it_was_tried_is_not_tried_any_more() {
    let mut stage = stage(at(0), 9);
    stage.replies.send(status(500)).unwrap();
    assert_eq!(stage.next().await.1, 1);
    *stage.outbox.trimmed.lock() = 6;
    assert_eq!(stage.next().await.1, 7);
}

#[tokio::test(start_paused = true)]
async fn a_410_ends_it_until_it_has_another_url() {
    let mut stage = stage(at(0), 2);
    stage.replies.send(status(410)).unwrap();
    stage.next().await;
    (&mut stage.task).await.unwrap();
    assert!(stage.state.lock().gone);
    let gone = stage.outbox.cursor.lock().clone().unwrap();
    assert_eq!(gone.position, 0);
    assert_eq!(
        gone.gone.as_deref(),
        Some("https://app.example/hooks?secret=1")
    );

    let again = super::tests::stage(Some(gone.clone()), 2);
    again.task.await.unwrap();
    assert!(again.state.lock().gone);

    let other = Cursor {
        gone: Some("https://other.example/".into()),
        ..gone
    };
    let mut moved = super::tests::stage(Some(other), 2);
    assert_eq!(moved.next().await.1, 1);
}
