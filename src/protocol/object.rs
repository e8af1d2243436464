//! JSON objects, read field by field, with errors that name the field and say what was expected.
//!
//! Clients' frames, the bodies of HTTP requests and the claims of tokens are read through it. Nothing is copied that has no
//! escapes, and a value is looked at only when it is asked for. Fields that nobody asks for are ignored, and `null` is the
//! same as absent. A name that comes twice is refused, since nobody knows which was meant.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{ErrorCode, Refusal};
use super::{Json, names};

/// Whole numbers below this are exact in floating point.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// How much of an author's own name is repeated in a message, in characters.
const QUOTED_CHARACTERS: usize = 64;

/// The fields of an object that stands in the text `'a`; `'p` is what it stands inside.
#[derive(Debug)]
pub struct Object<'a, 'p> {
    path: Path<'p>,
    fields: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

/// A field of an object, there or not.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a, 'p> {
    path: Path<'p>,
    /// No `null`.
    raw: Option<&'a RawValue>,
}

/// Where a value stands. It is only written out when something is wrong there: `data.token`, `channels["game.*"].alias`.
#[derive(Debug, Clone, Copy)]
enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    /// A name of the author's.
    Entry(&'p Path<'p>, &'p str),
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It is not there.
    #[error("field `{path}` is missing: {expected} is expected")]
    Missing {
        /// The field.
        path: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// It is of a wrong type, or out of its bounds.
    #[error("field `{path}` is {found}: {expected} is expected")]
    Wrong {
        /// The field.
        path: String,
        /// Its type, with an article.
        found: &'static str,
        /// What would have been right.
        expected: &'static str,
    },
    /// It is JSON that cannot be read: a text with half a surrogate pair, an object that names a field twice, a number that
    /// no double holds.
    #[error("field `{path}`{detail}")]
    Broken {
        /// The field.
        path: String,
        /// What the parser said.
        detail: String,
    },
}

impl From<Misfit> for Refusal {
    fn from(misfit: Misfit) -> Self {
        Self::invalid(misfit.to_string())
    }
}

impl<'a> Object<'a, 'static> {
    /// Reads a text that must be a JSON object.
    ///
    /// # Errors
    /// When it is none, or a name comes twice in it.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let Unique(fields) = serde_json::from_str(text)?;
        Ok(Self {
            path: Path::Root,
            fields,
        })
    }

    /// The same, with errors for clients. `what` names it in them: "the frame", "the body".
    ///
    /// # Errors
    /// `INVALID_MESSAGE`.
    pub fn parse(text: &'a str, what: &str) -> Result<Self, Refusal> {
        Self::read(text).map_err(|error| {
            Refusal::invalid(match error.is_data() {
                true if error.to_string().starts_with("duplicate") => format!("{what}: {error}"),
                true => format!("{what} is no JSON object"),
                false => format!("{what} is not valid JSON: {error}"),
            })
        })
    }

    /// A field of a text that is no proper object, as far as it can be found: a string before the place where the text
    /// stops making sense.
    pub fn find_string(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
        let mut found = None;
        // Whatever is wrong has been told before.
        let _ = serde_json::Deserializer::from_str(text).deserialize_map(Each(|field, value| {
            if field == name {
                found.get_or_insert(value);
            }
            true
        }));
        string(RawValue::get(found?))?.ok()
    }
}

