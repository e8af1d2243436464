//! Plays a seed: every step is done to the world, and what comes of it is told to the models.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcall::simulation::{Ask, Call, Client, Cut, ReceiverMood, State, World};
use serde_json::Value;

use crate::draw;
use crate::models::ear::{Ear, Room};
use crate::models::events_out::Replay;
use crate::models::membership::Membership;
use crate::models::messages::{Clocks, Messages};
use crate::models::reactions::Reactions;
use crate::models::single_use::SingleUse;
use crate::steps::{Pass, Step};
use crate::trace::Trace;
use crate::verdict::{Moment, Verdict};

/// A client of the seed, from its connecting on.
pub struct Person {
    pub client: Client,
    pub pass: Pass,
    pub ear: Ear,
    pub is_open: bool,
    /// Metadata that it has asked for as its connection's.
    pub umds: Vec<Value>,
    /// The single-use token by which it has asked to subscribe, by channel.
    pub by_token: BTreeMap<String, String>,
}

/// What was asked by HTTP, for when the answer comes.
pub enum Asked {
    Publish {
        channel: String,
        event: String,
        data: Value,
        client: Option<usize>,
    },
    List {
        channel: String,
        client: usize,
        known: Vec<String>,
    },
    Info {
        channel: String,
    },
    Other,
}

/// The setup, as far as the checks need it.
pub struct Terms {
    pub channel_bytes: u64,
    pub queue_bytes: usize,
    pub periodic: bool,
    /// Whoever makes others receive much waits: not everything is done when it is quiet.
    pub is_tight: bool,
}

pub struct Play {
    pub world: World,
    pub terms: Terms,
    pub trace: Trace,
    pub now: Moment,
    /// The latest second that the wall clock has shown.
    latest: u64,
    set_back: u64,
    pub seats: [Option<usize>; 7],
    pub people: Vec<Person>,
    pub membership: Membership,
    pub messages: Messages,
    pub reactions: Reactions,
    pub single_use: SingleUse,
    pub replays: Vec<Replay>,
    pub calls: BTreeMap<Call, Asked>,
    /// The rooms that somebody left since the last quiet moment.
    pub ended: Vec<(String, usize, Room)>,
    pub quiet: Moment,
    /// Until when what was told has survived, in periodic durability.
    pub synced: Moment,
    /// Since the start, the disk has refused something, or a stop has begun: requests may fail.
    pub trouble: bool,
    pub is_up: bool,
    pub told_something: bool,
    pub serial: u64,
    /// When each single-use token expires.
    pub expires: BTreeMap<u8, u64>,
}

impl Play {
    pub fn new(seed: u64, trace: Trace) -> Self {
        let setup = draw::setup(seed);
        let is_whole = setup.outbox_retention > Duration::from_secs(86_400)
            && setup.outbox_max_bytes > 1_000_000;
        let replays = setup.webhooks.iter();
        let replays = replays
            .map(|(name, types)| Replay::new(name, is_whole && types.is_empty()))
            .collect();
        let terms = Terms {
            channel_bytes: setup.channel_bytes,
            queue_bytes: setup.queue_bytes,
            periodic: setup.periodic,
            is_tight: setup.fanout_burst_bytes < 1_000_000,
        };
        let membership = Membership::new(millis(setup.boot_grace), millis(setup.disconnect_grace));
        let world = World::new(setup);
        Self {
            latest: world.now_millis() / 1_000,
            world,
            terms,
            trace,
            now: Moment::default(),
            set_back: 0,
            seats: [None; 7],
            people: Vec::new(),
            membership,
            messages: Messages::default(),
            reactions: Reactions::default(),
            single_use: SingleUse::default(),
            replays,
            calls: BTreeMap::new(),
            ended: Vec::new(),
            quiet: Moment::default(),
            synced: Moment::default(),
            trouble: false,
            is_up: false,
            told_something: false,
            serial: 0,
            expires: BTreeMap::new(),
        }
    }

    /// Until when what was told must have survived.
    pub fn sure(&self) -> Moment {
        if self.terms.periodic {
            self.synced
        } else {
            self.now
        }
    }

    pub fn clocks(&mut self) -> Clocks {
        self.latest = self.latest.max(self.world.now_millis() / 1_000);
        Clocks {
            now: self.now,
            wall: self.world.now_millis() / 1_000,
            latest: self.latest + self.set_back,
        }
    }

