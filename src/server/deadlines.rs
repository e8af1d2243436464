//! When a session must act though nothing has come (sections 1 and 6).
//!
//! While the server does not read from a client, the deadlines that the client must keep stand still: when reading goes on,
//! they have moved by that time. All other deadlines go on.
//!
//! The whole server may stand still too: it is stopped, its machine is suspended, or it gets no processor. It then wakes
//! behind deadlines that its clients have kept, because what they sent is unread. So a client is given up only when a read
//! after its deadline has found nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::liveness::{Liveness, Need, Terms};
use crate::hub::Connection;
use crate::protocol::CloseReason;

/// How late a timer may be on a busy server. A later one shows that the server stood still.
const LATE: Duration = Duration::from_secs(1);
/// How often a session that does not read checks whether its client has left.
const LOOK: Duration = Duration::from_secs(1);
/// How often a client past its deadline is checked, until it is certain that nothing has come from it.
const DOUBT: Duration = Duration::from_millis(50);

/// The configured times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) max_lifetime: Duration,
    pub(super) idle_timeout: Duration,
    /// `None` where pings are off.
    pub(super) ping: Option<Terms>,
}

#[derive(Debug)]
pub(super) struct Deadlines {
    lifetime: Instant,
    idle_timeout: Duration,
    /// The last frame in either direction, pings and pongs excepted.
    active: Instant,
    keep_alive: Option<(Duration, Instant)>,
    heartbeat: Option<(Duration, Instant)>,
    pub(super) liveness: Liveness,
    rest: Option<Rest>,
    /// Set while the client is past a deadline and reading has not shown yet that nothing has come: when to check again.
    doubt: Option<Instant>,
    /// The last time that reading found nothing while there was a doubt.
    dry: Instant,
}

/// A time in which the session does not read.
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
    /// Check whether the client has left, while the session does not read.
    Look,
    Client(Need),
}

impl Deadlines {
    pub(super) fn new(connection: &Connection, times: &Times, start: Instant) -> Self {
        Self::of(
            connection.keep_alive,
            connection.heartbeat_timeout,
            times,
            start,
        )
    }

    fn of(keep_alive: bool, heartbeat: Option<Duration>, times: &Times, start: Instant) -> Self {
        Self {
            lifetime: start + times.max_lifetime,
            idle_timeout: times.idle_timeout,
            active: start,
            keep_alive: keep_alive.then(|| {
                let pause = times.idle_timeout.mul_f64(0.95);
                (pause, start + pause)
            }),
            heartbeat: heartbeat.map(|timeout| (timeout, start + timeout)),
            liveness: Liveness::new(times.ping, start),
            rest: None,
            doubt: None,
            dry: start,
        }
    }

