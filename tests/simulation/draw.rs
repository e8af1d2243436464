//! Draws a seed: how the server is set up, and what happens to it. Each seed has tastes of its own, so that some consist
//! of little but joins and crashes, and others of messages and slow readers: what is found by much of one thing is not
//! found by a little of everything.

use std::time::Duration;

use rollcall::simulation::{Cut, DiskFault, Errno, ReceiverMood, Setup};

use crate::dice::Dice;
use crate::steps::{CHANNELS, KINDS, Pass, REACTIONS, Step, UIDS, UMDS};

const SEATS: u64 = 7;

/// What a seed comes to.
pub struct Plan {
    pub seed: u64,
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x05ee_d0f5_7e95);
        let length = 60 + dice.below(340);
        let mut hand = Hand {
            tastes: std::array::from_fn(|_| [0, 1, 1, 1, 2, 6][dice.below(6) as usize]),
            channels: 1 + dice.below(4),
            uids: 1 + dice.below(5),
            is_up: true,
            dice,
        };
        let mut steps = vec![Step::Start, Step::Settle];
        while steps.len() < length as usize {
            hand.draw(&mut steps);
        }
        Self { seed, steps }
    }
}

/// How the server of a seed is set up.
pub fn setup(seed: u64) -> Setup {
    let mut dice = Dice::new(seed ^ 0x0005_e70b);
    let millis = |dice: &mut Dice, of: &[u64]| Duration::from_millis(dice.pick(of));
    let tight = dice.below(4) == 0;
    Setup {
        seed,
        lanes: dice.pick(&[1, 2, 3, 4]),
        boot_grace: millis(&mut dice, &[0, 2_000, 10_000, 30_000]),
        disconnect_grace: millis(&mut dice, &[0, 0, 500, 5_000]),
        channel_bytes: dice.pick(&[102_400, 102_400, 250, 100]),
        queue_bytes: dice.pick(&[8 << 20, 8 << 20, 20_000, 2_000]),
        max_subscriptions: dice.pick(&[1_000, 1_000, 2]),
        fanout_bytes_per_second: if tight { 500 } else { 8 << 20 },
        fanout_burst_bytes: if tight { 2_000 } else { 64 << 20 },
        periodic: dice.below(6) == 0,
        outbox_retention: millis(&mut dice, &[259_200_000, 259_200_000, 600_000]),
        outbox_max_bytes: dice.pick(&[256 << 20, 256 << 20, 10_000]),
        webhooks: webhooks(&mut dice),
    }
}

/// The name of one of the seed's webhooks.
pub fn webhook_name(n: usize, of: usize) -> Option<&'static str> {
    (n < of).then(|| {
        if n + 1 == of && of == 2 {
            "some"
        } else {
            "all"
        }
    })
}

fn webhooks(dice: &mut Dice) -> Vec<(String, Vec<String>)> {
    let members =
        ["memberAdded", "memberUpdated", "memberRemoved"].map(|kind| format!("hotsock.{kind}"));
    match dice.below(4) {
        0 => Vec::new(),
        1 => vec![("all".to_owned(), members.into())],
        2 => vec![("all".to_owned(), Vec::new())],
        _ => vec![
            ("all".to_owned(), Vec::new()),
            ("some".to_owned(), members[..1].into()),
        ],
    }
}

/// Whoever draws the steps.
struct Hand {
    dice: Dice,
    /// How much this seed likes each kind of step.
    tastes: [u64; 16],
    channels: u64,
    uids: u64,
    is_up: bool,
}

