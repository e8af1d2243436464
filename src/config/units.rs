//! How durations, byte sizes and Base64 secrets are written in a configuration, and how names are compared to suggest
//! the one that was meant.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::source::Value;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// How numbers of one kind are written.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// What such a number is called.
    pub(super) what: &'static str,
    /// How to write one, behind a colon; empty where that needs no words.
    pub(super) form: &'static str,
    /// How to write nothing.
    zero: &'static str,
    /// The suffixes and what each stands for, the largest first. Without the empty one, a number must have one.
    suffixes: &'static [(&'static str, u64)],
}

/// How to write a duration, for messages.
pub const DURATION_FORM: &str =
    r#"a whole number and a unit (ms, s, m, h or d), as in "500ms", "10s", "5m", "2h" or "1d""#;

/// Durations, in milliseconds.
pub(super) const TIME: Unit = Unit {
    what: "a duration",
    form: DURATION_FORM,
    zero: "0s",
    suffixes: &[
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ],
};

/// Sizes, in bytes.
pub(super) const BYTES: Unit = Unit {
    what: "a size",
    form: r#"a whole number of bytes, or text such as "100KiB", "32MiB" or "1GiB""#,
    zero: "0",
    suffixes: &[("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("", 1), ("B", 1)],
};

/// Plain numbers.
pub(super) const COUNT: Unit = Unit {
    what: "a whole number",
    form: "",
    zero: "0",
    suffixes: &[("", 1)],
};

impl Unit {
    /// Reads a number. White space around it and before its suffix is allowed.
    pub(super) fn read(&self, text: &str) -> Option<u64> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let suffix = text.strip_prefix(digits)?.trim_start();
        let (_, factor) = self.suffixes.iter().find(|(name, _)| *name == suffix)?;
        digits.parse::<u64>().ok()?.checked_mul(*factor)
    }

    /// Reads what stands for a number: one without a suffix where that is enough, or else text.
    pub(super) fn value(&self, value: &Value) -> Option<u64> {
        match value {
            Value::Integer(number) if self.takes_plain() => u64::try_from(*number).ok(),
            Value::Text(text) if self.suffixes.len() > 1 => self.read(text),
            Value::Plain(text) => self.read(text),
            _ => None,
        }
    }

    /// Writes a number in its largest whole unit, so that it reads back as itself.
    pub(super) fn show(&self, number: u64) -> String {
        let mut suffixes = self.suffixes.iter();
        match suffixes.find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor)) {
            Some((name, factor)) => format!("{}{name}", number / factor),
            None => self.zero.to_owned(),
        }
    }

    /// The same, as TOML.
    pub(super) fn toml(&self, number: u64) -> String {
        let text = self.show(number);
        match text.parse::<u64>() {
            Ok(_) => text,
            Err(_) => format!("{text:?}"),
        }
    }

    /// As TOML, without a suffix where there need not be one.
    pub(super) fn plain(&self, number: u64) -> String {
        match self.takes_plain() {
            true => number.to_string(),
            false => self.toml(number),
        }
    }

    fn takes_plain(&self) -> bool {
        self.suffixes.iter().any(|(name, _)| name.is_empty())
    }
}

/// Reads `500ms`, `10s`, `5m`, `2h`, `1d`.
pub fn duration(text: &str) -> Option<Duration> {
    TIME.read(text).map(Duration::from_millis)
}

/// Writes a duration in its largest whole unit, so that it reads back as itself.
pub fn show_duration(duration: Duration) -> String {
    TIME.show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Writes a byte size as a person would: `32MiB`, or the plain number where no unit divides it.
pub fn show_size(bytes: u64) -> String {
    BYTES.show(bytes)
}

/// Decodes Base64 in either alphabet, with or without padding, and over several lines. A PEM file is none, although its
/// dashes and letters could all be taken for Base64: a public key must never become a secret.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    if text.contains("-----") {
        return None;
    }
    let text: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// The candidate that `name` was probably meant to be, if one is near enough to be worth naming.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped, changed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(ca != cb))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("0s", 0),
            ("10s", 10_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            (" 10 s ", 10_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 sec",
            "1w",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_numbers_or_have_a_binary_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("131072", 131_072),
            ("64KiB", 65_536),
            ("32MiB", 33_554_432),
            ("1GiB", 1 << 30),
            ("7B", 7),
        ] {
            assert_eq!(BYTES.read(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1MB", "1mib", "-1", "1.5MiB", "99999999999GiB"] {
            assert_eq!(BYTES.read(text), None, "{text}");
        }
    }

    #[test]
    fn base64_comes_in_both_alphabets_and_with_line_breaks() {
        let bytes = [0xfb, 0xff, 0xfe, 0x01];
        for text in ["+//+AQ==", "+//+AQ", "-__-AQ", "+//+\nAQ==\n"] {
            assert_eq!(base64(text).as_deref(), Some(&bytes[..]), "{text}");
        }
        assert_eq!(base64("not base64!"), None);
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(base64(pem), None);
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let keys = ["boot_grace", "disconnect_grace", "channel_bytes"];
        assert_eq!(nearest("boot_grase", keys), Some("boot_grace"));
        assert_eq!(nearest("bootgrace", keys), Some("boot_grace"));
        assert_eq!(nearest("chanel_bytes", keys), Some("channel_bytes"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(distance("lisetn", "listen"), 1);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0u64..10_000_000_000, bytes in any::<u64>()) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(span)), Some(span));
            prop_assert_eq!(BYTES.read(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn distance_is_symmetric(a in "[a-z_]{0,12}", b in "[a-z_]{0,12}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &a), 0);
        }
    }
}
