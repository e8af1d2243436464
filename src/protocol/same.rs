//! Whether two JSON texts say the same.
//!
//! Only applications know what their numbers are, so none is ever turned into one of ours: a 30-digit id is not the id
//! next to it, `1e400` is a number as good as any, and `1e999999999` takes no more room than its text.

use std::collections::BTreeMap;

/// Whether two compact texts are the same value: the order of keys does not matter, nor how a number is written. Of a key
/// that comes twice, the last value counts. Strings must have been given their one spelling, as [`Json`](super::Json)
/// does.
pub(crate) fn same_value(a: &str, b: &str) -> bool {
    a == b
        || match (Value::parse(a), Value::parse(b)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
}

/// A value, whose strings and numbers stay in the text.
enum Value<'a> {
    /// A string, `true`, `false` or `null`, as it is written.
    Plain(&'a str),
    /// A number, as it is written.
    Number(&'a str),
    Array(Vec<Self>),
    Object(BTreeMap<&'a str, Self>),
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(a), Self::Plain(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b || Number::of(a) == Number::of(b),
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            _ => false,
        }
    }
}

impl<'a> Value<'a> {
    /// Reads a compact text, if it is one. The text has been validated, and is nested no deeper than that allows.
    fn parse(text: &'a str) -> Option<Self> {
        let (value, rest) = Self::read(text)?;
        rest.is_empty().then_some(value)
    }

    /// Reads the value that a text begins with.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let first = *text.as_bytes().first()?;
        match first {
            b'[' => {
                let (mut items, mut rest) = (Vec::new(), text.get(1..)?);
                if let Some(behind) = rest.strip_prefix(']') {
                    return Some((Self::Array(items), behind));
                }
                loop {
                    let (item, behind) = Self::read(rest)?;
                    items.push(item);
                    match behind.strip_prefix(',') {
                        Some(more) => rest = more,
                        None => return Some((Self::Array(items), behind.strip_prefix(']')?)),
                    }
                }
            }
            b'{' => {
                let (mut fields, mut rest) = (BTreeMap::new(), text.get(1..)?);
                if let Some(behind) = rest.strip_prefix('}') {
                    return Some((Self::Object(fields), behind));
                }
                loop {
                    let (key, behind) = string(rest)?;
                    let (value, behind) = Self::read(behind.strip_prefix(':')?)?;
                    fields.insert(key, value);
                    match behind.strip_prefix(',') {
                        Some(more) => rest = more,
                        None => return Some((Self::Object(fields), behind.strip_prefix('}')?)),
                    }
                }
            }
            b'"' => {
                let (literal, rest) = string(text)?;
                Some((Self::Plain(literal), rest))
            }
            _ => {
                let end = text.find([',', ']', '}']).unwrap_or(text.len());
                let (word, rest) = text.split_at_checked(end)?;
                let value = match first {
                    b'-' | b'0'..=b'9' => Self::Number(word),
                    _ => Self::Plain(word),
                };
                Some((value, rest))
            }
        }
    }
}

/// The string that a text begins with, in its quotes.
fn string(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    if *bytes.first()? != b'"' {
        return None;
    }
    text.split_at_checked(string_end(bytes, 0))
}

/// Where the string literal that begins at `start` is over (just past its closing quote).
pub(super) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A number in its one form: `digits`, which neither begin nor end with a zero, times ten to the `exponent`.
#[derive(PartialEq, Eq)]
struct Number {
    negative: bool,
    digits: String,
    exponent: Exponent,
}

/// An exponent of any size: `high` times [`BASE`], and `low`. Without `high`, `low` has the sign itself.
#[derive(Default, PartialEq, Eq)]
struct Exponent {
    negative: bool,
    high: String,
    low: i64,
}

/// What the low part of an exponent counts to: 18 decimal digits.
const BASE: i64 = 1_000_000_000_000_000_000;
const LOW_DIGITS: usize = 18;

impl Number {
    fn of(text: &str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, ""));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole.trim_start_matches('0'), fraction].concat();
        let written = digits.len();
        digits.truncate(digits.trim_end_matches('0').len());
        let zeros = written - digits.len();
        let leading = digits.len() - digits.trim_start_matches('0').len();
        digits.drain(..leading);
        if digits.is_empty() {
            // Zero has neither sign nor exponent.
            return Self {
                negative: false,
                digits,
                exponent: Exponent::default(),
            };
        }
        // The text is held in memory, so its lengths are far from what does not fit.
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX / 4);
        Self {
            negative,
            digits,
            exponent: Exponent::of(exponent, count(zeros) - count(fraction.len())),
        }
    }
}

