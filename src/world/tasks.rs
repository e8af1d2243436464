//! Tasks, threads, and waiting.

use std::io;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::instant::Instant;
pub(crate) use super::instant::Step;
#[cfg(feature = "simulation")]
use super::machine;

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) enum Task {
    /// The runtime's.
    Real(tokio::task::AbortHandle),
    /// The simulation's.
    #[cfg(feature = "simulation")]
    Simulated(machine::TaskId),
}

impl Drop for Task {
    fn drop(&mut self) {
        match self {
            Self::Real(task) => task.abort(),
            #[cfg(feature = "simulation")]
            Self::Simulated(id) => drop(machine::with(|machine| machine.end(*id))),
        }
    }
}

/// Starts a task that nobody waits for.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    #[cfg(feature = "simulation")]
    if machine::is_here() {
        machine::spawn(future);
        return;
    }
    tokio::spawn(future);
}

/// Starts a task that ends with its owner.
pub(crate) fn spawn_owned(future: impl Future<Output = ()> + Send + 'static) -> Task {
    #[cfg(feature = "simulation")]
    if machine::is_here() {
        return Task::Simulated(machine::spawn(future));
    }
    Task::Real(tokio::spawn(future).abort_handle())
}

/// Waits.
pub(crate) async fn sleep(time: Duration) {
    #[cfg(feature = "simulation")]
    if let Some(timer) = machine::with(|machine| machine.timer(machine.now() + time)) {
        return timer.await;
    }
    tokio::time::sleep(time).await;
}

/// Waits until then.
pub(crate) async fn sleep_until(moment: Instant) {
    #[cfg(feature = "simulation")]
    if let Some(timer) = machine::with(|machine| machine.timer(moment)) {
        return timer.await;
    }
    tokio::time::sleep_until(moment.0).await;
}

/// What comes of `future`; `None` where that takes longer than `limit`.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let (mut future, mut timer) = (pin!(future), pin!(sleep(limit)));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Does what may wait for the disk where it holds up no task. `None` where it panicked, or the server ends before it began.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    #[cfg(feature = "simulation")]
    if machine::is_here() {
        machine::rest().await;
        let value = work();
        machine::rest().await;
        return Some(value);
    }
    tokio::task::spawn_blocking(work).await.ok()
}

/// Lets others run, now and then, within work that never waits.
pub(crate) async fn give_way() {
    #[cfg(feature = "simulation")]
    if machine::is_here() {
        return machine::rest().await;
    }
    tokio::task::consume_budget().await;
}

/// How many tasks can run at a time.
pub(crate) fn parallelism() -> usize {
    #[cfg(feature = "simulation")]
    if let Some(lanes) = machine::with(machine::Machine::parallelism) {
        return lanes;
    }
    thread::available_parallelism().map_or(1, usize::from)
}

/// A thread that works in steps. It goes on when this is dropped.
#[derive(Debug)]
pub(crate) enum Thread {
    /// The system's.
    Real(thread::JoinHandle<()>),
    /// The simulation's: a task.
    #[cfg(feature = "simulation")]
    Simulated(machine::TaskId),
}

impl Thread {
    /// Starts a thread that calls `step` for as long as it has something to do, and whenever it is woken.
    ///
    /// # Errors
    /// When the system has none to spare.
    pub(crate) fn start(
        name: &str,
        mut step: impl FnMut() -> Step + Send + 'static,
    ) -> io::Result<Self> {
        #[cfg(feature = "simulation")]
        if machine::is_here() {
            return Ok(Self::Simulated(machine::spawn_thread(name, step)));
        }
        let work = move || {
            loop {
                match step() {
                    Step::Done => {}
                    Step::Idle(None) => thread::park(),
                    Step::Idle(Some(moment)) => {
                        thread::park_timeout(moment.saturating_duration_since(Instant::now()));
                    }
                    Step::Over => return,
                }
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self::Real(thread))
    }

    /// Has it look for something to do, now or right after the step that it is at.
    pub(crate) fn wake(&self) {
        match self {
            Self::Real(thread) => thread.thread().unpark(),
            #[cfg(feature = "simulation")]
            Self::Simulated(id) => drop(machine::with(|machine| machine.wake(*id))),
        }
    }

    /// Waits until it is over. A simulation's one is a task among others, and is not waited for.
    pub(crate) fn join(self) {
        match self {
            Self::Real(thread) => drop(thread.join()),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_thread_looks_again_when_it_is_woken_and_is_over_when_it_says_so() {
        let work = Arc::new(AtomicUsize::new(0));
        let found = Arc::clone(&work);
        let thread = Thread::start("steps", move || match found.load(Ordering::Acquire) {
            0 => Step::Idle(None),
            1 => Step::Over,
            _ => {
                found.fetch_sub(1, Ordering::AcqRel);
                Step::Done
            }
        });
        work.store(3, Ordering::Release);
        let thread = thread.unwrap();
        thread.wake();
        thread.join();
        assert_eq!(work.load(Ordering::Acquire), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        assert_eq!(timeout(SOON, async { 1 }).await, Some(1));
        assert_eq!(timeout(SOON, sleep(2 * SOON)).await, None);
        assert_eq!(timeout(2 * SOON, sleep(SOON)).await, Some(()));
        assert_eq!(blocking(|| 1).await, Some(1));
        assert_eq!(blocking(|| assert_eq!(1, 2)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owned_task_ends_with_its_owner() {
        let held = Arc::new(());
        let shared = Arc::clone(&held);
        let task = spawn_owned(async move {
            sleep(SOON).await;
            drop(shared);
        });
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 2);
        drop(task);
        let gone = async {
            while Arc::strong_count(&held) > 1 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert_eq!(timeout(SOON / 2, gone).await, Some(()));
    }
}
