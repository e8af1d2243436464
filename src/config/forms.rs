//! The forms that the values of keys have.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::declare::{Form, Section, Shown, Standing};
use super::place::Place;
use super::source::{Value, plain_io, read_text};
use super::units::Unit;

/// A type that holds numbers.
pub(super) trait Amount: Copy + 'static {
    /// The number that is written for it.
    fn number(self) -> u64;

    /// The other way; bounds keep the number far below what the type holds.
    fn of(number: u64) -> Self;
}

macro_rules! amounts {
    ($($type:ty),+) => {$(
        impl Amount for $type {
            fn number(self) -> u64 {
                u64::try_from(self).unwrap_or(u64::MAX)
            }

            fn of(number: u64) -> Self {
                Self::try_from(number).unwrap_or(Self::MAX)
            }
        }
    )+};
}

amounts!(u32, u64, usize);

impl Amount for Duration {
    fn number(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }

    fn of(number: u64) -> Self {
        Self::from_millis(number)
    }
}

/// A number within bounds; `why` they are what they are.
pub(super) fn number<T: Amount, B: Amount>(
    unit: Unit,
    default: B,
    bounds: RangeInclusive<B>,
    why: &'static str,
) -> Form<T> {
    within(unit, default, bounds, None, why)
}

/// The same, or zero, which means something of its own.
pub(super) fn number_or_zero<T: Amount, B: Amount>(
    unit: Unit,
    default: B,
    bounds: RangeInclusive<B>,
    zero: &'static str,
    why: &'static str,
) -> Form<T> {
    within(unit, default, bounds, Some(zero), why)
}

fn within<T: Amount, B: Amount>(
    unit: Unit,
    default: B,
    bounds: RangeInclusive<B>,
    zero: Option<&'static str>,
    why: &'static str,
) -> Form<T> {
    let bounds = bounds.start().number()..=bounds.end().number();
    let default = default.number();
    let (least, most) = (*bounds.start(), *bounds.end());
    let mut allowed = format!("{} to {}", unit.toml(least), unit.toml(most));
    let mut range = format!("between {} and {}", unit.show(least), unit.show(most));
    if let Some(meaning) = zero {
        allowed.push_str(&format!(", {}: {meaning}", unit.toml(0)));
        range.push_str(&format!(", or {} for {meaning}", unit.show(0)));
    }
    let how = if unit.form.is_empty() { "" } else { ": " };
    let shown = Shown::Value(unit.plain(default), Standing::Default);
    let form = Form::new(T::of(default), shown, move |place| {
        let Some(number) = unit.value(place.value()?) else {
            place.report(format!("must be {} {range}{how}{}", unit.what, unit.form));
            return None;
        };
        if bounds.contains(&number) || (number == 0 && zero.is_some()) {
            return Some(T::of(number));
        }
        place.report(format!(
            "must be {range}, and is {}: {why}",
            unit.show(number)
        ));
        None
    });
    Form { allowed, ..form }
}

/// One of a few words.
pub(super) fn choice<T: Copy + PartialEq>(
    default: T,
    words: &'static [(&'static str, T)],
) -> Form<T> {
    let list: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let allowed = list.join(", ");
    let known = words.iter().position(|(_, value)| *value == default);
    let shown = known
        .and_then(|at| list.get(at))
        .cloned()
        .unwrap_or_default();
    let message = format!("must be one of {allowed}");
    let form = Form::new(
        default,
        Shown::Value(shown, Standing::Default),
        move |place| {
            let text = place.text()?.trim();
            let found = words.iter().find(|(word, _)| *word == text);
            if found.is_none() {
                place.report(message);
            }
            found.map(|(_, value)| *value)
        },
    );
    Form { allowed, ..form }
}

/// Yes or no.
pub(super) fn flag(default: bool) -> Form<bool> {
    let shown = Shown::Value(default.to_string(), Standing::Default);
    Form::new(default, shown, |place| {
        let value = match place.value()? {
            Value::Flag(value) => Some(*value),
            Value::Plain(text) => text.trim().parse().ok(),
            _ => None,
        };
        if value.is_none() {
            place.report("must be true or false");
        }
        value
    })
}

fn example<T: 'static>(
    example: &str,
    read: impl FnOnce(&Place<'_>) -> Option<T> + 'static,
) -> Form<Option<T>> {
    let shown = Shown::Value(format!("{example:?}"), Standing::Example);
    Form::new(None, shown, move |place| read(place).map(Some))
}

/// Any text.
pub(super) fn text(shown: &str) -> Form<Option<String>> {
    example(shown, |place| place.text().map(str::to_owned))
}

