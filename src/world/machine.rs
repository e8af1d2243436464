//! The simulated world of one thread: its clocks, its random numbers, its tasks and timers.
//!
//! Nothing in it depends on anything but its seed and what it is told to do: not on addresses, on the order in which tasks
//! were woken, on the machine or the time. It runs one task at a time, for one poll; which of those that are ready is drawn.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::instant::{Instant, Step};

/// A task's name. None is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u64);

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The tasks that are ready; in order, so that it does not matter who was woken first.
type Ready = Arc<Mutex<BTreeSet<TaskId>>>;

/// One simulated world.
pub(crate) struct Machine {
    /// A real moment that stands for the beginning. Nothing that can be seen follows from it.
    began: Instant,
    passed: Cell<Duration>,
    /// What the time of day is ahead of the time that has passed: Unix time in milliseconds.
    ahead: Cell<i64>,
    numbers: Cell<u64>,
    parallelism: usize,
    next_task: Cell<u64>,
    /// `None` while it runs.
    tasks: RefCell<BTreeMap<TaskId, Option<Body>>>,
    ready: Ready,
    /// The threads, by name.
    threads: RefCell<BTreeMap<String, TaskId>>,
    /// Who waits for the end of which task.
    waiting: RefCell<Vec<(TaskId, Waker)>>,
    next_timer: Cell<u64>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
}

thread_local! {
    static HERE: RefCell<Option<Rc<Machine>>> = const { RefCell::new(None) };
}

/// The thread is in a simulated world until this is dropped.
pub(crate) struct Entered(Option<Rc<Machine>>);

impl Drop for Entered {
    fn drop(&mut self) {
        HERE.set(self.0.take());
    }
}

/// Asks the world that the thread is in, if it is in one.
pub(crate) fn with<T>(ask: impl FnOnce(&Machine) -> T) -> Option<T> {
    let machine = HERE.with_borrow(Clone::clone)?;
    Some(ask(&machine))
}

/// Whether the thread is in a simulated world.
pub(crate) fn is_here() -> bool {
    HERE.with_borrow(Option::is_some)
}

/// Starts a task in the world that the thread is in.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> TaskId {
    with(|machine| machine.spawn(Box::pin(future))).unwrap_or(TaskId(u64::MAX))
}

/// A number below this one, as the seed says.
pub(crate) fn draw(end: usize) -> usize {
    with(|machine| machine.below(end)).unwrap_or(0)
}

/// Starts a thread: a task of which each poll is a step.
pub(super) fn spawn_thread(name: &str, step: impl FnMut() -> Step + Send + 'static) -> TaskId {
    let id = spawn(Stepped {
        step: Box::new(step),
        timer: None,
    });
    with(|machine| machine.threads.borrow_mut().insert(name.to_owned(), id));
    id
}

