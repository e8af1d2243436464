//! A single-use token serves once, and is not refused before it has.

use std::collections::BTreeMap;

use crate::verdict::{Moment, Verdict, broken};

#[derive(Debug, Default)]
pub struct SingleUse {
    uses: BTreeMap<String, Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    tries: usize,
    served: Option<Moment>,
    /// When it expires, in Unix seconds.
    until: u64,
}

impl SingleUse {
    pub fn tried(&mut self, name: &str, until: u64) {
        let uses = self.uses.entry(name.to_owned()).or_default();
        uses.tries += 1;
        uses.until = until;
    }

    /// Somebody is told that it has served.
    pub fn served(&mut self, name: &str, now: Moment, latest: u64) -> Verdict {
        let uses = self.uses.entry(name.to_owned()).or_default();
        // A use is forgotten with the token: should the clock go back after that, it serves again.
        if uses.served.is_some() && latest < uses.until {
            return broken("single use", format!("`{name}` has served twice"));
        }
        uses.served = Some(now);
        Ok(())
    }

    /// It is refused because it has been used, or has expired.
    pub fn refused(&self, name: &str, latest: u64) -> Verdict {
        match self.uses.get(name) {
            Some(uses) if uses.tries >= 2 || latest >= uses.until => Ok(()),
            _ => broken(
                "single use",
                format!("`{name}` is refused at its first use"),
            ),
        }
    }

    pub fn down(&mut self, sure: Moment) {
        for uses in self.uses.values_mut() {
            if uses.served.is_some_and(|served| served > sure) {
                uses.served = None;
            }
        }
    }
}
