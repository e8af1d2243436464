//! Parses regular expressions in Go's syntax, for an engine with another syntax (PROTOCOL.md, section 2).
//!
//! An expression grants permissions, so it must match exactly what it matches in Go. The engine's syntax differs in small
//! things: the characters of a class, the operators, what is refused. So the engine's parser is not used. This parser follows
//! Go's rules and produces the engine's own form (`Hir`), which is independent of syntax.
//!
//! ```text
//! mod      the whole: sequences, alternatives, groups, repetitions
//! lexis    one escape, one repetition, one group's beginning
//! class    sets of characters: brackets, \d, [:alpha:], \pL
//! unicode  the names that stand in \p{…}
//! ```
//!
//! The only question is whether there is a match. So groups capture nothing, and the preference of a match (`*?`, the flag
//! `U`) is parsed and dropped.

mod class;
mod lexis;
mod unicode;

#[cfg(test)]
mod tests;

use regex_syntax::hir::{Hir, Look, Repetition};

use class::Classes;
use lexis::{Escape, Opening, Times};

/// How deep alternatives, sequences and repetitions may be nested. The engine's compiler recurses once a level.
const MAX_HEIGHT: usize = 250;

/// The largest count of a repetition, and the largest product of nested ones (Go's bound).
const MAX_TIMES: u32 = 1000;

/// The most characters to match, with repetitions written out. It bounds the time of a match.
const MAX_PLACES: usize = 4096;

/// An expression in the engine's form.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) hir: Hir,
    /// How many characters there are to match, with repetitions written out.
    pub(super) places: usize,
    /// How many characters with another case were folded.
    pub(super) folded: usize,
}

/// Why an expression is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Parenthesis,
    Bracket,
    /// An operator with nothing before it, or behind another one.
    Repetition,
    /// A repetition that counts backwards or beyond 1,000.
    Times,
    Escape,
    /// A range that ends before it begins, or an unknown class or property.
    Class,
    Group,
    TooDeep,
    TooLarge,
    /// Too many characters to fold under `(?i)`.
    Folded,
}

impl Refusal {
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Parenthesis => {
                "a valid regular expression after #regex:, with a ) for every ( and the other way round"
            }
            Self::Bracket => "a valid regular expression after #regex:, with a ] for every [",
            Self::Repetition => {
                "a valid regular expression after #regex:, with something before each * + ? and {n}, and only one of them there"
            }
            Self::Times => {
                "a valid regular expression after #regex:, with repetitions of at most 1000 times (nested ones multiplied), the lower number first"
            }
            Self::Escape => {
                "a valid regular expression after #regex:, with no escapes but Go's (back references and \\Z are not among them)"
            }
            Self::Class => {
                "a valid regular expression after #regex:, with ranges in ascending order and only Go's names of classes"
            }
            Self::Group => {
                "a valid regular expression after #regex:, with no groups but Go's: (…) (?:…) (?P<name>…) (?<name>…) and the flags imsU; look-around is not among them"
            }
            Self::Folded => {
                "a regular expression whose classes have at most 65,536 characters together where (?i) holds, not counting those without case (fewer Unicode classes, or no (?i))"
            }
            Self::TooDeep => {
                "a regular expression of at most 250 alternatives, sequences and repetitions within each other"
            }
            Self::TooLarge => {
                "a regular expression that takes at most 2 MiB when compiled (smaller repetitions, fewer Unicode classes)"
            }
        }
    }
}

/// The flags that change what matches; `U` does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flags {
    /// `i`
    fold: bool,
    /// `m`
    lines: bool,
    /// `s`
    dot_all: bool,
}

#[derive(Debug)]
struct Piece {
    hir: Hir,
    places: usize,
    height: usize,
    /// The largest product of nested repetitions.
    times: u32,
}

