//! The run that a channel's member lists are kept in.

use crate::store::RunId;

/// The run that a channel's member lists are in.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    /// How many edits it has.
    pub(super) edits: u32,
    /// About how many bytes they take.
    pub(super) bytes: usize,
    /// The roster's count of edits then; `None` where the run is of an earlier start.
    pub(super) roster_edits: Option<u64>,
}

impl Run {
    /// A run that an earlier start began: it is not continued.
    pub(super) fn earlier(id: RunId) -> Self {
        Self {
            id,
            edits: 0,
            bytes: 0,
            roster_edits: None,
        }
    }

    pub(super) fn id(&self) -> RunId {
        self.id
    }
}
