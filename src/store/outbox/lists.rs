//! Member lists, rebuilt from the runs that they are kept in.

use std::collections::HashMap;

use super::super::open::Inner;
use super::super::records::{EditRecord, ListRecord, decode};
use super::super::{StoreError, keys};
use super::RunId;

/// How many bytes of rebuilt lists are kept at hand for the readers.
const LISTS_AT_HAND: usize = 8 << 20;

/// Lists that were rebuilt for a reader and will soon be wanted by another, or with the next edit made.
#[derive(Debug, Default)]
pub(in crate::store) struct Lists {
    by_run: HashMap<RunId, Rebuilt>,
    bytes: usize,
    /// Counts uses, to tell which list has not been wanted for longest.
    uses: u64,
}

#[derive(Debug, Clone, Default)]
struct Rebuilt {
    list: Vec<u8>,
    edits: u32,
    used: u64,
}

impl Inner {
    /// Calls `with` with the list at a place of a run; `None` if some of it is no more.
    pub(super) fn with_list<T>(
        &self,
        channel: &str,
        at: &ListRecord,
        with: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let run = at.run.into_array();
        let mut lists = self.lists.lock();
        let cached = lists.by_run.remove(&run);
        lists.bytes -= cached.as_ref().map_or(0, |rebuilt| rebuilt.list.len());
        let (start, ahead) = match cached {
            Some(rebuilt) if rebuilt.edits <= at.edits => (Some(rebuilt), None),
            // A reader that is behind does not take from the others what they will need next.
            other => (None, other),
        };
        let rebuilt = match self.rebuild(channel, at, start)? {
            Some(rebuilt) => rebuilt,
            None => return Ok(None),
        };
        let result = with(&rebuilt.list);
        lists.put(run, ahead.unwrap_or(rebuilt));
        Ok(Some(result))
    }

    fn rebuild(
        &self,
        channel: &str,
        at: &ListRecord,
        start: Option<Rebuilt>,
    ) -> Result<Option<Rebuilt>, StoreError> {
        let run = at.run.into_array();
        let mut rebuilt = match start {
            Some(rebuilt) => rebuilt,
            None => {
                let mut list = Vec::new();
                let base = keys::run_base(channel, run, 0)..keys::run_edit(channel, run, 1);
                for entry in self.engine.range(base) {
                    list.extend_from_slice(&entry?.1);
                }
                if list.is_empty() {
                    return Ok(None);
                }
                Rebuilt {
                    list,
                    ..Rebuilt::default()
                }
            }
        };
        if rebuilt.edits < at.edits {
            let edits = keys::run_edit(channel, run, rebuilt.edits + 1)
                ..=keys::run_edit(channel, run, at.edits);
            for entry in self.engine.range(edits) {
                let edit: EditRecord = decode("list", &entry?.1)?;
                let (from, cut) = (edit.at as usize, edit.cut as usize);
                if from + cut > rebuilt.list.len() {
                    return Err(StoreError::Record {
                        keyspace: "list",
                        detail: format!("an edit of `{}` does not fit", channel),
                    });
                }
                rebuilt.list.splice(from..from + cut, edit.put.into_vec());
                rebuilt.edits += 1;
            }
        }
        Ok((rebuilt.edits == at.edits).then_some(rebuilt))
    }
}

impl Lists {
    fn put(&mut self, run: RunId, mut rebuilt: Rebuilt) {
        self.uses += 1;
        rebuilt.used = self.uses;
        self.bytes += rebuilt.list.len();
        self.by_run.insert(run, rebuilt);
        while self.bytes > LISTS_AT_HAND {
            let oldest = self.by_run.iter().min_by_key(|(_, rebuilt)| rebuilt.used);
            let Some(oldest) = oldest.map(|(run, _)| *run) else {
                return;
            };
            if let Some(gone) = self.by_run.remove(&oldest) {
                self.bytes -= gone.list.len();
            }
        }
    }
}
