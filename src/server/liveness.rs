//! Whether a client is still there (section 6). A client that has sent nothing for a while is pinged. If it then gives no
//! sign of life, it is gone.
//!
//! All that a client sends is a sign of life. Until the ping has arrived, each TCP acknowledgement is one too, because a
//! reader on a slow link may have much to receive before the ping. After that only an answer counts. The kernel is asked for
//! acknowledgements a few times while an answer is missing, and never otherwise. This file only decides: it has no clock and
//! does no I/O.

use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;

/// How many times the kernel is asked within the timeout of a ping.
const LOOKS: u32 = 4;

/// One client's signs of life.
#[derive(Debug)]
pub(super) struct Liveness {
    terms: Option<Terms>,
    heard: Instant,
    /// Boxed, because it is seldom there.
    ping: Option<Box<Ping>>,
}

/// The configured times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// How long a client may be silent before it is pinged.
    pub(super) interval: Duration,
    /// How long it may give no sign of life after that.
    pub(super) timeout: Duration,
}

/// A ping without an answer.
#[derive(Debug)]
struct Ping {
    /// The last sign of life.
    life: Instant,
    /// When to ask the kernel.
    look: Instant,
    last: Option<Progress>,
    /// The ping has arrived when so many bytes are acknowledged.
    end: Option<u64>,
    arrived: bool,
}

/// How far the bytes sent have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The client has acknowledged so many.
    Acknowledged(u64),
    /// The kernel does not tell; it has taken so many from us.
    Taken(u64),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Need {
    Ping,
    /// Ask the kernel, and call [`Liveness::looked`] with the answer.
    Look,
    /// The client is gone.
    Drop,
}

impl Liveness {
    /// A client that has just been heard. Without terms it is never pinged.
    pub(super) fn new(terms: Option<Terms>, now: Instant) -> Self {
        Self {
            terms,
            heard: now,
            ping: None,
        }
    }

