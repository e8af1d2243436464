//! Reactions: one of a user, value and message; what was told of the last change is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::verdict::{Moment, Verdict, broken};

#[derive(Debug, Default)]
pub struct Reactions {
    /// The last change told of.
    last: BTreeMap<Reacted, Last>,
    /// What was asked for before anything was told, and whether to remove it.
    early: BTreeSet<(Reacted, bool)>,
}

/// Channel, message, reaction, uid.
pub type Reacted = (String, String, String, String);

#[derive(Debug)]
struct Last {
    id: String,
    removed: bool,
    told: Moment,
    /// Somebody has asked for the opposite since, and may have got it unheard.
    is_open: bool,
}

impl Reactions {
    pub fn asked(&mut self, key: &Reacted, remove: bool) {
        if let Some(last) = self.last.get_mut(key) {
            last.is_open |= last.removed != remove;
        } else {
            self.early.insert((key.clone(), remove));
        }
    }

    /// Somebody is told; `is_late`: who may have had it waiting for long.
    pub fn told(&mut self, key: Reacted, id: &str, removed: bool, now: Moment, is_late: bool) {
        let is_early = self.early.contains(&(key.clone(), !removed));
        let last = self.last.entry(key).or_insert_with(|| Last {
            id: String::new(),
            removed,
            told: now,
            is_open: false,
        });
        if *id > *last.id {
            // What was asked for before this was told may still be on its way.
            let is_first = last.id.is_empty();
            let is_open =
                is_late || is_early && is_first || last.is_open && last.removed == removed;
            *last = Last {
                id: id.to_owned(),
                removed,
                told: now,
                is_open,
            };
        }
    }

    pub fn down(&mut self, sure: Moment) {
        self.last.retain(|_, last| last.told <= sure);
    }

    /// `is_kept`: whether the database holds it; `lives`: whether its message does.
    pub fn check(
        &self,
        sure: Moment,
        is_kept: impl Fn(&Reacted) -> bool,
        lives: impl Fn(&Reacted) -> bool,
    ) -> Verdict {
        for (key, last) in &self.last {
            if last.told <= sure && !last.is_open && lives(key) && is_kept(key) == last.removed {
                return broken(
                    "told means kept",
                    format!(
                        "the reaction {key:?} was told as removed: {}, by {}",
                        last.removed, last.id
                    ),
                );
            }
        }
        Ok(())
    }
}