impl<'a, 'p> Object<'a, 'p> {
    /// The field of this name.
    pub fn field<'s>(&'s self, name: &'s str) -> Field<'a, 's> {
        Field::new(
            Path::Field(&self.path, name),
            self.fields.get(name).copied(),
        )
    }

    /// A field that is an object itself.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn object<'s>(&'s self, name: &'s str) -> Result<Option<Object<'a, 's>>, Refusal> {
        Ok(self.field(name).object("an object")?)
    }

    /// A field that is a string.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn string(&self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        Ok(self.field(name).text("a string")?)
    }

    /// A string that must be there.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is missing or something else.
    pub fn required(&self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        let missing = || self.field(name).missing("a string").into();
        self.string(name)?.ok_or_else(missing)
    }

    /// A field that is a boolean; `false` where it is absent.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.field(name).flag("a boolean")?.unwrap_or(false))
    }

    /// A field that is an integer, however it is written: to JSON, `60`, `60.0` and `6e1` are the same number.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        Ok(self.field(name).integer("an integer")?)
    }

    /// A field of any sort; `null` where it is absent.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is nested too deeply, or has an unpaired surrogate.
    pub fn json(&self, name: &str) -> Result<Json, Refusal> {
        let field = self.field(name);
        let json = field.raw.map_or(Ok(Json::null()), Json::from_raw);
        Ok(json.map_err(|error| field.broken(format!(": {error}")))?)
    }

    /// The field `channel`, which must be there and a valid name.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` or `INVALID_CHANNEL_NAME`.
    pub fn channel(&self) -> Result<Cow<'a, str>, Refusal> {
        let channel = self.required("channel")?;
        names::check_channel(&channel)?;
        Ok(channel)
    }

    /// The field `data`, which must be there and an object.
    ///
    /// # Errors
    /// `INVALID_MESSAGE`.
    pub fn data(&self) -> Result<Object<'a, '_>, Refusal> {
        let missing = || self.field("data").missing("an object").into();
        self.object("data")?.ok_or_else(missing)
    }

    /// Makes sure that what is asked for is asked for now. Schedules (section 10) are not in this version, and what was
    /// meant for later must not happen at once.
    ///
    /// # Errors
    /// `INVALID_SCHEDULE` where there is a `scheduleExpression`.
    pub fn unscheduled(&self) -> Result<(), Refusal> {
        match self.field("scheduleExpression").raw {
            None => Ok(()),
            Some(_) => Err(Refusal::new(
                ErrorCode::InvalidSchedule,
                "field `scheduleExpression`: this version of the server does nothing later, only at once",
            )),
        }
    }
}

impl<'a, 'p> Field<'a, 'p> {
    fn new(path: Path<'p>, raw: Option<&'a RawValue>) -> Self {
        let raw = raw.filter(|raw| raw.get() != "null");
        Self { path, raw }
    }

    /// What it says, as it is spelled.
    pub fn raw(self) -> Option<&'a RawValue> {
        self.raw
    }

    /// Whether it is an array.
    pub fn is_array(self) -> bool {
        self.raw.is_some_and(|raw| raw.get().starts_with('['))
    }

    /// Reads what it says; `read` answers `None` for what is not `expected`.
    ///
    /// # Errors
    /// [`Misfit::Wrong`], or [`Misfit::Broken`].
    pub fn read<T>(
        self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, Misfit> {
        let Some(raw) = self.raw else { return Ok(None) };
        if let Some(value) = read(raw.get()) {
            return Ok(Some(value));
        }
        let found = match raw.get().as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            _ if serde_json::from_str::<f64>(raw.get()).is_ok() => "a number",
            _ => return Err(self.broken(format!(" is a number: {expected} is expected"))),
        };
        Err(Misfit::Wrong {
            path: self.to_string(),
            found,
            expected,
        })
    }

    /// A string.
    ///
    /// # Errors
    /// When it is something else, or has an unpaired surrogate.
    pub fn text(self, expected: &'static str) -> Result<Option<Cow<'a, str>>, Misfit> {
        let text = self.read(expected, string)?.transpose();
        text.map_err(|error| self.broken(format!(" is no valid string: {error}")))
    }

    /// An array of strings.
    ///
    /// # Errors
    /// When it is something else, or one of them has an unpaired surrogate.
    pub fn texts(self, expected: &'static str) -> Result<Option<Vec<Cow<'a, str>>>, Misfit> {
        let array = |text| serde_json::from_str::<Vec<&RawValue>>(text).ok();
        let texts = |items: Vec<&'a RawValue>| {
            items
                .into_iter()
                .map(|raw| string(raw.get()))
                .collect::<Option<Result<_, _>>>()
        };
        let texts = self
            .read(expected, |text| array(text).and_then(texts))?
            .transpose();
        texts.map_err(|error| self.broken(format!(" is no valid string: {error}")))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(self, expected: &'static str) -> Result<Option<bool>, Misfit> {
        self.read(expected, |text| text.parse().ok())
    }

    /// A whole number, however it is written.
    ///
    /// # Errors
    /// When it is something else.
    pub fn integer(self, expected: &'static str) -> Result<Option<i64>, Misfit> {
        self.read(expected, |text| {
            serde_json::from_str(text).ok().or_else(|| {
                let number: f64 = serde_json::from_str(text).ok()?;
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "it is whole, and within what is exact"
                )]
                (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
            })
        })
    }

    /// An object.
    ///
    /// # Errors
    /// When it is something else, or a name comes twice in it.
    pub fn object(self, expected: &'static str) -> Result<Option<Object<'a, 'p>>, Misfit> {
        let object = self.fields(expected)?;
        Ok(object.map(|Unique(fields)| Object {
            path: self.path,
            fields,
        }))
    }

    /// The names and values of an object whose names are the author's, in the order written; none where it is absent.
    /// [`Field::entry`] reads them.
    ///
    /// # Errors
    /// When it is something else.
    pub fn entries(
        self,
        expected: &'static str,
    ) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Misfit> {
        let entries = self.fields(expected)?;
        Ok(entries.map_or_else(Vec::new, |Ordered(entries)| entries))
    }

    /// One of its [entries](Field::entries); no value is absent.
    pub fn entry<'s>(&'s self, name: &'s str, value: Option<&'a RawValue>) -> Field<'a, 's> {
        Field::new(Path::Entry(&self.path, name), value)
    }

    /// Tells that it should be there.
    pub fn missing(self, expected: &'static str) -> Misfit {
        Misfit::Missing {
            path: self.to_string(),
            expected,
        }
    }

    fn broken(self, detail: String) -> Misfit {
        Misfit::Broken {
            path: self.to_string(),
            detail,
        }
    }

    fn fields<T: Deserialize<'a>>(self, expected: &'static str) -> Result<Option<T>, Misfit> {
        let object = |text: &'a str| text.starts_with('{').then(|| serde_json::from_str(text));
        let fields = self.read(expected, object)?.transpose();
        fields.map_err(|error| self.broken(format!(": {error}")))
    }
}

