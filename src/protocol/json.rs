//! JSON that passes through: validated once, made compact once, and carried as text from then on.
//!
//! Metadata and message data are the application's own. We never change their keys' order or how their numbers are
//! written (`1.10`, a 30-digit integer); we only take out the white space and write every string the one shortest way,
//! so that equal strings have equal bytes and a byte count means the same to everybody.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::same::{self, same_value};

/// A JSON value as compact text. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

/// Why a text is no JSON for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON at all, with what the parser said.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// Nested more than 127 levels deep.
    #[error("JSON nested more than {} levels deep", Json::MAX_DEPTH)]
    TooDeep,
}

impl Json {
    /// How deeply arrays and objects may be nested. Deeper input is refused: many parsers on the other side recurse.
    pub const MAX_DEPTH: usize = 127;

    /// `null`.
    pub fn null() -> Self {
        static NULL: LazyLock<Json> = LazyLock::new(|| Json("null".into()));
        NULL.clone()
    }

    /// Validates a JSON text and makes it compact.
    ///
    /// # Errors
    /// When the text is no JSON, has an unpaired surrogate, or is nested too deeply.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|e| JsonError::Syntax(e.to_string()))?;
        Self::from_raw(raw)
    }

    /// Makes an already validated value compact.
    ///
    /// # Errors
    /// When it has an unpaired surrogate or is nested too deeply.
    pub fn from_raw(raw: &RawValue) -> Result<Self, JsonError> {
        let text = raw.get();
        if text == "null" {
            return Ok(Self::null());
        }
        compact(text).map(|text| Self(text.into()))
    }

    /// Serialises a value of ours.
    pub fn from_value(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }

    /// The compact text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }

    /// Whether both are the same JSON value: the order of keys does not matter, nor how a number is written, but numbers
    /// are compared exactly. Of a key that comes twice, the last value counts.
    pub fn same_value(&self, other: &Self) -> bool {
        same_value(self.as_str(), other.as_str())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}

/// Reads a value inside any JSON document (a token's payload, a request's body).
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_raw(&raw).map_err(D::Error::custom)
    }
}

/// Writes the value into a JSON document, as it stands.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Takes the white space out of valid JSON and spells every string the shortest way.
fn compact(text: &str) -> Result<String, JsonError> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = same::string_end(bytes, at);
                let literal = text.get(at..end).unwrap_or_default();
                if literal.contains('\\') {
                    let value: String = serde_json::from_str(literal)
                        .map_err(|e| JsonError::Syntax(e.to_string()))?;
                    out.push_str(&serde_json::Value::String(value).to_string());
                } else {
                    out.push_str(literal);
                }
                at = end;
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > Json::MAX_DEPTH {
                    return Err(JsonError::TooDeep);
                }
                out.push(char::from(byte));
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                out.push(char::from(byte));
            }
            // Outside strings, JSON is ASCII.
            _ => out.push(char::from(byte)),
        }
        at += 1;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_goes_and_order_and_numbers_stay() {
        let json = Json::parse(" { \"b\" : [ 1.10 , 1e2 ], \"a\" : \"x y\" } ").unwrap();
        assert_eq!(json.as_str(), r#"{"b":[1.10,1e2],"a":"x y"}"#);
    }

    #[test]
    fn strings_get_their_shortest_spelling() {
        let json = Json::parse(r#""J\u00f6rg \ud83d\ude00 \/ \u000a \" \\""#).unwrap();
        assert_eq!(json.as_str(), "\"Jörg 😀 / \\n \\\" \\\\\"");
    }

    #[test]
    fn an_unpaired_surrogate_is_refused() {
        assert!(matches!(
            Json::parse(r#""\ud83d""#),
            Err(JsonError::Syntax(_))
        ));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(&deep(127)).is_ok());
        assert_eq!(Json::parse(&deep(128)), Err(JsonError::TooDeep));
    }

    #[test]
    fn what_no_double_holds_and_what_comes_twice_stays_as_it_is() {
        for text in [
            "1e400",
            "-1e999999999999999999999",
            "123456789012345678901234567890.10",
            r#"{"a":1,"a":{"b":2,"b":1e-400}}"#,
        ] {
            assert_eq!(Json::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn equality_of_values_ignores_key_order() {
        let a = Json::parse(r#"{"a":1,"b":2}"#).unwrap();
        let b = Json::parse(r#"{"b":2,"a":1}"#).unwrap();
        assert!(a.same_value(&b));
        assert!(!a.same_value(&Json::null()));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// A value with the keys of each object in descending order.
    fn backwards(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::Array(items) => {
                let items: Vec<_> = items.iter().map(backwards).collect();
                format!("[{}]", items.join(","))
            }
            serde_json::Value::Object(fields) => {
                let field = |(key, value): (&String, &serde_json::Value)| {
                    format!("{}:{}", serde_json::json!(key), backwards(value))
                };
                let mut fields: Vec<_> = fields.iter().map(field).collect();
                fields.reverse();
                format!("{{{}}}", fields.join(","))
            }
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn a_value_is_the_same_in_any_order_and_only_that(value in any_json(), other in any_json()) {
            // The serialiser sorts keys; backwards is another order.
            let backwards = backwards(&value);
            prop_assert!(Json::parse(&backwards).unwrap().same_value(&Json::from_value(&value)));
            let same = Json::from_value(&other).same_value(&Json::from_value(&value));
            prop_assert_eq!(same, other == value);
        }

        #[test]
        fn compact_is_what_the_serializer_writes(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let json = Json::parse(&pretty).unwrap();
            prop_assert_eq!(json.as_str(), value.to_string());
        }
    }
}
