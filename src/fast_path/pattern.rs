//! What a value must look like (`pattern`): a regular expression that the whole value has to match, as in HTML's `pattern`.
//!
//! The engine is `regex-lite`, which the SDK has brought already. Its time is bounded by the length of the pattern times that of
//! the value. `\d`, `\w` and `\s` mean ASCII; it has no look-around and no back-references.

use regex_lite::{Regex, RegexBuilder};

/// How much a pattern may take when it is compiled, in bytes: `[0-9]{9999}` is long, too. A check runs before the event is recorded.
const SIZE_LIMIT: usize = 8 * 1024;

/// Slack takes no longer value, in characters.
const MAX_VALUE: usize = 3000;

/// A pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // By itself first: `a)(b` is none, whatever is put around it.
        let compiled = |text: &str| RegexBuilder::new(text).size_limit(SIZE_LIMIT).build();
        compiled(text)
            .and_then(|_| compiled(&format!(r"^(?:{text})$")))
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Whether the whole text is as the pattern says.
    pub(super) fn matches(&self, text: &str) -> bool {
        text.chars().nth(MAX_VALUE).is_none() && self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_value_has_to_match() {
        for (pattern, yes, no) in [
            ("abc", &["abc"][..], &["", "ab", "abcd", "xabc", "ABC"][..]),
            ("^abc$", &["abc"], &["abcd"]),
            ("a|b", &["a", "b"], &["ab", "xa", "bx", ""]),
            (r"[A-Z]{2,5}-\d+", &["AB-1", "ABCDE-123"], &["A-1", "ABCDEF-1", "AB-", "AB-1 ", "AB-1\n"]),
            (r"[^,;]*", &["", "abc"], &["a,b", ";"]),
            (r".+@.+\..+", &["a@b.c", "a@@b..c"], &["a@b", "@b.c", "a@.c"]),
            ("ü🚀{2}", &["ü🚀🚀"], &["ü🚀"]),
            ("(?i)yes", &["yes", "YES"], &["no"]),
            ("", &[""], &["a"]),
        ] {
            let read = Pattern::parse(pattern).unwrap();
            for value in yes {
                assert!(read.matches(value), "{pattern} {value:?}");
            }
            for value in no {
                assert!(!read.matches(value), "{pattern} {value:?}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused_in_words() {
        for wrong in ["(a", "a)(b", "*a", "a{3,2}", "[", "[z-a]", r"\1", "(?=a)", "a{99999}", "\\"] {
            assert!(Pattern::parse(wrong).is_err_and(|why| !why.is_empty()), "{wrong}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        for slow in ["(a+)+", "(a|aa)+", "(a*)*b?c"] {
            assert!(!Pattern::parse(slow).unwrap().matches(&("a".repeat(2999) + "b")));
        }
        assert!(Pattern::parse(&"a*".repeat(300)).is_err(), "it is too large");
        assert!(!Pattern::parse("a*").unwrap().matches(&"a".repeat(3001)), "Slack takes no such value");
    }
}
