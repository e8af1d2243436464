//! Sets of characters: a literal, `.`, brackets, and the classes that have names.
//!
//! Go folds case before it negates: `(?i)[^k]` is everything but k, K and the Kelvin sign. And its named classes hold
//! ASCII only, until `(?i)` folds them: `(?i)\w` holds the Kelvin sign.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir};

use super::lexis::{self, Escape};
use super::unicode::Property;
use super::{Flags, Refusal};

/// The most ranges of all classes of one expression. It bounds the time of parsing: a property of three characters such as
/// `\pL` has hundreds of ranges.
const MAX_RANGES: usize = 1 << 16;

/// The most characters with another case in all classes of one expression under `(?i)`. The engine folds them one by one.
/// The bound is two dozen times the number of such characters in Unicode.
pub(super) const MAX_FOLDED: usize = 1 << 16;

/// Of a class with more characters than this, the engine folds only those with another case. For a smaller class, finding
/// them would take longer than folding all.
const FOLDED_WHOLE: usize = 256;

/// The characters that have another case: a few thousand. The engine looks at each character of a class that it folds, and
/// a class may have a million.
static WITH_CASE: LazyLock<ClassUnicode> = LazyLock::new(|| {
    // No other kinds of characters have another case.
    let candidates = ["Lu", "Ll", "Lt", "Mn", "Nl", "So"]
        .into_iter()
        .filter_map(|name| Property::named(name)?.class().ok())
        .flat_map(|class| class.ranges().to_vec())
        .flat_map(|range| range.start()..=range.end());
    let with_case = candidates.filter(|char| has_other_case(*char));
    set(with_case.map(|char| (char, char)))
});

/// Parses classes, and counts their sizes.
#[derive(Debug, Default)]
pub(super) struct Classes {
    ranges: usize,
    folded: usize,
}

/// A named class and what comes behind it.
type Named<'e> = Option<(ClassUnicode, &'e str)>;

impl Classes {
    /// How many characters have been folded.
    pub(super) fn folded(&self) -> usize {
        self.folded
    }

    /// `.`
    pub(super) fn dot(&self, flags: Flags) -> Hir {
        let mut class = set([('\0', char::MAX)]);
        if !flags.dot_all {
            class.difference(&set([('\n', '\n')]));
        }
        hir(class)
    }

    /// One code point.
    pub(super) fn literal(&mut self, code_point: u32, flags: Flags) -> Result<Hir, Refusal> {
        // No text holds half of a surrogate pair.
        let Some(char) = char::from_u32(code_point) else {
            return Ok(Hir::fail());
        };
        let has_case = !char.is_ascii() || char.is_ascii_alphabetic();
        if !flags.fold || !has_case {
            return Ok(Hir::literal(char.to_string().into_bytes()));
        }
        let class = self.group(set([(char, char)]), flags, false)?;
        Ok(hir(class))
    }

