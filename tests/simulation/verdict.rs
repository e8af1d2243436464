//! What a check says, and when a thing happened.

/// A check that failed: its name, by which shrinking knows the failure again, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub check: &'static str,
    pub detail: String,
}

/// What a check comes to.
pub type Verdict<T = ()> = Result<T, Broken>;

pub fn broken<T>(check: &'static str, detail: impl Into<String>) -> Verdict<T> {
    Err(Broken {
        check,
        detail: detail.into(),
    })
}

/// A moment of a seed. Much can happen without time passing, so steps tell apart what happens in one millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    /// Milliseconds of the monotonic clock since the seed began.
    pub millis: u64,
    pub step: usize,
}

impl Moment {
    pub const NEVER: Self = Self {
        millis: u64::MAX,
        step: usize::MAX,
    };

    /// The first moment that is so much later.
    pub fn after(self, millis: u64) -> Self {
        if millis == 0 {
            return self;
        }
        Self {
            millis: self.millis.saturating_add(millis),
            step: 0,
        }
    }
}
