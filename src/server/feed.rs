//! `GET /events`: events out as Server-Sent Events (section 13).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Incoming;
use hyper::{Request, Response, header};
use tokio::time::{Instant, timeout};
use tracing::{debug, error};

use super::answer::{Answer, Body, Refused, unavailable, with};
use super::{Shared, body};
use crate::events::{EventId, EventSource, Feed, FeedItem, FeedStart};
use crate::hub::rfc3339;
use crate::protocol::{EventKind, EventKinds, Refusal};

/// How often an idle feed sends a comment. This is also how soon a lost reader is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a feed renews its wish with the outbox, which then keeps the event types that the feed reads.
const RENEW: Duration = Duration::from_secs(20);
/// How many chunks may wait for a reader. When they are full, the feed reads no further.
const CHUNKS: usize = 2;
/// The first chunk: after how many milliseconds a reader should reconnect.
const GREETING: &[u8] = b"retry: 2000\n\n";

/// What a request asks for.
struct Wanted {
    kinds: EventKinds,
    start: FeedStart,
    follow: bool,
}

/// Answers with a stream that goes on until the reader leaves or the server stops.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    request: &Request<Incoming>,
) -> Result<Answer, Refused> {
    let wanted = wanted(request)?;
    if !shared.hub.keep_for_feed(wanted.kinds).await {
        return Ok(unavailable("SERVER_STOPPING", "the server is stopping"));
    }
    let outbox: Arc<dyn EventSource> = Arc::clone(shared.hub.outbox()) as _;
    let feed = Feed::open(outbox, wanted.kinds, wanted.start, wanted.follow);
    let (sender, channel) = Channel::new(CHUNKS);
    tokio::spawn(run(Arc::clone(shared), feed, wanted.kinds, sender));
    Ok(with(
        Response::new(Body::Right(channel)),
        [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
        ],
    ))
}

fn wanted(request: &Request<Incoming>) -> Result<Wanted, Refusal> {
    let query = request.uri().query();
    let kinds = match body::parameter(query, "types") {
        None => EventKinds::ALL,
        Some(types) => types
            .split(',')
            .map(|name| {
                EventKind::from_name(name).ok_or_else(|| {
                    Refusal::invalid(format!(
                        "parameter `types`: {name:?} is no type of event; there are {}",
                        EventKind::ALL.map(EventKind::name).join(", ")
                    ))
                })
            })
            .collect::<Result<_, _>>()?,
    };
    // A client that reconnects by itself repeats its first query, and names its place in the header. So the header counts.
    let header = request
        .headers()
        .get("last-event-id")
        .map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let from_header = start(header.as_deref().unwrap_or_default())?;
    let from_query = start(&body::parameter(query, "after").unwrap_or_default())?;
    let start = from_header.or(from_query).unwrap_or(FeedStart::Now);
    let follow = match body::parameter(query, "follow").as_deref() {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(Refusal::invalid("parameter `follow` must be true or false")),
    };
    Ok(Wanted {
        kinds,
        start,
        follow,
    })
}

/// Where to begin. `None` where the id is empty.
pub(super) fn start(id: &str) -> Result<Option<FeedStart>, Refusal> {
    Ok(match id {
        "" => None,
        "0" => Some(FeedStart::Oldest),
        id => Some(FeedStart::After(id.parse::<EventId>().map_err(
            |invalid| Refusal::invalid(format!("`Last-Event-ID` or parameter `after`: {invalid}")),
        )?)),
    })
}

async fn run(shared: Arc<Shared>, mut feed: Feed, kinds: EventKinds, mut sender: Sender<Bytes>) {
    let mut renewed = Instant::now();
    let mut chunk = Bytes::from_static(GREETING);
    // Sending fails when the reader is gone.
    while sender.send_data(chunk).await.is_ok() {
        if shared.hub.is_stopping() {
            return;
        }
        if renewed.elapsed() > RENEW {
            shared.hub.keep_for_feed(kinds).await;
            renewed = Instant::now();
        }
        chunk = match timeout(HEARTBEAT, feed.next()).await {
            Err(_) => Bytes::from_static(b":\n\n"),
            Ok(Ok(Some(item))) => text(&item),
            Ok(Ok(None)) => return,
            Ok(Err(failure)) => {
                error!(error = %failure, "a feed of events ends");
                return;
            }
        };
    }
    debug!("the reader of a feed is gone");
}

fn text(item: &FeedItem) -> Bytes {
    let mut text = String::new();
    // Writing into a String has no way to fail.
    let _ = match item {
        FeedItem::Event(event) => write!(
            text,
            // The time is for people. It is a comment, which programs skip.
            ": {}\nid: {}\nevent: {}\ndata: {}\n\n",
            rfc3339(event.at / 1000),
            event.id,
            event.kind.name(),
            String::from_utf8_lossy(&event.body)
        ),
        FeedItem::Gap { resume } => write!(
            text,
            "id: {resume}\nevent: rollcall.gap\ndata: {{\"message\":\"events before this are lost to this reader: they \
             were older than events.retention, did not fit into events.max_bytes, or nobody wanted them when they \
             happened\",\"resume\":\"{resume}\"}}\n\n"
        ),
    };
    text.into()
}
