//! A compiled regular expression, and what it costs.
//!
//! Matching takes time linear in the name, whatever the expression. A lazy DFA matches; it builds its states when it needs
//! them. Where it would need too many, the slower Pike VM matches instead.

use std::fmt;

use parking_lot::Mutex;
use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, WhichCaptures};

use super::go::{self, Refusal};
use crate::protocol::names::has_at_most;

/// The longest expression, in characters.
const MAX_CHARACTERS: usize = 4096;

/// The most memory of an expression, in bytes.
pub(super) const MAX_BYTES: usize = 2 << 20;

/// The most memory of a small expression's DFA states, in bytes: enough for hundreds.
const STATES_BYTES: usize = 16 << 10;

/// About what the Pike VM takes for each character to match, in bytes.
const PLACE_BYTES: usize = 64;

pub(in crate::auth) struct Expression {
    text: Box<str>,
    fast: DFA,
    slow: PikeVM,
    /// The DFA's states, while no thread matches with them. A thread that finds none makes its own. The last one given back
    /// stays. That suffices: few threads match names, and an expression's states are soon built.
    spare: Mutex<Option<Box<Cache>>>,
    bytes: usize,
    folded: usize,
}

impl Expression {
    /// Compiles an expression in Go's syntax. On refusal, says what was expected.
    pub(super) fn compile(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || !has_at_most(text, MAX_CHARACTERS) {
            return Err("an expression of 1 to 4,096 characters after #regex:");
        }
        let parsed = go::parse(text).map_err(Refusal::expected)?;
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(MAX_BYTES)),
            )
            .build_from_hir(&parsed.hir)
            .map_err(|_| Refusal::TooLarge.expected())?;
        let config = Config::new();
        // The minimum has room for a handful of the largest states. Most are far smaller.
        let least = config
            .get_minimum_cache_capacity(&nfa)
            .map_err(|_| Refusal::TooLarge.expected())?;
        let capacity = least.saturating_mul(2).saturating_add(STATES_BYTES);
        let bytes = nfa
            .memory_usage()
            .saturating_add(capacity)
            .saturating_add(parsed.places.saturating_mul(PLACE_BYTES))
            .saturating_add(size_of::<Self>() + text.len());
        if bytes > MAX_BYTES {
            return Err(Refusal::TooLarge.expected());
        }
        let config = config
            .cache_capacity(capacity)
            // After so many cleared caches without progress, the DFA gives up and the Pike VM matches.
            .minimum_cache_clear_count(Some(3))
            .minimum_bytes_per_state(Some(10));
        Ok(Self {
            text: text.into(),
            fast: DFA::builder()
                .configure(config)
                .build_from_nfa(nfa.clone())
                .map_err(|_| Refusal::TooLarge.expected())?,
            slow: PikeVM::new_from_nfa(nfa).map_err(|_| Refusal::TooLarge.expected())?,
            spare: Mutex::default(),
            bytes,
            folded: parsed.folded,
        })
    }

    /// Whether it finds a match anywhere in `name`.
    pub(super) fn is_match(&self, name: &str) -> bool {
        let input = Input::new(name).earliest(true);
        let spare = self.spare.lock().take();
        let mut cache = spare.unwrap_or_else(|| Box::new(self.fast.create_cache()));
        let found = self.fast.try_search_fwd(&mut cache, &input);
        *self.spare.lock() = Some(cache);
        match found {
            Ok(found) => found.is_some(),
            Err(_) => self.slow.is_match(&mut self.slow.create_cache(), input),
        }
    }

    /// The expression as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How many characters were folded to compile it.
    pub(super) fn folded(&self) -> usize {
        self.folded
    }

    /// The memory that it takes, in bytes, with its DFA states.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