/// Where it stands.
impl fmt::Display for Field<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Entry(parent, name) => match name.char_indices().nth(QUOTED_CHARACTERS) {
                Some((end, _)) => write!(f, "{parent}[{:?}…]", name.get(..end).unwrap_or_default()),
                None => write!(f, "{parent}[{name:?}]"),
            },
        }
    }
}

/// The value of a JSON string; `None` where it is something else.
fn string(text: &str) -> Option<Result<Cow<'_, str>, serde_json::Error>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    // The common case needs no copy: a literal without an escape is its own value.
    if inner.contains('\\') {
        Some(serde_json::from_str::<String>(text).map(Cow::Owned))
    } else {
        Some(Ok(Cow::Borrowed(inner)))
    }
}

/// Fields by their names, which are all different.
struct Unique<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

/// Fields in the order written.
struct Ordered<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Unique<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = BTreeMap::new();
        deserializer.deserialize_map(Each(|name, value| fields.insert(name, value).is_none()))?;
        Ok(Self(fields))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Ordered<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Vec::new();
        deserializer.deserialize_map(Each(|name, value| {
            fields.push((name, value));
            true
        }))?;
        Ok(Self(fields))
    }
}

/// Is given each field of a JSON object, and says whether its name is a new one.
struct Each<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue) -> bool> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            if !(self.0)(name, map.next_value()?) {
                return Err(A::Error::custom("duplicate field"));
            }
        }
        Ok(())
    }
}

/// A field's name, borrowed where it can be.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        for (text, integer) in [("60", 60), ("60.0", 60), ("6e1", 60), ("-1.0", -1)] {
            let text = format!(r#"{{"n":{text}}}"#);
            let object = Object::parse(&text, "it").unwrap();
            assert_eq!(object.integer("n"), Ok(Some(integer)), "{text}");
        }
        for text in ["0.5", "1e300", "\"60\"", "true"] {
            let text = format!(r#"{{"n":{text}}}"#);
            let object = Object::parse(&text, "it").unwrap();
            assert!(object.integer("n").is_err(), "{text}");
        }
    }
}
