//! What the server does for one client, from its request for a connection to the close: what `server/session.rs` does with
//! the hub, without its deadlines.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::line::{Line, Put, Read};
use crate::hub::{ClientInfo, Connection, Hub, Taken};
use crate::protocol::{CloseReason, Frame};
use crate::world::machine;

/// The conversation is over: why the server closes it, or `None` where the client has.
struct Over(Option<CloseReason>);

/// Where clients come from.
pub(super) fn client_info() -> ClientInfo {
    ClientInfo {
        source_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        user_agent: None,
    }
}

/// Serves a client that presents this token.
pub(super) async fn serve(hub: Arc<Hub>, line: Arc<Line>, token: String) {
    let admission = match hub.admit(&token).await {
        Ok(admission) => admission,
        Err(refused) => return line.refuse(&refused),
    };
    machine::rest().await;
    if line.is_gone() {
        return;
    }
    let Ok(connection) = hub.connect(admission, client_info()).await else {
        return line.fail();
    };
    line.open(&connection);
    let mut session = Session {
        hub: &hub,
        connection: &connection,
        line: &line,
        frames: VecDeque::new(),
    };
    let Over(reason) = session.talk().await;
    hub.disconnect(&connection).await;
    line.close(reason);
}

struct Session<'a> {
    hub: &'a Arc<Hub>,
    connection: &'a Arc<Connection>,
    line: &'a Line,
    /// Taken from the queue, and not yet on their way.
    frames: VecDeque<Frame>,
}

impl Session<'_> {
    /// Until it is over.
    async fn talk(&mut self) -> Over {
        let (hub, connection) = (self.hub, self.connection);
        if connection.has_auto_subscriptions()
            && let Err(over) = self.during(Box::pin(hub.auto_subscribe(connection))).await
        {
            return over;
        }
        loop {
            let text = match poll_fn(|cx| self.poll_next(cx)).await {
                Ok(text) => text,
                Err(over) => return over,
            };
            let work = Box::pin(hub.request(connection, &text));
            if let Err(over) = self.during(work).await {
                return over;
            }
        }
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Result<String, Over>> {
        if let Poll::Ready(over) = self.poll_write(cx) {
            return Poll::Ready(Err(over));
        }
        self.line.poll_read(cx).map(|read| match read {
            Read::Text(text) => Ok(text),
            Read::Gone => Err(Over(None)),
        })
    }

    /// Does `work`, and writes meanwhile.
    async fn during<T>(
        &mut self,
        mut work: Pin<Box<dyn Future<Output = T> + Send + '_>>,
    ) -> Result<T, Over> {
        let connection = self.connection;
        let over = poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            // Leaving waits for no turn, and takes with it what does.
            if self.line.poll_gone(cx) && connection.waits_for_its_turn() {
                return Poll::Ready(Err(Over(None)));
            }
            self.poll_write(cx).map(Err)
        })
        .await;
        let over = match over {
            Ok(done) => return Ok(done),
            Err(over) => over,
        };
        // What has been admitted is done; what waits for its turn, now or later, is for a connection that is over.
        poll_fn(|cx| {
            let waits = connection.waits_for_its_turn();
            if waits || work.as_mut().poll(cx).is_ready() || connection.waits_for_its_turn() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        Err(over)
    }

    /// Puts what waits on its way. Ready only when the connection is to be closed, or the client is gone.
    fn poll_write(&mut self, cx: &Context<'_>) -> Poll<Over> {
        let queue = &self.connection.queue;
        loop {
            let Some(frame) = self.frames.front() else {
                match queue.poll_take(cx, &mut self.frames) {
                    Poll::Ready(Taken::Frames) => continue,
                    Poll::Ready(Taken::Close(reason)) => return Poll::Ready(Over(Some(reason))),
                    Poll::Pending => return Poll::Pending,
                }
            };
            match self.line.put(frame, cx) {
                Put::Taken => {}
                // Whether writing fails at once, or the system takes it, is a matter of chance.
                Put::Gone if machine::draw(2) == 0 => return Poll::Ready(Over(None)),
                Put::Gone => {}
                Put::Full => {
                    let too_slow = Over(Some(CloseReason::SlowConsumer));
                    return queue.poll_too_slow(cx).map(|()| too_slow);
                }
            }
            queue.written(1, frame.wire_len());
            self.frames.pop_front();
        }
    }
}