    /// `\pN`, `\d` and so on, behind the backslash. `None`: it is no class.
    pub(super) fn escape<'e>(
        &mut self,
        text: &'e str,
        flags: Flags,
    ) -> Result<Option<(Hir, &'e str)>, Refusal> {
        let class = self.named_by_escape(text, flags)?;
        Ok(class.map(|(class, rest)| (hir(class), rest)))
    }

    /// A class in brackets, behind the opening one.
    pub(super) fn bracket<'e>(
        &mut self,
        text: &'e str,
        flags: Flags,
    ) -> Result<(Hir, &'e str), Refusal> {
        let (negated, mut rest) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mut single, mut all) = (Vec::new(), Vec::new());
        // A closing bracket in the first place stands for itself.
        let mut first = true;
        loop {
            if !first && let Some(behind) = rest.strip_prefix(']') {
                rest = behind;
                break;
            }
            first = false;
            if let Some((class, behind)) = self.named(rest, flags)? {
                all.extend_from_slice(class.ranges());
                rest = behind;
                continue;
            }
            let (range, behind) = range(rest)?;
            single.extend(range);
            rest = behind;
        }
        let single = self.group(ClassUnicode::new(single), flags, false)?;
        all.extend_from_slice(single.ranges());
        let mut class = ClassUnicode::new(all);
        if negated {
            class.negate();
        }
        Ok((hir(class), rest))
    }

    /// A class with a name, as it stands in brackets.
    fn named<'e>(&mut self, text: &'e str, flags: Flags) -> Result<Named<'e>, Refusal> {
        if let Some(escape) = text.strip_prefix('\\') {
            return self.named_by_escape(escape, flags);
        }
        let Some((name, rest)) = text
            .strip_prefix("[:")
            .and_then(|name| name.split_once(":]"))
        else {
            return Ok(None);
        };
        let (negated, name) = match name.strip_prefix('^') {
            Some(name) => (true, name),
            None => (false, name),
        };
        let ranges = posix(name).ok_or(Refusal::Class)?;
        let class = self.group(set(ranges.iter().copied()), flags, negated)?;
        Ok(Some((class, rest)))
    }

    fn named_by_escape<'e>(&mut self, text: &'e str, flags: Flags) -> Result<Named<'e>, Refusal> {
        let mut chars = text.chars();
        let Some(letter) = chars.next() else {
            return Ok(None);
        };
        let rest = chars.as_str();
        let (class, rest) = match letter {
            'd' | 'D' => (posix("digit"), rest),
            's' | 'S' => (Some(PERL_SPACE), rest),
            'w' | 'W' => (posix("word"), rest),
            'p' | 'P' => {
                let (name, rest) = match rest.strip_prefix('{') {
                    Some(braced) => braced.split_once('}').ok_or(Refusal::Class)?,
                    None => {
                        let end = rest.chars().next().map_or(0, char::len_utf8);
                        rest.split_at_checked(end).ok_or(Refusal::Class)?
                    }
                };
                let (negated, name) = match name.strip_prefix('^') {
                    Some(name) => (letter == 'p', name),
                    None => (letter == 'P', name),
                };
                let property = Property::named(name).ok_or(Refusal::Class)?;
                let class = self.group(property.class()?, flags, negated)?;
                return Ok(Some((class, rest)));
            }
            _ => return Ok(None),
        };
        let ranges = class.ok_or(Refusal::Class)?;
        let class = set(ranges.iter().copied());
        let class = self.group(class, flags, letter.is_ascii_uppercase())?;
        Ok(Some((class, rest)))
    }

    fn group(
        &mut self,
        mut class: ClassUnicode,
        flags: Flags,
        negated: bool,
    ) -> Result<ClassUnicode, Refusal> {
        self.ranges = self.ranges.saturating_add(class.ranges().len());
        if self.ranges > MAX_RANGES {
            return Err(Refusal::TooLarge);
        }
        if flags.fold {
            self.fold(&mut class)?;
        }
        if negated {
            class.negate();
        }
        Ok(class)
    }

    fn fold(&mut self, class: &mut ClassUnicode) -> Result<(), Refusal> {
        let mut with_case = class.clone();
        if characters(class) > FOLDED_WHOLE {
            with_case.intersect(&WITH_CASE);
        }
        self.folded = self.folded.saturating_add(characters(&with_case));
        if self.folded > MAX_FOLDED {
            return Err(Refusal::Folded);
        }
        with_case
            .try_case_fold_simple()
            .map_err(|_| Refusal::Class)?;
        class.union(&with_case);
        Ok(())
    }
}

fn characters(class: &ClassUnicode) -> usize {
    class.iter().map(ClassUnicodeRange::len).sum()
}

fn has_other_case(char: char) -> bool {
    let mut class = set([(char, char)]);
    class.try_case_fold_simple().is_ok() && characters(&class) > 1
}

/// A character or a range. `None` where it holds only surrogates, which are in no text.
fn range(text: &str) -> Result<(Option<ClassUnicodeRange>, &str), Refusal> {
    let (low, rest) = member(text)?;
    // A minus in the last place stands for itself.
    let (high, rest) = match rest.strip_prefix('-') {
        Some(behind) if !behind.is_empty() && !behind.starts_with(']') => member(behind)?,
        _ => (low, rest),
    };
    if high < low {
        return Err(Refusal::Class);
    }
    // The surrogates are in no text.
    let low = char::from_u32(low).unwrap_or('\u{e000}');
    let high = char::from_u32(high).unwrap_or('\u{d7ff}');
    let range = (low <= high).then(|| ClassUnicodeRange::new(low, high));
    Ok((range, rest))
}

fn member(text: &str) -> Result<(u32, &str), Refusal> {
    let mut chars = text.chars();
    match chars.next() {
        None => Err(Refusal::Bracket),
        Some('\\') => {
            let Escape { code_point, rest } = lexis::escape(chars.as_str())?;
            Ok((code_point, rest))
        }
        Some(char) => Ok((u32::from(char), chars.as_str())),
    }
}

fn hir(class: ClassUnicode) -> Hir {
    Hir::class(Class::Unicode(class))
}

fn set(ranges: impl IntoIterator<Item = (char, char)>) -> ClassUnicode {
    ClassUnicode::new(
        ranges
            .into_iter()
            .map(|(low, high)| ClassUnicodeRange::new(low, high)),
    )
}

/// `\s`: unlike `[:space:]` it has no vertical tab.
const PERL_SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];

fn posix(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_another_case_is_known_without_looking_at_all_there_is() {
        let all = ('\0'..=char::MAX).filter(|char| has_other_case(*char));
        assert_eq!(*WITH_CASE, set(all.map(|char| (char, char))));
        assert!(characters(&WITH_CASE) < 3 << 10);
    }
}