    /// Does one step and looks at what comes of it.
    pub fn step(&mut self, step: &Step) -> Verdict {
        self.now.step += 1;
        self.trace.line(|| format!("{:4}  {step}", self.now.step));
        self.act(step)?;
        self.look_at_state()?;
        self.harvest(false)?;
        self.check_step()
    }

    fn act(&mut self, step: &Step) -> Verdict {
        match step {
            Step::Connect { seat, pass } => self.connect(*seat, pass),
            Step::Subscribe {
                seat,
                channel,
                umd,
                once,
            } => self.subscribe(*seat, channel, *umd, *once),
            Step::Unsubscribe { seat, channel } => self.unsubscribe(*seat, channel),
            Step::Update {
                seat,
                channel,
                umd,
                http,
            } => self.update(*seat, *channel, umd, *http),
            Step::Say {
                seat,
                channel,
                kind,
                http,
            } => self.say(*seat, channel, *kind, *http),
            Step::Publish {
                channel,
                kind,
                once,
            } => self.publish(channel, *kind, *once),
            Step::React { .. } => self.react(step),
            Step::List { seat, channel } => self.list(*seat, channel),
            Step::Info { channel } => {
                let channel = (*channel).to_owned();
                let ask = Ask::ChannelInfo {
                    channel: channel.clone(),
                };
                self.ask(ask, Asked::Info { channel });
            }
            Step::Kick { seat } => self.kick(*seat),
            Step::Read { seat, bytes } => {
                if let Some(who) = self.seats[*seat] {
                    self.read(who, *bytes)?;
                }
            }
            Step::HangUp { seat } => {
                if let Some(who) = self.seats[*seat] {
                    self.world.hang_up(self.people[who].client);
                    self.membership.hung_up(who, self.now);
                    self.leave(who);
                }
            }
            Step::Receiver { webhook, mood } => {
                if let Some(name) = draw::webhook_name(*webhook, self.replays.len()) {
                    self.world.receiver(name, *mood);
                    if *mood == ReceiverMood::Gone {
                        self.replays[*webhook].is_gone = true;
                    }
                }
            }
            Step::Wait { millis } => self.wait(*millis),
            Step::WaitForTimer => {
                if let Some(wait) = self.world.next_timer() {
                    // To a whole millisecond, which is what the models count in.
                    self.wait(millis(wait + Duration::from_micros(999)).min(3_600_000));
                }
            }
            Step::SetClock { by_millis } => {
                self.clocks();
                self.world.jump_wall_clock(*by_millis);
                if *by_millis < 0 {
                    self.set_back += by_millis.unsigned_abs() / 1_000 + 1;
                }
            }
            Step::Run { at_most } => {
                self.world.run(*at_most);
            }
            Step::Settle => self.settle(),
            Step::Quiet => self.become_quiet()?,
            Step::Room { bytes } => self.world.free_disk(*bytes),
            Step::Fault { fault } => {
                if self.is_up {
                    self.trouble = true;
                    self.world.fault(*fault);
                }
            }
            Step::Stop => {
                if self.is_up && self.world.state() == State::Up {
                    self.trouble = true;
                    self.membership.frozen();
                    self.world.stop();
                }
            }
            Step::Crash { cut } => {
                if self.world.state() != State::Down {
                    self.crash(*cut)?;
                }
            }
            Step::Start => {
                if self.world.state() == State::Down {
                    self.world.start();
                    self.trouble = false;
                    self.membership.starting(self.now);
                }
            }
        }
        Ok(())
    }

    pub fn settle(&mut self) {
        self.world.settle();
        if self.world.state() == State::Up {
            let clocks = self.clocks();
            self.messages.settled(clocks);
        }
        // In periodic durability, a removal may be lost until it is quiet.
        if !self.terms.periodic && self.world.state() == State::Up {
            self.membership.settled(self.now);
        }
    }

    pub fn wait(&mut self, millis: u64) {
        self.world.advance(Duration::from_millis(millis));
        self.now.millis += millis;
        self.clocks();
    }

    pub fn crash(&mut self, cut: Cut) -> Verdict {
        self.world.crash(cut);
        self.went_down(self.sure())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
