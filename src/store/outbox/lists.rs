//! Member lists, rebuilt from the runs that they are kept in.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::open::Inner;
use super::super::records::{EditRecord, ListRecord, decode};
use super::super::{StoreError, keys};
use super::RunId;

/// How many bytes of rebuilt lists are kept at hand for the readers.
const LISTS_AT_HAND: usize = 8 << 20;

/// Lists that were rebuilt for a reader and will soon be wanted by another, or with the next edit made.
#[derive(Debug, Default)]
pub(in crate::store) struct Lists {
    by_run: HashMap<RunId, AtHand>,
    bytes: usize,
    /// Counts uses, to tell which list has not been wanted for longest.
    uses: u64,
}

#[derive(Debug)]
struct AtHand {
    list: Arc<List>,
    used: u64,
}

/// The list of one moment.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) text: Vec<u8>,
    /// How many of its run's edits have been made.
    edits: u32,
}

impl Inner {
    /// The list at a place of a run; `None` if some of it is no more.
    pub(super) fn list(
        &self,
        channel: &str,
        at: &ListRecord,
    ) -> Result<Option<Arc<List>>, StoreError> {
        let run = at.run.into_array();
        let near = self.lists.lock().before(run, at.edits);
        let Some(list) = self.rebuild(channel, at, near)? else {
            return Ok(None);
        };
        self.lists.lock().put(run, &list);
        Ok(Some(list))
    }

    /// Makes the edits that are missing, of the base where no list is at hand.
    fn rebuild(
        &self,
        channel: &str,
        at: &ListRecord,
        near: Option<Arc<List>>,
    ) -> Result<Option<Arc<List>>, StoreError> {
        let run = at.run.into_array();
        let near = match near {
            Some(list) => list,
            None => {
                let base = keys::run_base(channel, run, 0)..keys::run_edit(channel, run, 1);
                let mut text = Vec::new();
                for entry in self.engine.range(base) {
                    text.extend_from_slice(&entry?.1);
                }
                if text.is_empty() {
                    return Ok(None);
                }
                Arc::new(List { text, edits: 0 })
            }
        };
        if near.edits == at.edits {
            return Ok(Some(near));
        }
        let mut list = Arc::unwrap_or_clone(near);
        let edits =
            keys::run_edit(channel, run, list.edits + 1)..=keys::run_edit(channel, run, at.edits);
        for entry in self.engine.range(edits) {
            let edit: EditRecord = decode("list", &entry?.1)?;
            if !edited(&mut list.text, edit) {
                return Err(StoreError::Record {
                    keyspace: "list",
                    detail: format!("an edit of `{channel}` does not fit"),
                });
            }
            list.edits += 1;
        }
        Ok((list.edits == at.edits).then(|| Arc::new(list)))
    }
}

/// Makes an edit, if it fits.
pub(in crate::store) fn edited(list: &mut Vec<u8>, edit: EditRecord) -> bool {
    let (from, to) = (edit.at, edit.at.saturating_add(edit.cut));
    let fits = to <= list.len() as u64;
    if fits {
        list.splice(from as usize..to as usize, edit.put.into_vec());
    }
    fits
}

impl Lists {
    /// The list of a run that is at hand, if it has no more edits than so many.
    fn before(&self, run: RunId, edits: u32) -> Option<Arc<List>> {
        let at_hand = self.by_run.get(&run)?;
        (at_hand.list.edits <= edits).then(|| Arc::clone(&at_hand.list))
    }

    fn put(&mut self, run: RunId, list: &Arc<List>) {
        self.uses += 1;
        let used = self.uses;
        let at_hand = self.by_run.entry(run).or_insert_with(|| {
            self.bytes += list.text.len();
            let list = Arc::clone(list);
            AtHand { list, used }
        });
        at_hand.used = used;
        // A reader that is behind leaves the others what they will need next.
        if at_hand.list.edits < list.edits {
            self.bytes = self.bytes + list.text.len() - at_hand.list.text.len();
            at_hand.list = Arc::clone(list);
        }
        while self.bytes > LISTS_AT_HAND {
            let oldest = self.by_run.iter().min_by_key(|(_, at_hand)| at_hand.used);
            let Some(oldest) = oldest.map(|(run, _)| *run) else {
                return;
            };
            if let Some(gone) = self.by_run.remove(&oldest) {
                self.bytes -= gone.list.text.len();
            }
        }
    }
}
