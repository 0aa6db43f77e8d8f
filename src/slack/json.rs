//! A JSON value that is looked at only where it is needed.
//!
//! Slack sends `user` as an id in most events and as an object in `team_join`; a field typed as a string
//! would refuse the second and lose the event. So the fields are kept as slices of the body, checked for
//! syntax and nothing else, and a slice of the wrong shape reads as absent.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A slice of the body that holds one JSON value; `null` and an absent field are the same.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct Slice<'a>(#[serde(borrow)] Option<&'a RawValue>);

#[derive(Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow, default)]
    id: Slice<'a>,
}

impl<'a> Slice<'a> {
    /// The value as `T`, if it has `T`'s shape.
    pub(super) fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// Whether there is a value at all.
    pub(super) fn is_some(self) -> bool {
        self.0.is_some()
    }

    /// A string that is not empty.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        let Str(string) = self.read()?;
        (!string.is_empty()).then_some(string)
    }

    /// A [`Slice::string`], or the `id` of an object: Slack expands ids to objects in some events.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.0?.get().as_bytes().first()? {
            b'{' => self.read::<Identified<'a>>()?.id.string(),
            _ => self.string(),
        }
    }

    /// [`Slice::text`], to keep.
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
    fn a_value_of_another_shape_reads_as_absent() {
        let read = |json| serde_json::from_str::<Slice<'_>>(json).unwrap().read::<bool>();
        assert_eq!(read("true"), Some(true));
        assert_eq!(read("false"), Some(false));
        for json in ["null", r#""true""#, "1", "{}"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
