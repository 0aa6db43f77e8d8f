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

    /// A string that is not empty, or an object's `id`: Slack expands ids to objects in some events.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let text = match self.0?.get().as_bytes().first()? {
            b'"' => self.read::<Str<'a>>()?.0,
            b'{' => {
                let id = self.read::<Identified<'a>>()?.id;
                id.read::<Str<'a>>()?.0
            }
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// [`Slice::text`], to keep.
    pub(super) fn to_text(self) -> Option<String> {
        self.text().map(Cow::into_owned)
    }
}
