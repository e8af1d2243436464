//! Reading claims in one pass without stopping at the first wrong type.
//!
//! serde's own errors neither name a claim by its path nor keep the value to themselves. So a value of a wrong type is
//! not an error here: it reads as [`Read::Wrong`], and whoever knows the path turns that into a good message.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A claim or directive as it came.
#[derive(Default)]
pub(super) enum Read<T> {
    /// Not there, or `null`: many libraries write a missing value so.
    #[default]
    Absent,
    /// There, and of a wrong type.
    Wrong,
    /// There.
    Is(T),
}

/// What can be read from a JSON value. Each method answers `None` for a type that is wrong.
pub(super) trait FromClaim<'de>: Sized {
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_number(_: Number) -> Option<Self> {
        None
    }
    fn from_text(_: Cow<'de, str>) -> Option<Self> {
        None
    }
    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        IgnoredAny.visit_seq(array)?;
        Ok(None)
    }
    fn from_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        IgnoredAny.visit_map(object)?;
        Ok(None)
    }
}

/// A JSON number.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Integer(i64),
    /// With a fraction or an exponent, or beyond 64 bits.
    Float(f64),
}

impl<'de, T: FromClaim<'de>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadVisitor(PhantomData))
    }
}

struct ReadVisitor<T>(PhantomData<T>);

impl<T> From<Option<T>> for Read<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Wrong, Self::Is)
    }
}

impl<'de, T: FromClaim<'de>> Visitor<'de> for ReadVisitor<T> {
    type Value = Read<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Read::Absent)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::from_bool(value).into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(T::from_number(Number::Integer(value)).into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        let number = i64::try_from(value).map_or(Number::Float(value as f64), Number::Integer);
        Ok(T::from_number(number).into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(T::from_number(Number::Float(value)).into())
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(T::from_text(Cow::Borrowed(value)).into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(Cow::Owned(value.to_owned())).into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Self::Value, A::Error> {
        T::from_array(array).map(Into::into)
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::from_object(object).map(Into::into)
    }
}

impl FromClaim<'_> for bool {
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl<'de: 'a, 'a> FromClaim<'de> for Cow<'a, str> {
    fn from_text(value: Cow<'de, str>) -> Option<Self> {
        Some(value)
    }
}

/// A whole number; `30.0` is as good as `30`, for JSON does not tell them apart.
pub(super) struct Integer(pub(super) i64);

impl FromClaim<'_> for Integer {
    fn from_number(number: Number) -> Option<Self> {
        match number {
            Number::Integer(value) => Some(Self(value)),
            // Up to 2^53 every whole float is exact.
            Number::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Some(Self(value as i64))
            }
            Number::Float(_) => None,
        }
    }
}

/// A NumericDate (RFC 7519): seconds since 1970, possibly with a fraction.
///
/// Rounded up to the next whole second. For a whole `now`, `now < t` and `now >= t` then say the same as before.
pub(super) struct NumericDate(pub(super) i64);

impl FromClaim<'_> for NumericDate {
    fn from_number(number: Number) -> Option<Self> {
        Some(Self(match number {
            Number::Integer(value) => value,
            // The cast saturates, so what is absurdly far away stays so.
            Number::Float(value) => value.ceil() as i64,
        }))
    }
}

/// One string or an array of them (`aud`).
pub(super) enum Strings<'a> {
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

impl Strings<'_> {
    pub(super) fn contains(&self, text: &str) -> bool {
        match self {
            Self::One(one) => one == text,
            Self::Many(many) => many.iter().any(|one| one == text),
        }
    }
}

impl<'de: 'a, 'a> FromClaim<'de> for Strings<'a> {
    fn from_text(value: Cow<'de, str>) -> Option<Self> {
        Some(Self::One(value))
    }
    fn from_array<A: SeqAccess<'de>>(array: A) -> Result<Option<Self>, A::Error> {
        Ok(strings(array)?.map(Self::Many))
    }
}

/// All elements of an array, if they are all strings.
pub(super) fn strings<'de, A: SeqAccess<'de>>(
    mut array: A,
) -> Result<Option<Vec<Cow<'de, str>>>, A::Error> {
    let mut all = Some(Vec::new());
    while let Some(element) = array.next_element::<Read<Cow<'de, str>>>()? {
        match (element, &mut all) {
            (Read::Is(text), Some(texts)) => texts.push(text),
            _ => all = None,
        }
    }
    Ok(all)
}

/// An object with the fields of `T`. (A derived struct alone would also take an array.)
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> FromClaim<'de> for Object<T> {
    fn from_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|value| Some(Self(value)))
    }
}

/// An object whose keys are names or patterns of the author's, in the order written.
pub(super) struct Entries<'a, T>(pub(super) Vec<(Cow<'a, str>, Read<T>)>);

impl<'de: 'a, 'a, T: FromClaim<'de>> FromClaim<'de> for Entries<'a, T> {
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut entries = Vec::new();
        while let Some(Key(key)) = object.next_key()? {
            entries.push((key, object.next_value()?));
        }
        Ok(Some(Self(entries)))
    }
}

/// An object's key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
