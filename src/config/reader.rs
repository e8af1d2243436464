//! Reads one table key by key, strictly. What is wrong is noted and a stand-in value returned, so that one pass finds
//! every problem; a key that nobody asked for is unknown.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::error::Origin;
use super::findings::{Findings, absent_file};
use super::source::{Layers, Node, Table, Value, list_from_plain, plain_io, read_text};
use super::units::{self, DURATION_FORM, SIZE_FORM, show_duration, show_size};

/// What a number may be, and why not more or less.
pub(super) struct Bounds<T> {
    pub(super) min: T,
    pub(super) max: T,
    pub(super) why: &'static str,
}

/// One table.
pub(super) struct Reader<'a> {
    findings: &'a Findings,
    /// The dotted path with a dot at its end, or empty for the top.
    prefix: String,
    table: Option<&'a Table>,
    origin: Origin,
    seen: Vec<&'static str>,
}

/// A value, and where it came from.
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<'a> Reader<'a> {
    pub(super) fn top(layers: &'a Layers, findings: &'a Findings) -> Self {
        Self {
            findings,
            prefix: String::new(),
            table: Some(&layers.root),
            origin: layers.whole.clone(),
            seen: Vec::new(),
        }
    }

    /// Whether the key is there, good or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where a key stands, or its table if it is not there.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.table
            .and_then(|table| table.get(key))
            .map_or(&self.origin, |node| &node.origin)
            .clone()
    }

    /// The whole dotted path of a key in this table.
    pub(super) fn path_of(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Where a key of a table inside this one stands, if it is there.
    pub(super) fn origin_within(&self, section: &str, key: &str) -> Option<Origin> {
        match &self.table?.get(section)?.value {
            Value::Table(table) => table.get(key).map(|node| node.origin.clone()),
            _ => None,
        }
    }

    /// Notes a problem with a key of this table.
    pub(super) fn report(&self, origin: &Origin, key: &str, message: impl Into<String>) {
        self.findings.report(origin, &self.path_of(key), message);
    }

    /// Notes that a key which has no default was left out.
    pub(super) fn missing(&self, key: &str, mend: &str) {
        self.report(&self.origin, key, format!("missing; {mend}"));
    }

    /// Reports every key that was not asked for. To be called when all keys have been.
    pub(super) fn finish(self) {
        for (name, node) in self.table.into_iter().flatten() {
            if !self.seen.iter().any(|seen| seen == name) {
                let path = self.path_of(name);
                self.findings.note_unknown(&node.origin, path);
            }
        }
    }

    fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.seen.push(key);
        self.findings.note_known(&self.path_of(key));
        self.table.and_then(|table| table.get(key))
    }

    fn wrong(&self, key: &str, node: &Node, wanted: &str) {
        let found = match &node.value {
            Value::Table(_) => "a table",
            Value::List(_) => "a list",
            Value::Text(_) => "text",
            Value::Plain(_) => "something else",
            Value::Integer(_) => "a number",
            Value::Flag(_) => "true or false",
            Value::Other(what) => what,
        };
        self.report(
            &node.origin,
            key,
            format!("must be {wanted}, and is {found}"),
        );
    }

    /// A table inside this one.
    pub(super) fn section(&mut self, key: &'static str) -> Reader<'a> {
        let node = self.node(key);
        let table = match node.map(|node| &node.value) {
            Some(Value::Table(table)) => Some(table),
            Some(_) => {
                if let Some(node) = node {
                    self.wrong(key, node, &format!("a table, as in [{key}]"));
                }
                None
            }
            None => None,
        };
        Reader {
            findings: self.findings,
            prefix: format!("{}.", self.path_of(key)),
            table,
            origin: node.map_or_else(|| self.origin.clone(), |node| node.origin.clone()),
            seen: Vec::new(),
        }
    }

    /// Calls `read` for every table in a list of tables. False where there is none, and nothing was wrong either.
    pub(super) fn each_section(
        &mut self,
        key: &'static str,
        keys: &[&'static str],
        mut read: impl FnMut(&mut Reader<'_>),
    ) -> bool {
        // Known even where the list is empty, so that a misplaced key finds its way home.
        for inner in keys {
            self.findings
                .note_known(&format!("{}.{inner}", self.path_of(key)));
        }
        let Some(node) = self.node(key) else {
            return false;
        };
        let from_environment;
        let items: &[Node] = match &node.value {
            Value::List(items) => items,
            Value::Plain(text) => match list_from_plain(text, &node.origin) {
                Ok(items) => {
                    from_environment = items;
                    &from_environment
                }
                Err(message) => {
                    self.report(&node.origin, key, message);
                    return true;
                }
            },
            _ => {
                let header = format!("a list of tables, each under [[{}]]", self.path_of(key));
                self.wrong(key, node, &header);
                return true;
            }
        };
        for (position, item) in items.iter().enumerate() {
            let Value::Table(table) = &item.value else {
                self.wrong(key, item, r#"a list of tables, as in [{ name = "…", … }]"#);
                continue;
            };
            let mut inner = Reader {
                findings: self.findings,
                prefix: format!("{}[{position}].", self.path_of(key)),
                table: Some(table),
                origin: item.origin.clone(),
                seen: Vec::new(),
            };
            read(&mut inner);
            inner.finish();
        }
        !items.is_empty()
    }

    /// Text that is not empty, or nothing.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Sourced<String>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) | Value::Plain(text) if text.trim().is_empty() => {
                self.report(
                    &node.origin,
                    key,
                    "must not be empty; give it a value or leave the key out",
                );
                None
            }
            Value::Text(text) | Value::Plain(text) => Some(Sourced {
                value: text.clone(),
                origin: node.origin.clone(),
            }),
            _ => {
                self.wrong(key, node, "text in quotes");
                None
            }
        }
    }

    /// A path, with `${CREDENTIALS_DIRECTORY}` expanded and a relative one taken from the file that it stands in.
    pub(super) fn path(&mut self, key: &'static str) -> Option<Sourced<PathBuf>> {
        const VARIABLE: &str = "${CREDENTIALS_DIRECTORY}";
        let Sourced { value, origin } = self.text(key)?;
        let expanded = match (self.findings.credentials(), value.contains(VARIABLE)) {
            (Some(directory), true) => value.replace(VARIABLE, directory),
            (None, true) => {
                self.report(
                    &origin,
                    key,
                    format!(
                        "{VARIABLE} is not set; systemd sets it for a unit that has LoadCredential=, and in a shell \
                         you can set CREDENTIALS_DIRECTORY yourself"
                    ),
                );
                return None;
            }
            (_, false) => value,
        };
        if expanded.contains("${") {
            self.report(
                &origin,
                key,
                format!("of all variables only {VARIABLE} is expanded in a path"),
            );
            return None;
        }
        let value = match &origin {
            Origin::File { dir, .. } => dir.join(expanded),
            _ => PathBuf::from(expanded),
        };
        Some(Sourced { value, origin })
    }

    /// A path to a file that can be read now.
    pub(super) fn readable(&mut self, key: &'static str) -> Option<PathBuf> {
        let Sourced { value, origin } = self.path(key)?;
        self.contents(key, &value, &origin).map(|_| value)
    }

    /// The text of the file that a key names, with the path's origin.
    pub(super) fn file(&mut self, key: &'static str) -> Option<Sourced<String>> {
        let Sourced { value, origin } = self.path(key)?;
        let value = self.contents(key, &value, &origin)?;
        Some(Sourced { value, origin })
    }

    fn contents(&self, key: &str, path: &Path, origin: &Origin) -> Option<String> {
        match read_text(path) {
            Ok(text) => Some(text),
            Err(error) => {
                let mend = match error.kind() {
                    std::io::ErrorKind::PermissionDenied => {
                        "; let the user that rollcall runs as read it".to_owned()
                    }
                    std::io::ErrorKind::NotFound => absent_file(key, path),
                    _ => String::new(),
                };
                self.report(
                    origin,
                    key,
                    format!(
                        "{} cannot be read ({}){mend}",
                        path.display(),
                        plain_io(&error)
                    ),
                );
                None
            }
        }
    }

    fn bounded<T: PartialOrd + Copy>(
        &self,
        key: &str,
        origin: &Origin,
        value: T,
        bounds: &Bounds<T>,
        show: impl Fn(T) -> String,
    ) -> Option<T> {
        if value >= bounds.min && value <= bounds.max {
            return Some(value);
        }
        self.report(
            origin,
            key,
            format!(
                "must be between {} and {}, and is {}: {}",
                show(bounds.min),
                show(bounds.max),
                show(value),
                bounds.why
            ),
        );
        None
    }

    /// A duration.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: &Bounds<Duration>,
    ) -> Duration {
        let Some(node) = self.node(key) else {
            return default;
        };
        let value = match &node.value {
            Value::Text(text) | Value::Plain(text) => units::duration(text),
            _ => None,
        };
        let Some(value) = value else {
            self.report(
                &node.origin,
                key,
                format!("must be a duration: {DURATION_FORM}"),
            );
            return default;
        };
        self.bounded(key, &node.origin, value, bounds, show_duration)
            .unwrap_or(default)
    }

    /// A number of bytes.
    pub(super) fn size(&mut self, key: &'static str, default: u64, bounds: &Bounds<u64>) -> u64 {
        let Some(node) = self.node(key) else {
            return default;
        };
        let value = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) | Value::Plain(text) => units::size(text),
            _ => None,
        };
        let Some(value) = value else {
            self.report(&node.origin, key, format!("must be a size: {SIZE_FORM}"));
            return default;
        };
        self.bounded(key, &node.origin, value, bounds, show_size)
            .unwrap_or(default)
    }

    /// A number.
    pub(super) fn count(&mut self, key: &'static str, default: u64, bounds: &Bounds<u64>) -> u64 {
        let Some(node) = self.node(key) else {
            return default;
        };
        let value = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Plain(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(value) = value else {
            self.report(
                &node.origin,
                key,
                format!(
                    "must be a whole number between {} and {}",
                    bounds.min, bounds.max
                ),
            );
            return default;
        };
        self.bounded(key, &node.origin, value, bounds, |n| n.to_string())
            .unwrap_or(default)
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(node) = self.node(key) else {
            return default;
        };
        let value = match &node.value {
            Value::Flag(value) => Some(*value),
            Value::Plain(text) => text.trim().parse().ok(),
            _ => None,
        };
        value.unwrap_or_else(|| {
            self.report(&node.origin, key, "must be true or false");
            default
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let Some(Sourced { value, origin }) = self.text(key) else {
            return default;
        };
        let wanted = value.trim();
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == wanted) {
            return *choice;
        }
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        self.report(&origin, key, format!("must be one of {}", names.join(", ")));
        default
    }

    /// Something that is written as text; `form` says how.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &'static str, form: &str) -> Option<T> {
        let Sourced { value, origin } = self.text(key)?;
        let parsed = value.trim().parse().ok();
        if parsed.is_none() {
            self.report(&origin, key, format!("{value:?} is not {form}"));
        }
        parsed
    }

    /// A list of texts, each with its origin; nothing where the key is absent.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<Sourced<String>>> {
        const WANTED: &str = r#"a list of texts, as in ["…", "…"]"#;
        let node = self.node(key)?;
        let from_environment;
        let items = match &node.value {
            Value::List(items) => items,
            Value::Plain(text) => match list_from_plain(text, &node.origin) {
                Ok(items) => {
                    from_environment = items;
                    &from_environment
                }
                Err(message) => {
                    self.report(&node.origin, key, message);
                    return None;
                }
            },
            _ => {
                self.wrong(key, node, WANTED);
                return None;
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Text(text) | Value::Plain(text) => texts.push(Sourced {
                    value: text.trim().to_owned(),
                    origin: item.origin.clone(),
                }),
                _ => self.wrong(key, item, WANTED),
            }
        }
        Some(texts)
    }
}
