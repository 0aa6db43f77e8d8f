//! Forms (`application/x-www-form-urlencoded`), read strictly. A form that does not decode to UTF-8 is refused and not
//! repaired. A form with a field that is there twice is refused, because readers differ in which of the two they take.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Malformed;

/// The fields of a form by their names, both decoded.
pub(super) type Form = BTreeMap<String, String>;

/// Reads and decodes the fields of a form.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &[u8]) -> Vec<(String, String)> {
        parse(body).unwrap().into_iter().collect()
    }

    #[test]
    fn a_field_is_a_name_and_a_value_decoded_once() {
        let cases = [
            (&b"a=b"[..], ("a", "b")),
            (b"a=", ("a", "")),
            (b"a", ("a", "")),
            (b"=b", ("", "b")),
            (b"a=b=c", ("a", "b=c")),
            (b"a=b%3Dc%26d", ("a", "b=c&d")),
            (b"a%3Db=c", ("a=b", "c")),
            (b"a=b+c%20d%2Be", ("a", "b c d+e")),
            (b"a+b=c", ("a b", "c")),
            (b"a=%252B", ("a", "%2B")),
            (b"a=Z%C3%BCrich%f0%9f%97%bc", ("a", "Zürich🗼")),
            ("a=Zürich".as_bytes(), ("a", "Zürich")),
            (b"a=%00%0A", ("a", "\0\n")),
            (b"a=b;c=d", ("a", "b;c=d")),
        ];
        for (body, (name, value)) in cases {
            assert_eq!(fields(body), [(name.to_owned(), value.to_owned())], "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_percent_sign_that_encodes_nothing_is_a_percent_sign() {
        for text in ["%", "100%", "%4", "%zz", "%u00fc", "% 41"] {
            assert_eq!(fields(format!("a={text}").as_bytes())[0].1, text);
        }
        assert_eq!(fields(b"a=%%41%4%41")[0].1, "%A%4A");
    }

    #[test]
    fn what_stands_between_two_ampersands_is_a_field_and_nothing_is_none() {
        for body in [&b""[..], b"&", b"&&&"] {
            assert_eq!(fields(body), []);
        }
        assert_eq!(fields(b"&a=1&&b=2&").len(), 2);
        assert_eq!(fields(b"a=1&A=2").len(), 2);
    }

    #[test]
    fn a_field_that_stands_twice_is_refused_however_it_is_spelled() {
        for body in ["a=1&a=2", "a=1&a=1", "a&a", "a=1&b=2&a=3", "a=1&%61=2", "a+b=1&a%20b=2", "=1&=2"] {
            assert_eq!(parse(body.as_bytes()), Err(Malformed::RepeatedField), "{body}");
        }
    }

    #[test]
    fn what_decodes_to_no_utf8_is_refused_and_not_repaired() {
        // In this order: a stray byte, Latin-1, an overlong slash, a surrogate, a cut sequence, one past the last character.
        for bad in ["%FF", "Z%FCrich", "%C0%AF", "%ED%A0%80", "%F0%9F%97", "%F4%90%80%80"] {
            assert_eq!(parse(format!("a={bad}").as_bytes()), Err(Malformed::Utf8), "{bad}");
            assert_eq!(parse(format!("{bad}=a").as_bytes()), Err(Malformed::Utf8), "{bad}");
        }
        assert_eq!(parse(b"a=\xff"), Err(Malformed::Utf8));
        assert_eq!(parse(b"a=%C3&b=%BC"), Err(Malformed::Utf8), "halves of two fields");
    }
}
