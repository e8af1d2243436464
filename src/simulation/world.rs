//! A world, as a test holds it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::asks::{self, Answer, Ask, Call};
use super::life::{self, Life, State};
use super::line::{Client, Heard, Line};
use super::receivers::{ReceiverMood, Receivers};
use super::session;
use super::setup::{Cut, DiskFault, Setup};
use super::{Kept, Leftovers, Posted};
use crate::auth::{Algorithm, SigningKey};
use crate::hub::Hub;
use crate::store::{Memory, kept};
use crate::world::machine::Machine;

/// When every world begins: Unix time in milliseconds.
const BEGINNING: i64 = 1_790_000_000_000;
/// For how long a token is good that does not say so itself, in seconds.
const TOKEN_SECONDS: u64 = 3_600;
/// After so many steps a world that does not settle never will.
const ENDLESS: usize = 1_000_000;

/// Answers to calls: the calls that are under way have none.
type Answers = Arc<Mutex<BTreeMap<Call, Option<Answer>>>>;

/// A world with one server and its clients. All of it is on one thread, and nothing runs but by [`World::run`] and
/// [`World::settle`].
pub struct World {
    setup: Setup,
    machine: Rc<Machine>,
    disk: Memory,
    key: Arc<SigningKey>,
    life: Arc<Life>,
    lines: Vec<Arc<Line>>,
    answers: Answers,
    calls: usize,
    receivers: Arc<Receivers>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.setup.seed)
            .field("state", &self.life.state())
            .finish_non_exhaustive()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _entered = self.machine.enter();
        self.end();
    }
}

impl World {
    /// A world in which the server is not started yet, and its database is empty.
    pub fn new(setup: Setup) -> Self {
        let secret = b"a secret that only the simulation knows";
        let key = SigningKey::from_secret(Algorithm::HS256, None, secret);
        Self {
            machine: Machine::new(setup.seed, BEGINNING, setup.lanes.max(1)),
            disk: Memory::new(),
            #[allow(clippy::expect_used, reason = "the secret is long enough")]
            key: Arc::new(key.expect("a key")),
            life: Life::new(),
            lines: Vec::new(),
            answers: Answers::default(),
            calls: 0,
            receivers: Arc::default(),
            setup,
        }
    }

    /// Begins a start, where the server is not there.
    pub fn start(&mut self) {
        let _entered = self.machine.enter();
        if !self.life.is_running() {
            // What a process that failed has applied is still there.
            self.disk.kill();
            self.life = Life::new();
            self.life.set(State::Starting);
            self.machine.spawn(Box::pin(life::live(
                Arc::clone(&self.life),
                self.setup.clone(),
                Arc::clone(&self.key),
                self.disk.clone(),
                Arc::clone(&self.receivers),
            )));
        }
    }

    /// Begins an orderly stop. A server that is starting stops when it has started.
    pub fn stop(&mut self) {
        let _entered = self.machine.enter();
        self.life.stop();
    }

    /// The server goes down at once, whatever it is at. Its clients are not told.
    pub fn crash(&mut self, cut: Cut) {
        let _entered = self.machine.enter();
        self.end();
        match cut {
            Cut::Kill => self.disk.kill(),
            Cut::Power { keep } => self.disk.power_cut(keep),
        }
        self.life.set(State::Down);
    }

    /// What the server is at.
    pub fn state(&self) -> State {
        self.life.state()
    }

    /// Has the disk do something wrong at its next call of that kind.
    pub fn fault(&mut self, fault: DiskFault) {
        self.disk.fail(fault.fault(), 0);
    }

    /// How many batches are applied and not durable.
    pub fn unsynced(&self) -> usize {
        self.disk.pending()
    }

    /// Says how many bytes are free on the disk. The server looks twice a second.
    pub fn free_disk(&mut self, bytes: u64) {
        self.disk.set_free(bytes);
    }

    /// Time passes, on both clocks. Nothing runs.
    pub fn advance(&mut self, by: Duration) {
        self.machine.advance(by);
    }

    /// How long it is until something in the server waits for no longer.
    pub fn next_timer(&self) -> Option<Duration> {
        self.machine.next_timer()
    }

    /// The time of day jumps.
    pub fn jump_wall_clock(&mut self, by_millis: i64) {
        self.machine.jump(by_millis);
    }

    /// The time of day: Unix time in milliseconds.
    pub fn now_millis(&self) -> u64 {
        let _entered = self.machine.enter();
        crate::world::clock::now_millis()
    }

    /// Runs what is ready, one poll or stage of a commit after the other, as the seed says. Returns how many there were.
    pub fn run(&mut self, at_most: usize) -> usize {
        let _entered = self.machine.enter();
        for n in 0..at_most {
            if !self.machine.poll_one() {
                return n;
            }
            if !self.life.is_running() {
                self.end();
            }
        }
        at_most
    }

