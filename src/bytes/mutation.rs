//! Damage to samples: to bytes, and to JSON and what looks like it.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

/// No input becomes larger than this, in bytes.
const LARGEST: usize = 128 << 10;

/// What JSON is made of, and what is odd in it.
pub(crate) const JSON_WORDS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-",
    "01",
    "1.0",
    "6e1",
    "1e400",
    "-1e-400",
    "0.1E+1",
    "1e99999999999999999999",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551616",
    "\"\"",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\ud83d\\ude00",
    "\\u",
    "\\x",
    "\\\"",
    "\"\\ud83d\"",
    "\"a\\u0062\"",
    "[]",
    "{}",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    " ",
    "\t\r\n",
    "\u{0}",
    "\u{7f}",
    "\u{feff}",
    "\u{fffd}",
    "é",
    "😀",
    "{\"\":{\"\":0}}",
    "[[],[]]",
];

/// One piece of damage. Places are taken modulo what there is.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u32),
    Cut(Index, Index),
    /// A few bytes, so many times.
    Repeat(Index, usize, usize),
    Word(Index, Index),
    /// Goes on as another sample does.
    Splice(Index, Index, Index),
    Swap(Index, Index),
    /// A value of JSON becomes a word.
    Replace(Index, Index),
    /// A member of an object comes twice.
    Twice(Index),
    /// A value becomes another one of the same text.
    Copy(Index, Index),
    /// A value stands deep inside arrays or objects.
    Nest(Index, usize, bool),
    /// A string is spelled in escapes.
    Escape(Index),
}

/// Samples, each damaged in up to eight places.
pub(super) fn inputs(
    samples: Vec<Vec<u8>>,
    words: Vec<&'static str>,
) -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec(mutation(), 1..8);
    (any::<Index>(), damage).prop_map(move |(which, damage)| {
        let mut bytes = which.get(&samples).clone();
        for mutation in &damage {
            mutation.apply(&mut bytes, &samples, &words);
            bytes.truncate(LARGEST);
        }
        bytes
    })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (at(), 0..8_u32).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (at(), at()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        1 => (at(), 1..9_usize, 1..3_000_usize)
            .prop_map(|(at, length, times)| Mutation::Repeat(at, length, times)),
        3 => (at(), at()).prop_map(|(at, word)| Mutation::Word(at, word)),
        2 => (at(), at(), at()).prop_map(|(at, other, from)| Mutation::Splice(at, other, from)),
        1 => (at(), at()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        4 => (at(), at()).prop_map(|(value, word)| Mutation::Replace(value, word)),
        2 => at().prop_map(Mutation::Twice),
        2 => (at(), at()).prop_map(|(value, other)| Mutation::Copy(value, other)),
        1 => (at(), 1..300_usize, any::<bool>())
            .prop_map(|(value, depth, array)| Mutation::Nest(value, depth, array)),
        2 => at().prop_map(Mutation::Escape),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, samples: &[Vec<u8>], words: &[&'static str]) {
        let place = |at: &Index, bytes: &Vec<u8>| at.index(bytes.len() + 1);
        let value = |at: &Index, bytes: &Vec<u8>| {
            let values = values(bytes);
            (!values.is_empty()).then(|| at.get(&values).clone())
        };
        let word = |which: &Index| match words {
            [] => Vec::new(),
            words => which.get(words).as_bytes().to_vec(),
        };
        match self {
            Self::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Set(..) | Self::Flip(..) => {}
            Self::Cut(from, to) => {
                let (from, to) = (place(from, bytes), place(to, bytes));
                bytes.drain(from.min(to)..from.max(to));
            }
            Self::Repeat(at, length, times) => {
                let at = place(at, bytes);
                let piece = bytes[at..bytes.len().min(at + length)].repeat(*times);
                bytes.splice(at..at, piece);
            }
            Self::Word(at, which) => {
                let at = place(at, bytes);
                bytes.splice(at..at, word(which));
            }
            Self::Splice(at, other, from) => {
                let other = other.get(samples);
                bytes.truncate(place(at, bytes));
                bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
            Self::Swap(one, other) => {
                if let (Some(one), Some(other)) = (value(one, bytes), value(other, bytes)) {
                    let (first, second) = match one.start < other.start {
                        true => (one, other),
                        false => (other, one),
                    };
                    if first.end <= second.start {
                        let front = bytes[first.clone()].to_vec();
                        let back = bytes.splice(second.clone(), front).collect::<Vec<_>>();
                        bytes.splice(first, back);
                    }
                }
            }
            Self::Replace(at, which) => {
                if let Some(value) = value(at, bytes) {
                    bytes.splice(value, word(which));
                }
            }
            Self::Twice(at) => {
                let members = members(bytes);
                if !members.is_empty() {
                    let member = at.get(&members).clone();
                    let mut copy = bytes[member.clone()].to_vec();
                    copy.push(b',');
                    bytes.splice(member.start..member.start, copy);
                }
            }
            Self::Copy(from, to) => {
                if let (Some(from), Some(to)) = (value(from, bytes), value(to, bytes)) {
                    let copy = bytes[from].to_vec();
                    bytes.splice(to, copy);
                }
            }
            Self::Nest(at, depth, array) => {
                if let Some(value) = value(at, bytes) {
                    let (open, close) = match array {
                        true => ("[", "]"),
                        false => ("{\"a\":", "}"),
                    };
                    let inner = bytes[value.clone()].to_vec();
                    let (open, close) = (open.repeat(*depth), close.repeat(*depth));
                    let nested = [open.as_bytes(), &inner, close.as_bytes()].concat();
                    bytes.splice(value, nested);
                }
            }
            Self::Escape(at) => {
                let strings: Vec<_> = values(bytes)
                    .into_iter()
                    .filter(|value| bytes[value.start] == b'"' && value.len() >= 2)
                    .collect();
                if !strings.is_empty() {
                    let string = at.get(&strings).clone();
                    let inner = &bytes[string.start + 1..string.end - 1];
                    let escaped = String::from_utf8_lossy(inner)
                        .encode_utf16()
                        .map(|unit| format!("\\u{unit:04x}"))
                        .collect::<String>();
                    bytes.splice(string.start + 1..string.end - 1, escaped.into_bytes());
                }
            }
        }
    }
}

/// Where values of JSON stand: strings, words and numbers, arrays and objects. What is not closed is none.
fn values(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut open = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let begin = at;
        at += 1;
        match bytes[begin] {
            b'"' => {
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                if at > bytes.len() {
                    break;
                }
                values.push(begin..at);
            }
            b'{' | b'[' => open.push(begin),
            b'}' | b']' => {
                if let Some(begin) = open.pop() {
                    values.push(begin..at);
                }
            }
            byte if is_wordy(byte) => {
                while at < bytes.len() && is_wordy(bytes[at]) {
                    at += 1;
                }
                values.push(begin..at);
            }
            _ => {}
        }
    }
    values
}

fn is_wordy(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_')
}

/// Where members of objects stand: a name, a colon and a value.
fn members(bytes: &[u8]) -> Vec<Range<usize>> {
    let values = values(bytes);
    let blank = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let names = values.iter().filter(|name| bytes[name.start] == b'"');
    names
        .filter_map(|name| {
            let colon = blank(name.end);
            let begin = blank(colon + 1);
            let value = values.iter().find(|value| value.start == begin)?;
            (bytes.get(colon) == Some(&b':')).then_some(name.start..value.end)
        })
        .collect()
}
