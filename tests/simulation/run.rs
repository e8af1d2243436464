//! One seed from its beginning to its end.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use crate::play::Play;
use crate::steps::Step;
use crate::trace::Trace;
use crate::verdict::{Broken, Verdict};

/// What became of a seed.
pub struct Outcome {
    pub broken: Option<Broken>,
    pub trace: String,
}

thread_local! {
    /// What the last panic of this thread said.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Panics are told with the seed that they came from, and not by themselves.
pub fn keep_panics() {
    panic::set_hook(Box::new(|info| {
        PANIC.with(|said| *said.borrow_mut() = info.to_string());
    }));
}

/// Plays these steps in the world of this seed.
pub fn play(seed: u64, steps: &[Step], trace: bool) -> Outcome {
    // Outside of what may panic: a trace that ends in a panic is wanted most of all.
    let mut play = Play::new(seed, Trace::new(trace));
    let all = panic::catch_unwind(AssertUnwindSafe(|| -> Verdict {
        steps.iter().try_for_each(|step| play.step(step))?;
        play.end()
    }));
    let broken = match all {
        Ok(verdict) => verdict.err(),
        Err(_) => Some(Broken {
            check: "no panic",
            detail: PANIC.with(|said| said.borrow().clone()),
        }),
    };
    let text = std::mem::replace(&mut play.trace, Trace::new(false)).into_text();
    if panic::catch_unwind(AssertUnwindSafe(|| drop(play))).is_err() && broken.is_none() {
        return Outcome {
            broken: Some(Broken {
                check: "no panic",
                detail: PANIC.with(|said| said.borrow().clone()),
            }),
            trace: text,
        };
    }
    Outcome {
        broken,
        trace: text,
    }
}
