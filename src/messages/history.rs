//! Which stored messages may be listed, and for how long one is kept (sections 2, 5 and 11).

use crate::protocol::{MAX_KEEP_SECONDS, MessageId};

/// For how long a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is delivered and forgotten.
    Not,
    /// Until this Unix time, in seconds.
    Until(u64),
    /// For ever.
    Forever,
}

impl Keep {
    /// What `store` says, at `now` (Unix time in seconds). `None` where it says nothing sensible.
    pub fn from_store(store: i64, now: u64) -> Option<Self> {
        match store {
            0 => Some(Self::Not),
            -1 => Some(Self::Forever),
            1..=MAX_KEEP_SECONDS => Some(Self::Until(now.saturating_add(store.unsigned_abs()))),
            _ => None,
        }
    }
}

/// A page of history to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The lowest id to list.
    pub from: MessageId,
    /// The first id not to list; `None` where there is no such bound.
    pub to: Option<MessageId>,
    /// Newest first.
    pub reverse: bool,
}

impl Window {
    /// The window of a request: forwards after `after`, or backwards before `before`, and in no case earlier than
    /// `allowed_from`. The other bound belongs to the other direction.
    pub fn new(
        allowed_from: MessageId,
        after: Option<MessageId>,
        before: Option<MessageId>,
        reverse: bool,
    ) -> Self {
        let after = after.filter(|_| !reverse);
        Self {
            from: after.map_or(allowed_from, |after| after.successor().max(allowed_from)),
            to: before.filter(|_| reverse),
            reverse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_is_seconds_or_for_ever_or_not_at_all() {
        assert_eq!(Keep::from_store(0, 10), Some(Keep::Not));
        assert_eq!(Keep::from_store(60, 10), Some(Keep::Until(70)));
        assert_eq!(Keep::from_store(-1, 10), Some(Keep::Forever));
        assert_eq!(
            Keep::from_store(MAX_KEEP_SECONDS, 0),
            Some(Keep::Until(MAX_KEEP_SECONDS.unsigned_abs()))
        );
        assert_eq!(Keep::from_store(MAX_KEEP_SECONDS + 1, 0), None);
        assert_eq!(Keep::from_store(-2, 0), None);
    }

    #[test]
    fn a_window_never_reaches_before_what_is_allowed() {
        let id = |n| MessageId::from_parts(n, 0);
        assert_eq!(Window::new(id(5), Some(id(2)), None, false).from, id(5));
        assert_eq!(
            Window::new(id(5), Some(id(7)), None, false).from,
            id(7).successor()
        );
        assert_eq!(Window::new(id(5), None, Some(id(9)), true).to, Some(id(9)));
    }

    #[test]
    fn a_bound_of_the_other_direction_is_none() {
        let id = |n| MessageId::from_parts(n, 0);
        let backwards = Window::new(id(5), Some(id(7)), None, true);
        assert_eq!((backwards.from, backwards.to), (id(5), None));
        let forwards = Window::new(id(5), None, Some(id(7)), false);
        assert_eq!((forwards.from, forwards.to), (id(5), None));
    }
}