    /// Frames have been written.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.active = now;
    }

    /// Bytes have come. `is_frame`: they complete a frame.
    pub(super) fn heard(&mut self, is_frame: bool, now: Instant) {
        self.liveness.heard(now);
        if is_frame {
            self.active = now;
        }
    }

    /// The last frame was a heartbeat.
    pub(super) fn heartbeat(&mut self) {
        if let Some((timeout, due)) = &mut self.heartbeat {
            *due = self.active + *timeout;
        }
    }

    /// Reading stops. Where it `matters`, the session is to check now and then whether the client has left.
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

    /// The timer was set to `planned` and fires now. If that is late, the whole server has stood still for an unknown time.
    /// The client's deadlines then begin anew, because what it has sent may still be on its way.
    pub(super) fn struck(&mut self, planned: Instant, now: Instant) {
        let late = now.saturating_duration_since(planned);
        if late > LATE && self.rest.is_none() {
            self.active = now;
            self.liveness.stood_still(now);
            if let Some((timeout, due)) = &mut self.heartbeat {
                *due = now + *timeout;
            }
        }
    }

    /// Whether the session must call [`found_nothing`](Self::found_nothing) when a read finds nothing.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt.is_some() && self.rest.is_none()
    }

    /// All that the client has sent is read and handled.
    pub(super) fn found_nothing(&mut self, now: Instant) {
        self.dry = now;
    }

    /// Whether it is certain that the client has missed a deadline. Until then, it is checked again soon.
    fn is_broken(&mut self, deadline: Instant, now: Instant) -> bool {
        let is_broken = self.dry >= deadline;
        if !is_broken {
            self.doubt = Some(now + DOUBT);
        }
        is_broken
    }

    fn not_read_for(&mut self, pause: Duration, now: Instant) {
        // Writing meanwhile was activity too, so the sum may lie in the future.
        self.active = (self.active + pause).min(now);
        self.liveness.rested(pause, now);
        if let Some((_, due)) = &mut self.heartbeat {
            *due += pause;
        }
    }

    /// The next moment at which something may be due. Activity only moves it further away, so the timer is set again
    /// when it fires and not with every frame.
    pub(super) fn next(&self) -> Instant {
        let of_client = if let Some(rest) = &self.rest {
            [Some(rest.look), None, None]
        } else {
            [
                Some(self.active + self.idle_timeout),
                self.heartbeat.map(|(_, due)| due),
                self.liveness.next(),
            ]
            .map(|due| due.max(self.doubt))
        };
        of_client
            .into_iter()
            .chain([self.keep_alive.map(|(_, due)| due)])
            .flatten()
            .fold(self.lifetime, Instant::min)
    }

    /// The next thing to do, if any. Call it until it returns `None`.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.lifetime {
            return Some(Due::Close(CloseReason::Lifetime));
        }
        if self.doubt.is_some_and(|until| now >= until) {
            self.doubt = None;
        }
        if self.rest.is_none()
            && let Some((_, due)) = self.heartbeat
            && now >= due
            && self.is_broken(due, now)
        {
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
        let idle = self.active + self.idle_timeout;
        if now >= idle && self.is_broken(idle, now) {
            return Some(Due::Close(CloseReason::Idle));
        }
        if let Some(deadline) = self.liveness.deadline().filter(|deadline| now >= *deadline)
            && !self.is_broken(deadline, now)
        {
            return None;
        }
        self.liveness.due(now).map(Due::Client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMES: Times = Times {
        max_lifetime: Duration::from_secs(10_000),
        idle_timeout: Duration::from_secs(600),
        ping: None,
    };
    const HEARTBEAT: Duration = Duration::from_secs(5);

    /// A timer strikes when it is set to, or so much later; returns what is due, and when that was.
    fn strike(deadlines: &mut Deadlines, late: Duration) -> (Option<Due>, Instant) {
        let planned = deadlines.next();
        let now = planned + late;
        deadlines.struck(planned, now);
        (deadlines.due(now), now)
    }

    /// The deadlines of a client of each kind that gives up: by heartbeats, idleness and pings.
    fn each(start: Instant) -> [(Deadlines, Duration, Due); 3] {
        let pings = Times {
            ping: Some(Terms {
                interval: 3 * SECOND,
                timeout: 2 * SECOND,
            }),
            ..TIMES
        };
        let idle = Times {
            idle_timeout: HEARTBEAT,
            ..TIMES
        };
        let mut pinged = Deadlines::of(false, None, &pings, start);
        let now = start + 3 * SECOND;
        assert_eq!(pinged.due(now), Some(Due::Client(Need::Ping)));
        let line = Some(crate::server::line::Line {
            acknowledged: 10,
            waiting: 0,
        });
        pinged.liveness.looked(line, 0, true, now);
        assert_eq!(pinged.liveness.has_arrived(), Some(true));
        [
            (
                Deadlines::of(false, Some(HEARTBEAT), &TIMES, start),
                HEARTBEAT,
                Due::Close(CloseReason::Heartbeat),
            ),
            (
                Deadlines::of(false, None, &idle, start),
                HEARTBEAT,
                Due::Close(CloseReason::Idle),
            ),
            (pinged, 2 * SECOND, Due::Client(Need::Drop)),
        ]
    }

    #[test]
    fn nobody_is_given_up_before_reading_has_come_to_nothing() {
        for (mut deadlines, _, over) in each(Instant::now()) {
            for _ in 0..3 {
                let (due, now) = strike(&mut deadlines, Duration::ZERO);
                assert_eq!(due, None);
                assert!(deadlines.is_in_doubt());
                assert_eq!(deadlines.next(), now + DOUBT);
            }
            deadlines.found_nothing(deadlines.next() - DOUBT);
            assert_eq!(strike(&mut deadlines, Duration::ZERO).0, Some(over));
        }
    }

    #[test]
    fn reading_before_the_deadline_says_nothing_and_what_was_heard_since_counts() {
        let start = Instant::now();
        for (mut deadlines, ..) in each(start) {
            deadlines.found_nothing(start + 4 * SECOND);
            let (due, now) = strike(&mut deadlines, LATE / 2);
            assert_eq!(due, None);
            deadlines.heard(true, now);
            deadlines.heartbeat();
            deadlines.found_nothing(now);
            let due = strike(&mut deadlines, Duration::ZERO).0;
            assert_eq!(due, None);
            assert!(!deadlines.is_in_doubt());
            assert!(deadlines.next() > now + SECOND);
        }
    }

    #[test]
    fn after_a_standstill_all_begin_anew() {
        for late in [LATE + DOUBT, 8 * SECOND, 3_600 * SECOND] {
            for (mut deadlines, timeout, over) in each(Instant::now()) {
                let (due, back) = strike(&mut deadlines, late);
                assert_eq!(due, None, "{over:?}");
                assert!(!deadlines.is_in_doubt());
                deadlines.found_nothing(back + timeout);
                let (due, now) = strike(&mut deadlines, Duration::ZERO);
                assert_eq!((due, now), (Some(over), back + timeout));
            }
        }
    }

    #[test]
    fn what_waits_for_its_turn_is_not_read_to_the_end() {
        let start = Instant::now();
        for (mut deadlines, ..) in each(start) {
            let now = strike(&mut deadlines, Duration::ZERO).1;
            deadlines.rest(now, true);
            assert!(!deadlines.is_in_doubt());
            deadlines.resume(now + 8 * SECOND);
            assert_eq!(deadlines.due(now + 8 * SECOND), None);
        }
    }
}