impl Hand {
    fn draw(&mut self, steps: &mut Vec<Step>) {
        // How likely each kind is, before tastes. Joining is always among them.
        const WEIGHTS: [u64; 16] = [14, 16, 8, 8, 14, 8, 8, 3, 4, 6, 3, 7, 2, 4, 3, 1];
        let weight = |n: usize| WEIGHTS[n] * self.tastes[n].max(u64::from(n < 2));
        let total: u64 = (0..16).map(weight).sum();
        let mut left = self.dice.below(total);
        let mut kind = 0;
        while left >= weight(kind) {
            left -= weight(kind);
            kind += 1;
        }
        let step = match kind {
            0 => Step::Connect {
                seat: self.seat(),
                pass: self.pass(),
            },
            1 => self.subscribe(),
            2 => self.unsubscribe(steps),
            3 => Step::Update {
                seat: self.seat(),
                channel: (self.dice.below(3) > 0).then(|| self.channel()),
                umd: self.dice.pick(&UMDS),
                http: self.dice.below(4) == 0,
            },
            4 => Step::Say {
                seat: self.seat(),
                channel: self.channel(),
                kind: self.dice.pick(&KINDS),
                http: self.dice.below(4) == 0,
            },
            5 => Step::Publish {
                channel: self.channel(),
                kind: self.dice.pick(&KINDS),
                once: (self.dice.below(2) == 0).then(|| self.dice.below(3) as u8),
            },
            6 => self.react(),
            7 => match self.dice.below(2) {
                0 => Step::List {
                    seat: self.seat(),
                    channel: self.channel(),
                },
                _ => Step::Info {
                    channel: self.channel(),
                },
            },
            8 => Step::Read {
                seat: self.seat(),
                bytes: self.dice.pick(&[1, 300, 1_000, 100_000]),
            },
            9 => match self.dice.below(8) {
                0 => Step::Kick { seat: self.seat() },
                _ => Step::HangUp { seat: self.seat() },
            },
            10 => Step::Receiver {
                webhook: self.dice.below(2) as usize,
                mood: self.mood(),
            },
            11 => self.time(),
            12 => Step::SetClock {
                by_millis: self.dice.pick(&[
                    -7_200_000, -60_000, -1_000, 1_000, 60_000, 400_000, 7_200_000,
                ]),
            },
            13 => Step::Quiet,
            14 => return self.down_and_up(steps),
            _ => match self.dice.below(3) {
                0 => Step::Room {
                    bytes: self.dice.pick(&[0, 1 << 40]),
                },
                _ => Step::Fault {
                    fault: self.fault(),
                },
            },
        };
        self.rival(&step, steps);
        steps.push(step);
        self.run(steps);
    }

    /// What serves once is now and then wanted by two at a time, or again when it has just expired.
    fn rival(&mut self, step: &Step, steps: &mut Vec<Step>) {
        let twin = match step {
            Step::Connect { pass, .. } if pass.once.is_some() => Step::Connect {
                seat: self.seat(),
                pass: pass.clone(),
            },
            Step::Subscribe {
                channel,
                umd,
                once: Some(once),
                ..
            } => Step::Subscribe {
                seat: self.seat(),
                channel,
                umd: *umd,
                once: Some(*once),
            },
            Step::Publish { once: Some(_), .. } => step.clone(),
            _ => return,
        };
        match (self.dice.below(6), step) {
            (0..2, _) => steps.push(twin),
            (2, Step::Publish { .. }) => {
                steps.extend([
                    twin.clone(),
                    Step::Settle,
                    Step::Wait { millis: 301_000 },
                    twin,
                ]);
                self.run(steps);
                self.run(steps);
            }
            _ => {}
        }
    }

    /// And now and then straight back again.
    fn unsubscribe(&mut self, steps: &mut Vec<Step>) -> Step {
        let (seat, channel) = (self.seat(), self.channel());
        let leaves = Step::Unsubscribe { seat, channel };
        if self.dice.below(3) > 0 {
            return leaves;
        }
        steps.push(leaves);
        Step::Subscribe {
            seat,
            channel,
            umd: None,
            once: None,
        }
    }

    /// How far the server comes before the next step.
    fn run(&mut self, steps: &mut Vec<Step>) {
        match self.dice.below(8) {
            0..3 => steps.push(Step::Run {
                at_most: self.dice.pick(&[1, 1, 2, 3, 5, 8, 13, 30]),
            }),
            3..6 => steps.push(Step::Settle),
            _ => {}
        }
    }

