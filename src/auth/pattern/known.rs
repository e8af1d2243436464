//! Compiled expressions, shared by all tokens with the same text. Compiling one takes longer than all else about a token, and
//! it takes more memory than a connection.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::expression::Expression;

/// The most memory of all expressions of one token, in bytes.
const MAX_TOKEN_BYTES: usize = 8 << 20;

/// The most characters folded for all expressions of one token. It bounds the time of compiling them.
const MAX_TOKEN_FOLDED: usize = 1 << 18;

/// How many expressions a verifier remembers. The tokens of one application tend to hold the same few.
const REMEMBERED: usize = 256;

/// The most memory of the remembered expressions, in bytes: that of two of the largest tokens.
const REMEMBERED_BYTES: usize = 2 * MAX_TOKEN_BYTES;

/// What a remembered refusal counts besides its text, in bytes.
const REFUSED_BYTES: usize = 64;

/// An expression, or what was expected in its place. Refusals are remembered too, because they cost as much time.
#[derive(Debug, Clone)]
enum Known {
    Good(Arc<Expression>),
    Refused(Box<str>, &'static str),
}

/// The expressions used last, for all tokens of a verifier.
#[derive(Debug, Default)]
pub(in crate::auth) struct KnownExpressions {
    recent: Mutex<Recent>,
}

/// The one used last stands last. Beyond [`REMEMBERED`] or [`REMEMBERED_BYTES`], the first are dropped.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<Known>,
    bytes: usize,
}

/// The expressions of one token. They are bounded together.
#[derive(Debug)]
pub(in crate::auth) struct Expressions<'a> {
    known: &'a KnownExpressions,
    own: Vec<Arc<Expression>>,
    bytes: usize,
    folded: usize,
}

impl KnownExpressions {
    pub(in crate::auth) fn for_token(&self) -> Expressions<'_> {
        Expressions {
            known: self,
            own: Vec::new(),
            bytes: 0,
            folded: 0,
        }
    }

    fn get(&self, text: &str) -> Result<Arc<Expression>, &'static str> {
        if let Some(known) = self.recent.lock().find(text) {
            return known.into_result();
        }
        // Another thread may compile the same one meanwhile. Waiting for this one would take it as long.
        let made = match Expression::compile(text) {
            Ok(expression) => Known::Good(Arc::new(expression)),
            Err(expected) => Known::Refused(text.into(), expected),
        };
        self.recent.lock().add(made.clone());
        made.into_result()
    }
}

impl Expressions<'_> {
    /// The compiled expression. On refusal, says what was expected.
    pub(super) fn get(&mut self, text: &str) -> Result<Arc<Expression>, &'static str> {
        if let Some(own) = self.own.iter().find(|own| own.text() == text) {
            return Ok(Arc::clone(own));
        }
        let expression = self.known.get(text)?;
        self.bytes = self.bytes.saturating_add(expression.bytes());
        if self.bytes > MAX_TOKEN_BYTES {
            return Err(
                "the regular expressions of one token to take at most 8 MiB together when compiled (fewer or smaller ones)",
            );
        }
        self.folded = self.folded.saturating_add(expression.folded());
        if self.folded > MAX_TOKEN_FOLDED {
            return Err(
                "the regular expressions of one token to have at most 262,144 characters together where (?i) holds, not counting those without case (fewer Unicode classes, or no (?i))",
            );
        }
        self.own.push(Arc::clone(&expression));
        Ok(expression)
    }
}

impl Recent {
    fn find(&mut self, text: &str) -> Option<Known> {
        let at = self.order.iter().position(|known| known.text() == text)?;
        let known = self.order.remove(at)?;
        self.order.push_back(known.clone());
        Some(known)
    }

    fn add(&mut self, new: Known) {
        // Another thread may have added it meanwhile.
        if self.find(new.text()).is_some() {
            return;
        }
        self.bytes += new.bytes();
        self.order.push_back(new);
        while self.order.len() > REMEMBERED || self.bytes > REMEMBERED_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
    }
}

impl Known {
    fn text(&self) -> &str {
        match self {
            Self::Good(expression) => expression.text(),
            Self::Refused(text, _) => text,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Good(expression) => expression.bytes(),
            Self::Refused(text, _) => text.len() + REFUSED_BYTES,
        }
    }

    fn into_result(self) -> Result<Arc<Expression>, &'static str> {
        match self {
            Self::Good(expression) => Ok(expression),
            Self::Refused(_, expected) => Err(expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An expression that costs 200 KiB to 2 MiB, and is not alike for two numbers.
    fn large(number: usize) -> String {
        format!("^{number}\\pL{{10,30}}")
    }

    #[test]
    fn an_expression_is_compiled_once() {
        let known = KnownExpressions::default();
        let first = known.for_token().get("^a$").unwrap();
        assert!(Arc::ptr_eq(&first, &known.for_token().get("^a$").unwrap()));
        let mut token = known.for_token();
        let again = token.get("^a$").unwrap();
        assert!(Arc::ptr_eq(&again, &token.get("^a$").unwrap()));
        assert_eq!(token.bytes, first.bytes());
        // A refusal is remembered, too.
        let refusal = known.for_token().get("(").unwrap_err();
        assert_eq!(known.for_token().get("(").unwrap_err(), refusal);
        assert_eq!(known.recent.lock().order.len(), 2);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_bytes() {
        let known = KnownExpressions::default();
        let first = known.get("^a$").unwrap();
        for number in 0..2 * REMEMBERED {
            known.get(&format!("^{number}$")).unwrap();
            // What is used stays.
            assert!(Arc::ptr_eq(&first, &known.get("^a$").unwrap()));
        }
        assert_eq!(known.recent.lock().order.len(), REMEMBERED);
        for number in 0..2 * REMEMBERED_BYTES / (256 << 10) {
            known.get(&large(number)).unwrap();
            let recent = known.recent.lock();
            assert!(recent.bytes <= REMEMBERED_BYTES);
            let sum: usize = recent.order.iter().map(Known::bytes).sum();
            assert_eq!(recent.bytes, sum);
        }
        assert!(!Arc::ptr_eq(&first, &known.get("^a$").unwrap()));
    }

    #[test]
    fn a_token_has_a_bound_for_all_its_expressions_together() {
        let known = KnownExpressions::default();
        let mut token = known.for_token();
        let mut bytes = 0;
        let refused = (0..).find(|number| match token.get(&large(*number)) {
            Ok(expression) => {
                bytes += expression.bytes();
                false
            }
            Err(expected) => {
                assert!(expected.contains("8 MiB together"), "{expected}");
                true
            }
        });
        assert!(bytes > MAX_TOKEN_BYTES / 2 && bytes <= MAX_TOKEN_BYTES);
        // The one that was too much is fine in a token of its own.
        assert!(known.for_token().get(&large(refused.unwrap())).is_ok());
        // The same one again and again counts once.
        let mut token = known.for_token();
        for _ in 0..100 {
            token.get(&large(0)).unwrap();
        }
    }

    #[test]
    fn a_token_has_a_bound_for_what_is_folded() {
        let known = KnownExpressions::default();
        let mut token = known.for_token();
        let each = known.get("(?i)^0\\pL").unwrap().folded();
        let most = MAX_TOKEN_FOLDED / each;
        for number in 0..1000 {
            match token.get(&format!("(?i)^{number}\\pL")) {
                Ok(_) => assert!(number < most),
                Err(expected) => {
                    assert!(expected.contains("262,144") || expected.contains("8 MiB"));
                    return;
                }
            }
        }
        panic!("no bound");
    }
}