impl Exponent {
    /// The exponent that is written so, plus `offset`.
    fn of(text: &str, offset: i64) -> Self {
        let negative = text.starts_with('-');
        let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
        let (high, low) = digits
            .split_at_checked(digits.len().saturating_sub(LOW_DIGITS))
            .unwrap_or_default();
        let mut high = high.to_owned();
        let mut low = low.parse::<i64>().unwrap_or(0);
        low += if negative { -offset } else { offset };
        if high.is_empty() && low.abs() < BASE {
            return Self {
                negative: false,
                high,
                low: if negative { -low } else { low },
            };
        }
        if high.is_empty() && low < 0 {
            // So much below zero by its offset alone: no text is that long.
            return Self::default();
        }
        if low < 0 {
            high = minus_one(&high);
            low += BASE;
        } else if low >= BASE {
            high = plus_one(&high);
            low -= BASE;
        }
        if high.is_empty() && negative {
            low = -low;
        }
        Self {
            negative: negative && !high.is_empty(),
            high,
            low,
        }
    }
}

/// The decimal number after this one.
fn plus_one(digits: &str) -> String {
    let kept = digits.trim_end_matches('9');
    let mut out = match kept.as_bytes().split_last() {
        Some((last, front)) => {
            let mut out = String::from_utf8_lossy(front).into_owned();
            out.push(char::from(last + 1));
            out
        }
        None => "1".to_owned(),
    };
    out.extend(std::iter::repeat_n('0', digits.len() - kept.len()));
    out
}

