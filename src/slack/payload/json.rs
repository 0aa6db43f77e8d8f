//! A JSON field that may have any shape.
//!
//! Slack sends `user` as an id in most events, and as an object in `team_join`. A field with the type of a string would refuse
//! the second, and the event would be lost. Therefore a field is kept as the slice of the body that it is: `serde` checks its
//! syntax and nothing else, and a slice of an unexpected shape reads as absent.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The slice of the body that holds the value of one field. A field that is `null` is as good as absent.
#[derive(Clone, Copy, Default, serde::Deserialize)]
pub(super) struct Slice<'a>(#[serde(borrow)] Option<&'a RawValue>);

#[derive(serde::Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(serde::Deserialize)]
struct Identified<'a> {
    #[serde(borrow, default)]
    id: Slice<'a>,
}

/// A `T` that is written as a JSON object. By itself, `serde` would also read an array of its fields in their order.
#[derive(Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        input.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

impl<'a> Slice<'a> {
    /// The value as `T`, if it has `T`'s shape.
    pub(super) fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// The value as `T`, if it is an object with `T`'s shape.
    pub(super) fn object<T: Deserialize<'a>>(self) -> Option<T> {
        self.read().map(|Object(object)| object)
    }

    /// Whether the field is there and not `null`.
    pub(super) fn is_some(self) -> bool {
        self.0.is_some()
    }

    /// Whether the value is `true`. Forms have it as a string, and so have some of Slack's payloads.
    pub(super) fn is_true(self) -> bool {
        self.read() == Some(true) || self.string().as_deref() == Some("true")
    }

    /// Whether the value is `false`, or that as a string.
    pub(super) fn is_false(self) -> bool {
        self.read() == Some(false) || self.string().as_deref() == Some("false")
    }

    /// The value, if it is a string and not empty.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        let Str(string) = self.read()?;
        (!string.is_empty()).then_some(string)
    }

    /// The value if it is a string and not empty, or its `id` if it is an object: in some events Slack has objects in place of
    /// ids.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.0?.get().as_bytes().first()? {
            b'{' => self.read::<Identified<'a>>()?.id.string(),
            _ => self.string(),
        }
    }

    /// [`Slice::text`] as a string that outlives the body.
    pub(super) fn to_text(self) -> Option<String> {
        self.text().map(Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<String> {
        serde_json::from_str::<Slice<'_>>(json).unwrap().to_text()
    }

    #[test]
    fn a_text_is_a_string_or_an_objects_id() {
        let cases = [
            (r#""C1""#, Some("C1")),
            (r#""\u0043\/1""#, Some("C/1")),
            (r#"{"name":"x","id":"C1"}"#, Some("C1")),
            (r#" { "id" : "C1" } "#, Some("C1")),
        ];
        for (json, expected) in cases {
            assert_eq!(text(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn every_other_shape_has_no_text() {
        for json in [
            "null",
            "true",
            "17",
            "[]",
            r#"["C1"]"#,
            "{}",
            r#""""#,
            r#""\ud800""#,
            r#"{"id":""}"#,
            r#"{"id":null}"#,
            r#"{"id":7}"#,
            r#"{"id":["C1"]}"#,
            r#"{"id":{"id":"C1"}}"#,
            r#"{"id":"C1","id":"C2"}"#,
        ] {
            assert_eq!(text(json), None, "{json}");
        }
        assert_eq!(Slice::default().to_text(), None);
    }

    #[test]
    fn true_is_true_as_a_boolean_and_as_a_string() {
        let is_true = |json| serde_json::from_str::<Slice<'_>>(json).unwrap().is_true();
        assert!(is_true("true") && is_true(r#""true""#));
        for json in ["false", "null", "1", "{}", r#""false""#, r#""""#, r#"["true"]"#] {
            assert!(!is_true(json), "{json}");
        }
        assert!(!Slice::default().is_true());
    }

    #[test]
    fn a_value_of_another_shape_reads_as_absent() {
        let read = |json| serde_json::from_str::<Slice<'_>>(json).unwrap().read::<bool>();
        assert_eq!(read("true"), Some(true));
        assert_eq!(read("false"), Some(false));
        for json in ["null", r#""true""#, "1", "{}"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
