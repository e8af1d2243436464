//! The layers that a configuration is made of (file, environment, flags), laid over each other into one tree in which
//! every value remembers where it came from.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};

/// What every environment variable of ours begins with.
pub const ENV_PREFIX: &str = "ROLLCALL_";

/// No configuration, key or certificate file is larger than this; what is, is another file by mistake.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Where a configuration is read from. Flags override the environment, which overrides the file.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file, if any.
    pub file: File,
    /// The environment, as names and values. Only names that begin with `ROLLCALL_`, and `CREDENTIALS_DIRECTORY`, matter.
    pub env: Vec<(String, String)>,
    /// Values given as flags.
    pub flags: Vec<Flag>,
}

/// The configuration file.
#[derive(Debug, Clone, Default)]
pub enum File {
    /// No file at all.
    #[default]
    None,
    /// A file that must be there.
    Required(PathBuf),
    /// A file that may be missing; environment and flags must then say everything that has no default.
    IfPresent(PathBuf),
    /// A text that stands for a file.
    Text {
        /// What to call it in messages.
        name: String,
        /// The directory that relative paths in it start from.
        dir: PathBuf,
        /// The TOML.
        text: String,
    },
}

/// A value given as a command-line flag.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag, such as `--listen`.
    pub name: &'static str,
    /// The top-level key that it sets, such as `listen`.
    pub key: &'static str,
    /// Its value; of a list, the items between commas.
    pub value: String,
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

pub(super) type Table = BTreeMap<String, Node>;

#[derive(Debug, Clone)]
pub(super) enum Value {
    Table(Table),
    List(Vec<Node>),
    Text(String),
    /// Text from the environment or a flag: what it means depends on what its key wants.
    Plain(String),
    Integer(i128),
    Flag(bool),
    /// A float or a date, which no key wants.
    Other(&'static str),
}

/// All layers in one table, whose origin is the place to report what is missing.
pub(super) struct Layers {
    pub(super) root: Node,
    /// `CREDENTIALS_DIRECTORY`, where it is set.
    pub(super) credentials: Option<String>,
}

impl Sources {
    /// Reads the layers and lays them over each other.
    pub(super) fn layers(&self) -> Result<Layers, Vec<Problem>> {
        let (mut root, origin) = self.file_layer()?;
        let mut credentials = None;
        for (name, value) in &self.env {
            if name == "CREDENTIALS_DIRECTORY" && !value.is_empty() {
                credentials = Some(value.clone());
            }
            if let Some(path) = env_path(name) {
                let node = Node {
                    origin: Origin::Environment(name.clone()),
                    value: Value::Plain(value.clone()),
                };
                put(&mut root, &path, node);
            }
        }
        for flag in &self.flags {
            let node = Node {
                origin: Origin::Flag(flag.name),
                value: Value::Plain(flag.value.clone()),
            };
            put(&mut root, &[flag.key.to_owned()], node);
        }
        let value = Value::Table(root);
        Ok(Layers {
            root: Node { origin, value },
            credentials,
        })
    }

    fn file_layer(&self) -> Result<(Table, Origin), Vec<Problem>> {
        match &self.file {
            File::None => Ok((Table::new(), Origin::Nowhere)),
            File::Text { name, dir, text } => from_toml(text, name, dir),
            File::Required(path) | File::IfPresent(path) => {
                let name = path.display().to_string();
                let dir = path.parent().unwrap_or(Path::new(""));
                match read_text(path) {
                    Ok(text) => from_toml(&text, &name, dir),
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound
                            && matches!(self.file, File::IfPresent(_)) =>
                    {
                        Ok((Table::new(), Origin::Nowhere))
                    }
                    Err(error) => Err(vec![Problem {
                        origin: file_origin(&name, dir, 0),
                        key: String::new(),
                        message: format!(
                            "cannot be read ({}); name the configuration file with --config FILE",
                            plain_io(&error)
                        ),
                    }]),
                }
            }
        }
    }
}

/// Reads a small text file whole.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("larger than 4 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8 text"))
}

/// What the system says, without its number.
pub(super) fn plain_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}

