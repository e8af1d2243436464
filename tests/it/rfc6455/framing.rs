//! Cases 1 to 5: messages, pings and pongs, reserved bits, reserved opcodes, fragments.

use super::{BINARY, CONTINUATION, Case, PING, PONG, TEXT, request};
use crate::rfc6455::peer::frame;

/// A request in two halves.
const FIRST: &[u8] = br#"{"event":"hots"#;
const LAST: &[u8] = br#"ock.ping"}"#;
const WHOLE: &[u8] = br#"{"event":"hotsock.ping"}"#;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = messages();
    cases.extend(pings());
    cases.extend(reserved());
    cases.extend(fragments());
    cases
}

/// 1: whole messages of every form of length.
fn messages() -> Vec<Case> {
    let sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
    let mut cases = Vec::new();
    for (kind, opcode) in [(1, TEXT), (2, BINARY)] {
        for (n, size) in (1..).zip(sizes) {
            let case = Case::new(format!("1.{kind}.{n}")).send(opcode, &request(size));
            let case = if n == 8 { case.chopped(997) } else { case };
            cases.push(if opcode == TEXT && size > 0 {
                case.answered()
            } else {
                case.refused()
            });
        }
    }
    cases
}

/// 2: every ping has its pong, and a pong that nobody asked for has none.
fn pings() -> Vec<Case> {
    let binary = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    let longest = [0xfe; 125];
    let ten = |mut case: Case| {
        for n in 0..10 {
            let payload = format!("payload-{n}");
            case = case
                .send(PING, payload.as_bytes())
                .ponged(payload.as_bytes());
        }
        case
    };
    vec![
        Case::new("2.1").send(PING, b"").ponged(b""),
        Case::new("2.2").send(PING, b"hello").ponged(b"hello"),
        Case::new("2.3").send(PING, &binary).ponged(&binary),
        Case::new("2.4").send(PING, &longest).ponged(&longest),
        Case::new("2.5").send(PING, &[0xfe; 126]).closed(1002),
        Case::new("2.6")
            .send(PING, &longest)
            .chopped(1)
            .ponged(&longest),
        Case::new("2.7").send(PONG, b""),
        Case::new("2.8").send(PONG, b"unsolicited"),
        Case::new("2.9")
            .send(PONG, b"unsolicited")
            .send(PING, b"ping")
            .ponged(b"ping"),
        ten(Case::new("2.10")),
        ten(Case::new("2.11")).chopped(1),
    ]
}

/// 3 and 4: no extension has been agreed upon, so no reserved bit may be set, and no opcode is ours to invent.
fn reserved() -> Vec<Case> {
    let text = |rsv: u8| frame(0x80 | (rsv << 4) | TEXT, WHOLE);
    let whole = |case: Case| case.send(TEXT, WHOLE).answered();
    let mut cases = vec![
        Case::new("3.1").raw(text(1)).closed(1002),
        whole(Case::new("3.2"))
            .raw(text(2))
            .send(PING, b"")
            .closed(1002),
        whole(Case::new("3.3"))
            .raw(text(3))
            .send(PING, b"")
            .at_once()
            .closed(1002),
        whole(Case::new("3.4"))
            .raw(text(4))
            .send(PING, b"")
            .chopped(1)
            .closed(1002),
        Case::new("3.5")
            .raw(frame(0x80 | (5 << 4) | BINARY, &[0xff; 8]))
            .closed(1002),
        Case::new("3.6")
            .raw(frame(0x80 | (6 << 4) | PING, b"ping"))
            .closed(1002),
        Case::new("3.7")
            .raw(frame(0x80 | (7 << 4) | super::CLOSE, &[0x03, 0xe8]))
            .closed(1002),
    ];
    for (group, first) in [(1, 3), (2, 11)] {
        let number = |n| format!("4.{group}.{n}");
        cases.extend([
            Case::new(number(1)).send(first, b"").closed(1002),
            Case::new(number(2))
                .send(first + 1, b"reserved")
                .closed(1002),
            whole(Case::new(number(3)))
                .send(first + 2, b"")
                .send(PING, b"")
                .closed(1002),
            whole(Case::new(number(4)))
                .send(first + 3, b"reserved")
                .send(PING, b"")
                .closed(1002),
            whole(Case::new(number(5)))
                .send(first + 4, b"")
                .send(PING, b"")
                .chopped(1)
                .closed(1002),
        ]);
    }
    cases
}

/// 5: a message in fragments, control frames between them, and fragments that belong to nothing.
fn fragments() -> Vec<Case> {
    let in_two = |case: Case| case.begin(TEXT, FIRST).send(CONTINUATION, LAST).answered();
    let around_ping = |case: Case| {
        case.begin(TEXT, FIRST)
            .send(PING, b"ping")
            .send(CONTINUATION, LAST)
            .ponged(b"ping")
            .answered()
    };
    let around_pings = |number: &str| {
        Case::new(number)
            .begin(TEXT, br#"{"ev"#)
            .begin(CONTINUATION, br#"ent":"#)
            .send(PING, b"one")
            .begin(CONTINUATION, br#""hotsock"#)
            .begin(CONTINUATION, br#".pin"#)
            .send(PING, b"two")
            .send(CONTINUATION, br#"g"}"#)
            .ponged(b"one")
            .ponged(b"two")
            .answered()
    };
    let stray = |number: &str, first: u8| {
        Case::new(number)
            .raw(frame(first, b"stray"))
            .send(TEXT, WHOLE)
            .closed(1002)
    };
    vec![
        Case::new("5.1")
            .begin(PING, b"ping")
            .send(CONTINUATION, b"more")
            .closed(1002),
        Case::new("5.2")
            .begin(PONG, b"pong")
            .send(CONTINUATION, b"more")
            .closed(1002),
        in_two(Case::new("5.3")),
        in_two(Case::new("5.4")).at_once(),
        in_two(Case::new("5.5")).chopped(1),
        around_ping(Case::new("5.6")),
        around_ping(Case::new("5.7")).at_once(),
        around_ping(Case::new("5.8")).chopped(1),
        stray("5.9", 0x80 | CONTINUATION),
        stray("5.10", 0x80 | CONTINUATION).at_once(),
        stray("5.11", 0x80 | CONTINUATION).chopped(1),
        stray("5.12", CONTINUATION),
        stray("5.13", CONTINUATION).at_once(),
        stray("5.14", CONTINUATION).chopped(1),
        in_two(Case::new("5.15"))
            .begin(CONTINUATION, b"stray")
            .send(TEXT, WHOLE)
            .closed(1002),
        Case::new("5.16")
            .begin(CONTINUATION, b"stray")
            .begin(TEXT, FIRST)
            .send(CONTINUATION, LAST)
            .closed(1002),
        Case::new("5.17")
            .raw(frame(0x80 | CONTINUATION, b"stray"))
            .begin(TEXT, FIRST)
            .send(CONTINUATION, LAST)
            .closed(1002),
        Case::new("5.18")
            .begin(TEXT, FIRST)
            .send(TEXT, LAST)
            .closed(1002),
        around_pings("5.19"),
        around_pings("5.20").at_once(),
    ]
}