/// The part of a group, or of the whole, that has been parsed.
#[derive(Debug, Default)]
struct Level {
    /// The flags that hold again behind it.
    outside: Flags,
    /// The alternatives before this one.
    alternatives: Vec<Piece>,
    /// This alternative so far.
    sequence: Vec<Piece>,
}

/// # Errors
/// When Go would refuse the expression, or it exceeds a bound.
pub(super) fn parse(expression: &str) -> Result<Parsed, Refusal> {
    let mut parser = Parser::default();
    let mut rest = expression;
    // An operator stands right behind another one.
    let mut after_operator = false;
    while let Some(next) = rest.chars().next() {
        let is_operator;
        (rest, is_operator) = parser.step(next, rest, after_operator)?;
        after_operator = is_operator;
    }
    let Parser {
        level,
        outer,
        classes,
        ..
    } = parser;
    if !outer.is_empty() {
        return Err(Refusal::Parenthesis);
    }
    let whole = level.finish()?;
    if whole.places > MAX_PLACES {
        return Err(Refusal::TooLarge);
    }
    Ok(Parsed {
        hir: whole.hir,
        places: whole.places,
        folded: classes.folded(),
    })
}

#[derive(Debug, Default)]
struct Parser {
    flags: Flags,
    level: Level,
    /// The groups that this one is in, the innermost last.
    outer: Vec<Level>,
    classes: Classes,
}

impl Parser {
    /// Reads what begins with `next`, the first character of `rest`. Returns what comes behind it, and whether it was a
    /// repetition.
    fn step<'e>(
        &mut self,
        next: char,
        rest: &'e str,
        after_operator: bool,
    ) -> Result<(&'e str, bool), Refusal> {
        let behind = rest.get(next.len_utf8()..).unwrap_or_default();
        match next {
            '(' => return Ok((self.open(behind)?, false)),
            '|' => self.level.next_alternative()?,
            ')' => self.close()?,
            '^' if self.flags.lines => self.push_look(Look::StartLF),
            '^' => self.push_look(Look::Start),
            '$' if self.flags.lines => self.push_look(Look::EndLF),
            '$' => self.push_look(Look::End),
            '.' => {
                let class = self.classes.dot(self.flags);
                self.push(class);
            }
            '[' => {
                let (class, behind) = self.classes.bracket(behind, self.flags)?;
                self.push(class);
                return Ok((behind, false));
            }
            '*' | '+' | '?' | '{' => {
                if let Some((times, behind)) = Times::read(rest)? {
                    if after_operator {
                        return Err(Refusal::Repetition);
                    }
                    self.repeat(times)?;
                    return Ok((behind, true));
                }
                self.push_literal(u32::from(next))?;
            }
            '\\' => return Ok((self.escape(behind)?, false)),
            _ => self.push_literal(u32::from(next))?,
        }
        Ok((behind, false))
    }

    /// Reads the beginning of a group, behind its parenthesis.
    fn open<'e>(&mut self, behind: &'e str) -> Result<&'e str, Refusal> {
        let (opening, rest) = lexis::opening(behind, self.flags)?;
        let inside = match opening {
            Opening::Flags(flags) => {
                self.flags = flags;
                return Ok(rest);
            }
            Opening::Group(flags) => flags,
        };
        let inner = Level {
            outside: self.flags,
            ..Level::default()
        };
        self.outer.push(std::mem::replace(&mut self.level, inner));
        self.flags = inside;
        Ok(rest)
    }

    fn close(&mut self) -> Result<(), Refusal> {
        let outer = self.outer.pop().ok_or(Refusal::Parenthesis)?;
        let inner = std::mem::replace(&mut self.level, outer);
        self.flags = inner.outside;
        let group = inner.finish()?;
        self.push_piece(group)
    }

    /// Reads an escape, behind its backslash.
    fn escape<'e>(&mut self, behind: &'e str) -> Result<&'e str, Refusal> {
        let mut chars = behind.chars();
        let look = match chars.next() {
            Some('A') => Some(Look::Start),
            Some('z') => Some(Look::End),
            Some('b') => Some(Look::WordAscii),
            Some('B') => Some(Look::WordAsciiNegate),
            Some('Q') => {
                let (literal, rest) = chars
                    .as_str()
                    .split_once("\\E")
                    .unwrap_or((chars.as_str(), ""));
                for char in literal.chars() {
                    self.push_literal(u32::from(char))?;
                }
                return Ok(rest);
            }
            _ => None,
        };
        if let Some(look) = look {
            self.push_look(look);
            return Ok(chars.as_str());
        }
        if let Some((class, rest)) = self.classes.escape(behind, self.flags)? {
            self.push(class);
            return Ok(rest);
        }
        let Escape { code_point, rest } = lexis::escape(behind)?;
        self.push_literal(code_point)?;
        Ok(rest)
    }

    fn push_literal(&mut self, code_point: u32) -> Result<(), Refusal> {
        let literal = self.classes.literal(code_point, self.flags)?;
        self.push(literal);
        Ok(())
    }

    fn push_look(&mut self, look: Look) {
        self.push(Hir::look(look));
    }

    /// Adds a piece that matches at most one character.
    fn push(&mut self, hir: Hir) {
        self.level.sequence.push(Piece {
            hir,
            places: 1,
            height: 1,
            times: 0,
        });
    }

    fn push_piece(&mut self, piece: Piece) -> Result<(), Refusal> {
        if piece.height > MAX_HEIGHT {
            return Err(Refusal::TooDeep);
        }
        self.level.sequence.push(piece);
        Ok(())
    }

    fn repeat(&mut self, Times { min, max }: Times) -> Result<(), Refusal> {
        let piece = self.level.sequence.pop().ok_or(Refusal::Repetition)?;
        // Go's bound counts only repetitions in braces, not `*`, `+` and `?`.
        let counted = max.unwrap_or(min);
        let times = match counted {
            0 if max.is_some() => 0,
            0 | 1 => piece.times.max(counted),
            _ => counted.saturating_mul(piece.times.max(1)),
        };
        if times > MAX_TIMES {
            return Err(Refusal::Times);
        }
        let copies = usize::try_from(counted.max(1)).unwrap_or(usize::MAX);
        self.push_piece(Piece {
            places: piece.places.saturating_mul(copies),
            height: piece.height + 1,
            times,
            hir: Hir::repetition(Repetition {
                min,
                max,
                greedy: true,
                sub: Box::new(piece.hir),
            }),
        })
    }
}