/// The value that a text from a flag or the environment holds where a list is wanted: a TOML array, or values between commas.
/// An address such as `[::]:8443` only begins like an array.
pub(super) fn list_from_plain(text: &str, origin: &Origin) -> Result<Vec<Node>, String> {
    let text = text.trim();
    let begins_with_address = text.contains("]:") && !text.ends_with(']');
    if text.starts_with('[') && !begins_with_address {
        let value = DeValue::parse(text)
            .map_err(|error| format!("is no TOML array: {}", error.message()))?;
        return match convert(value.get_ref(), &|_| origin.clone(), origin.clone()).value {
            Value::List(items) => Ok(items),
            _ => Err("is no TOML array".into()),
        };
    }
    Ok(text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| Node {
            origin: origin.clone(),
            value: Value::Plain(item.to_owned()),
        })
        .collect())
}

/// `ROLLCALL_PRESENCE__BOOT_GRACE` sets `presence.boot_grace`.
fn env_path(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(ENV_PREFIX)?;
    // Kubernetes puts such variables into every container beside a service that is called "rollcall".
    if rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_") {
        return None;
    }
    // No key has more than two names before its own. One that goes on is unknown, and told without a table for each dot.
    Some(rest.splitn(4, "__").map(str::to_ascii_lowercase).collect())
}

/// Sets a value, over whatever was there.
fn put(table: &mut Table, path: &[String], node: Node) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert(first.clone(), node);
        return;
    }
    let entry = table.entry(first.clone()).or_insert_with(|| Node {
        origin: node.origin.clone(),
        value: Value::Table(Table::new()),
    });
    if let Value::Table(inner) = &mut entry.value {
        put(inner, rest, node);
    } else {
        // Not a table, so there is no such key: let the reader report it as unknown.
        table.insert(path.join("."), node);
    }
}

fn file_origin(name: &str, dir: &Path, line: usize) -> Origin {
    Origin::File {
        name: name.into(),
        dir: dir.into(),
        line,
    }
}

fn from_toml(text: &str, name: &str, dir: &Path) -> Result<(Table, Origin), Vec<Problem>> {
    let name: Arc<str> = name.into();
    let dir: Arc<Path> = dir.into();
    let origin_at = |offset: usize| Origin::File {
        name: name.clone(),
        dir: dir.clone(),
        line: line_of(text, offset),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors
            .iter()
            .map(|error| Problem {
                origin: origin_at(error.span().map_or(0, |span| span.start)),
                key: String::new(),
                message: format!("not valid TOML: {}", error.message().trim_end()),
            })
            .collect());
    }
    let whole = file_origin(&name, &dir, 0);
    match convert(
        &DeValue::Table(table.into_inner()),
        &origin_at,
        whole.clone(),
    )
    .value
    {
        Value::Table(root) => Ok((root, whole)),
        _ => Ok((Table::new(), whole)),
    }
}

fn convert(value: &DeValue<'_>, origin_at: &dyn Fn(usize) -> Origin, origin: Origin) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("an integer too large"), Value::Integer),
        DeValue::Boolean(value) => Value::Flag(*value),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| convert(item.get_ref(), origin_at, origin_at(item.span().start)))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| {
                    (
                        key.get_ref().clone().into_owned(),
                        convert(value.get_ref(), origin_at, origin_at(key.span().start)),
                    )
                })
                .collect(),
        ),
    };
    Node { origin, value }
}

/// The line that a byte offset falls on, from 1 on.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names_are_paths() {
        assert_eq!(env_path("ROLLCALL_DATA_DIR").unwrap(), ["data_dir"]);
        assert_eq!(
            env_path("ROLLCALL_PRESENCE__BOOT_GRACE").unwrap(),
            ["presence", "boot_grace"]
        );
        assert_eq!(env_path("PATH"), None);
        // What Kubernetes adds by itself.
        assert_eq!(env_path("ROLLCALL_SERVICE_HOST"), None);
        assert_eq!(env_path("ROLLCALL_PORT_8443_TCP"), None);
    }

    #[test]
    fn lists_come_as_toml_or_between_commas() {
        let origin = Origin::Environment("ROLLCALL_LISTEN".into());
        let texts = |text: &str| -> Vec<String> {
            list_from_plain(text, &origin)
                .unwrap()
                .into_iter()
                .map(|node| match node.value {
                    Value::Text(text) | Value::Plain(text) => text,
                    other => panic!("{other:?}"),
                })
                .collect()
        };
        assert_eq!(texts("a, b,,c "), ["a", "b", "c"]);
        assert_eq!(texts(r#"["a,b", 'c']"#), ["a,b", "c"]);
        assert!(texts("").is_empty());
        assert!(list_from_plain("[1, ", &origin).is_err());
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line_of("a\nb\n", 0), 1);
        assert_eq!(line_of("a\nb\n", 2), 2);
        assert_eq!(line_of("a", 99), 1);
    }
}
