//! Case 7: a client's goodbye is answered with its own code, what comes behind it is nobody's, and codes and reasons that
//! must not be sent are protocol errors.

use super::{CLOSE, CONTINUATION, Case, PING, TEXT, request};

/// Codes that a client may give.
const VALID: [u16; 13] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
];
/// Codes that must not be on the wire, or mean nothing yet.
const INVALID: [u16; 9] = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
/// Codes that no specification gives a meaning.
const UNDEFINED: [u16; 2] = [5000, 65_535];

fn payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

pub(super) fn cases() -> Vec<Case> {
    let whole = &request(40);
    let goodbye = |case: Case| case.send(CLOSE, &payload(1000, b"")).closed(1000);
    let longest = [b'*'; 123];
    let too_long = [b'*'; 124];
    let mut cases = vec![
        goodbye(Case::new("7.1.1").send(TEXT, whole).answered()),
        goodbye(goodbye(Case::new("7.1.2"))),
        goodbye(Case::new("7.1.3")).send(PING, b"late"),
        goodbye(Case::new("7.1.4")).send(TEXT, whole),
        goodbye(Case::new("7.1.5").begin(TEXT, b"{")).send(CONTINUATION, b"}"),
        goodbye(
            Case::new("7.1.6")
                .send(TEXT, &request(100_000))
                .send(TEXT, whole)
                .answered()
                .answered(),
        )
        .send(PING, b"late"),
        Case::new("7.3.1").send(CLOSE, b"").closed_without_code(),
        Case::new("7.3.2").send(CLOSE, b"a").closed(1002),
        Case::new("7.3.3")
            .send(CLOSE, &payload(1000, b""))
            .closed(1000),
        Case::new("7.3.4")
            .send(CLOSE, &payload(1000, b"Hello, world"))
            .closed(1000),
        Case::new("7.3.5")
            .send(CLOSE, &payload(1000, &longest))
            .closed(1000),
        Case::new("7.3.6")
            .send(CLOSE, &payload(1000, &too_long))
            .closed(1002),
        Case::new("7.5.1")
            .send(
                CLOSE,
                &payload(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited"),
            )
            .closed(1007),
    ];
    for (n, code) in (1..).zip(VALID) {
        let case = Case::new(format!("7.7.{n}"));
        cases.push(case.send(CLOSE, &payload(code, b"")).closed(code));
    }
    for (n, code) in (1..).zip(INVALID) {
        let case = Case::new(format!("7.9.{n}"));
        cases.push(case.send(CLOSE, &payload(code, b"")).closed(1002));
    }
    for (n, code) in (1..).zip(UNDEFINED) {
        let case = Case::new(format!("7.13.{n}"));
        cases.push(case.send(CLOSE, &payload(code, b"")).closed(1002));
    }
    // Not numbered there: the codes that were registered after the RFC, and the one that stands for a failed TLS
    // handshake.
    for (code, answer) in [(1012, 1012), (1013, 1013), (1015, 1002)] {
        let case = Case::new(format!("7 ({code})"));
        cases.push(case.send(CLOSE, &payload(code, b"")).closed(answer));
    }
    cases
}
