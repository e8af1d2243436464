//! Arbitrary bytes against everything that reads bytes. Each room that reads has a `bytes` of its own with the readers and
//! with samples of what they really get; here is what they share.
//!
//! A sample is damaged in up to eight places and read. The reader must not panic, must not take more memory than its input
//! is worth, and must not be slow; what it accepts must come back the same when it is written and read again. A failure is
//! shrunk to as little damage as it needs, and the input is shown: write it down as a row of the room's cases.
//!
//! Each reader is given a thousand inputs, and more for as long as `ROLLCALL_BYTES_SECONDS` says.

mod mutation;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

pub(crate) use mutation::JSON_WORDS;

/// How many inputs are read before the clock is looked at.
const ROUND: u32 = 1_000;
/// How long a round may take. A reader takes far less; one that is worse than linear, or stuck, takes more.
const ROUND_TIME: Duration = Duration::from_secs(30);

/// A reader's samples, and how it may use them.
pub(crate) struct Trial {
    samples: Vec<Vec<u8>>,
    words: Vec<&'static str>,
    memory: Memory,
}

/// What a reader may hold at once, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    fixed: u64,
    per_byte: u64,
}

/// An input, shown as a literal of Rust.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) => write!(f, "{text:?}"),
            Err(_) => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

impl Trial {
    /// Of these samples; `words` are put in here and there.
    pub(crate) fn of<S: AsRef<[u8]>>(
        samples: impl IntoIterator<Item = S>,
        words: &[&'static str],
    ) -> Self {
        Self {
            samples: samples.into_iter().map(|s| s.as_ref().to_vec()).collect(),
            words: words.to_vec(),
            memory: Memory {
                fixed: 64 << 10,
                per_byte: 64,
            },
        }
    }

    /// Allows the reader other memory than 64 KiB and 64 bytes for each byte of input.
    pub(crate) fn memory(mut self, fixed: u64, per_byte: u64) -> Self {
        self.memory = Memory { fixed, per_byte };
        self
    }

    /// Reads the samples, which the reader must take, and then what becomes of them. `read` panics where something is
    /// wrong, and says whether it took the input.
    pub(crate) fn run(self, read: impl Fn(&[u8]) -> bool) {
        for sample in &self.samples {
            assert!(self.measured(&read, sample), "{:?}", Input(sample.clone()));
        }
        let seconds = std::env::var("ROLLCALL_BYTES_SECONDS").map_or(0.0, |text| {
            text.parse().expect("ROLLCALL_BYTES_SECONDS is a number")
        });
        let begun = Instant::now();
        loop {
            let round = Instant::now();
            self.round(&read);
            assert!(round.elapsed() < ROUND_TIME, "{:?}", round.elapsed());
            if begun.elapsed().as_secs_f64() >= seconds {
                return;
            }
        }
    }

    /// The same for a reader of text: what is damaged beyond UTF-8 is patched up with U+FFFD.
    pub(crate) fn run_text(self, read: impl Fn(&str) -> bool) {
        self.run(|bytes| read(&String::from_utf8_lossy(bytes)));
    }

    fn round(&self, read: &impl Fn(&[u8]) -> bool) {
        let config = Config {
            cases: ROUND,
            failure_persistence: None,
            ..Config::default()
        };
        let inputs = mutation::inputs(self.samples.clone(), self.words.clone()).prop_map(Input);
        let result = TestRunner::new(config).run(&inputs, |input| {
            self.measured(read, &input.0);
            Ok::<_, TestCaseError>(())
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }

    fn measured(&self, read: &impl Fn(&[u8]) -> bool, input: &[u8]) -> bool {
        // A panic must not leave the measuring halfway.
        let mut result = Ok(false);
        let used = allocation_counter::measure(|| {
            result = catch_unwind(AssertUnwindSafe(|| read(input)));
        });
        let taken = result.unwrap_or_else(|panic| resume_unwind(panic));
        let may = self.memory.fixed + self.memory.per_byte * input.len() as u64;
        assert!(
            used.bytes_max <= may,
            "{} bytes were held at once for {} of input",
            used.bytes_max,
            input.len()
        );
        taken
    }
}
