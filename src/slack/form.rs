//! `application/x-www-form-urlencoded`, read once and strictly: what does not decode to UTF-8 is refused and not
//! repaired, and a field that stands twice is refused, because readers differ in which of the two they take.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Malformed;

/// A form's fields, decoded.
pub(super) type Form = BTreeMap<String, String>;

/// The fields of a form.
pub(super) fn parse(body: &[u8]) -> Result<Form, Malformed> {
    let mut form = Form::new();
    for field in body.split(|&byte| byte == b'&').filter(|field| !field.is_empty()) {
        let (name, value) = split_once(field);
        if form.insert(decode(name)?, decode(value)?).is_some() {
            return Err(Malformed::RepeatedField);
        }
    }
    Ok(form)
}

fn split_once(field: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = field.splitn(2, |&byte| byte == b'=');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

fn decode(text: &[u8]) -> Result<String, Malformed> {
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect()
    } else {
        Cow::Borrowed(text)
    };
    let decoded = percent_decode(&spaced).decode_utf8().map_err(|_| Malformed::Utf8)?;
    Ok(decoded.into_owned())
}
