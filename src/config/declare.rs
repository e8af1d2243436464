//! How a key is declared: once, with its name, its type, its meaning, and a form that knows its default and its bounds.
//! From that come the field, its default, the reading with all checks, and what the reference and the manual tell of it.

use super::place::Place;

/// One key of the configuration, as people are told of it.
#[derive(Debug)]
pub struct Key {
    /// Its name within its table.
    pub name: &'static str,
    /// What it is for, and what else it may be: a clause, without a capital and without a full stop.
    pub meaning: String,
    /// What stands behind its name.
    pub shown: Shown,
}

impl Key {
    pub(super) fn new<T>(name: &'static str, meaning: &str, form: Form<T>) -> Self {
        let separator = if form.allowed.is_empty() { "" } else { "; " };
        Self {
            name,
            meaning: format!("{}{separator}{}", meaning.trim(), form.allowed),
            shown: form.shown,
        }
    }
}

/// What is shown of a key's value.
#[derive(Debug)]
pub enum Shown {
    /// A value, as TOML.
    Value(String, Standing),
    /// A table with these keys.
    Table(Vec<Key>),
    /// A list of tables with these keys; there must be one, or there need not.
    Tables(Vec<Key>, Standing),
}

/// What the value that is shown of a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It holds where the key is left out.
    Default,
    /// It is an example of a key that may be left out.
    Example,
    /// The same, of several such keys the one that most will want.
    Usual,
    /// It is an example of a key that must be there.
    Required,
}

/// What reads a value at its place.
type ReadAt<T> = Box<dyn FnOnce(&Place<'_>) -> Option<T>>;

/// How the value of a key is written, what it may be, and what it is where the key is left out.
pub(super) struct Form<T> {
    /// The value where the key is left out; of one that must be there a stand-in.
    pub(super) default: T,
    pub(super) shown: Shown,
    /// What the value may be, where it needs no words.
    pub(super) allowed: String,
    pub(super) missing: Option<&'static str>,
    pub(super) read: ReadAt<T>,
}

impl<T: 'static> Form<T> {
    /// `read` returns nothing where the key is left out, or when it has noted what is wrong.
    pub(super) fn new(
        default: T,
        shown: Shown,
        read: impl FnOnce(&Place<'_>) -> Option<T> + 'static,
    ) -> Self {
        Self {
            default,
            shown,
            allowed: String::new(),
            missing: None,
            read: Box::new(read),
        }
    }

    /// The key must be there; `mend` says what to do where it is not.
    pub(super) fn required(mut self, mend: &'static str) -> Self {
        self.missing = Some(mend);
        self.standing(Standing::Required)
    }

    /// The key is the one of several that most will want.
    pub(super) fn usual(self) -> Self {
        self.standing(Standing::Usual)
    }

    /// The value is shown as this, where people are used to another unit than the largest.
    pub(super) fn written(mut self, value: &str) -> Self {
        if let Shown::Value(toml, _) = &mut self.shown {
            *toml = format!("{value:?}");
        }
        self
    }

    fn standing(mut self, new: Standing) -> Self {
        if let Shown::Value(_, standing) | Shown::Tables(_, standing) = &mut self.shown {
            *standing = new;
        }
        self
    }

    /// The value. Where something is wrong, that is noted, and the default comes in its place: so one pass finds all.
    pub(super) fn read(self, place: &Place<'_>) -> T {
        if let Some(mend) = self.missing.filter(|_| place.is_empty()) {
            let example = match &self.shown {
                Shown::Value(toml, _) => format!(", as in {} = {toml}", place.name()),
                _ => String::new(),
            };
            place.report(format!("missing; {mend}{example}"));
        }
        (self.read)(place).unwrap_or(self.default)
    }
}

impl<T: Default + 'static> Form<Option<T>> {
    /// The same for a key whose absence stops the start anyway.
    pub(super) fn or_stand_in(self) -> Form<T> {
        Form {
            default: T::default(),
            shown: self.shown,
            allowed: self.allowed,
            missing: self.missing,
            read: Box::new(|place| (self.read)(place).flatten()),
        }
    }
}

/// A table whose keys are declared; the macros implement it.
pub(super) trait Section: Default + 'static {
    /// The names of its keys.
    const NAMES: &'static [&'static str];

    /// Its keys, in the order of the reference.
    fn keys() -> Vec<Key>;

    /// Reads every key.
    fn read(place: &Place<'_>) -> Self;
}

/// A struct whose fields are keys: `name: Type = form;`, under its meaning.
macro_rules! section {
    (
        $(#[$about:meta])*
        $vis:vis struct $section:ident {
            $($(#[doc = $meaning:literal])+ $key:ident: $type:ty = $form:expr;)+
        }
    ) => {
        $(#[$about])*
        $vis struct $section {
            $($(#[doc = $meaning])+ #[doc = concat!("\n\n`", stringify!($form), "`")] $vis $key: $type,)+
        }

        impl Default for $section {
            fn default() -> Self {
                use $crate::config::declare::Form;
                Self { $($key: { let form: Form<$type> = $form; form.default }),+ }
            }
        }

        keys! { $section { $($(#[doc = $meaning])+ $key: $type = $form;)+ } }
    };
}

/// The same for a struct that there is already.
macro_rules! keys {
    ($section:ident { $($(#[doc = $meaning:literal])+ $key:ident: $type:ty = $form:expr;)+ }) => {
        impl $crate::config::declare::Section for $section {
            const NAMES: &'static [&'static str] = &[$(stringify!($key)),+];

            fn keys() -> Vec<$crate::config::declare::Key> {
                use $crate::config::declare::{Form, Key};
                vec![$({
                    let form: Form<$type> = $form;
                    Key::new(stringify!($key), concat!($($meaning),+), form)
                }),+]
            }

            fn read(place: &$crate::config::place::Place<'_>) -> Self {
                use $crate::config::declare::Form;
                Self {
                    $($key: { let form: Form<$type> = $form; form.read(&place.key(stringify!($key))) }),+
                }
            }
        }
    };
}

pub(super) use {keys, section};
