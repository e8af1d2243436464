//! The small parts of an expression: one escape, one repetition, one group's beginning.

use super::{Flags, MAX_TIMES, Refusal};

/// An escape that stands for one code point. The code point may be half of a surrogate pair, which no text holds.
pub(super) struct Escape<'e> {
    pub(super) code_point: u32,
    /// What comes behind it.
    pub(super) rest: &'e str,
}

/// How often something may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) min: u32,
    /// `None`: any number of times.
    pub(super) max: Option<u32>,
}

/// How a group begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// `(?flags)`: none at all; the flags hold from here on.
    Flags(Flags),
    /// `(`, `(?:`, `(?flags:`, `(?P<name>` or `(?<name>`, with the flags that hold inside.
    Group(Flags),
}

/// Reads an escape, behind its backslash.
pub(super) fn escape(text: &str) -> Result<Escape<'_>, Refusal> {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return Err(Refusal::Escape);
    };
    let rest = chars.as_str();
    let code_point = match first {
        // One digit alone would be a back reference.
        '1'..='7' if !rest.starts_with(|c: char| matches!(c, '0'..='7')) => {
            return Err(Refusal::Escape);
        }
        '0'..='7' => {
            let more = rest
                .bytes()
                .take(2)
                .take_while(|byte| matches!(byte, b'0'..=b'7'))
                .count();
            let (digits, rest) = text.split_at_checked(1 + more).ok_or(Refusal::Escape)?;
            return number(digits, 8, rest);
        }
        'x' => {
            if let Some(braced) = rest.strip_prefix('{') {
                let (digits, rest) = braced.split_once('}').ok_or(Refusal::Escape)?;
                return number(digits, 16, rest);
            }
            let (digits, rest) = rest.split_at_checked(2).ok_or(Refusal::Escape)?;
            return number(digits, 16, rest);
        }
        'a' => 0x07,
        't' => 0x09,
        'n' => 0x0a,
        'v' => 0x0b,
        'f' => 0x0c,
        'r' => 0x0d,
        punctuation if punctuation.is_ascii() && !punctuation.is_ascii_alphanumeric() => {
            u32::from(punctuation)
        }
        _ => return Err(Refusal::Escape),
    };
    Ok(Escape { code_point, rest })
}

fn number<'e>(digits: &str, radix: u32, rest: &'e str) -> Result<Escape<'e>, Refusal> {
    let mut code_point = None;
    for digit in digits.chars() {
        let digit = digit.to_digit(radix).ok_or(Refusal::Escape)?;
        let sum = code_point.unwrap_or(0) * radix + digit;
        if sum > u32::from(char::MAX) {
            return Err(Refusal::Escape);
        }
        code_point = Some(sum);
    }
    let code_point = code_point.ok_or(Refusal::Escape)?;
    Ok(Escape { code_point, rest })
}

impl Times {
    /// Reads a repetition, with the `?` that makes it prefer fewer. `None`: a brace that begins none, and so stands for
    /// itself.
    pub(super) fn read(text: &str) -> Result<Option<(Self, &str)>, Refusal> {
        let mut chars = text.chars();
        let (min, max, behind) = match chars.next() {
            Some('*') => (0, None, chars.as_str()),
            Some('+') => (1, None, chars.as_str()),
            Some('?') => (0, Some(1), chars.as_str()),
            _ => {
                let Some((min, max, behind)) = braces(chars.as_str()) else {
                    return Ok(None);
                };
                let beyond = |times: u32| times > MAX_TIMES;
                if beyond(min) || max.is_some_and(|max| beyond(max) || min > max) {
                    return Err(Refusal::Times);
                }
                (min, max, behind)
            }
        };
        let behind = behind.strip_prefix('?').unwrap_or(behind);
        Ok(Some((Self { min, max }, behind)))
    }
}

/// `n}`, `n,}` or `n,m}`.
fn braces(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, text) = decimal(text)?;
    if let Some(rest) = text.strip_prefix('}') {
        return Some((min, Some(min), rest));
    }
    let text = text.strip_prefix(',')?;
    if let Some(rest) = text.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, text) = decimal(text)?;
    Some((min, Some(max), text.strip_prefix('}')?))
}

/// A number without leading zeros; one that is too large for us is the largest there is.
fn decimal(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

/// Reads the beginning of a group, behind its parenthesis.
pub(super) fn opening(text: &str, outside: Flags) -> Result<(Opening, &str), Refusal> {
    let Some(special) = text.strip_prefix('?') else {
        return Ok((Opening::Group(outside), text));
    };
    let named = special
        .strip_prefix("P<")
        .or_else(|| special.strip_prefix('<'));
    if let Some(named) = named {
        let (name, rest) = named.split_once('>').ok_or(Refusal::Group)?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(Refusal::Group);
        }
        return Ok((Opening::Group(outside), rest));
    }
    let (mut flags, mut value, mut dangling) = (outside, true, false);
    for (at, c) in special.char_indices() {
        match c {
            'i' => flags.fold = value,
            'm' => flags.lines = value,
            's' => flags.dot_all = value,
            'U' => {}
            '-' if value => {
                value = false;
                dangling = true;
                continue;
            }
            ':' | ')' if !dangling => {
                let rest = special.get(at + 1..).unwrap_or_default();
                let opening = match c {
                    ':' => Opening::Group(flags),
                    _ => Opening::Flags(flags),
                };
                return Ok((opening, rest));
            }
            _ => break,
        }
        dangling = false;
    }
    Err(Refusal::Group)
}