/// Text that `rule` reads, or says what is wrong with it.
pub(super) fn parsed<T: 'static>(
    shown: &str,
    rule: fn(&str) -> Result<T, String>,
) -> Form<Option<T>> {
    example(shown, move |place| place.note(rule(place.text()?.trim())))
}

/// The path of what need not be there.
pub(super) fn path(shown: &str) -> Form<Option<PathBuf>> {
    example(shown, |place| place.file_path())
}

/// The path of a file that can be read now. `absent` says what to do where there is none, with `{dir}` for its directory.
pub(super) fn file(shown: &str, absent: &'static str) -> Form<Option<PathBuf>> {
    example(shown, |place| {
        read_file(place, absent).map(|(path, _)| path)
    })
}

/// What is in such a file.
pub(super) fn contents(shown: &str, absent: &'static str) -> Form<Option<String>> {
    example(shown, |place| {
        read_file(place, absent).map(|(_, text)| text)
    })
}

fn read_file(place: &Place<'_>, absent: &str) -> Option<(PathBuf, String)> {
    let path = place.file_path()?;
    let text = read_text(&path).map_err(|error| {
        let dir = path
            .parent()
            .unwrap_or(Path::new("."))
            .display()
            .to_string();
        let mend = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "; let the user that rollcall runs as read it".to_owned()
            }
            io::ErrorKind::NotFound => format!("; {}", absent.replace("{dir}", &dir)),
            _ => String::new(),
        };
        format!(
            "{} cannot be read ({}){mend}",
            path.display(),
            plain_io(&error)
        )
    });
    Some((path, place.note(text)?))
}

/// What reads one item of a list, given those before it, or says what is wrong with it.
type ItemRule<T> = fn(&str, &[T]) -> Result<T, String>;

/// A list of texts and its default. If that is not empty, no list may be.
pub(super) fn list<T: 'static>(
    default: &'static [&'static str],
    rule: ItemRule<T>,
) -> Form<Vec<T>> {
    let mut made = Vec::new();
    for text in default {
        made.extend(rule(text, &made));
    }
    Form {
        default: made,
        ..items(default, Standing::Default, rule)
    }
}

/// A list of texts that is empty by default.
pub(super) fn list_as_in<T: 'static>(
    shown: &'static [&'static str],
    rule: ItemRule<T>,
) -> Form<Vec<T>> {
    items(shown, Standing::Example, rule)
}

fn items<T: 'static>(
    shown: &'static [&'static str],
    standing: Standing,
    rule: ItemRule<T>,
) -> Form<Vec<T>> {
    Form::new(
        Vec::new(),
        Shown::Value(format!("{shown:?}"), standing),
        move |place| {
            place.value()?;
            let items = place.items(r#"a list of texts, as in ["…", "…"]"#)?;
            if items.is_empty() && standing == Standing::Default && !shown.is_empty() {
                place.report(format!("must have at least one item, as in {shown:?}"));
            }
            let mut made = Vec::with_capacity(items.len());
            for (position, node) in items.iter().enumerate() {
                let place = place.item(position, node);
                let item = place.text().map(|text| rule(text.trim(), &made));
                made.extend(item.and_then(|item| place.note(item)));
            }
            Some(made)
        },
    )
}

/// A table.
pub(super) fn table<T: Section>() -> Form<T> {
    table_of(|keys, _| keys)
}

/// A table whose keys something is made of.
pub(super) fn table_of<K: Section, T: Default + 'static>(make: fn(K, &Place<'_>) -> T) -> Form<T> {
    Form::new(T::default(), Shown::Table(K::keys()), move |place| {
        let keys = read_table(place, &format!("a table, as in [{}]", place.path()))?;
        Some(make(keys, place))
    })
}

/// A list of tables, of each of which something is made; what was made of those before it is known.
pub(super) fn tables<K: Section, T: 'static>(
    make: fn(K, &Place<'_>, &[T]) -> Option<T>,
) -> Form<Vec<T>> {
    let shown = Shown::Tables(K::keys(), Standing::Example);
    Form::new(Vec::new(), shown, move |place| {
        let wanted = format!("a list of tables, each under [[{}]]", place.path());
        let items = place.items(&wanted)?;
        let mut made = Vec::with_capacity(items.len());
        for (position, node) in items.iter().enumerate() {
            let place = place.item(position, node);
            let keys = read_table(&place, r#"a table, as in { key = "…", … }"#);
            made.extend(keys.and_then(|keys| make(keys, &place, &made)));
        }
        Some(made)
    })
}

fn read_table<K: Section>(place: &Place<'_>, wanted: &str) -> Option<K> {
    if !matches!(place.value(), None | Some(Value::Table(_))) {
        place.report_kind(wanted);
        return None;
    }
    place.refuse_others(K::NAMES);
    Some(K::read(place))
}
