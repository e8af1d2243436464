//! What is wrong with a configuration, gathered while it is read, and what to say of it.

use std::cell::RefCell;
use std::path::Path;

use super::error::{Origin, Problem};
use super::units::nearest;

/// What the whole reading has found so far.
#[derive(Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    /// Every key that was asked for, by its dotted path without list positions.
    known: RefCell<Vec<String>>,
    unknown: RefCell<Vec<(Origin, String)>>,
    credentials: Option<String>,
}

impl Findings {
    pub(super) fn new(credentials: Option<String>) -> Self {
        Self {
            credentials,
            ..Self::default()
        }
    }

    pub(super) fn report(&self, origin: &Origin, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            origin: origin.clone(),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Notes that there is such a key, by its dotted path.
    pub(super) fn note_known(&self, path: &str) {
        self.known.borrow_mut().push(without_positions(path));
    }

    /// Notes a key that nobody asked for.
    pub(super) fn note_unknown(&self, origin: &Origin, path: String) {
        self.unknown.borrow_mut().push((origin.clone(), path));
    }

    /// The directory that systemd puts credentials into.
    pub(super) fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty() && self.unknown.borrow().is_empty()
    }

    /// Every key that was asked for.
    #[cfg(test)]
    pub(super) fn known(&self) -> Vec<String> {
        self.known.borrow().clone()
    }

    /// All problems. To be called last: only then is it known which keys there are.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let known = self.known.into_inner();
        let mut problems = self.problems.into_inner();
        for (origin, key) in self.unknown.into_inner() {
            let message = match suggestion(&key, &known) {
                Some(name) => format!("unknown key; did you mean {name}?"),
                None => {
                    "unknown key; take it out (rollcall serve --help lists them all)".to_owned()
                }
            };
            problems.push(Problem {
                origin,
                key,
                message,
            });
        }
        problems
    }
}

/// The key that was meant: one nearby in the same table, or one of that very name in another.
fn suggestion<'k>(key: &str, known: &'k [String]) -> Option<&'k str> {
    let plain = without_positions(key);
    let (table, name) = plain.rsplit_once('.').unwrap_or(("", plain.as_str()));
    let split = |path: &'k String| path.rsplit_once('.').unwrap_or(("", path.as_str()));
    let beside = known
        .iter()
        .map(split)
        .filter(|(other, _)| *other == table)
        .map(|(_, name)| name);
    let near = nearest(name, beside);
    let elsewhere = known.iter().find(|path| split(path).1 == name);
    match (near, elsewhere) {
        (_, Some(path)) => Some(path),
        (Some(near), None) => known
            .iter()
            .find(|path| split(path) == (table, near))
            .map(String::as_str),
        (None, None) => None,
    }
}

/// `auth.keys[2].id` is `auth.keys.id`.
fn without_positions(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// What to say of a file that is not there: what belongs in it, and what can make one. It begins with a separator.
pub(super) fn absent_file(key: &str, path: &Path) -> String {
    let dir = path.parent().unwrap_or(Path::new(".")).display();
    match key {
        "certificate" => format!(
            "; put the server's certificate there, as PEM, or make a self-signed one and its key with \
             `rollcall keygen --tls --host NAME --out {dir}`"
        ),
        "private_key" => "; put the certificate's private key there, as PEM, for the user that rollcall runs as to read"
            .to_owned(),
        "public_key_file" => format!(
            "; put the public key there of whoever signs tokens, as PEM, or make a pair with \
             `rollcall keygen --out {dir}`"
        ),
        _ => String::new(),
    }
}
