//! The list of a channel's members over time, kept so that the list of any moment can be rebuilt.
//!
//! The log of a channel is a sequence of *runs*. A run begins with a whole list, its base; each edit that follows makes the
//! next list of the one before. A [`Place`] names one list: that of a run after so many of its edits. Whoever tells of a
//! change later on needs its place, and the run up to there.
//!
//! [`ListLog`] decides what of a change is written down. Two things can be needed no longer: a run that another one has
//! replaced, and the run of a channel that has no members any more or of whose members nobody wants to hear. Either *ends*
//! with a change, and may go when nobody can ask for that change or for one before it.

use super::{Edit, Roster};

/// The name of a run.
pub type RunId = [u8; 16];

/// The edits of a run may always have so many bytes, however short the list is.
const EDITS_BYTES: usize = 8 * 1024;
/// Of a long list, the edits of a run may have so many times its bytes. More edits make reading slower, and fewer cost a
/// whole list more often.
const EDITS_PER_LIST: usize = 2;
/// What an edit takes besides its text, in bytes.
const EDIT_OVERHEAD: usize = 128;

/// Where the list of one moment is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The run.
    pub run: RunId,
    /// How many of the run's edits have been made.
    pub edits: u32,
}

/// Which of a channel's lists are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// None, neither this one nor a later one.
    None,
    /// Later ones may be, and this one is not.
    Later,
    /// This one.
    This,
}

/// What is to be written down of a change.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The record of the log, if there is one.
    pub record: Option<Record<'a>>,
    /// Where the list right after the change is found; there where it is wanted.
    pub place: Option<Place>,
    /// The runs that end with the change.
    pub ends: Vec<RunId>,
}

/// A record of the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A run begins with this list.
    Base {
        /// The new run.
        run: RunId,
        /// The whole list.
        list: &'a [u8],
    },
    /// The next edit of a run.
    Edit {
        /// The run, and how many edits it has with this one.
        place: Place,
        /// The edit.
        edit: Edit,
        /// What it puts there.
        put: &'a [u8],
    },
}

/// The log of one channel, as far as it takes to go on with it.
#[derive(Debug, Default)]
pub struct ListLog {
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    place: Place,
    /// About how many bytes its edits take.
    bytes: usize,
    /// The roster's count of edits at its end; none where an earlier start wrote it.
    roster_edits: Option<u64>,
}

impl ListLog {
    /// The log of a channel whose last run an earlier start wrote. It is not gone on with: its edits are not known.
    pub fn restored(run: Option<RunId>) -> Self {
        Self {
            run: run.map(|run| Run::new(run, None)),
        }
    }

    /// The run that has not ended, to be given to [`ListLog::restored`] after a restart.
    pub fn run(&self) -> Option<RunId> {
        self.run.as_ref().map(|run| run.place.run)
    }

    /// Notes a change that members are told of. `roster` is as the change has left it. A change may be left out: then a new
    /// run begins with the next one that is wanted.
    pub fn note<'a>(
        &mut self,
        roster: &'a Roster,
        wanted: Wanted,
        new_run: impl FnOnce() -> RunId,
    ) -> Entry<'a> {
        let mut ends = Vec::new();
        let goes_on = |run: &&mut Run| {
            wanted != Wanted::None
                && run.leads_to(roster)
                && (wanted == Wanted::Later || !run.is_long(roster))
        };
        let record = if let Some(run) = self.run.as_mut().filter(goes_on) {
            let (edit, put) = roster.last_edit();
            run.place.edits += 1;
            run.bytes += put.len() + EDIT_OVERHEAD;
            run.roster_edits = Some(roster.edits());
            let place = run.place;
            Some(Record::Edit { place, edit, put })
        } else if wanted == Wanted::This {
            let run = new_run();
            let before = self.run.replace(Run::new(run, Some(roster.edits())));
            ends.extend(before.map(|run| run.place.run));
            let list = roster.list();
            Some(Record::Base { run, list })
        } else {
            None
        };
        let place = match wanted {
            Wanted::This => self.run.as_ref().map(|run| run.place),
            Wanted::Later | Wanted::None => None,
        };
        if roster.is_empty() || wanted == Wanted::None {
            ends.extend(self.run.take().map(|run| run.place.run));
        }
        Entry {
            record,
            place,
            ends,
        }
    }
}

impl Run {
    fn new(run: RunId, roster_edits: Option<u64>) -> Self {
        Self {
            place: Place { run, edits: 0 },
            bytes: 0,
            roster_edits,
        }
    }

    /// Whether the roster's last edit makes its list of the last one of this run.
    fn leads_to(&self, roster: &Roster) -> bool {
        self.roster_edits
            .is_some_and(|edits| edits + 1 == roster.edits())
    }

    /// Whether it is time for a new one.
    fn is_long(&self, roster: &Roster) -> bool {
        self.bytes > (EDITS_PER_LIST * roster.list().len()).max(EDITS_BYTES)
    }
}

#[cfg(test)]
mod tests;