impl Level {
    fn next_alternative(&mut self) -> Result<(), Refusal> {
        let sequence = std::mem::take(&mut self.sequence);
        self.alternatives.push(Piece::of(sequence, Hir::concat)?);
        Ok(())
    }

    fn finish(mut self) -> Result<Piece, Refusal> {
        if self.alternatives.is_empty() {
            return Piece::of(self.sequence, Hir::concat);
        }
        self.next_alternative()?;
        Piece::of(self.alternatives, Hir::alternation)
    }
}

impl Piece {
    fn of(mut pieces: Vec<Self>, join: fn(Vec<Hir>) -> Hir) -> Result<Self, Refusal> {
        if pieces.len() == 1
            && let Some(only) = pieces.pop()
        {
            return Ok(only);
        }
        let mut whole = Self {
            hir: Hir::empty(),
            places: 0,
            height: 0,
            times: 0,
        };
        let mut parts = Vec::with_capacity(pieces.len());
        for piece in pieces {
            whole.places = whole.places.saturating_add(piece.places);
            whole.height = whole.height.max(piece.height);
            whole.times = whole.times.max(piece.times);
            parts.push(piece.hir);
        }
        // An empty group counts, too.
        whole.places = whole.places.max(1);
        whole.height += 1;
        if whole.height > MAX_HEIGHT {
            return Err(Refusal::TooDeep);
        }
        whole.hir = join(parts);
        Ok(whole)
    }
}