    /// Runs until nothing is ready.
    ///
    /// # Panics
    /// When that does not come to an end.
    pub fn settle(&mut self) {
        #[allow(clippy::panic, reason = "a test is to fail")]
        if self.run(ENDLESS) == ENDLESS {
            panic!("the server does not come to rest");
        }
    }

    /// A client connects with a token of these claims.
    pub fn connect(&mut self, claims: &Value) -> Client {
        let mut claims = claims.clone();
        if let Some(claims) = claims.as_object_mut() {
            claims.entry("scope").or_insert(json!("connect"));
        }
        let token = self.token(&claims);
        let line = Arc::new(Line::new());
        self.lines.push(Arc::clone(&line));
        let _entered = self.machine.enter();
        match self.hub() {
            Some(hub) => {
                self.machine
                    .spawn(Box::pin(session::serve(hub, line, token)));
            }
            None => line.fail(),
        }
        Client(self.lines.len() - 1)
    }

    /// How many clients there have been: they are named in order.
    pub fn clients(&self) -> usize {
        self.lines.len()
    }

    /// A signed token of these claims, for an hour where they do not say.
    pub fn token(&self, claims: &Value) -> String {
        let mut claims = claims.clone();
        if let Some(claims) = claims.as_object_mut() {
            let expires = self.now_millis() / 1000 + TOKEN_SECONDS;
            claims.entry("exp").or_insert(json!(expires));
        }
        self.key.sign(&claims).unwrap_or_default()
    }

    /// A client sends a text frame.
    pub fn send(&mut self, client: Client, text: &str) {
        if let Some(line) = self.lines.get(client.0) {
            line.send(text);
        }
    }

    /// What has come to a client, at most so many bytes of it; one frame always comes where it reads at all. From now on so
    /// many bytes may be on their way to it, and the rest waits in the server's queue: at first there is no bound.
    pub fn read(&mut self, client: Client, at_most_bytes: usize) -> Vec<Heard> {
        let line = self.lines.get(client.0);
        line.map_or_else(Vec::new, |line| line.read(at_most_bytes))
    }

    /// The network between a client and the server goes.
    pub fn hang_up(&mut self, client: Client) {
        if let Some(line) = self.lines.get(client.0) {
            line.hang_up(|sent| self.machine.below(sent + 1));
        }
    }

    /// Makes a request.
    pub fn ask(&mut self, ask: Ask) -> Call {
        let _entered = self.machine.enter();
        let call = Call(self.calls);
        self.calls += 1;
        let Some(hub) = self.hub() else {
            self.answers.lock().insert(call, Some(hung_up()));
            return call;
        };
        self.answers.lock().insert(call, None);
        let line = ask.client().and_then(|client| self.lines.get(client.0));
        let credentials = line.and_then(|line| line.credentials());
        let answers = Arc::clone(&self.answers);
        self.machine.spawn(Box::pin(async move {
            let answer = asks::answer(hub, ask, credentials).await;
            answers.lock().insert(call, Some(answer));
        }));
        call
    }

    /// The answers that have come since the last look.
    pub fn answers(&mut self) -> Vec<(Call, Answer)> {
        let mut answers = self.answers.lock();
        let (waiting, come) = std::mem::take(&mut *answers)
            .into_iter()
            .partition(|(_, answer)| answer.is_none());
        *answers = waiting;
        let come: BTreeMap<Call, Option<Answer>> = come;
        come.into_iter()
            .filter_map(|(call, answer)| Some((call, answer?)))
            .collect()
    }

    /// Says how a webhook's receiver is disposed from now on; at first it takes what comes.
    pub fn receiver(&mut self, webhook: &str, mood: ReceiverMood) {
        self.receivers.set(webhook, mood);
    }

    /// What receivers have taken since the last look.
    pub fn posted(&mut self) -> Vec<Posted> {
        self.receivers.taken()
    }

    /// What the database holds: all that is applied, or what of it is durable.
    pub fn kept(&self, durable: bool) -> Kept {
        kept::of(&match durable {
            true => self.disk.durable(),
            false => self.disk.clone(),
        })
    }

    /// What the server holds in memory.
    pub fn leftovers(&self) -> Leftovers {
        let hub = self.life.hub.lock().clone();
        let held = hub.map(|hub| hub.leftovers()).unwrap_or_default();
        Leftovers {
            tasks: self.machine.tasks(),
            ..held
        }
    }

    /// The hub, while it takes connections and requests.
    fn hub(&self) -> Option<Arc<Hub>> {
        match self.life.state() {
            State::Up => self.life.hub.lock().clone(),
            _ => None,
        }
    }

    /// The process is no more.
    fn end(&mut self) {
        self.machine.end_all();
        drop(self.life.hub.lock().take());
        for line in &self.lines {
            line.cut();
        }
        for answer in self.answers.lock().values_mut() {
            answer.get_or_insert_with(hung_up);
        }
    }
}

fn hung_up() -> Answer {
    Err("HUNG_UP".to_owned())
}
