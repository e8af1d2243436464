//! sled's log, read without sled: for where there is no room for a copy that sled could open.
//!
//! It changes nothing, and it sees less: which messages are whole, by their checksums, and which commit is the last one
//! of those in them. Whether each page is there, and each record can be read, only sled can tell.
//!
//! The log (of sled 0.34.7: `pagecache/logger.rs`) is made of segments. A segment begins with a header of 20 bytes: a
//! checksum, its number in the order of writing, and another number that does not concern us. Messages follow, each with
//! its checksum, its kind, its length, the segment's number and its page's. A segment that is free still has what it had.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::pages::SEGMENT_BYTES;

const SEGMENT_HEADER: usize = 20;
/// No message begins so close to the end of a segment.
const MESSAGE_HEADER: usize = 32;
/// The field that every commit writes, in MessagePack: a text of six characters, and a number behind it. It is the first
/// of its record, and the next one's name follows: what clients have stored looks like that by no accident.
const COMMIT: &[u8] = b"\xa6commit";
/// The next field's name.
const NEXT: &[u8] = b"\xa6outbox";

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// How many segments can be told to be some.
    pub(super) segments: u64,
    /// The last commit that is found in a whole message.
    pub(super) last_commit: u64,
}

/// Reads a log.
pub(super) fn read(log: &File) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut buffer = vec![0; SEGMENT_BYTES];
    for offset in (0..log.metadata()?.len()).step_by(SEGMENT_BYTES) {
        let filled = fill(log, &mut buffer, offset)?;
        let segment = buffer.get(..filled).unwrap_or_default();
        if let Some(commit) = last_commit(segment) {
            summary.segments += 1;
            summary.last_commit = summary.last_commit.max(commit);
        }
    }
    Ok(summary)
}

fn fill(log: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match log.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The last commit in a segment, 0 where it has none; `None` where this is no segment.
pub(super) fn last_commit(segment: &[u8]) -> Option<u64> {
    let (checksum, rest) = segment.split_first_chunk::<4>()?;
    let checked = rest.get(..SEGMENT_HEADER - 4)?;
    if u32::from_le_bytes(*checksum) != !crc32(&[checked]) {
        return None;
    }
    let mut last = 0;
    let mut at = SEGMENT_HEADER;
    while at + MESSAGE_HEADER <= SEGMENT_BYTES
        && let Some((body, length)) = message(segment.get(at..).unwrap_or_default())
    {
        at += length;
        let mut rest = body;
        while let Some(found) = find(rest, COMMIT) {
            let begins = found.checked_sub(1).and_then(|at| rest.get(at));
            rest = rest.get(found + COMMIT.len()..).unwrap_or_default();
            if begins.is_some_and(|map| (0x82..=0x8f).contains(map))
                && let Some((commit, after)) = number(rest)
                && after.starts_with(NEXT)
            {
                last = last.max(commit);
            }
        }
    }
    Some(last)
}

/// The message that begins here, and its length with its header; `None` where none does, or it is not whole.
fn message(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (checksum, checked) = bytes.split_first_chunk::<4>()?;
    let (kind, mut rest) = checked.split_first()?;
    if *kind == 0 {
        return None;
    }
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let (_segment, _page) = (varint(&mut rest)?, varint(&mut rest)?);
    let header = checked.len() - rest.len();
    let body = rest.get(..length)?;
    let sum = !crc32(&[body, checked.get(..header)?]);
    (u32::from_le_bytes(*checksum) == sum).then_some((body, 4 + header + length))
}

/// A number as sled writes it.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    let mut take = |count: usize| {
        let all = *bytes;
        let (taken, rest) = all.split_at_checked(count)?;
        *bytes = rest;
        Some(taken)
    };
    Some(match first {
        0..=240 => u64::from(first),
        241..=248 => 240 + 256 * u64::from(first - 241) + u64::from(*take(1)?.first()?),
        249 => {
            let two = take(2)?;
            2_288 + 256 * u64::from(*two.first()?) + u64::from(*two.last()?)
        }
        250.. => {
            let mut number = [0; 8];
            let taken = take(usize::from(first - 247))?;
            number.get_mut(..taken.len())?.copy_from_slice(taken);
            u64::from_le_bytes(number)
        }
    })
}

/// A number as MessagePack writes it, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let length = match first {
        0..=0x7f => return Some((u64::from(first), rest)),
        0xcc => 1,
        0xcd => 2,
        0xce => 4,
        0xcf => 8,
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(length)?;
    let number = digits
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte));
    Some((number, rest))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (0xedb8_8320 * (value & 1));
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

/// The usual CRC-32, over parts.
fn crc32(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(u32::MAX, |sum, &byte| {
        let entry = TABLE.get((sum as u8 ^ byte) as usize);
        entry.copied().unwrap_or_default() ^ (sum >> 8)
    })
}

/// The header of a message or segment, with the checksum of both.
#[cfg(test)]
pub(super) fn sealed(body: &[u8], header: &[u8]) -> Vec<u8> {
    let sum = !crc32(&[body, header]);
    [&sum.to_le_bytes(), header].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let read = |bytes: &[u8]| {
            let mut rest = bytes;
            let number = varint(&mut rest);
            assert!(number.is_none() || rest.is_empty());
            number
        };
        assert_eq!(read(&[240]), Some(240));
        assert_eq!(read(&[241, 1]), Some(241));
        assert_eq!(read(&[248, 255]), Some(2_287));
        assert_eq!(read(&[249, 0, 0]), Some(2_288));
        assert_eq!(read(&[250, 1, 0, 1]), Some(65_537));
        assert_eq!(read(&[255, 0, 0, 0, 0, 0, 0, 0, 1]), Some(1 << 56));
        assert_eq!(read(&[255, 0]), None);
        assert_eq!(number(&[0xcd, 1, 2, 9]), Some((258, &[9][..])));
        assert_eq!(number(&[0xcf, 0]), None);
    }
}
