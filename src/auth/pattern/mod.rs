//! Patterns: how a token names the channels, events and keys that a directive is for (PROTOCOL.md, section 2).
//!
//! A pattern is an exact name, a name with `*` (any run of characters, also none), or `#regex:` and a regular
//! expression, which finds its match anywhere in the name unless the author anchors it.

mod expression;
mod go;
mod known;

use std::fmt;
use std::sync::Arc;

use expression::Expression;
pub(super) use known::{Expressions, KnownExpressions};

use crate::protocol::names::{MAX_CHANNEL_CHARS, MAX_EVENT_CHARS, has_at_most};

const REGEX_PREFIX: &str = "#regex:";

/// A parsed pattern.
pub(super) enum Pattern {
    Exact(Box<str>),
    Wildcard(Box<str>),
    Regex(Arc<Expression>),
}

/// What a pattern is for, and so which characters it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Event,
    StorageKey,
}

/// Where only one of several matching patterns can count, the greatest does. An exact name is greater than any other pattern;
/// then the longer text is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity {
    exact: bool,
    characters: usize,
}

impl Pattern {
    /// Reads a pattern. On refusal, says what was expected.
    pub(super) fn parse(
        text: &str,
        kind: Kind,
        expressions: &mut Expressions<'_>,
    ) -> Result<Self, &'static str> {
        if let Some(expression) = text.strip_prefix(REGEX_PREFIX) {
            return expressions.get(expression).map(Self::Regex);
        }
        if !kind.allows(text) {
            return Err(kind.expected());
        }
        Ok(if text.contains('*') {
            Self::Wildcard(text.into())
        } else {
            Self::Exact(text.into())
        })
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Wildcard(pattern) => wildcard_matches(pattern, name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }

    /// The name, if the pattern is an exact one.
    pub(super) fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn specificity(&self) -> Specificity {
        let (exact, text) = match self {
            Self::Exact(name) => (true, &**name),
            Self::Wildcard(pattern) => (false, &**pattern),
            Self::Regex(regex) => (false, regex.text()),
        };
        Specificity {
            exact,
            characters: text.chars().count(),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Wildcard(text) => write!(f, "{text:?}"),
            Self::Regex(regex) => write!(f, "\"{REGEX_PREFIX}{}\"", regex.text()),
        }
    }
}

impl Kind {
    /// Whether a pattern without `#regex:` can match any name of this kind. One that cannot is a mistake, which would
    /// otherwise only show as a missing permission.
    fn allows(self, text: &str) -> bool {
        match self {
            Self::Channel => {
                has_length(text, MAX_CHANNEL_CHARS)
                    && !text.contains(|c: char| matches!(c, '#' | ',' | ' ') || c.is_control())
            }
            Self::Event => has_length(text, MAX_EVENT_CHARS) && !text.starts_with('#'),
            Self::StorageKey => has_length(text, 128) && !text.contains(['#', ',', ' ']),
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Channel => {
                "a channel name of 1 to 256 characters, none of # , space or control characters, with * for any run of characters, or #regex: and an expression"
            }
            Self::Event => {
                "an event name of 1 to 128 characters, not beginning with #, with * for any run of characters, or #regex: and an expression"
            }
            Self::StorageKey => {
                "a storage key of 1 to 128 characters, none of # , or space, with * for any run of characters, or #regex: and an expression"
            }
        }
    }
}

/// Whether `text` has 1 to `max` characters.
fn has_length(text: &str, max: usize) -> bool {
    !text.is_empty() && has_at_most(text, max)
}

/// The first piece between the stars must begin the name, and the last must end it. Each of the others is matched where it
/// is found first, which leaves the most to the pieces behind it. The search only goes forward, so it takes time linear in
/// the name.
fn wildcard_matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