/// The decimal number before this one, which is not zero; nothing for zero.
fn minus_one(digits: &str) -> String {
    let kept = digits.trim_end_matches('0');
    let mut out = match kept.as_bytes().split_last() {
        Some((last, front)) => {
            let mut out = String::from_utf8_lossy(front).into_owned();
            out.push(char::from(last - 1));
            out
        }
        None => String::new(),
    };
    out.extend(std::iter::repeat_n('9', digits.len() - kept.len()));
    out.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_count_exactly() {
        let huge = "9".repeat(40);
        let huge_and_one = format!("1{}", "0".repeat(40));
        for (a, b, same) in [
            ("1.0", "1", true),
            ("1e2", "100", true),
            ("1E+02", "100.00", true),
            ("10e-1", "1", true),
            ("0.001", "1e-3", true),
            ("-0", "0", true),
            ("-0.0e5", "0e-999999999999999999999999999", true),
            ("-1", "1", false),
            ("1", "2", false),
            ("12", "21", false),
            ("0.1", "0.01", false),
            ("10000000000000000000001", "10000000000000000000000", false),
            ("10000000000000000000000", "1e22", true),
            ("0.1", "0.1000000000000000055511151231257827", false),
            ("1e400", "1e400", true),
            ("1e400", "10e399", true),
            ("1e400", "1e401", false),
            ("1e999999999", "0.1e1000000000", true),
            ("1e999999999", "1e999999998", false),
            ("1e-999999999", "10e-1000000000", true),
            ("1e999999999999999999", "0.1e1000000000000000000", true),
            ("1e-999999999999999999", "10e-1000000000000000000", true),
            ("1e1000000000000000000", "1e-1000000000000000000", false),
            (&format!("1e{huge}"), &format!("0.1e{huge_and_one}"), true),
            (&format!("1e-{huge}"), &format!("10e-{huge_and_one}"), true),
            (&format!("1e{huge}"), &format!("1e{huge_and_one}"), false),
            (&format!("1e{huge}"), &format!("1e-{huge}"), false),
            ("1", "\"1\"", false),
            ("1", "true", false),
        ] {
            assert_eq!(same_value(a, b), same, "{a} {b}");
            assert_eq!(same_value(b, a), same, "{b} {a}");
        }
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        for (a, b, same) in [
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, true),
            (r#"{"a":1,"a":2}"#, r#"{"a":1}"#, false),
            (r#"{"a":1,"b":3,"a":2.0}"#, r#"{"b":3.0,"a":2}"#, true),
            (r#"[{"a":1,"a":2}]"#, r#"[{"a":2,"a":1}]"#, false),
            (r#"{"a,":"]}"}"#, r#"{"a,":"]}"}"#, true),
            (r#"{"a":[],"b":{}}"#, r#"{"b":{},"a":[]}"#, true),
            (r#"{"a":[],"b":{}}"#, r#"{"b":[],"a":{}}"#, false),
            (
                r#"{"\"":1,"x":[1,"\\"]}"#,
                r#"{"x":[1.0,"\\"],"\"":1}"#,
                true,
            ),
            ("[1,2]", "[2,1]", false),
            ("[1,2]", "[1,2,3]", false),
            ("null", "false", false),
        ] {
            assert_eq!(same_value(a, b), same, "{a} {b}");
        }
    }

    /// The digits of a number, with a point somewhere and an exponent that makes up for it.
    fn spelled(mantissa: u64, exponent: i64, shift: usize, zeros: usize) -> String {
        let digits = format!("{mantissa}{}", "0".repeat(zeros));
        let exponent = exponent - i64::try_from(zeros).unwrap();
        let shift = shift.min(digits.len() - 1);
        let (whole, fraction) = digits.split_at(digits.len() - shift);
        let exponent = exponent + i64::try_from(shift).unwrap();
        match (fraction, exponent) {
            ("", 0) => whole.to_owned(),
            ("", _) => format!("{whole}e{exponent}"),
            (_, 0) => format!("{whole}.{fraction}"),
            _ => format!("{whole}.{fraction}E{exponent:+}"),
        }
    }

    proptest! {
        #[test]
        fn a_number_is_the_same_however_it_is_written(
            mantissa: u64, exponent in -40_i64..40,
            (shift, zeros) in (0_usize..25, 0_usize..25), (other_shift, other_zeros) in (0_usize..25, 0_usize..25),
        ) {
            let a = spelled(mantissa, exponent, shift, zeros);
            let b = spelled(mantissa, exponent, other_shift, other_zeros);
            prop_assert!(same_value(&a, &b), "{} {}", a, b);
            let c = spelled(mantissa ^ 1, exponent, shift, zeros);
            prop_assert!(!same_value(&a, &c), "{} {}", a, c);
            if mantissa != 0 {
                let c = spelled(mantissa, exponent + 1, shift, zeros);
                prop_assert!(!same_value(&a, &c), "{} {}", a, c);
                let negative = format!("-{a}");
                prop_assert!(!same_value(&a, &negative));
            }
        }

        /// Where doubles hold both numbers exactly, they know as well as we do.
        #[test]
        fn small_numbers_compare_as_doubles_do(a in -5000_i32..5000, b in -5000_i32..5000, x in 0_i32..4, y in 0_i32..4) {
            let (left, right) = (format!("{a}e{x}"), format!("{b}.0e{y}"));
            let equal = f64::from(a) * 10_f64.powi(x) == f64::from(b) * 10_f64.powi(y);
            prop_assert_eq!(same_value(&left, &right), equal);
        }

        #[test]
        fn no_text_makes_it_panic(a in "[-+0-9eE.,:{}\\[\\]\"\\\\a]{0,20}", b: String) {
            let _ = same_value(&a, &b);
            let _ = same_value(&b, &a);
        }
    }
}
