//! Patterns: how a token names the channels, events and keys that a directive is for (PROTOCOL.md, section 2).
//!
//! A pattern is an exact name, a name with `*` (any run of characters, also none), or `#regex:` and a regular
//! expression, which finds its match anywhere in the name unless the author anchors it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};

use crate::protocol::names::{MAX_CHANNEL_CHARS, MAX_EVENT_CHARS, has_at_most};

const REGEX_PREFIX: &str = "#regex:";

/// The longest regular expression, in characters.
const MAX_REGEX_CHARACTERS: usize = 1024;

/// What a compiled expression may take, in bytes; the same again for what it works with while matching.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// How many compiled expressions a verifier remembers. The tokens of one application tend to hold the same few.
const REMEMBERED_REGEXES: usize = 64;

/// A parsed pattern.
pub(super) enum Pattern {
    Exact(Box<str>),
    Wildcard(Box<str>),
    Regex(Arc<Regex>),
}

/// What a pattern is for, and so which characters it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Event,
    StorageKey,
}

/// Which of two matching patterns counts where only one can: the greater. An exact name is greater than any other
/// pattern, and then the longer text is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity {
    exact: bool,
    characters: usize,
}

impl Pattern {
    /// Reads a pattern. On refusal, says what was expected.
    pub(super) fn parse(text: &str, kind: Kind, regexes: &Regexes) -> Result<Self, &'static str> {
        if let Some(expression) = text.strip_prefix(REGEX_PREFIX) {
            return regexes.get(expression).map(Self::Regex);
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

    /// The name itself, if it is one.
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
            Self::Regex(regex) => (false, regex.as_str()),
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
            Self::Regex(regex) => write!(f, "\"{REGEX_PREFIX}{}\"", regex.as_str()),
        }
    }
}

