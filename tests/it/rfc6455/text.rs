//! Case 6: text must be UTF-8, whole or in pieces, and what is not is refused with 1007.

use super::{CONTINUATION, Case, PING, TEXT};

/// A Greek word, and behind it a surrogate, which UTF-8 must not have.
const GREEK: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
const SURROGATE: &[u8] = b"\xed\xa0\x80";
/// A code point above the last one.
const BEYOND: &[u8] = b"\xf4\x90\x80\x80";
const EDITED: &[u8] = b"edited";

/// By group, as in the suite: what is in it, and whether that is UTF-8.
const TABLE: &[(&str, bool, &[&[u8]])] = &[
    // Beginnings of the Greek word, some cut within a character.
    (
        "6.5",
        true,
        &[
            b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
            b"\xce\xba\xe1\xbd\xb9",
            b"\xce\xba",
            b"\xe6\x97\xa5\xe6\x9c\xac",
        ],
    ),
    (
        "6.6",
        false,
        &[
            b"\xce",
            b"\xce\xba\xe1",
            b"\xce\xba\xe1\xbd",
            b"\xce\xba\xe1\xbd\xb9\xcf",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce",
            b"\xe1\xbd",
            b"\xf0",
            b"\xf0\x9f",
            b"\xf0\x9f\x98",
            b"a\xc3",
        ],
    ),
    // The first code point of each length.
    (
        "6.7",
        true,
        &[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
    ),
    (
        "6.8",
        false,
        &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    ),
    // The last ones.
    (
        "6.9",
        true,
        &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
    ),
    (
        "6.10",
        false,
        &[
            b"\xf7\xbf\xbf\xbf",
            b"\xfb\xbf\xbf\xbf\xbf",
            b"\xfd\xbf\xbf\xbf\xbf\xbf",
        ],
    ),
    // Around the surrogates and at the end.
    (
        "6.11",
        true,
        &[
            b"\xed\x9f\xbf",
            b"\xee\x80\x80",
            b"\xef\xbf\xbd",
            b"\xf4\x8f\xbf\xbf",
            b"\xf3\xb0\x80\x80",
        ],
    ),
    // Continuation bytes that continue nothing.
    (
        "6.12",
        false,
        &[
            b"\x80",
            b"\xbf",
            b"\x80\xbf",
            b"\x80\xbf\x80",
            b"\x80\xbf\x80\xbf",
            b"\x80\xbf\x80\xbf\x80",
            b"\x80\xbf\x80\xbf\x80\xbf",
            b"\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f",
        ],
    ),
    // Beginnings of characters, each followed by a space.
    (
        "6.13",
        false,
        &[
            b"\xc0 \xc1 \xc2 \xc3 \xdf ",
            b"\xe0 \xe1 \xe2 \xef ",
            b"\xf0 \xf1 \xf7 ",
            b"\xf8 \xfb ",
            b"\xfc \xfd ",
        ],
    ),
    // Characters without their last byte.
    (
        "6.14",
        false,
        &[
            b"\xc0",
            b"\xe0\x80",
            b"\xf0\x80\x80",
            b"\xf8\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80",
            b"\xdf",
            b"\xef\xbf",
            b"\xf7\xbf\xbf",
            b"\xfb\xbf\xbf\xbf",
            b"\xfd\xbf\xbf\xbf\xbf",
        ],
    ),
    (
        "6.15",
        false,
        &[b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf"],
    ),
    // Bytes that are in no character.
    ("6.16", false, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
    // The same character, longer than need be: the slash, then the last of each length, then null.
    (
        "6.17",
        false,
        &[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ],
    ),
    (
        "6.18",
        false,
        &[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ],
    ),
    (
        "6.19",
        false,
        &[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ],
    ),
    // Surrogates, alone and in pairs.
    (
        "6.20",
        false,
        &[
            b"\xed\xa0\x80",
            b"\xed\xad\xbf",
            b"\xed\xae\x80",
            b"\xed\xaf\xbf",
            b"\xed\xb0\x80",
            b"\xed\xbe\x80",
            b"\xed\xbf\xbf",
        ],
    ),
    (
        "6.21",
        false,
        &[
            b"\xed\xa0\x80\xed\xb0\x80",
            b"\xed\xa0\x80\xed\xbf\xbf",
            b"\xed\xad\xbf\xed\xb0\x80",
            b"\xed\xad\xbf\xed\xbf\xbf",
            b"\xed\xae\x80\xed\xb0\x80",
            b"\xed\xae\x80\xed\xbf\xbf",
            b"\xed\xaf\xbf\xed\xb0\x80",
            b"\xed\xaf\xbf\xed\xbf\xbf",
        ],
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = in_pieces();
    for (group, is_utf_8, texts) in TABLE {
        for (n, text) in (1..).zip(*texts) {
            cases.push(judged(Case::new(format!("{group}.{n}")), text, *is_utf_8));
        }
    }
    // Code points that are no characters, the last two of each plane, are text all the same; and so are those that stand
    // for what could not be read.
    let no_characters = (0..=16_u32).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    for (n, point) in (1..).zip(no_characters) {
        cases.push(of_point(format!("6.22.{n}"), point));
    }
    for (n, point) in (1..).zip(0xfff9..=0xffff_u32) {
        cases.push(of_point(format!("6.23.{n}"), point));
    }
    cases
}

fn of_point(number: String, point: u32) -> Case {
    let text = char::from_u32(point).unwrap().to_string();
    judged(Case::new(number), text.as_bytes(), true)
}

fn judged(case: Case, text: &[u8], is_utf_8: bool) -> Case {
    let case = case.send(TEXT, text);
    if is_utf_8 {
        case.refused()
    } else {
        case.closed(1007)
    }
}

/// 6.1 to 6.4: text in fragments and in pieces of TCP, which may be cut within a character.
fn in_pieces() -> Vec<Case> {
    let fragments = |number: &str, texts: &[&[u8]]| {
        let mut case = Case::new(number);
        let (last, first) = texts.split_last().unwrap();
        for (n, text) in first.iter().enumerate() {
            case = case.begin(if n == 0 { TEXT } else { CONTINUATION }, text);
        }
        case.send(CONTINUATION, last)
    };
    let single = |number: &str, text: &[u8]| {
        let (last, first) = text.split_last().unwrap();
        let mut case = Case::new(number);
        for (n, byte) in first.iter().enumerate() {
            case = case.begin(if n == 0 { TEXT } else { CONTINUATION }, &[*byte]);
        }
        case.send(CONTINUATION, &[*last])
    };
    let bad = [GREEK, SURROGATE, EDITED].concat();
    let beyond = [GREEK, BEYOND, EDITED].concat();
    // After the text that is none, a ping: nothing of that may be answered.
    vec![
        Case::new("6.1.1").send(TEXT, b"").refused(),
        fragments("6.1.2", &[b"", b"", b""]).refused(),
        fragments("6.1.3", &[b"", b"middle", b""]).refused(),
        Case::new("6.2.1").send(TEXT, GREEK).refused(),
        fragments("6.2.2", &[&GREEK[..5], &GREEK[5..]]).refused(),
        single("6.2.3", GREEK).refused(),
        single("6.2.4", GREEK).chopped(1).refused(),
        Case::new("6.3.1").send(TEXT, &bad).closed(1007),
        single("6.3.2", &bad).closed(1007),
        fragments("6.4.1", &[GREEK, BEYOND, EDITED]).closed(1007),
        fragments("6.4.2", &[GREEK, &BEYOND[..2], &BEYOND[2..]]).closed(1007),
        Case::new("6.4.3")
            .send(TEXT, &beyond)
            .chopped(12)
            .send(PING, b"late")
            .closed(1007),
        Case::new("6.4.4")
            .send(TEXT, &beyond)
            .chopped(1)
            .send(PING, b"late")
            .closed(1007),
    ]
}