    fn down_and_up(&mut self, steps: &mut Vec<Step>) {
        let keep = self.dice.below(4) as usize;
        let down = match self.dice.below(4) {
            0 => Step::Stop,
            1 => Step::Crash { cut: Cut::Kill },
            _ => Step::Crash {
                cut: Cut::Power { keep },
            },
        };
        if down == Step::Stop {
            steps.push(Step::Stop);
            match self.dice.below(3) {
                0 => self.run(steps),
                _ => steps.extend([Step::Settle, Step::Wait { millis: 6_000 }, Step::Settle]),
            }
            if self.dice.below(3) == 0 {
                steps.push(Step::Crash { cut: Cut::Kill });
            }
        } else {
            steps.push(down);
        }
        self.is_up = false;
        match self.dice.below(4) {
            0 => steps.push(Step::Wait {
                millis: self.dice.pick(&[1_000, 40_000, 4_000_000]),
            }),
            1 => steps.push(Step::SetClock {
                by_millis: self.dice.pick(&[-3_600_000, -5_000, 5_000, 3_600_000]),
            }),
            _ => {}
        }
        steps.push(Step::Start);
        self.run(steps);
        // Now and then a start is cut, too.
        if self.dice.below(6) == 0 {
            steps.push(Step::Crash {
                cut: Cut::Power { keep },
            });
            steps.push(Step::Start);
        }
        steps.push(Step::Settle);
        self.is_up = true;
    }

    fn seat(&mut self) -> usize {
        self.dice.below(SEATS) as usize
    }

    fn channel(&mut self) -> &'static str {
        CHANNELS[self.dice.below(self.channels) as usize]
    }

    fn uid(&mut self) -> &'static str {
        UIDS[self.dice.below(self.uids) as usize]
    }

    fn pass(&mut self) -> Pass {
        let auto = match self.dice.below(3) {
            0 => vec![self.channel()],
            _ => Vec::new(),
        };
        Pass {
            uid: (self.dice.below(12) > 0).then(|| self.uid()),
            umd: self.dice.pick(&UMDS),
            auto,
            omit: self.dice.below(10) == 0,
            once: (self.dice.below(8) == 0).then(|| self.dice.below(4) as u8),
            reads: self.dice.below(4) > 0,
        }
    }

    fn subscribe(&mut self) -> Step {
        let by_token = self.dice.below(4) == 0;
        Step::Subscribe {
            seat: self.seat(),
            channel: self.channel(),
            umd: by_token.then(|| self.dice.pick(&UMDS)),
            once: (by_token && self.dice.below(2) == 0).then(|| self.dice.below(4) as u8),
        }
    }

    fn react(&mut self) -> Step {
        Step::React {
            seat: (self.dice.below(3) > 0).then(|| self.seat()),
            uid: self.uid(),
            message: self.dice.below(4) as usize,
            reaction: self.dice.pick(&REACTIONS),
            remove: self.dice.below(5) < 2,
            http: self.dice.below(4) == 0,
        }
    }

    fn mood(&mut self) -> ReceiverMood {
        match self.dice.below(12) {
            0..6 => ReceiverMood::Takes,
            6..9 => ReceiverMood::Fails(503),
            9..11 => ReceiverMood::Hangs,
            _ => ReceiverMood::Gone,
        }
    }

    fn time(&mut self) -> Step {
        match self.dice.below(10) {
            0..4 => Step::WaitForTimer,
            4..9 => Step::Wait {
                millis: self
                    .dice
                    .pick(&[1, 2, 50, 400, 600, 1_000, 3_000, 11_000, 31_000, 90_000]),
            },
            _ => Step::Wait { millis: 7_200_000 },
        }
    }

    fn fault(&mut self) -> DiskFault {
        let errno = self.dice.pick(&[Errno::NoSpace, Errno::Io]);
        match self.dice.below(2) {
            0 => DiskFault::RefuseApply(errno),
            _ => DiskFault::RefuseSync(errno),
        }
    }
}
