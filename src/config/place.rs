//! One place in the tree that the layers make: what stands there, if anything does, and how to say what is wrong with it.

use std::borrow::Cow;
use std::path::PathBuf;

use super::error::Origin;
use super::findings::Findings;
use super::source::{Node, Value, list_from_plain};

/// The one variable that paths may hold.
const CREDENTIALS: &str = "${CREDENTIALS_DIRECTORY}";

/// The place of a key or of a list's item.
pub(super) struct Place<'a> {
    findings: &'a Findings,
    /// Its dotted path, such as `auth.keys[0].id`; empty at the top.
    path: String,
    /// Where it stands; where its table stands if it is not there.
    origin: Origin,
    value: Option<&'a Value>,
}

impl<'a> Place<'a> {
    pub(super) fn top(root: &'a Node, findings: &'a Findings) -> Self {
        Self {
            findings,
            path: String::new(),
            origin: root.origin.clone(),
            value: Some(&root.value),
        }
    }

    /// The place of a key in this table.
    pub(super) fn key(&self, name: &str) -> Place<'a> {
        let node = match self.value {
            Some(Value::Table(table)) => table.get(name),
            _ => None,
        };
        Place {
            findings: self.findings,
            path: join(&self.path, name),
            origin: node.map_or(&self.origin, |node| &node.origin).clone(),
            value: node.map(|node| &node.value),
        }
    }

    /// The place of an item of this list.
    pub(super) fn item<'b>(&'b self, position: usize, node: &'b Node) -> Place<'b> {
        Place {
            findings: self.findings,
            path: format!("{}[{position}]", self.path),
            origin: node.origin.clone(),
            value: Some(&node.value),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The last part of its path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    pub(super) fn value(&self) -> Option<&'a Value> {
        self.value
    }

    /// Whether anything stands here, good or not.
    pub(super) fn is_there(&self) -> bool {
        self.value.is_some()
    }

    /// Whether nothing stands here, or a list without items.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Some(Value::List(items)) => items.is_empty(),
            Some(Value::Plain(text)) => matches!(text.trim(), "" | "[]"),
            value => value.is_none(),
        }
    }

    /// The value; or notes what is wrong instead.
    pub(super) fn note<T>(&self, value: Result<T, String>) -> Option<T> {
        value.map_err(|wrong| self.report(wrong)).ok()
    }

    /// Notes a problem.
    pub(super) fn report(&self, message: impl Into<String>) {
        self.findings
            .report(&self.origin, &self.path, message.into());
    }

    /// Notes a problem that something in another place has made.
    pub(super) fn report_because_of(&self, other: &Place<'_>, message: String) {
        self.findings.report(&other.origin, &self.path, message);
    }

    /// Notes that another kind of value is wanted, and which.
    pub(super) fn report_kind(&self, wanted: &str) {
        let found = match self.value {
            None => "absent",
            Some(Value::Table(_)) => "a table",
            Some(Value::List(_)) => "a list",
            Some(Value::Text(_)) => "text",
            Some(Value::Plain(_)) => "something else",
            Some(Value::Integer(_)) => "a number",
            Some(Value::Flag(_)) => "true or false",
            Some(Value::Other(what)) => what,
        };
        self.report(format!("must be {wanted}, and is {found}"));
    }

    /// Notes every key in this table that is none of these.
    pub(super) fn refuse_others(&self, names: &[&str]) {
        let Some(Value::Table(table)) = self.value else {
            return;
        };
        let others = table.keys().filter(|name| !names.contains(&name.as_str()));
        for place in others.map(|name| self.key(name)) {
            place.report(self.findings.unknown_key(&place.path));
        }
    }

    /// Text that is not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value? {
            Value::Text(text) | Value::Plain(text) if text.trim().is_empty() => {
                self.report("must not be empty; give it a value or leave the key out");
                None
            }
            Value::Text(text) | Value::Plain(text) => Some(text),
            _ => {
                self.report_kind("text in quotes");
                None
            }
        }
    }

    /// A path, with `${CREDENTIALS_DIRECTORY}` expanded, and a relative one taken from the file that it stands in.
    pub(super) fn file_path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        let expanded = match &self.findings.credentials {
            Some(directory) => text.replace(CREDENTIALS, directory),
            None if text.contains(CREDENTIALS) => {
                self.report(format!(
                    "{CREDENTIALS} is not set; systemd sets it for a unit that has LoadCredential=, and in a shell you \
                     can set CREDENTIALS_DIRECTORY yourself"
                ));
                return None;
            }
            None => text.to_owned(),
        };
        if expanded.contains("${") {
            self.report(format!(
                "of all variables only {CREDENTIALS} is expanded in a path"
            ));
            return None;
        }
        Some(match &self.origin {
            Origin::File { dir, .. } => dir.join(expanded),
            _ => PathBuf::from(expanded),
        })
    }

    /// The items of a list, none where nothing stands here; `wanted` says what kind of list there should be.
    pub(super) fn items(&self, wanted: &str) -> Option<Cow<'a, [Node]>> {
        match self.value {
            None => Some(Cow::Borrowed(&[])),
            Some(Value::List(items)) => Some(Cow::Borrowed(items)),
            Some(Value::Plain(text)) => self
                .note(list_from_plain(text, &self.origin))
                .map(Cow::Owned),
            Some(_) => {
                self.report_kind(wanted);
                None
            }
        }
    }
}

fn join(table: &str, name: &str) -> String {
    match table {
        "" => name.to_owned(),
        table => format!("{table}.{name}"),
    }
}