impl Kind {
    /// Whether a name of this kind, or one with wildcards, could ever match something. A pattern that cannot is a
    /// mistake that would otherwise show only as a permission that is mysteriously missing.
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

/// Matches the pieces between the stars, each at the first place it is found: the first piece must begin the name and
/// the last must end it. Taking the first place is right because it leaves the most to the pieces after it. The search
/// only ever goes forward, so it takes time linear in the name.
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

/// Compiled expressions, shared by all tokens that hold the same one: compiling takes longer than all else in a token,
/// and a compiled expression takes more memory than a connection.
#[derive(Default)]
pub(super) struct Regexes {
    /// Oldest first, at most [`REMEMBERED_REGEXES`]; the oldest makes room.
    recent: Mutex<VecDeque<Arc<Regex>>>,
}

impl Regexes {
    fn get(&self, expression: &str) -> Result<Arc<Regex>, &'static str> {
        if let Some(known) = self
            .recent
            .lock()
            .iter()
            .find(|regex| regex.as_str() == expression)
        {
            return Ok(Arc::clone(known));
        }
        if !has_length(expression, MAX_REGEX_CHARACTERS) {
            return Err("an expression of 1 to 1,024 characters after #regex:");
        }
        let regex = RegexBuilder::new(expression)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_REGEX_BYTES)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    "a regular expression that compiles to at most 256 KiB (smaller repetitions; (?-u) for ASCII classes)"
                }
                _ => "a valid regular expression after #regex: (no look-around or back references)",
            })?;
        let regex = Arc::new(regex);
        let mut recent = self.recent.lock();
        if recent.len() >= REMEMBERED_REGEXES {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&regex));
        Ok(regex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Pattern, &'static str> {
        Pattern::parse(text, Kind::Channel, &Regexes::default())
    }

    #[test]
    fn each_form_matches_as_it_should() {
        for (pattern, yes, no) in [
            ("game", &["game"][..], &["", "gam", "games", "Game"][..]),
            (
                "game.*",
                &["game.", "game.1", "game.*"],
                &["game", "xgame.1"],
            ),
            ("*", &["", "a", "ü😀"], &[]),
            (
                "*.chat",
                &[".chat", "a.chat", "a.chat.chat"],
                &["chat", "a.chats"],
            ),
            ("a*a", &["aa", "aba", "aaa"], &["a", "ab", "ba"]),
            ("a*b*c", &["abc", "a-b-c", "abcbc"], &["ac", "acb", "bc"]),
            ("**", &["", "x"], &[]),
            ("a**b", &["ab", "axb"], &["a", "b"]),
            ("ü*é", &["üé", "ü-é"], &["ué"]),
            ("#regex:b+", &["abbc", "b"], &["a", ""]),
            (
                "#regex:^game\\.[0-9]+$",
                &["game.12"],
                &["game.", "xgame.1", "game.1x"],
            ),
            ("#regex:*x", &[], &[]),
        ] {
            let Ok(parsed) = parse(pattern) else {
                assert_eq!(pattern, "#regex:*x");
                continue;
            };
            for name in yes {
                assert!(parsed.matches(name), "{pattern} should match {name}");
            }
            for name in no {
                assert!(!parsed.matches(name), "{pattern} should not match {name}");
            }
        }
    }

    #[test]
    fn what_can_match_nothing_is_refused() {
        let long = "x".repeat(257);
        for text in [
            "",
            "a b",
            "a,b",
            "#",
            "#regexp:x",
            "a#b",
            "a\nb",
            "#regex:",
            &long,
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"ü".repeat(256)).is_ok());
        let regexes = Regexes::default();
        let event = |text| Pattern::parse(text, Kind::Event, &regexes).is_ok();
        assert!(event("player moved, twice") && event("a#b") && event("*"));
        assert!(!event("#x") && !event("") && !event(&"x".repeat(129)));
        let key = |text| Pattern::parse(text, Kind::StorageKey, &regexes).is_ok();
        assert!(key("a:b") && key("player.*") && key("#regex:^[a-z]$"));
        assert!(!key("a b") && !key("a,b") && !key("a#b") && !key(&"x".repeat(129)));
    }

    #[test]
    fn a_bad_or_monstrous_expression_is_refused() {
        for text in ["#regex:(", "#regex:(?=x)", "#regex:(a)\\1", "#regex:[z-a]"] {
            assert!(parse(text).unwrap_err().contains("valid"), "{text}");
        }
        let big = parse("#regex:\\w{1000}").unwrap_err();
        assert!(big.contains("256 KiB"), "{big}");
        let long = format!("#regex:{}", "x".repeat(1025));
        assert!(parse(&long).unwrap_err().contains("1,024"));
    }

    #[test]
    fn an_expression_is_compiled_once_and_memory_is_bounded() {
        let regexes = Regexes::default();
        let first = regexes.get("^a$").unwrap();
        assert!(Arc::ptr_eq(&first, &regexes.get("^a$").unwrap()));
        for n in 0..REMEMBERED_REGEXES {
            regexes.get(&format!("^{n}$")).unwrap();
        }
        assert_eq!(regexes.recent.lock().len(), REMEMBERED_REGEXES);
        assert!(!Arc::ptr_eq(&first, &regexes.get("^a$").unwrap()));
    }

    #[test]
    fn exact_is_most_specific_then_the_longer_text() {
        let of = |text| parse(text).unwrap().specificity();
        assert!(of("a") > of("aaaa*"));
        assert!(of("aa*") > of("a*"));
        assert!(of("#regex:^aa") > of("a*"));
        // The prefix says nothing about the channel, so it does not make an expression more specific.
        assert!(of("abc*") > of("#regex:^a"));
        assert_eq!(of("*b"), of("a*"));
        // Characters count, not bytes.
        assert!(of("abc*") > of("üé*"));
    }

    /// The definition, word for word.
    fn model(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|n| model(rest, &name[n..])),
            Some((c, rest)) => name.first() == Some(c) && model(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn wildcards_match_what_the_model_matches(pattern in "[abü*]{0,8}", name in "[abü]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                wildcard_matches(&pattern, &name),
                model(&chars(&pattern), &chars(&name))
            );
        }

        #[test]
        fn no_text_makes_it_panic(pattern: String, name: String) {
            for kind in [Kind::Channel, Kind::Event, Kind::StorageKey] {
                if let Ok(pattern) = Pattern::parse(&pattern, kind, &Regexes::default()) {
                    pattern.matches(&name);
                }
            }
        }
    }
}