/// Waits until a thread is over.
pub(crate) async fn thread_is_over(name: &str) {
    std::future::poll_fn(|cx| {
        let waits = with(|machine| {
            let id = machine.threads.borrow().get(name).copied();
            let id = id.filter(|id| machine.tasks.borrow().contains_key(id));
            let waits = id.map(|id| (id, cx.waker().clone()));
            let is_alive = waits.is_some();
            machine.waiting.borrow_mut().extend(waits);
            is_alive
        });
        match waits {
            Some(true) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// Lets others run before going on, or not: as the seed says.
pub(crate) async fn rest() {
    if draw(2) == 0 {
        let mut rested = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut rested, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// A thread as a task.
struct Stepped {
    step: Box<dyn FnMut() -> Step + Send>,
    /// When it looks again by itself.
    timer: Option<Timer>,
}

impl Future for Stepped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.timer = None;
        match (self.step)() {
            Step::Over => return Poll::Ready(()),
            Step::Done => cx.waker().wake_by_ref(),
            Step::Idle(moment) => {
                self.timer = moment.and_then(|moment| with(|machine| machine.timer(moment)));
                if let Some(timer) = &mut self.timer
                    && Pin::new(timer).poll(cx).is_ready()
                {
                    cx.waker().wake_by_ref();
                }
            }
        }
        Poll::Pending
    }
}

impl Machine {
    /// A world that begins at `millis` (Unix time) and in which so many tasks are taken to run at a time.
    pub(crate) fn new(seed: u64, millis: i64, parallelism: usize) -> Rc<Self> {
        Rc::new(Self {
            began: Instant(tokio::time::Instant::now()),
            passed: Cell::default(),
            ahead: Cell::new(millis),
            numbers: Cell::new(seed),
            parallelism,
            next_task: Cell::default(),
            tasks: RefCell::default(),
            ready: Arc::default(),
            threads: RefCell::default(),
            waiting: RefCell::default(),
            next_timer: Cell::default(),
            timers: RefCell::default(),
        })
    }

    /// Has this thread be in this world.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        Entered(HERE.replace(Some(Rc::clone(self))))
    }

    pub(super) fn now(&self) -> Instant {
        self.began + self.passed.get()
    }

    pub(super) fn time_of_day(&self) -> SystemTime {
        let passed = i64::try_from(self.passed.get().as_millis()).unwrap_or(i64::MAX);
        let millis = self.ahead.get().saturating_add(passed).max(0);
        UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs())
    }

    pub(super) fn parallelism(&self) -> usize {
        self.parallelism
    }

    /// The next number that the seed gives (SplitMix64).
    pub(crate) fn number(&self) -> u64 {
        let state = self.numbers.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.numbers.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, which is not 0.
    pub(crate) fn below(&self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    pub(super) fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (byte, drawn) in chunk.iter_mut().zip(self.number().to_le_bytes()) {
                *byte = drawn;
            }
        }
    }

    /// The time of day jumps; no time passes.
    pub(crate) fn jump(&self, millis: i64) {
        self.ahead.set(self.ahead.get().saturating_add(millis));
    }

    /// Time passes. Whoever waited for it is ready now, and nothing runs.
    pub(crate) fn advance(&self, by: Duration) {
        self.passed.set(self.passed.get().saturating_add(by));
        let now = self.now();
        let mut timers = self.timers.borrow_mut();
        while let Some(first) = timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            first.remove().wake();
        }
    }

    /// How long it is until the next timer.
    pub(crate) fn next_timer(&self) -> Option<Duration> {
        let timers = self.timers.borrow();
        let (moment, _) = timers.keys().next()?;
        Some(moment.saturating_duration_since(self.now()))
    }

    pub(super) fn timer(&self, moment: Instant) -> Timer {
        let number = self.next_timer.get();
        self.next_timer.set(number + 1);
        Timer(moment, number)
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, body: Body) -> TaskId {
        let id = TaskId(self.next_task.get());
        self.next_task.set(id.0 + 1);
        self.tasks.borrow_mut().insert(id, Some(body));
        self.wake(id);
        id
    }

    pub(super) fn wake(&self, id: TaskId) {
        self.ready.lock().insert(id);
    }

    /// Ends a task: it is dropped, now or when it has run.
    pub(super) fn end(&self, id: TaskId) {
        let body = self.tasks.borrow_mut().remove(&id);
        // What is dropped may start or end other tasks.
        drop(body);
        self.tell_over(id);
    }

    fn tell_over(&self, id: TaskId) {
        self.waiting.borrow_mut().retain(|(waits_for, waker)| {
            let goes_on = *waits_for != id;
            if !goes_on {
                waker.wake_by_ref();
            }
            goes_on
        });
    }

    /// How many tasks there are.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Ends all tasks without running any of them.
    pub(crate) fn end_all(&self) {
        let bodies = self.tasks.take();
        drop(bodies);
        self.ready.lock().clear();
        self.waiting.borrow_mut().clear();
        self.timers.borrow_mut().clear();
    }

    /// Polls one of the tasks that are ready; `false` where none is.
    pub(crate) fn poll_one(&self) -> bool {
        loop {
            let Some(id) = self.draw() else {
                return false;
            };
            let Some(mut body) = self.tasks.borrow_mut().get_mut(&id).and_then(Option::take) else {
                // It is over; who woke it could not know.
                continue;
            };
            let waker = Waker::from(Arc::new(TaskWaker {
                id,
                ready: Arc::clone(&self.ready),
            }));
            let polled = body.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                drop(body);
                self.end(id);
            } else if let Some(place) = self.tasks.borrow_mut().get_mut(&id) {
                *place = Some(body);
            }
            return true;
        }
    }

    /// Takes one out of those that are ready.
    fn draw(&self) -> Option<TaskId> {
        let mut ready = self.ready.lock();
        let count = ready.len();
        let drawn = match count {
            0 => return None,
            1 => 0,
            _ => self.below(count),
        };
        let id = ready.iter().nth(drawn).copied()?;
        ready.remove(&id);
        Some(id)
    }
}

struct TaskWaker {
    id: TaskId,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().insert(self.id);
    }
}

/// Waits for a moment.
pub(super) struct Timer(Instant, u64);

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let key = (self.0, self.1);
        let waits = with(|machine| {
            let mut timers = machine.timers.borrow_mut();
            if key.0 <= machine.now() {
                timers.remove(&key);
                return false;
            }
            timers.insert(key, cx.waker().clone());
            true
        });
        match waits {
            Some(true) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        with(|machine| machine.timers.borrow_mut().remove(&(self.0, self.1)));
    }
}
