//! A JSON object read field by field, with errors that name the field and say what was expected.
//!
//! Clients' frames and the bodies of HTTP requests are read through it, so that a wrong field is told in the same words
//! everywhere. Fields that nobody asks for are ignored, and `null` is the same as absent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserializer as _;
use serde_json::value::RawValue;

use super::error::{ErrorCode, Refusal};
use super::{Json, names};

/// Whole numbers below this are exact in floating point.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The fields of an object.
#[derive(Debug)]
pub struct Object<'a> {
    /// What the object is called in errors: nothing, or the path to it with a dot at its end.
    path: &'static str,
    fields: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// Reads a text that must be a JSON object. `what` names it in errors: "the frame", "the body".
    ///
    /// # Errors
    /// `INVALID_MESSAGE`.
    pub fn parse(text: &'a str, what: &str) -> Result<Self, Refusal> {
        match serde_json::from_str::<Fields<'a>>(text) {
            Ok(fields) => Ok(Self {
                path: "",
                fields: fields.0,
            }),
            Err(error) if error.is_data() && !error.to_string().starts_with("duplicate") => {
                Err(Refusal::invalid(format!("{what} is no JSON object")))
            }
            Err(error) if error.is_data() => Err(Refusal::invalid(format!("{what}: {error}"))),
            Err(error) => Err(Refusal::invalid(format!(
                "{what} is not valid JSON: {error}"
            ))),
        }
    }

    /// A field of a text that is no proper object, as far as it can be found: a string before the place where the text
    /// stops making sense.
    pub fn find_string(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
        struct Search<'n, 'a> {
            name: &'n str,
            found: Option<&'a RawValue>,
        }
        impl<'a> serde::de::Visitor<'a> for &mut Search<'_, 'a> {
            type Value = ();

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
                while let Some(name) = map.next_key::<Name<'a>>()? {
                    let value = map.next_value::<&'a RawValue>()?;
                    if name.0 == self.name {
                        self.found.get_or_insert(value);
                    }
                }
                Ok(())
            }
        }
        let mut search = Search { name, found: None };
        // Whatever is wrong has been told before.
        let _ = serde_json::Deserializer::from_str(text).deserialize_map(&mut search);
        string(search.found?.get())?.ok()
    }

    /// A field that is an object itself. `path` is its name with a dot at its end, for the errors about its fields.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn object(&self, name: &str, path: &'static str) -> Result<Option<Self>, Refusal> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        match serde_json::from_str::<Fields<'a>>(raw.get()) {
            Ok(fields) => Ok(Some(Self {
                path,
                fields: fields.0,
            })),
            Err(error) if raw.get().starts_with('{') => Err(Refusal::invalid(format!(
                "field `{}{name}`: {error}",
                self.path
            ))),
            Err(_) => Err(self.wrong(name, raw, "an object")),
        }
    }

    /// A field that is a string.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn string(&self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        string(raw.get())
            .ok_or_else(|| self.wrong(name, raw, "a string"))?
            .map(Some)
            .map_err(|e| {
                Refusal::invalid(format!(
                    "field `{}{name}` is no valid string: {e}",
                    self.path
                ))
            })
    }

    /// A string that must be there.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is missing or something else.
    pub fn required(&self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        self.string(name)?.ok_or_else(|| {
            Refusal::invalid(format!(
                "field `{}{name}` is missing: a string is expected",
                self.path
            ))
        })
    }

    /// A field that is a boolean; `false` where it is absent.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.raw(name) {
            None => Ok(false),
            Some(raw) => match raw.get() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(self.wrong(name, raw, "a boolean")),
            },
        }
    }

    /// A field that is an integer, however it is written: to JSON, `60`, `60.0` and `6e1` are the same number.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is something else.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.raw(name) {
            None => Ok(None),
            Some(raw) => match serde_json::from_str(raw.get()) {
                Ok(number) => Ok(Some(number)),
                Err(_) => match serde_json::from_str::<f64>(raw.get()) {
                    #[allow(
                        clippy::cast_possible_truncation,
                        reason = "it is whole, and within what is exact"
                    )]
                    Ok(number) if number.fract() == 0.0 && number.abs() < EXACT => {
                        Ok(Some(number as i64))
                    }
                    _ => Err(self.wrong(name, raw, "an integer")),
                },
            },
        }
    }

    /// A field of any sort; `null` where it is absent.
    ///
    /// # Errors
    /// `INVALID_MESSAGE` where it is nested too deeply, or has an unpaired surrogate.
    pub fn json(&self, name: &str) -> Result<Json, Refusal> {
        match self.raw(name) {
            None => Ok(Json::null()),
            Some(raw) => Json::from_raw(raw)
                .map_err(|e| Refusal::invalid(format!("field `{}{name}`: {e}", self.path))),
        }
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
    pub fn data(&self) -> Result<Self, Refusal> {
        self.object("data", "data.")?
            .ok_or_else(|| Refusal::invalid("field `data` is missing: an object is expected"))
    }

    /// Makes sure that what is asked for is asked for now. Schedules (section 10) are not in this version, and what was
    /// meant for later must not happen at once.
    ///
    /// # Errors
    /// `INVALID_SCHEDULE` where there is a `scheduleExpression`.
    pub fn unscheduled(&self) -> Result<(), Refusal> {
        match self.raw("scheduleExpression") {
            None => Ok(()),
            Some(_) => Err(Refusal::new(
                ErrorCode::InvalidSchedule,
                "field `scheduleExpression`: this version of the server does nothing later, only at once",
            )),
        }
    }

    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields
            .get(name)
            .copied()
            .filter(|raw| raw.get() != "null")
    }

    fn wrong(&self, name: &str, raw: &RawValue, expected: &str) -> Refusal {
        let kind = match raw.get().as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            _ => "a number",
        };
        Refusal::invalid(format!(
            "field `{}{name}` is {kind}: {expected} is expected",
            self.path
        ))
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

/// A JSON object and nothing else; a field given twice is an error, since nobody knows which was meant.
struct Fields<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    let value = map.next_value::<&'de RawValue>()?;
                    if fields.insert(name.0, value).is_some() {
                        return Err(serde::de::Error::custom("duplicate field"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
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
