//! When a session has to do something though nothing comes (sections 1 and 6).
//!
//! While the server does not read from a client, whatever it waits for from that client waits too: when it reads again,
//! those deadlines have moved on by that time. What does not depend on the client goes on.

use std::time::Duration;

use tokio::time::Instant;

use super::liveness::{Liveness, Need, Terms};
use crate::hub::Connection;
use crate::protocol::CloseReason;

/// How late a timer may be on a busy server.
const LATE: Duration = Duration::from_secs(1);
/// How often a session that does not read finds out whether its client has left.
const LOOK: Duration = Duration::from_secs(1);

/// What the operator has set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) max_lifetime: Duration,
    pub(super) idle_timeout: Duration,
    /// Nothing where pings are off.
    pub(super) ping: Option<Terms>,
}

/// The deadlines of one session.
#[derive(Debug)]
pub(super) struct Deadlines {
    lifetime: Instant,
    idle_timeout: Duration,
    /// The last frame in either direction. Pings and pongs are none.
    active: Instant,
    keep_alive: Option<(Duration, Instant)>,
    heartbeat: Option<(Duration, Instant)>,
    pub(super) liveness: Liveness,
    rest: Option<Rest>,
}

/// A time without reading.
#[derive(Debug)]
struct Rest {
    began: Instant,
    look: Instant,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Close(CloseReason),
    KeepAlive,
    /// Nothing is read: has the client left?
    Look,
    Client(Need),
}

impl Deadlines {
    pub(super) fn new(connection: &Connection, times: &Times, start: Instant) -> Self {
        Self {
            lifetime: start + times.max_lifetime,
            idle_timeout: times.idle_timeout,
            active: start,
            keep_alive: connection.keep_alive.then(|| {
                let pause = times.idle_timeout.mul_f64(0.95);
                (pause, start + pause)
            }),
            heartbeat: connection
                .heartbeat_timeout
                .map(|timeout| (timeout, start + timeout)),
            liveness: Liveness::new(times.ping, start),
            rest: None,
        }
    }

    /// Frames have gone.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.active = now;
    }

    /// Something has come, a whole frame or less.
    pub(super) fn heard(&mut self, is_frame: bool, now: Instant) {
        self.liveness.heard(now);
        if is_frame {
            self.active = now;
        }
    }

    /// The client's heart has beaten, when it was last active.
    pub(super) fn heartbeat(&mut self) {
        if let Some((timeout, due)) = &mut self.heartbeat {
            *due = self.active + *timeout;
        }
    }

    /// Reading stops; where it `matters`, the session is to find out now and then whether the client has left.
    pub(super) fn rest(&mut self, now: Instant, matters: bool) {
        let look = if matters { now + LOOK } else { self.lifetime };
        self.rest = Some(Rest { began: now, look });
    }

    /// Reading goes on.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(rest) = self.rest.take() {
            self.not_read_for(now - rest.began, now);
        }
    }

    /// The timer was set to `planned` and strikes now. If that is late, the whole server has stood still: what clients have
    /// sent meanwhile is still unread.
    pub(super) fn struck(&mut self, planned: Instant, now: Instant) {
        let late = now.saturating_duration_since(planned);
        if late > LATE && self.rest.is_none() {
            self.not_read_for(late, now);
        }
    }

    fn not_read_for(&mut self, pause: Duration, now: Instant) {
        // What was written meanwhile was activity too: it cannot lie in the future.
        self.active = (self.active + pause).min(now);
        self.liveness.rested(pause, now);
        if let Some((_, due)) = &mut self.heartbeat {
            *due += pause;
        }
    }

    /// The next moment at which something may be due. Activity only moves it further away, so the timer is set anew
    /// when it strikes and not with every frame.
    pub(super) fn next(&self) -> Instant {
        let of_client = if let Some(rest) = &self.rest {
            [Some(rest.look), None, None]
        } else {
            [
                Some(self.active + self.idle_timeout),
                self.heartbeat.map(|(_, due)| due),
                self.liveness.next(),
            ]
        };
        of_client
            .into_iter()
            .chain([self.keep_alive.map(|(_, due)| due)])
            .flatten()
            .fold(self.lifetime, Instant::min)
    }

    /// What there is to do; one thing at a time, so ask again after a ping or a look.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.lifetime {
            return Some(Due::Close(CloseReason::Lifetime));
        }
        if self.rest.is_none() && self.heartbeat.is_some_and(|(_, due)| now >= due) {
            return Some(Due::Close(CloseReason::Heartbeat));
        }
        if let Some((pause, due)) = &mut self.keep_alive
            && now >= *due
        {
            *due = now + *pause;
            return Some(Due::KeepAlive);
        }
        if let Some(rest) = &mut self.rest {
            let is_due = now >= rest.look;
            rest.look = if is_due { now + LOOK } else { rest.look };
            return is_due.then_some(Due::Look);
        }
        if now >= self.active + self.idle_timeout {
            return Some(Due::Close(CloseReason::Idle));
        }
        self.liveness.due(now).map(Due::Client)
    }
}