    /// Something has come.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.ping = None;
    }

    pub(super) fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Whether the client's TCP has acknowledged the ping. `None` where there is no ping.
    pub(super) fn has_arrived(&self) -> Option<bool> {
        self.ping.as_ref().map(|ping| ping.arrived)
    }

    /// The server has not read for so long, up to now.
    pub(super) fn rested(&mut self, pause: Duration, now: Instant) {
        self.heard = (self.heard + pause).min(now);
        if let Some(ping) = &mut self.ping {
            ping.life += pause;
            ping.look += pause;
        }
    }

    /// The server has stood still up to now: signs of life may still be unread.
    pub(super) fn stood_still(&mut self, now: Instant) {
        match &mut self.ping {
            Some(ping) => ping.life = now,
            None => self.heard = now,
        }
    }

    /// When the client counts as gone. `None` where it has not been pinged.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (terms, ping) = (self.terms?, self.ping.as_ref()?);
        Some(ping.life + terms.timeout)
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Option<Instant> {
        let terms = self.terms?;
        Some(match &self.ping {
            None => self.heard + terms.interval,
            Some(ping) if ping.arrived => ping.life + terms.timeout,
            Some(ping) => ping.look.min(ping.life + terms.timeout),
        })
    }

    /// What there is to do.
    pub(super) fn due(&mut self, now: Instant) -> Option<Need> {
        let terms = self.terms?;
        if self.next().is_none_or(|next| now < next) {
            return None;
        }
        match &self.ping {
            None => {
                self.ping = Some(Box::new(Ping {
                    life: now,
                    // Early, to learn whether the ping arrived at once or waits behind much else.
                    look: now + terms.timeout / (2 * LOOKS),
                    last: None,
                    end: None,
                    arrived: false,
                }));
                Some(Need::Ping)
            }
            Some(ping) if ping.arrived => Some(Need::Drop),
            Some(_) => Some(Need::Look),
        }
    }

    /// Takes the kernel's answer. `taken` is how many bytes it has taken from us; it counts where there is no answer.
    /// `is_sent`: the kernel has taken the ping. Returns what that means.
    pub(super) fn looked(
        &mut self,
        line: Option<Line>,
        taken: u64,
        is_sent: bool,
        now: Instant,
    ) -> Option<Need> {
        let (terms, ping) = (self.terms?, self.ping.as_mut()?);
        let progress = match line {
            Some(line) => Progress::Acknowledged(line.acknowledged),
            None => Progress::Taken(taken),
        };
        if ping.last.is_some_and(|last| last != progress) {
            ping.life = now;
        }
        ping.last = Some(progress);
        if let Some(line) = line
            && is_sent
        {
            // Bytes written behind the ping since then are included. That gives the client more time, never less.
            let end = *ping.end.get_or_insert(line.acknowledged + line.waiting);
            ping.arrived = line.acknowledged >= end;
        }
        ping.look = now + terms.timeout / LOOKS;
        (now >= ping.life + terms.timeout).then_some(Need::Drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        interval: Duration::from_secs(25),
        timeout: Duration::from_secs(20),
    };

    /// Plays a client until it is dropped; returns when that was, in seconds after it was last heard. `line` says what
    /// the system tells at a time in seconds, and whether the ping is out.
    fn dropped(line: impl Fn(f64) -> (Option<Line>, u64, bool)) -> f64 {
        let start = Instant::now();
        let mut liveness = Liveness::new(Some(TERMS), start);
        let mut pinged = false;
        loop {
            let now = liveness.next().unwrap();
            let at = (now - start).as_secs_f64();
            assert!(at < 1_000.0, "it is never dropped");
            match liveness.due(now) {
                Some(Need::Ping) => {
                    assert_eq!(at, 25.0);
                    assert!(!pinged);
                    pinged = true;
                }
                Some(Need::Look) => {
                    let (line, taken, is_sent) = line(at);
                    if liveness.looked(line, taken, is_sent, now) == Some(Need::Drop) {
                        return at;
                    }
                }
                Some(Need::Drop) => return at,
                None => {}
            }
        }
    }

    fn line(acknowledged: u64, waiting: u64) -> Option<Line> {
        Some(Line {
            acknowledged,
            waiting,
        })
    }

    #[test]
    fn who_acknowledges_nothing_is_dropped_after_the_timeout() {
        let at = dropped(|_| (line(1_000, 30), 0, true));
        assert_eq!(at, 45.0);
    }

    #[test]
    fn who_acknowledges_the_ping_and_does_not_answer_is_dropped_after_the_timeout() {
        let at = dropped(|_| (line(1_030, 0), 0, true));
        assert_eq!(at, 45.0);
    }

    #[test]
    fn a_slow_reader_lives_while_its_tcp_acknowledges_and_has_the_timeout_from_the_ping_on() {
        // 4 MB wait; 125 kB a second are acknowledged, so the ping arrives 32 s after it was sent.
        let at = dropped(|at| {
            let done = ((at * 125_000.0) as u64).min(57 * 125_000);
            (line(done, 57 * 125_000 - done), 0, true)
        });
        assert!((77.0..83.0).contains(&at), "{at}");
        // The same while frames are written on and on behind it.
        let at = dropped(|at| (line((at * 125_000.0) as u64, 4_000_000), 0, true));
        assert!((77.0..86.0).contains(&at), "{at}");
    }

    #[test]
    fn a_ping_that_cannot_be_sent_yet_has_not_arrived() {
        // Until 100 s the frame before it is not out.
        let at = dropped(|at| {
            let done = (at.min(100.0) * 1_000.0) as u64;
            (line(done, 0), 0, at >= 100.0)
        });
        assert!((120.0..126.0).contains(&at), "{at}");
    }

    #[test]
    fn where_the_system_does_not_tell_it_counts_what_is_taken() {
        let at = dropped(|at| (None, at.min(60.0) as u64, true));
        assert!((79.0..91.0).contains(&at), "{at}");
    }

    #[test]
    fn whoever_is_heard_is_pinged_anew_and_time_without_listening_does_not_count() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut liveness = Liveness::new(Some(TERMS), start);
        assert_eq!(liveness.due(start + 24 * second), None);
        assert_eq!(liveness.due(start + 25 * second), Some(Need::Ping));
        liveness.heard(start + 26 * second);
        assert_eq!(liveness.next(), Some(start + 51 * second));
        liveness.rested(10 * second, start + 40 * second);
        assert_eq!(liveness.next(), Some(start + 61 * second));
        assert_eq!(liveness.due(start + 61 * second), Some(Need::Ping));
        let look = liveness.next().unwrap();
        liveness.rested(10 * second, start + 72 * second);
        assert_eq!(liveness.next(), Some(look + 10 * second));
        assert_eq!(Liveness::new(None, start).next(), None);
    }
}
