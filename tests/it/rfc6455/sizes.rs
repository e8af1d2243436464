//! Cases 9 and 10: large messages, whole, in fragments and in pieces of TCP, and many small ones.

use super::{BINARY, CONTINUATION, Case, TEXT, request};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How many messages stand for the suite's thousand.
const MANY: usize = 1_000;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Whole: 64 KiB to 16 MiB, the largest that can be allowed.
    let whole = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
    // 4 MiB in fragments of 64 bytes to 4 MiB. Those of 64 and 256 bytes are of a shorter message.
    let fragments = [
        64,
        256,
        KIB,
        4 * KIB,
        16 * KIB,
        64 * KIB,
        256 * KIB,
        MIB,
        4 * MIB,
    ];
    for (kind, opcode) in [(1, TEXT), (2, BINARY)] {
        for (n, size) in (1..).zip(whole) {
            let case = Case::new(format!("9.{kind}.{n}")).send(opcode, &request(size));
            cases.push(judged(case, opcode, size));
        }
        for (n, size) in (1..).zip(fragments) {
            let message = if size < KIB { 256 * KIB } else { 4 * MIB };
            let case = Case::new(format!("9.{}.{n}", kind + 2));
            let case = in_fragments(case, opcode, &request(message), size).at_once();
            cases.push(judged(case, opcode, message));
        }
        // 1 MiB in pieces of 64 bytes to 2 KiB; the shortest pieces are of a shorter message.
        for n in 1..=6 {
            let size = 32 << n;
            let message = if size < 256 { 128 * KIB } else { MIB };
            let case = Case::new(format!("9.{}.{n}", kind + 4));
            let case = case.send(opcode, &request(message)).chopped(size);
            cases.push(judged(case, opcode, message));
        }
        for (n, size) in (1..).zip([0, 16, 64, 256, KIB, 4 * KIB]) {
            let mut case = Case::new(format!("9.{}.{n}", kind + 6));
            for _ in 0..MANY {
                case = judged(case.send(opcode, &request(size)), opcode, size);
            }
            cases.push(case);
        }
    }
    let case = in_fragments(Case::new("10.1.1"), TEXT, &request(65_536), 1_300);
    cases.push(case.answered());
    cases
}

/// Text that is a request is answered, all else is refused.
fn judged(case: Case, opcode: u8, size: usize) -> Case {
    if opcode == TEXT && size >= 64 {
        case.answered()
    } else {
        case.refused()
    }
}

fn in_fragments(mut case: Case, opcode: u8, message: &[u8], size: usize) -> Case {
    let last = message.len().div_ceil(size) - 1;
    for (n, fragment) in message.chunks(size).enumerate() {
        let opcode = if n == 0 { opcode } else { CONTINUATION };
        case = if n == last {
            case.send(opcode, fragment)
        } else {
            case.begin(opcode, fragment)
        };
    }
    case
}
