//! All who are in a channel hear the same, in the same order.
//!
//! At a *quiet* moment everything that was to be told has been told and read. So, since the one before, whoever was there
//! all the time has heard the same as every other such client; whoever came later, the last part of that; whoever left,
//! the first part; who came and left, a part in between.

use super::ear::{Entry, Room};
use crate::verdict::{Verdict, broken};

/// A client in the channel, or one that was.
pub struct Listener<'a> {
    pub client: usize,
    pub room: &'a Room,
    /// Whether it is there still.
    pub stays: bool,
}

/// Holds the listeners of one channel against the one who heard most.
pub fn agree(channel: &str, listeners: &[Listener<'_>]) -> Verdict {
    let rank = |l: &&Listener<'_>| (l.room.whole, l.stays, l.room.heard.len());
    let Some(most) = listeners.iter().max_by_key(rank) else {
        return Ok(());
    };
    for other in listeners {
        if std::ptr::eq(most, other) {
            continue;
        }
        let all: Vec<&Entry> = heard_by(most, other.client);
        let some: Vec<&Entry> = heard_by(other, most.client);
        let (m, o) = (most, other);
        let fits = match (m.room.whole, m.stays, o.room.whole, o.stays) {
            (true, true, true, true) => all == some,
            (true, true, true, false) => all.starts_with(&some),
            (true, true, false, true) => all.ends_with(&some),
            (true, true, false, false) => is_within(&all, &some),
            // Nobody was there all the time and stays: those who left can be compared from the beginning on.
            (true, false, true, _) => all.starts_with(&some) || some.starts_with(&all),
            // And those who came and stay, up to the end.
            (false, true, false, true) => all.ends_with(&some) || some.ends_with(&all),
            _ => true,
        };
        if !fits {
            return broken(
                "same events, same order",
                format!(
                    "in {channel} client {} (whole {}, stays {}) has heard\n{}\nand client {} (whole {}, stays {})\n{}",
                    most.client,
                    most.room.whole,
                    most.stays,
                    texts(&all),
                    other.client,
                    other.room.whole,
                    other.stays,
                    texts(&some)
                ),
            );
        }
    }
    Ok(())
}

/// What one has heard, without what was kept from the other.
fn heard_by<'a>(listener: &'a Listener<'_>, other: usize) -> Vec<&'a Entry> {
    let heard = listener.room.heard.iter();
    heard
        .filter(|entry| entry.except.is_none_or(|c| c != other))
        .collect()
}

fn is_within(all: &[&Entry], some: &[&Entry]) -> bool {
    some.is_empty() || all.windows(some.len()).any(|part| part == some)
}

fn texts(entries: &[&Entry]) -> String {
    let lines: Vec<String> = entries.iter().map(|e| format!("    {}", e.text)).collect();
    lines.join("\n")
}
