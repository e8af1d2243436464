//! The outbox as one reader follows it: behind `GET /events` (section 13).

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Event, EventId, EventSource, OutboxError};
use crate::protocol::EventKinds;

/// How many events one read of the outbox asks for; about a megabyte at the most.
const AT_ONCE: usize = 64;

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// With the oldest event that is kept.
    Oldest,
    /// After this event.
    After(EventId),
}

/// What a reader gets.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event.
    Event(Event),
    /// Events that the reader asked for are lost to it: they were trimmed, or not kept when they happened. It goes on
    /// after `resume`.
    Gap {
        /// Whoever comes back with this goes on without being told again.
        resume: EventId,
    },
}

/// One reader's way through the outbox.
pub struct Feed {
    outbox: Arc<dyn EventSource>,
    kinds: EventKinds,
    position: u64,
    /// Where it ends; `None` where it goes on for ever.
    end: Option<u64>,
    /// Whether whatever is missing is no gap: the reader has asked for the oldest there is.
    tolerant: bool,
    durable: watch::Receiver<u64>,
    ready: VecDeque<Item>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("kinds", &self.kinds)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// Begins to read events of `kinds`. Without `follow` it ends with what is durable now.
    pub fn open(
        outbox: Arc<dyn EventSource>,
        kinds: EventKinds,
        start: Start,
        follow: bool,
    ) -> Self {
        let durable = outbox.durable();
        let last = *durable.borrow();
        let position = match start {
            Start::Now => last,
            Start::Oldest => 0,
            Start::After(id) if id.outbox == outbox.id() => id.sequence,
            // An event of another database: beyond everything here, so that the gap is told.
            Start::After(_) => u64::MAX,
        };
        Self {
            outbox,
            kinds,
            position,
            end: (!follow).then_some(last),
            tolerant: start == Start::Oldest,
            durable,
            ready: VecDeque::new(),
        }
    }

    /// The next item; `None` at the end. Waits as long as there is none. May be dropped while it waits without losing
    /// anything.
    ///
    /// # Errors
    /// When the outbox cannot be read.
    pub async fn next(&mut self) -> Result<Option<Item>, OutboxError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            self.durable.borrow_and_update();
            if !self.read().await? && (self.end.is_some() || self.durable.changed().await.is_err())
            {
                return Ok(None);
            }
        }
    }

    /// Reads on. Whether there was anything to look at.
    async fn read(&mut self) -> Result<bool, OutboxError> {
        if self.end.is_some_and(|end| self.position == end) {
            return Ok(false);
        }
        let batch = super::read(&self.outbox, self.position, self.kinds, AT_ONCE).await?;
        if batch.missed && !self.tolerant {
            let before_first = batch.events.first().map(|event| event.sequence - 1);
            self.ready.push_back(Item::Gap {
                resume: EventId {
                    outbox: self.outbox.id(),
                    sequence: before_first.unwrap_or(batch.position),
                },
            });
        }
        self.tolerant = false;
        let moved = batch.position != self.position;
        self.position = batch.position;
        let end = self.end.unwrap_or(u64::MAX);
        let wanted = batch
            .events
            .into_iter()
            .filter(|event| event.sequence <= end);
        self.ready.extend(wanted.map(Item::Event));
        if self.position > end {
            self.position = end;
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;
    use tokio::time::timeout;

    use super::*;
    use crate::events::{Batch, Cursor};
    use crate::protocol::EventKind;

    /// Events 1 up to the last, of which those up to `trimmed` are gone; every third one is a `memberRemoved`.
    struct Fake {
        trimmed: Mutex<u64>,
        last: watch::Sender<u64>,
    }

    impl Fake {
        fn new(trimmed: u64, last: u64) -> Arc<Self> {
            Arc::new(Self {
                trimmed: Mutex::new(trimmed),
                last: watch::Sender::new(last),
            })
        }
    }

    fn kind(sequence: u64) -> EventKind {
        if sequence.is_multiple_of(3) {
            EventKind::MemberRemoved
        } else {
            EventKind::MemberAdded
        }
    }

    impl EventSource for Fake {
        fn id(&self) -> u32 {
            7
        }

        fn read(
            &self,
            position: u64,
            kinds: EventKinds,
            limit: usize,
        ) -> Result<Batch, OutboxError> {
            let (trimmed, last) = (*self.trimmed.lock(), *self.last.borrow());
            let missed = position < trimmed || position > last;
            let start = if position > last { 0 } else { position }.max(trimmed);
            let mut batch = Batch {
                events: Vec::new(),
                position: start,
                missed,
            };
            for sequence in start + 1..=last {
                if batch.events.len() == limit.min(2) {
                    break;
                }
                batch.position = sequence;
                if kinds.contains(kind(sequence)) {
                    batch.events.push(Event {
                        sequence,
                        id: EventId {
                            outbox: 7,
                            sequence,
                        },
                        kind: kind(sequence),
                        at: 0,
                        body: "{}".into(),
                    });
                }
            }
            Ok(batch)
        }

        fn durable(&self) -> watch::Receiver<u64> {
            self.last.subscribe()
        }

        fn cursor(&self, _: &str) -> Result<Option<Cursor>, OutboxError> {
            Ok(None)
        }

        fn keep_cursor(&self, _: &str, _: Cursor) {}
    }

    async fn all(feed: &mut Feed) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(Ok(Some(item))) = timeout(Duration::from_millis(20), feed.next()).await {
            all.push(match item {
                Item::Event(event) => event.sequence.to_string(),
                Item::Gap { resume } => format!("gap to {}", resume.sequence),
            });
        }
        all
    }

    fn after(outbox: u32, sequence: u64) -> Start {
        Start::After(EventId { outbox, sequence })
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_what_it_asks_for_and_is_told_what_is_lost() {
        let fake = Fake::new(3, 8);
        for (start, expected) in [
            (Start::Now, &[][..]),
            (Start::Oldest, &["4", "5", "6", "7", "8"]),
            (after(7, 3), &["4", "5", "6", "7", "8"]),
            (after(7, 6), &["7", "8"]),
            (after(7, 1), &["gap to 3", "4", "5", "6", "7", "8"]),
            (after(7, 9), &["gap to 3", "4", "5", "6", "7", "8"]),
            (after(8, 6), &["gap to 3", "4", "5", "6", "7", "8"]),
        ] {
            for follow in [false, true] {
                let mut feed = Feed::open(fake.clone(), EventKinds::ALL, start, follow);
                assert_eq!(all(&mut feed).await, expected, "{start:?}");
            }
        }
        let removed = [EventKind::MemberRemoved].into_iter().collect();
        let mut feed = Feed::open(fake.clone(), removed, Start::Oldest, true);
        assert_eq!(all(&mut feed).await, ["6"]);
        fake.last.send_replace(12);
        assert_eq!(all(&mut feed).await, ["9", "12"]);
        *fake.trimmed.lock() = 15;
        fake.last.send_replace(18);
        assert_eq!(all(&mut feed).await, ["gap to 17", "18"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_does_not_follow_ends_where_it_began() {
        let fake = Fake::new(0, 5);
        let mut feed = Feed::open(fake.clone(), EventKinds::ALL, Start::Oldest, false);
        fake.last.send_replace(9);
        assert_eq!(all(&mut feed).await, ["1", "2", "3", "4", "5"]);
        assert!(feed.next().await.unwrap().is_none());
    }
}
