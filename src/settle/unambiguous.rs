//! JSON that everybody reads as the same. If a name is twice in an object, some readers take the first value and others the last: a
//! person could approve one, the audit trail keep it, and the tool act on the other.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// Whether this is JSON, and no object in it has a name twice.
pub(super) fn is_unambiguous(json: &str) -> bool {
    serde_json::from_str::<Unambiguous>(json).is_ok()
}

/// Any value whose objects have each name once.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON that has each name once")
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Unambiguous, A::Error> {
        while values.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unambiguous, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, Unambiguous)) = entries.next_entry::<String, Unambiguous>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_there_once_at_any_depth() {
        for json in [r#"{"a":1,"b":{"a":[{"a":null},{"a":-1.5e9}]}}"#, "[]", "1", r#""a""#, "true"] {
            assert!(is_unambiguous(json), "{json}");
        }
        for json in [
            r#"{"amount":1000,"amount":1}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            // An escape is the same letter.
            r#"{"a":1,"\u0061":2}"#,
            "{",
            "",
        ] {
            assert!(!is_unambiguous(json), "{json}");
        }
    }
}
