//! What is wrong with a configuration, gathered while it is read.

use std::cell::RefCell;

use super::error::{Origin, Problem};
use super::units::nearest;

/// What the whole reading has found so far, and what it must know for that.
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    /// The dotted paths of all keys there are, without positions in lists.
    known: Vec<String>,
    /// The directory that systemd puts credentials into.
    pub(super) credentials: Option<String>,
}

impl Findings {
    pub(super) fn new(known: Vec<String>, credentials: Option<String>) -> Self {
        Self {
            problems: RefCell::default(),
            known,
            credentials,
        }
    }

    /// Notes what is wrong with a key.
    pub(super) fn report(&self, origin: &Origin, key: &str, message: String) {
        self.problems.borrow_mut().push(Problem {
            origin: origin.clone(),
            key: key.to_owned(),
            message,
        });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// What to say of a key that there is not.
    pub(super) fn unknown_key(&self, key: &str) -> String {
        match self.suggestion(key) {
            Some(name) => format!("unknown key; did you mean {name}?"),
            None => "unknown key; take it out (rollcall serve --help lists them all)".to_owned(),
        }
    }

    /// The key that was meant: one of that very name in another table, or one nearby in the same.
    fn suggestion(&self, key: &str) -> Option<&str> {
        let plain = without_positions(key);
        let split = |path| str::rsplit_once(path, '.').unwrap_or(("", path));
        let (table, name) = split(&plain);
        let paths = || self.known.iter().map(String::as_str);
        paths().find(|path| split(path).1 == name).or_else(|| {
            let beside = || paths().filter(|path| split(path).0 == table);
            let near = nearest(name, beside().map(|path| split(path).1))?;
            beside().find(|path| split(path).1 == near)
        })
    }
}

/// `auth.keys[2].id` is `auth.keys.id`.
fn without_positions(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.split_once(']').map_or("", |(_, rest)| rest)
    })
}
